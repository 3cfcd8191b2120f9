# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks move the address, and nothing a check does moves an advert: real servers, real programs, a real vipd-checker."""

import contextlib
import json
import os
import signal
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler

import lab as L
from lab import PREEMPTION_USEC, VIP, check, hold, instance, median, now, run, statistics, wait

# patient, as who is asked may be on a busy machine; what is down refuses at once
FAST = {"Interval": "200ms", "Timeout": "5s", "Fall": 2, "Rise": 2}
PORT = 8080


def checked(check_keys, name="web", **keys):
    """An instance with checks: {name: {key: value}}."""
    text = instance(**keys)
    for label, values in check_keys.items():
        text += f"[Check {label}]\n" + "".join(f"{k}={v}\n" for k, v in values.items())
    return {name: text}


def http(url=f"http://127.0.0.1:{PORT}/", **keys):
    return {"Type": "http", "URL": url, **FAST, **keys}


def tcp(**keys):
    return {"Type": "tcp", "Address": f"127.0.0.1:{PORT}", **FAST, **keys}


def serve(host):
    """A web server of the host's own; may be ended and begun again."""
    directory = f"{host.room}/www"
    os.makedirs(directory, exist_ok=True)
    p = L.Process(host.lab, f"web server of {host.name}",
                  host.inside("/usr/bin/python3", "-u", "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", directory))
    p.may_fail = True
    p.wait_line("Serving HTTP")
    return p


def checker_pid(vipd):
    """The child of the daemon that probes."""
    with open(f"/proc/{vipd.pid}/task/{vipd.pid}/children") as f:
        for pid in f.read().split():
            # one that has just ended is none
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
                if comm.read().strip() == "vipd-checker":
                    return int(pid)
    return None


def check_cadence(lab, host, since, until, interval_usec, what):
    """The adverts of this master keep their beat, and none was later than by what a busy machine adds now and then: less than a hang costs."""
    lab.observer.sync()
    times = [e.t for e in lab.observer.carp(host, since) if e.t < until]
    gaps = [b - a for a, b in zip(times, times[1:])]
    check(len(gaps) > 5 and median(gaps) < 1.5 * interval_usec and max(gaps) < interval_usec + 1_000_000, f"{what}: gaps of {gaps}")


def wait_for_bus(address):
    wait(lambda: statistics(address), "it is on the bus")


def property_of(address, name):
    out = run("busctl", "--json=short", f"--address={address}", "get-property", "org.vipd1", "/org/vipd1/instance/web", "org.vipd1.Instance",
              name).stdout
    return json.loads(out)["data"]


def test_a_failing_check_demotes_and_a_healthy_peer_preempts(lab):
    n1, n2 = lab.nodes(2)
    server = serve(n1)
    bus = n1.bus()
    a = n1.vipd(checked({"page": http()}, CARP_Preempt="yes", advskew=0), bus=bus)
    a.wait_state("master")
    b = n2.vipd(advskew=50, CARP_Preempt="yes")
    b.wait_state("backup")
    wait_for_bus(bus)
    wait(lambda: property_of(bus, "Checks") == [["page", "passing", "200 OK"]], lambda: f"it is {property_of(bus, 'Checks')}")
    at = now()
    server.kill()
    b.wait_state("master", timeout=10)
    a.wait_state("backup")
    check(b.reason() == "preempting" and a.reason() == "preempted", a.text() + b.text())
    wait(lambda: property_of(bus, "Demotion") == 100, "the demotion on the bus")
    name, state, output = property_of(bus, "Checks")[0]
    check((name, state) == ("page", "failing") and "refused" in output, property_of(bus, "Checks"))
    check(a.grep(r"web: check page fails: .*refused.*; demotion is 100"), a.text())
    lab.observer.check_never_two(allowed_usec=PREEMPTION_USEC)
    check([e for e in lab.observer.carp(n1, at) if e.advskew == 100], "the demotion on the wire")
    serve(n1)
    a.wait_state("master", timeout=10)
    check(a.reason() == "preempting" and property_of(bus, "Demotion") == 0, a.text())
    counters = statistics(bus)
    check(counters["check-samples-good"] > 2 and counters["check-samples-bad"] > 1 and counters["check-transitions"] >= 2, counters)


def test_released_however_alone_until_the_check_passes(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(checked({"port": tcp(OnFailure="release")}))
    a.wait_line("check port fails")
    hold(lambda: a.state() != "master" and not n1.holds(), "not master while the check fails", 4.5)
    server = serve(n1)
    a.wait_state("master")
    check(n1.holds(), "the address")
    server.kill()
    a.wait_state("backup")
    check(a.reason() == "health" and not n1.holds(), a.text())
    lab.observer.sync()
    check(lab.observer.carp(n1, advbase=255, advskew=255), "a bow-out")


def test_a_release_hands_over_at_once_between_equals(lab):
    n1, n2 = lab.nodes(2)
    server = serve(n1)
    a = n1.vipd(checked({"port": tcp(OnFailure="release")}))
    a.wait_state("master")
    b = n2.vipd()
    b.wait_state("backup")
    wait(lambda: now() > b.transitions()[0].t + L.dead_usec(1, 0), "the start delay")
    server.kill()
    a.wait_state("backup")
    b.wait_bow_out()
    at = now()
    serve(n1)
    a.wait_line("check port passes", since=at)
    hold(lambda: b.state() == "master" and a.state() == "backup", "an equal does not take it back", 2)
    lab.observer.check_never_two()


class Site(BaseHTTPRequestHandler):
    """Pages that are good only to who asks as he was told to."""

    pages = {"/here": (200, "all is well"), "/teapot": (418, ""), "/moved": (302, "")}

    def answer(self):
        status, body = self.pages[self.path]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/here")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = answer

    def do_PURGE(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self):
        return "a peer"  # of a Unix socket there is no more to say

    def log_message(self, *_):
        pass


def site(family, address, wrap=lambda sock: sock):
    """Serves it; called inside the host's namespace."""
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(16)
    server = socketserver.ThreadingTCPServer(address, Site, bind_and_activate=False)
    server.socket.close()
    server.socket, server.daemon_threads = wrap(sock), True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def test_each_key_of_an_http_check_is_followed(lab):
    """All the way from the file to the server: what vipd-checker can do by itself, its own tests show."""
    (n1,) = lab.nodes(1)
    certificate, key, path = f"{n1.room}/certificate", f"{n1.room}/certificate.key", f"{n1.room}/socket"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=site",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with n1.namespace():
        site(socket.AF_INET, ("127.0.0.1", PORT))
        site(socket.AF_INET, ("127.0.0.1", 8443), lambda sock: context.wrap_socket(sock, server_side=True))
        site(socket.AF_UNIX, path)
    os.chmod(path, 0o666)
    plain, tls = f"http://127.0.0.1:{PORT}", "https://127.0.0.1:8443/here"

    def ask(url, **keys):
        """Of a site that answers, however busy the machine is."""
        return http(url, Timeout="10s", **keys)
    checks = {
        "by-default": (ask(f"{plain}/here"), "passing", "200 OK"),
        "method": (ask(f"{plain}/here", Method="PURGE", Expect="^$"), "passing", "200 OK"),
        "status": (ask(f"{plain}/teapot", ExpectStatus="418"), "passing", "418"),
        "another-status": (ask(f"{plain}/teapot"), "failing", "status 418, expected 200-299"),
        "body": (ask(f"{plain}/here", Expect="is w.ll$"), "passing", "200 OK"),
        "another-body": (ask(f"{plain}/here", Expect="^is well"), "failing", "200 OK, but the body is not as expected"),
        "redirect": (ask(f"{plain}/moved", FollowRedirects="yes"), "passing", "200 OK"),
        "no-redirect": (ask(f"{plain}/moved"), "failing", "status 302, expected 200-299"),
        "socket": (ask("http://site.example/here", UnixSocket=path), "passing", "200 OK"),
        "authority": (ask(tls, CAFile=certificate), "passing", "200 OK"),
        "no-authority": (ask(tls), "failing", "certificate"),
        "unverified": (ask(tls, VerifyTLS="no"), "passing", "200 OK"),
    }
    bus = n1.bus()
    n1.vipd(checked({name: keys for name, (keys, _, _) in checks.items()}), bus=bus)

    def found():
        return {name: (state, output) for name, state, output in property_of(bus, "Checks")}
    wait_for_bus(bus)
    for name, (_, state, output) in checks.items():
        wait(lambda name=name, state=state, output=output: found()[name][0] == state and output in found()[name][1],
             lambda name=name: f"{name} is {found()[name]}", 30)


def plug_uplink(host):
    """A cable, whose other end is up1."""
    host.ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
    host.ip("link", "set", "up0", "up")
    host.ip("link", "set", "up1", "up")


def test_the_link_of_another_interface(lab):
    (n1,) = lab.nodes(1)
    plug_uplink(n1)
    a = n1.vipd(checked({"uplink": {"Type": "link", "Interface": "up0", "Fall": 1, "Rise": 1}}))
    a.wait_state("master")
    at = now()
    n1.ip("link", "set", "up1", "down")
    a.wait_line(r"check uplink fails: link down; demotion is 100")
    wait(lambda: lab.observer.sync() or lab.observer.carp(n1, at, advskew=100), "the demotion on the wire")
    n1.ip("link", "set", "up1", "up")
    a.wait_line(r"check uplink passes: link up; demotion is 0", since=at)
    # renamed, which newer kernels allow while it is up; the name is what counts
    at = now()
    if n1.run("ip", "link", "set", "up0", "name", "other", fail=False).returncode == 0:
        a.wait_line(r"check uplink fails", since=at)
        at = now()
        n1.ip("link", "set", "other", "name", "up0")
        a.wait_line(r"check uplink passes", since=at)
    at = now()
    n1.ip("link", "del", "up0")
    a.wait_line(r"check uplink fails", since=at)
    # another interface of that name
    at = now()
    plug_uplink(n1)
    a.wait_line(r"check uplink passes: link up; demotion is 0", since=at)
    check(a.state() == "master", a.text())


def test_an_interface_that_is_not_there_counts_as_down(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(checked({"uplink": {"Type": "link", "Interface": "up0", "Fall": 1, "Rise": 1, "OnFailure": "release"}}))
    a.wait_line("check uplink fails: link down")
    a.wait_state("backup")
    hold(lambda: a.state() == "backup", "no master without it", 4.5)
    plug_uplink(n1)
    a.wait_state("master")


def refuse_adverts(host):
    """The kernel of this host refuses to send them, and nothing else; what others send arrives."""
    host.run("nft", "-f", "-", input="table netdev lab { chain c { type filter hook egress device eth0 priority 0; policy accept;\n"
             "ip protocol 112 drop\n}\n}\n")


def test_adverts_that_the_kernel_refuses_demote(lab):
    """Three in a row, as with FreeBSD: the first that pass say 240, until three of them have."""
    (n1,) = lab.nodes(1)
    bus = n1.bus()
    # a dead interval has room for three
    a = n1.vipd(bus=bus, CARP_DeadRatio=6)
    a.wait_state("master")
    wait_for_bus(bus)
    check(property_of(bus, "Demotion") == 0, "well")
    at = now()
    refuse_adverts(n1)
    wait(lambda: property_of(bus, "Demotion") == 240, "the demotion on the bus")
    check(a.grep("web: an advert could not be sent on eth0: No buffer space available", at) and a.state() == "master", a.text())
    at = now()
    n1.run("nft", "delete", "table", "netdev", "lab")
    wait(lambda: property_of(bus, "Demotion") == 0, "well again", 15)
    wait(lambda: lab.observer.sync() or lab.observer.carp(n1, at, advskew=0), "and says so")
    skews = [e.advskew for e in lab.observer.carp(n1, at)]
    check(skews[:4] == [240, 240, 240, 0], f"said {skews}")


def test_a_host_that_is_not_heard_does_not_fight_for_the_address(lab):
    """It hears a worse master and preempts, which nobody hears: it gives the address back at once, and tries it rarely."""
    n1, n2 = lab.nodes(2)
    a, b = L.elect(n1, n2, CARP_Preempt="yes")
    refuse_adverts(n1)
    b.wait_state("master")
    wait(lambda: a.reason() == "send-failed", "it has given up")
    at = now()
    wait(lambda: len(a.transitions(since=at)) >= 4, "it has tried twice", 30)
    check([t.reason for t in a.transitions(since=at)[:4]] == ["preempting", "send-failed"] * 2, a.text())
    check(a.transitions(since=at)[2].t - at > 6_000_000, "rarely")
    lab.observer.sync()
    check(not [e for e in lab.observer.of("arp", at, port="n1") if e.address == VIP], "no neighbour is told of what the master is not")
    check(b.state() == "master" and not b.transitions(since=at), b.text())
    lab.observer.check_never_two(allowed_usec=PREEMPTION_USEC)
    n1.run("nft", "delete", "table", "netdev", "lab")
    wait(lambda: (a.state(), b.state()) == ("master", "backup"), "it is heard again", 15)


def preempting_ucarp(lab, **keys):
    n1, n2, n3 = lab.nodes(3)
    server = serve(n1)
    a = n1.vipd(checked({"page": http()}, CARP_Preempt="yes", **keys))
    a.wait_state("master")
    n2.ucarp(advskew=50, options=("-z", "-P"))
    bsd = n3.bsd_peer(advskew=200)

    def held_by(number):
        return lambda: lab.observer.holders(VIP) == {number}
    hold(held_by(1), "they believe it", 4)
    server.kill()
    wait(held_by(2), "the one that preempts has it", 10)
    a.wait_state("backup")
    check(a.reason() == "preempted", a.text())
    hold(held_by(2), "and keeps it", 4)
    serve(n1)
    a.wait_state("master", timeout=10)
    check(a.reason() == "preempting", a.text())
    wait(held_by(1), "it is back", 10)
    check(bsd.transitions == [], f"who does not preempt has heard a master all the time: {bsd.transitions}")
    bsd.stop()


def test_ucarp_and_bsd_peers_understand_a_demotion(lab):
    preempting_ucarp(lab)


def test_ucarp_and_freebsd_peers_are_not_confused_by_the_demotion_byte(lab):
    preempting_ucarp(lab, CARP_DemotionByte="yes")


def test_the_demotion_byte_moves_the_address_without_preempt(lab):
    """As OpenBSD does it: a backup that is less demoted takes over, though neither preempts and though advskew alone would not call it."""
    n1, n2 = lab.nodes(2)
    server = serve(n1)
    a = n1.vipd(checked({"page": http(Weight=3)}, CARP_DemotionByte="yes"))
    a.wait_state("master")
    b = n2.vipd(advskew=200, CARP_DemotionByte="yes")
    b.wait_state("backup")
    at = now()
    server.kill()
    b.wait_state("master")
    lab.observer.sync()
    check({(e.demotion, e.advskew) for e in lab.observer.carp(n1, at)} <= {(0, 0), (3, 3)}, lab.observer.carp(n1, at))
    check(lab.observer.carp(n1, at, demotion=3, advskew=3), "the demotion in both")
    check({(e.demotion, e.advskew) for e in lab.observer.carp(n2, at)} == {(0, 200)}, lab.observer.carp(n2, at))


def test_what_programs_do_delays_no_advert(lab):
    """They print without end, hang, fork daemons, return garbage, eat the processor: adverts keep their beat, and each check its verdict."""
    (n1,) = lab.nodes(1)
    n1.script("prints", "exec cat /dev/zero")
    n1.script("hangs", "trap '' TERM; sleep 1000")
    n1.script("forks", "for k in 1 2 3 4 5; do setsid sleep 1000 & done; exit 0")
    n1.script("garbage", "printf '\\377\\376\\000\\033[2J\\n\\001'; exit 3")
    n1.script("burns", "while :; do :; done")
    # those that never end are ended soon, and who ends may take his time
    checks = {name: {"Type": "command", "Command": f"{n1.room}/{name}", "Weight": 1, **FAST, "Timeout": timeout} for name, timeout in (
        ("prints", "2s"), ("hangs", "2s"), ("forks", "20s"), ("garbage", "20s"), ("burns", "2s"))}
    bus = n1.bus()
    a = n1.vipd(checked(checks, advbase=0, advskew=25), bus=bus)
    a.wait_state("master")
    wait_for_bus(bus)

    def states():
        return {name: state for name, state, _ in property_of(bus, "Checks")}
    verdicts = {"prints": "failing", "hangs": "failing", "forks": "passing", "garbage": "failing", "burns": "failing"}
    wait(lambda: states() == verdicts, lambda: f"an answer of each: {states()}", 30)
    since = now()
    wait(lambda: now() > since + 5_000_000, "some seconds")
    check(states() == verdicts, states())
    # demoted by each of the four that fail
    check_cadence(lab, n1, since, now(), 29 * 1_000_000 // 256, "programs that misbehave")
    a.stop()
    wait(lambda: not run("pgrep", "-f", "sleep 1000", fail=False).stdout, "nothing is left of what they started")


def test_a_checker_that_is_killed_or_frozen_moves_nothing(lab):
    (n1,) = lab.nodes(1)
    serve(n1)
    bus = n1.bus()
    a = n1.vipd(checked({"page": http(OnFailure="release")}, advbase=0, advskew=25), bus=bus)
    a.wait_state("master")
    wait_for_bus(bus)
    since = now()
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
        pid = wait(lambda: checker_pid(a), "a checker")
        wait(lambda: property_of(bus, "Checks")[0][1] == "passing", "an answer")
        os.kill(pid, number)
        wait(lambda: checker_pid(a) not in (None, pid), "another checker", 20)
    wait(lambda: property_of(bus, "Checks")[0][1] == "passing", "an answer")
    check(a.state() == "master" and len(a.transitions()) <= 2, a.text())
    check_cadence(lab, n1, since, now(), 25 * 1_000_000 // 256, "a checker that dies")
    check(statistics(bus)["checker-starts"] == 4, statistics(bus))


def test_a_checker_that_cannot_be_started_counts_as_failed(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(checked({"page": http(OnFailure="release")}), env={"VIPD_CHECKER": "/nonexistent"})
    a.wait_line("/nonexistent cannot be started, and the checks of type command, http and tcp stay unknown and count as failed")
    a.wait_state("backup")
    hold(lambda: a.state() == "backup", "not master without an answer", 5)


def test_a_checker_that_stays_away_counts_as_failed_after_its_time(lab):
    """What was passing is believed for Interval x Fall + Timeout, which is 3.5 s here, and no longer."""
    (n1,) = lab.nodes(1)
    serve(n1)
    bus = n1.bus()
    a = n1.vipd(checked({"page": http(OnFailure="release", Interval="500ms", Timeout="2s", Fall=3)}), bus=bus)
    a.wait_state("master")
    wait_for_bus(bus)
    # the program goes, then the process: another one cannot be started
    os.unlink(lab.program("vipd-checker"))
    at = now()
    os.kill(checker_pid(a), signal.SIGKILL)
    wait(lambda: property_of(bus, "Checks")[0][1] == "unknown", "unknown")
    a.wait_state("backup", timeout=15)
    took = a.transitions()[-1].t - at
    check(a.reason() == "health" and 3_400_000 < took < 9_500_000, f"after {took} us: {a.text()}")
    check(a.grep("check page has not answered for so long that it counts as failed"), a.text())


GARBAGE = """
import os, random, socket
reports = socket.socket(fileno=3)
reports.setblocking(True)
# of a length and a number that there may be, and of any other
nonsense = [random.choice((b"\\0" * 4, b"\\1\\0\\0\\0")) + os.urandom(4) + os.urandom(random.randrange(300)) for _ in range(1000)]
for _ in range(3):
    if os.fork() == 0:
        break
while True:
    for text in nonsense:
        reports.send(text)
"""


def test_a_checker_that_talks_nonsense_delays_no_advert(lab):
    """Without end, as one that a hostile server took over could: what is no report is no answer, and in the end it is replaced."""
    (n1,) = lab.nodes(1)
    nonsense = n1.script("garbage.py", "")
    with open(nonsense, "w") as f:
        f.write("#!/usr/bin/python3\n" + GARBAGE)
    bus = n1.bus()
    a = n1.vipd(checked({"page": http(Weight=1, Timeout="300ms")}, advbase=0, advskew=50), bus=bus, env={"VIPD_CHECKER": nonsense})
    a.wait_state("master")
    wait_for_bus(bus)
    since = now()
    wait(lambda: statistics(bus)["checker-starts"] > 1, "another one", 20)
    # demoted by one, for a check that has not answered
    check_cadence(lab, n1, since, now(), 51 * 1_000_000 // 256, "a checker that talks nonsense")
    name, state, output = property_of(bus, "Checks")[0]
    check((name, state, output) == ("page", "unknown", ""), property_of(bus, "Checks"))
    check(a.state() == "master", a.text())


def test_a_reload_changes_checks_and_a_master_stays(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd()
    a.wait_state("master")
    # new, and failing: counted once it is known to
    a.write(checked({"port": tcp(OnFailure="release", Fall=3, Interval="1s")}))
    at = now()
    a.reload()
    a.wait_state("backup")
    took = a.transitions()[-1].t - at
    check(a.reason() == "health" and took > 1_500_000, f"after {took} us: {a.text()}")
    # gone, and with it what it did
    a.write({"web": instance()})
    a.reload()
    a.wait_state("master")
    serve(n1)
    a.write(checked({"port": tcp(OnFailure="release")}))
    before = len(a.transitions())
    a.reload()
    wait(lambda: checker_pid(a), "a checker")
    hold(lambda: len(a.transitions()) == before, "no change of role", 2)


def test_a_host_that_is_healthy_again_waits_for_its_preempt_delay(lab):
    n1, n2 = lab.nodes(2)
    server = serve(n1)
    a = n1.vipd(checked({"page": http()}, CARP_Preempt="yes", CARP_PreemptDelay="3s"))
    a.wait_state("master")
    b = n2.vipd(advskew=50, CARP_Preempt="yes")
    b.wait_state("backup")
    server.kill()
    b.wait_state("master")
    at = now()
    serve(n1)
    a.wait_line("check page passes", since=at)
    well = [t for t, text in a.lines if "check page passes" in text][-1]
    a.wait_state("master", timeout=10)
    waited = a.transitions()[-1].t - well
    check(2_500_000 < waited < 6_500_000, f"waited {waited} us")


if __name__ == "__main__":
    L.main()
