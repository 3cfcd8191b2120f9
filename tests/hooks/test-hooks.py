#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that units of a role run, alone, against a server that stands in for the provider: an address is routed here, once;
whatever passes is tried again, for a bounded time; whatever does not is said at once; and the token is nowhere to be seen.

In a network namespace of its own. Each test has a server of its own, and all run at once: they mostly wait."""

import concurrent.futures
import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import standin
from standin import ADDRESS, ADDRESS6, TOKEN

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests/house"))
import facts  # noqa: E402
from facts import check  # noqa: E402
HOOKS = os.path.join(TREE, "hooks")
EX_TEMPFAIL, EX_CONFIG = 75, 78
HERE, THERE = 2, 1  # numbers of servers
PATIENCE_SEC = 60  # of the tests themselves
wait = functools.partial(facts.wait, timeout=PATIENCE_SEC)


def bound_socket(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


class Stage:
    """A provider that routes the address THERE, and the settings of a hook on the server HERE."""

    def __init__(self, directory):
        self.directory = directory
        self.cloud = standin.Cloud({"127.0.0.1": HERE}, routed=THERE)
        sock = bound_socket()
        self.port = sock.getsockname()[1]
        self.listener = self.cloud.listen(sock)
        self.url = f"http://127.0.0.1:{self.port}"
        self.program = os.path.join(HOOKS, "digitalocean")
        self.environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "CREDENTIALS_DIRECTORY": directory, "RESERVED_IP": ADDRESS,
                            "API": f"{self.url}/v2", "METADATA": f"{self.url}/metadata/v1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.token(TOKEN + "\n")
        self.processes = []

    def token(self, text):
        with open(f"{self.directory}/token", "w", encoding="utf-8") as f:
            f.write(text)

    def start(self, **settings):
        environment = {k: v for k, v in {**self.environment, **settings}.items() if v is not None}
        process = subprocess.Popen([self.program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, cwd="/")
        self.processes.append(process)
        return process

    def run(self, status=0, **settings):
        """To the end; returns what it said."""
        said = self.start(**settings).communicate(timeout=PATIENCE_SEC)[0]
        got = self.processes[-1].returncode
        check(got == status, f"exit status {got}, not {status}: {said}")
        check(TOKEN not in said and "Traceback" not in said, said)
        return said

    def close(self):
        self.cloud.released.set()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        for server in list(self.cloud.listeners):
            self.cloud.close(server)


def gaps(requests):
    return [b.t - a.t for a, b in zip(requests, requests[1:])]


def check_routed_once(stage):
    check(stage.cloud.routed == HERE and stage.cloud.orders() == [HERE], f"{stage.cloud.routed} {stage.cloud.orders()}")


# what it is for

def test_the_address_is_routed_here_and_the_action_awaited(s):
    s.cloud.n_polls = 3
    said = s.run()
    check_routed_once(s)
    asked = [(r.method, r.path.removeprefix(f"/v2/reserved_ips/{ADDRESS}")) for r in s.cloud.asked()]
    expected = [("GET", "/metadata/v1/id"), ("GET", ""), ("POST", "/actions"), *[("GET", "/actions/1000")] * 3, ("GET", "")]
    check(asked == expected, asked)
    order, = s.cloud.asked("POST")
    check((order.body, order.authorization) == ({"type": "assign", "droplet_id": HERE}, f"Bearer {TOKEN}"), vars(order))
    check(s.cloud.asked("GET", "/metadata/")[0].authorization is None, "the metadata service is not told the token")
    check(re.fullmatch(rf"{ADDRESS} is routed to droplet {HERE}, after [\d.]+ s\n", said), said)


def test_an_address_that_is_here_already_is_left_alone(s):
    s.cloud.routed = HERE
    said = s.run()
    check(s.cloud.asked("POST") == [] and said == f"{ADDRESS} is routed to droplet {HERE}, already\n", said)


def test_an_address_that_is_nowhere(s):
    s.cloud.routed = None
    s.run()
    check_routed_once(s)


def test_an_ipv6_address_is_routed_here(s):
    """Its own kind of thing to the API; what it is ordered is seen by the address alone."""
    s.cloud.n_polls = 3
    said = s.run(RESERVED_IP=ADDRESS6.upper().replace("::", ":0:0:0:0:"))
    check_routed_once(s)
    order, = s.cloud.asked("POST")
    check((order.path, order.body) == (f"/v2/reserved_ipv6/{ADDRESS6}/actions", {"type": "assign", "droplet_id": HERE}), vars(order))
    check(s.cloud.asked(status=404) == [] and s.cloud.asked(path="reserved_ips") == [], "nothing is asked for that is not there")
    check(re.search(rf" is routed to droplet {HERE}, after [\d.]+ s\n$", said), said)
    s.cloud.requests.clear()
    check("already" in s.run(RESERVED_IP=ADDRESS6) and s.cloud.asked("POST") == [], "left alone")


def test_an_ipv6_address_that_is_nowhere(s):
    s.cloud.routed = None
    s.run(RESERVED_IP=ADDRESS6)
    check_routed_once(s)


def test_an_ipv6_address_that_the_token_may_not_see(s):
    s.cloud.blind = True
    check("droplet:read" in s.run(EX_TEMPFAIL, RESERVED_IP=ADDRESS6, TRY_SEC="5"), "the likely reason")


def test_the_droplet_can_be_set(s):
    s.run(DROPLET_ID="77")
    check(s.cloud.orders() == [77] and s.cloud.asked(path="/metadata/") == [], s.cloud.orders())


# what passes

def test_errors_of_the_server_are_retried_ever_more_slowly(s):
    s.cloud.fail(503, times=4, path="/v2")
    said = s.run()
    check_routed_once(s)
    delays = gaps(s.cloud.asked(path="/v2"))[:4]
    for k, delay in enumerate(delays):
        check(delay >= 0.5 * 2 ** k, f"attempt {k + 2} after {delay} s of {delays}")
    check(len(re.findall(r": 503 .*; again in [\d.]+ s$", said, re.M)) == 4, said)


def test_two_hosts_do_not_retry_in_step(s):
    s.cloud.fail(503, times=8, path="/v2")
    saids = [s.start(), s.start()]
    first, second = (re.findall(r"again in ([\d.]+) s", p.communicate(timeout=PATIENCE_SEC)[0]) for p in saids)
    check(first and second and first != second, f"{first} {second}")


def test_retry_after_is_obeyed(s):
    s.cloud.fail(429, times=1, path="/v2", headers={"Retry-After": 4})
    s.run()
    check_routed_once(s)
    check(gaps(s.cloud.asked(path="/v2"))[0] >= 4, gaps(s.cloud.asked()))


def test_a_pending_event_is_waited_for(s):
    """Found before the order, and found by the order."""
    s.cloud.locked = True
    s.cloud.fail(422, times=2, method="POST", message="The reserved IP already has a pending event.")
    process = s.start()
    wait(lambda: len(s.cloud.asked("GET", "/v2")) >= 2, "it asks again")
    check(s.cloud.asked("POST") == [], "no order while another change is under way")
    s.cloud.locked = False
    said = process.communicate(timeout=PATIENCE_SEC)[0]
    check(process.returncode == 0 and said.count("already has a pending event.") == 2, said)
    check_routed_once(s)


def test_an_order_already_carried_out_is_no_failure(s):
    """The order arrived, its answer did not."""
    fault = s.cloud.fault

    def lose_the_answer(*request):
        found = fault(*request)
        s.cloud.routed = HERE if found else s.cloud.routed
        return found
    s.cloud.fault = lose_the_answer
    s.cloud.fail(502, times=1, method="POST")
    s.run()
    check(len(s.cloud.asked("POST")) == 1, s.cloud.asked("POST"))


def test_an_action_that_fails_is_ordered_again(s):
    s.cloud.fail("errored", times=1, path="/actions/")
    said = s.run()
    check(s.cloud.routed == HERE and s.cloud.orders() == [HERE, HERE] and "could not carry out the change" in said, said)


def test_an_action_that_cannot_be_asked_for(s):
    """As of addresses that were brought along: the address itself tells."""
    s.cloud.fail(404, path="/actions/")
    s.run()
    check_routed_once(s)


def test_a_host_that_loses_the_race_goes_on(s):
    """What was ordered is undone by somebody else before it is seen."""
    s.cloud.n_polls = 0
    act = s.cloud.act

    def undone(server):
        answer = act(server)
        s.cloud.routed = THERE if len(s.cloud.actions) == 1 else server
        return answer
    s.cloud.act = undone
    said = s.run()
    check(s.cloud.routed == HERE and s.cloud.orders() == [HERE, HERE] and "not routed to" in said, said)


def test_a_server_that_is_down_is_waited_for(s):
    s.cloud.close(s.listener)
    process = s.start(DROPLET_ID="2")
    said = [process.stdout.readline(), process.stdout.readline()]
    check(all("Connection refused; again in" in line for line in said), said)
    s.cloud.listen(bound_socket(s.port))
    check(process.wait(PATIENCE_SEC) == 0, "exit status")
    check_routed_once(s)


def test_a_server_that_hangs_or_drips_is_given_up(s):
    for how in ("hang", "drip"):
        s.cloud.heal()
        s.cloud.fail(how, path="/v2")
        began = time.monotonic()
        said = s.run(EX_TEMPFAIL, TRY_SEC="1")
        check(15 <= time.monotonic() - began < 45 and "timed out" in said, f"{time.monotonic() - began} {said}")


def test_an_answer_that_is_no_json_is_tried_again(s):
    answer, first = s.cloud.answer, []

    def garbled(method, path, *more):
        if "/v2" in path and not first:
            first.append(path)
            return 200, "<html>welcome</html>"
        return answer(method, path, *more)
    s.cloud.answer = garbled
    said = s.run()
    check("not a JSON object; again in" in said, said)
    check_routed_once(s)


def test_a_metadata_service_that_is_late(s):
    s.cloud.fail(503, times=1, path="/metadata/")
    s.run()
    check_routed_once(s)


# what does not

def test_the_time_is_bounded(s):
    s.cloud.fail(503, path="/v2", message="maintenance")
    began = time.monotonic()
    said = s.run(EX_TEMPFAIL, TRY_SEC="4")
    took = time.monotonic() - began
    check(4 <= took < 20, f"{took} s")
    check(re.search(r"^given up after \d+ s: .*503 .*: maintenance$", said.splitlines()[-1]), said)


def test_retry_after_does_not_outlast_the_time(s):
    s.cloud.fail(429, path="/v2", headers={"Retry-After": 3600})
    s.run(EX_TEMPFAIL, TRY_SEC="2")
    check(len(s.cloud.asked(path="/v2")) == 2, "a last attempt when time is up")


def test_an_action_without_end(s):
    s.cloud.n_polls = 10 ** 6
    said = s.run(EX_TEMPFAIL, TRY_SEC="8")
    check("still under way (action 1000)" in said and len(s.cloud.orders()) == 1, said)


def test_what_the_token_may_not_do_is_said_at_once(s):
    s.token("wrong\n")
    said = s.run(EX_CONFIG)
    check(said.startswith("the token is not valid (GET ") and "Unable to authenticate you" in said and "wrong" not in said, said)
    s.token(TOKEN)
    s.cloud.fail(403, times=1, path="/v2")
    check(s.run(EX_CONFIG).startswith("the token may not do this ("), "403")
    check(s.run(EX_CONFIG, RESERVED_IP="203.0.113.99").startswith("there is no such thing for this token ("), "404")
    s.cloud.blind = True
    check("droplet:read" in s.run(EX_CONFIG), "a token that may not see droplets")
    check(len(s.cloud.asked(path="/v2")) == 4, "each was asked once")


def test_settings_that_are_wrong_are_said(s):
    for settings, words in (({"RESERVED_IP": None}, "RESERVED_IP= is not set"), ({"RESERVED_IP": "x"}, "RESERVED_IP=x is not"),
                            ({"DROPLET_ID": "-1"}, "DROPLET_ID=-1 is not a number"), ({"TRY_SEC": "0"}, "TRY_SEC=0: allowed is"), ({"AGAIN_SEC": "x"}, "AGAIN_SEC=x: allowed is"),
                            ({"API": "http://api.example.com/v2"}, "https only"),
                            ({"CREDENTIALS_DIRECTORY": None}, "no credential 'token'"),
                            ({"CREDENTIALS_DIRECTORY": "/nowhere"}, "no credential 'token'")):
        said = s.run(EX_CONFIG, **settings)
        check(words in said and said.count("\n") == 1, said)
    for text in (f"{TOKEN} {TOKEN}", f"{TOKEN}\nX-Other: 1", "", "\u00e4"):
        s.token(text)
        check("the credential 'token' " in s.run(EX_CONFIG), text)
    check(s.cloud.asked() == [], "nobody was asked")


# the token

def test_the_token_is_not_taken_elsewhere(s):
    other = standin.Cloud({}, routed=THERE)
    sock = bound_socket()
    other.listen(sock)
    s.cloud.fail(302, path="/v2", headers={"Location": f"http://127.0.0.1:{sock.getsockname()[1]}/v2"})
    check("302" in s.run(EX_CONFIG), "a redirect is an error")
    check(other.asked() == [], "it was not followed")
    other.close(other.listeners[0])


def test_a_server_that_repeats_the_token(s):
    s.cloud.fail(503, path="/v2", message=f"Bearer {TOKEN}\x1b[2J\n is strange")
    said = s.run(EX_TEMPFAIL, TRY_SEC="1")
    check("Bearer (token) [2J  is strange" in said and "\x1b" not in said, said)


def test_nobody_sees_the_token_in_the_process(s):
    s.cloud.fail("hang", path="/v2")
    process = s.start()
    wait(lambda: s.cloud.asked(path="/v2"), "the request")
    for name in ("cmdline", "environ"):
        with open(f"/proc/{process.pid}/{name}", "rb") as f:
            seen = f.read()
        check(seen and TOKEN.encode() not in seen, name)


# afterwards

def manager(s):
    """Where the program tells the service manager that it has started."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(f"{s.directory}/notify")
    sock.settimeout(PATIENCE_SEC)
    return sock


def test_an_order_that_arrives_late_is_answered(s):
    """Of the host that was master before: it was ended, but its order was under way."""
    with manager(s) as notified:
        process = s.start(NOTIFY_SOCKET=notified.getsockname(), AGAIN_SEC="1")
        check(notified.recv(64) == b"READY=1", "the unit has started")
        check_routed_once(s)
        s.cloud.routed = THERE
        said = process.communicate(timeout=PATIENCE_SEC)[0]
    check(process.returncode == 0 and s.cloud.routed == HERE and s.cloud.orders() == [HERE, HERE], f"{process.returncode} {said}")
    check(re.search(rf"^{ADDRESS} is routed to droplet {HERE} again, after ", said, re.M), said)


def test_what_is_still_here_is_not_told_twice(s):
    with manager(s) as notified:
        said = s.run(NOTIFY_SOCKET=notified.getsockname(), AGAIN_SEC="1")
    check_routed_once(s)
    check(said.count("\n") == 1 and len(s.cloud.asked("GET", f"reserved_ips/{ADDRESS}", 200)) >= 3, said)


def test_a_start_that_failed_is_not_told_as_one_that_is_over(s):
    s.cloud.fail(403, path="/v2")
    with manager(s) as notified:
        s.run(EX_CONFIG, NOTIFY_SOCKET=notified.getsockname())
        notified.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            check(not notified.recv(64), "told")


# its end

def test_it_ends_at_once(s):
    """In a request, and between two."""
    s.cloud.fail("hang", times=1, path="/v2")
    s.cloud.fail(503, path="/v2", headers={"Retry-After": 3600})
    for how in ("hang", "503"):
        n = len(s.cloud.asked())
        process = s.start(DROPLET_ID="2")
        wait(lambda: len(s.cloud.asked(path="/v2")) > n, "the request")  # pylint: disable=cell-var-from-loop
        if how == "503":
            check("again in" in process.stdout.readline(), "it waits")
        began = time.monotonic()
        process.terminate()
        check(process.wait(PATIENCE_SEC) == -signal.SIGTERM and time.monotonic() - began < 5, "ended by the signal")
    check(s.cloud.asked("POST") == [], "no order")


def test_the_journal_is_told_how_bad_it_is(s):
    s.cloud.fail(503, times=1, path="/v2")
    levels = re.findall(r"^<(\d)>", s.run(JOURNAL_STREAM="8:1"), re.M)
    check(levels == ["4", "5"], levels)
    check(s.run(EX_CONFIG, RESERVED_IP="x", JOURNAL_STREAM="8:1").startswith("<3>"), "an error")


# another provider

def test_the_provider_of_the_documentation(s):
    """docs/cloud.md shows how to write one: as it stands there, next to the installed module."""
    with open(os.path.join(TREE, "docs/cloud.md"), encoding="utf-8") as f:
        shown, = re.findall(r"```python\n(.*?)```", f.read(), re.S)
    check('"/usr/libexec/vipd"' in shown, shown)
    s.program = f"{s.directory}/hetzner"
    with open(s.program, "w", encoding="utf-8") as f:
        f.write(shown.replace('"/usr/libexec/vipd"', repr(HOOKS)))
    os.chmod(s.program, 0o755)
    s.cloud.fail(503, times=1, path="/v1")
    s.cloud.n_polls = 0
    said = s.run(API=f"{s.url}/v1", METADATA=f"{s.url}/metadata", FLOATING_IP_ID="4711")
    check_routed_once(s)
    check(re.search(rf"^floating IP 4711 is routed to server {HERE}, after ", said, re.M), said)
    s.cloud.requests.clear()
    check("already" in s.run(API=f"{s.url}/v1", METADATA=f"{s.url}/metadata", FLOATING_IP_ID="4711"), "already")
    check(s.cloud.asked("POST") == [], "left alone")


def run_one(test):
    with tempfile.TemporaryDirectory(prefix="vipd-hooks-") as directory:
        stage = Stage(directory)
        with contextlib.closing(stage):
            try:
                test(stage)
                return None
            except Exception:  # pylint: disable=broad-except
                return traceback.format_exc()


def main():
    if "--inside" not in sys.argv:
        become = [] if os.geteuid() == 0 else ["--map-root-user"]
        if subprocess.run(["unshare", "--net", *become, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            print("1..0 # SKIP no network namespace to be had")
            return 0
        os.execvp("unshare", ["unshare", "--net", *become, sys.executable, "-B", os.path.abspath(__file__), "--inside", *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    names = [a for a in sys.argv[1:] if a != "--inside"]
    tests = {n[5:].replace("_", "-"): f for n, f in globals().items() if n.startswith("test_")}
    tests = {n: f for n, f in tests.items() if not names or n in names}
    print(f"TAP version 13\n1..{len(tests)}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run_one, tests.values()))
    for number, (name, complaint) in enumerate(zip(tests, results), 1):
        print(f"{'not ok' if complaint else 'ok'} {number} - {name}")
        for line in (complaint or "").splitlines():
            print(f"# {line}")
    return int(any(results))


if __name__ == "__main__":
    sys.exit(main())
