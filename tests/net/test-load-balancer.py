# SPDX-License-Identifier: LGPL-2.1-or-later
"""The load balancer example, as it is shipped: two hosts with haproxy on the floating address, two web servers behind it, a metadata service
on each host, and a client that fetches a page all the time. Whatever makes a host useless moves the address within Interval= x Fall= + Timeout=
and a handover, and the client is served again.

             ┌─ n1 haproxy, metadata ─┐
    cl ─ VIP ┤                        ├─ b1, b2: web servers
             └─ n2 haproxy, metadata ─┘
"""

import contextlib
import http.client
import os
import re
import signal
import threading
import time
import types

import lab as L
from lab import PREEMPTION_USEC, VIP, check, hold, now, wait

EXAMPLES = os.path.join(L.HERE, "../../examples")
METADATA_PORT = 8081
HEALTH_STATE = "latest/self/container/health_state"
# of the checks, in µs, as examples/haproxy.vip has them; and haproxy's own of its backends
INTERVAL, TIMEOUT, RISE, FALL = 1_000_000, 500_000, 2, 2
JITTER = 1.1
BACKENDS = 2 * 1_000_000 + 1_000_000
PREEMPT_DELAY = 1_000_000
# a demoted master says so at once, a released one bows out; then the client's cache must hear of it
HANDOVER = 500_000
NOISE = 2_000_000  # of a busy machine
FETCH_TIMEOUT = 0.5


def example(name):
    with open(os.path.join(EXAMPLES, name)) as f:
        return f.read()


class Client:
    """Fetches through the address, each time by a new connection, and notes which host served it: [(began, ended, host or None)]."""

    def __init__(self, host):
        self.fetches = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(host,), daemon=True)
        self.thread.start()

    def _run(self, host):
        with host.namespace():
            while not self.ended.wait(0.01):
                began = now()
                by = self._fetch()
                self.fetches.append((began, now(), by))

    @staticmethod
    def _fetch():
        connection = http.client.HTTPConnection(VIP, timeout=FETCH_TIMEOUT)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            answer = connection.getresponse()
            if answer.status == 200 and answer.read() == b"hello\n":
                return answer.headers["Served-By"]
        return None

    def stop(self):
        self.ended.set()
        self.thread.join()

    def wait_served(self, by, since, timeout=10.0):
        """When the first fetch that began after `since` was served by this host."""
        return wait(lambda: next((ended for began, ended, who in list(self.fetches) if began >= since and who == by.name), None),
                    f"the client is served by {by.name}", timeout)

    def longest_gap(self, since):
        """The longest stretch since then without a page."""
        times = [since] + [ended for _, ended, who in list(self.fetches) if who and ended >= since]
        return max(b - a for a, b in zip(times, times[1:] + [now()]))


class Site:
    """All of it, running, with n1 as master."""

    def __init__(self, lab, changes):
        """changes: sections for a drop-in on both hosts; {host's name: sections} for one of them."""
        self.lab = lab
        self.hosts = self.n1, self.n2 = lab.nodes(2)
        self.balancers, self.vipds = {}, {}
        self.bus = self.n1.bus()
        for name, number in (("b1", 11), ("b2", 12)):
            backend = lab.host(name, number)
            self.serve(backend, backend.address, 80, {"index.html": "hello\n"})
        for host in self.hosts:
            self.set_metadata(host, "healthy")
            self.serve(host, "127.0.0.1", METADATA_PORT, {})
            self.balance(host)
        for host in self.hosts:
            self.start_vipd(host, changes)
            self.vipds[host.name].wait_line("check haproxy passes|web: init -> backup")
        self.client = Client(lab.client())
        self.a, self.b = (self.vipds[h.name] for h in self.hosts)

    def serve(self, host, address, port, files):
        directory = f"{host.room}/www"
        os.makedirs(directory, exist_ok=True)
        for name, text in files.items():
            with open(f"{directory}/{name}", "w") as f:
                f.write(text)
        server = L.Process(self.lab, f"web server of {host.name}",
                           host.inside("/usr/bin/python3", "-u", "-m", "http.server", port, "--bind", address, "--directory", directory))
        server.may_fail = True
        server.wait_line("Serving HTTP")

    def set_metadata(self, host, word):
        path = f"{host.room}/www/{HEALTH_STATE}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(word)
        os.rename(path + ".new", path)

    def balance(self, host):
        """The example, for the lab's address; and each host tells its name."""
        path = f"{host.room}/haproxy.cfg"
        with open(path, "w") as f:
            f.write(example("haproxy.cfg").replace("192.0.2.10:", f"{VIP}:").replace(
                "default_backend web", f"default_backend web\n    http-response set-header Served-By {host.name}"))
        balancer = L.Process(self.lab, f"haproxy of {host.name}", host.inside(haproxy_path(), "-db", "-f", path))
        balancer.may_fail = True
        self.balancers[host.name] = balancer

    def start_vipd(self, host, changes):
        text = example("haproxy.vip").replace("Address=192.0.2.10\n", f"Address={VIP}\n").replace("/etc/vipd/web.key", "@KEYFILE@")
        sections = {"Check metadata": {
            "Type": "http", "URL": f"http://127.0.0.1:{METADATA_PORT}/{HEALTH_STATE}", "Expect": "^healthy$",
            # of a stand-in that answers always, but not always soon
            "Interval": f"{INTERVAL}us", "Timeout": "5s", "Rise": RISE, "Fall": FALL}}
        for part in (changes, changes.get(host.name, {})):
            for name, keys in part.items():
                if name not in ("n1", "n2"):
                    sections.setdefault(name, {}).update(keys)
        drop_in = "".join(f"[{name}]\n" + "".join(f"{k}={v}\n" for k, v in keys.items()) for name, keys in sections.items())
        self.vipds[host.name] = host.vipd({"web": text, "web.vip.d/site.conf": drop_in},
                                          bus=self.bus if host is self.n1 else "none")

    def wait_first(self):
        self.a.wait_state("master", timeout=20)
        wait(lambda: now() > self.b.transitions()[0].t + L.dead_usec(1, 50), "n2 has listened")
        self.b.wait_state("backup")
        self.client.wait_served(self.n1, now())

    def samples(self, kind):
        """Of n1's checks so far: good or bad."""
        return L.statistics(self.bus)[f"check-samples-{kind}"]

    def finish(self):
        self.client.stop()


def haproxy_path():
    if not os.path.exists("/usr/sbin/haproxy"):
        raise L.Skip("haproxy is not installed")
    return "/usr/sbin/haproxy"


# What may happen to a host.

def kill(site, host):
    site.balancers[host.name].kill()


def start_again(site, host):
    site.balance(host)


def hang(site, host):
    site.balancers[host.name].signal(signal.SIGSTOP)


def go_on(site, host):
    site.balancers[host.name].signal(signal.SIGCONT)


def lose_backends(site, host):
    site.lab.filter(f'iifname "{host.port}" oifname {{ "vp-b1", "vp-b2" }} drop')


def find_backends(site, _host):
    site.lab.filter("")


def unhealthy(site, host):
    site.set_metadata(host, "unhealthy")


def healthy(site, host):
    site.set_metadata(host, "healthy")


def failure(begin, end, what, own_usec=0):
    """what: which check notices, and what it says; own_usec: how long until there is something to notice."""
    return types.SimpleNamespace(begin=begin, end=end, what=what, own_usec=own_usec)


KILLED = failure(kill, start_again, "haproxy fails: .*refused")
HUNG = failure(hang, go_on, "haproxy fails: no answer within 500ms")
BACKENDS_GONE = failure(lose_backends, find_backends, "haproxy fails: status 503", own_usec=BACKENDS)
METADATA = failure(unhealthy, healthy, "metadata fails: ")


def check_moves(site, what, source, target):
    """Begins the failure at source; the address goes to target in time, and so does the client."""
    loser, winner = site.vipds[source.name], site.vipds[target.name]
    longest = INTERVAL * JITTER * FALL + TIMEOUT + HANDOVER + what.own_usec + NOISE
    bad, at = site.samples("bad"), now()
    what.begin(site, source)
    loser.wait_line(f"web: check {what.what}", since=at, timeout=longest / 1e6 + 5)
    # the bound below has room for a busy machine, and so for one probe too many; those that came after that line are none
    bad, said = site.samples("bad") - bad, next(t for t, text in loser.lines if t >= at and re.search(f"web: check {what.what}", text))
    later = (now() - said) // int(INTERVAL / JITTER)
    check(source is site.n2 or FALL <= bad <= FALL + later, f"{bad} bad answers, for Fall={FALL}:\n{loser.text()}")
    wait(lambda: winner.transitions(since=at), f"{target.name} takes over", timeout=longest / 1e6 + 5)
    took = winner.transitions(since=at)[0].t - at
    check(winner.state() == "master", winner.text())
    check(took < longest, f"after {took} us, and the bound is {longest}:\n{loser.text()}\n{winner.text()}")
    served = site.client.wait_served(target, at) - at
    check(served < longest + FETCH_TIMEOUT * 1e6, f"the client is served after {served} us, and the bound is {longest}")
    wait(lambda: not source.holds() and target.holds(), "the address is there")
    loser.wait_state("backup")
    return at


def check_demoted(lab, what):
    """OnFailure=demote, and peers that preempt: it goes, and comes back when PreemptDelay= is over."""
    site = Site(lab, {"CARP": {"PreemptDelay": f"{PREEMPT_DELAY}us"}, "n2": {"CARP": {"AdvSkew": 50}}})
    site.wait_first()
    at = check_moves(site, what, site.n1, site.n2)
    check(site.b.reason() == "preempting" and site.a.reason() == "preempted", site.a.text() + site.b.text())
    moved = now()
    what.end(site, site.n1)
    site.a.wait_line("web: check .* passes", timeout=20, since=at)
    well = [t for t, text in site.a.lines if t > at and "passes" in text][0]
    wait(lambda: site.a.state() == "master", "n1 takes the address back", timeout=15)
    back = site.a.transitions()[-1]
    check(back.reason == "preempting", site.a.text())
    # n2 has to be heard once more after the delay
    check(PREEMPT_DELAY * 0.6 < back.t - well < PREEMPT_DELAY + 1_200_000 + NOISE, f"back {back.t - well} us after it was well")
    site.client.wait_served(site.n1, back.t)
    gap = site.client.longest_gap(moved)
    check(gap < FETCH_TIMEOUT * 1e6 + NOISE, f"to take it back costs the client {gap} us")
    site.finish()
    lab.observer.check_never_two(VIP, allowed_usec=PREEMPTION_USEC)


def check_released(lab, what):
    """OnFailure=release, and equals that do not preempt: it goes and stays, until the other fails."""
    release = {"OnFailure": "release"}
    site = Site(lab, {"CARP": {"Preempt": "no"}, "Check haproxy": release, "Check metadata": release, "n2": {"VIP": {"StartDelay": "6s"}}})
    site.wait_first()
    wait(lambda: now() > site.b.transitions()[0].t + 6_000_000, "n2 has listened")
    at = check_moves(site, what, site.n1, site.n2)
    check(site.b.reason() == "bow-out" and site.a.reason() == "health", site.a.text() + site.b.text())
    moved = now()
    what.end(site, site.n1)
    site.a.wait_line("web: check .* passes", timeout=20, since=at)
    hold(lambda: site.b.state() == "master" and site.a.state() == "backup", "an equal does not take it back", 1.5)
    gap = site.client.longest_gap(moved)
    check(gap < FETCH_TIMEOUT * 1e6 + NOISE, f"the client had no page for {gap} us although nothing moved")
    check_moves(site, what, site.n2, site.n1)
    site.finish()
    lab.observer.check_never_two(VIP)


def test_killed_demoted_and_back(lab):
    check_demoted(lab, KILLED)


def test_killed_released(lab):
    check_released(lab, KILLED)


def test_hung_demoted_and_back(lab):
    check_demoted(lab, HUNG)


def test_hung_released(lab):
    check_released(lab, HUNG)


def test_backends_gone_demoted_and_back(lab):
    check_demoted(lab, BACKENDS_GONE)


def test_backends_gone_released(lab):
    check_released(lab, BACKENDS_GONE)


def test_metadata_unhealthy_demoted_and_back(lab):
    check_demoted(lab, METADATA)


def test_metadata_unhealthy_released(lab):
    check_released(lab, METADATA)


def test_one_bad_answer_moves_nothing(lab):
    # so long that it is well again before it is asked again, however busy the machine
    site = Site(lab, {"Check metadata": {"Interval": "4s"}, "n2": {"CARP": {"AdvSkew": 50}}})
    site.wait_first()
    bad, at = site.samples("bad"), now()
    unhealthy(site, site.n1)
    wait(lambda: site.samples("bad") > bad, "a bad answer")
    healthy(site, site.n1)
    good = site.samples("good")
    # of both checks
    wait(lambda: site.samples("good") > good + 6, "good answers", 20)
    check(not site.a.transitions(since=at) and not site.a.grep("check metadata fails", at), site.a.text())
    check(site.samples("bad") == bad + 1, "there was one bad answer, and no more")
    site.finish()


def test_a_port_that_is_open_says_nothing_of_a_process_that_hangs(lab):
    """The kernel goes on accepting: what tcp finds good, http does not."""
    port = {"Type": "tcp", "Address": "127.0.0.1:8404", "Interval": "200ms", "Timeout": "5s"}
    site = Site(lab, {"Check port": port, "n2": {"CARP": {"AdvSkew": 50}}})
    site.wait_first()
    at = now()
    hang(site, site.n1)
    site.a.wait_line("web: check haproxy fails", since=at)
    check(not site.a.grep("web: check port fails", at), site.a.text())
    go_on(site, site.n1)
    kill(site, site.n1)
    site.a.wait_line("web: check port fails", since=at)
    site.finish()


def test_all_unhealthy_and_demoted_the_better_one_serves_on(lab):
    site = Site(lab, {"CARP": {"PreemptDelay": "0"}, "n2": {"CARP": {"AdvSkew": 50}}})
    site.wait_first()
    unhealthy(site, site.n2)
    site.b.wait_line("web: check metadata fails")
    at = now()
    unhealthy(site, site.n1)
    site.a.wait_line("web: check metadata fails", since=at)
    hold(lambda: site.a.state() == "master" and site.b.state() == "backup", "n1 is no worse than n2", 3)
    site.client.wait_served(site.n1, now())
    # who is well again is better than who is not
    healthy(site, site.n2)
    site.b.wait_state("master")
    site.client.wait_served(site.n2, now())
    site.finish()


def test_all_unhealthy_and_released_nobody_serves_until_one_is_well(lab):
    release = {"OnFailure": "release"}
    site = Site(lab, {"CARP": {"PreemptDelay": f"{PREEMPT_DELAY}us"}, "Check haproxy": release, "Check metadata": release,
                      "n2": {"CARP": {"AdvSkew": 50}}})
    site.wait_first()
    unhealthy(site, site.n2)
    site.b.wait_line("web: check metadata fails")
    unhealthy(site, site.n1)
    site.a.wait_state("backup")
    hold(lambda: "master" not in (site.a.state(), site.b.state()) and not site.n1.holds() and not site.n2.holds(), "nobody", 5)
    healthy(site, site.n2)
    site.b.wait_state("master")
    site.client.wait_served(site.n2, now())
    # and the better one takes it back, as after a demotion
    healthy(site, site.n1)
    site.a.wait_state("master")
    check(site.a.reason() == "preempting", site.a.text())
    site.client.wait_served(site.n1, now())
    site.finish()


def test_demoted_without_a_peer_that_preempts_it_stays(lab):
    site = Site(lab, {"n2": {"CARP": {"AdvSkew": 50, "Preempt": "no"}}})
    site.wait_first()
    at = now()
    unhealthy(site, site.n1)
    site.a.wait_line("web: check metadata fails.*demotion is 100", since=at)
    hold(lambda: site.a.state() == "master" and site.b.state() == "backup", "n2 does not preempt", 4)
    site.client.wait_served(site.n1, now())
    site.finish()


if __name__ == "__main__":
    L.main()
