#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""When probes run, what the process takes and gives up, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time

import room
from room import BAD, GOOD, Checker, Server, answer, check, checker, command, expect, http, shell, silent, tcp, wait


def test_first_probes_come_at_once_and_are_spread():
    log = room.path("log")
    with checker(*(shell(f"date +%s%N >> {log}.{n}") for n in range(10))) as c:
        for _ in range(10):
            check(c.report().when - c.started < 20, c.reports)
    times = []
    for n in range(10):
        with open(f"{log}.{n}", encoding="ascii") as f:
            times.append(int(f.read()) / 1e9)
    check(max(times) - min(times) > 0.04, f"all within {max(times) - min(times)} s")


def test_the_interval_is_kept_with_jitter():
    with Server(lambda c: None) as s, checker(tcp(f"127.0.0.1:{s.port}", interval=0.5)) as c:
        times = [c.report().when for _ in range(26)]
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    mean = sum(gaps) / len(gaps)
    # within +-10 %, and not all the same; but a busy machine may be late
    check(0.45 < mean < 0.7, f"{mean} s between reports")
    check(0.44 < gaps[len(gaps) // 2] < 0.65 and gaps[3] < 0.495 and gaps[-4] > 0.505, gaps)


def test_two_probes_do_not_march_in_step():
    with Server(lambda c: None) as s, checker(*(tcp(f"127.0.0.1:{s.port}", interval=0.1) for _ in range(2))) as c:
        times = ([], [])
        while min(map(len, times)) < 30:
            r = c.report()
            times[r.number].append(r.when)
    distances = [b - a for a, b in zip(*times)]
    check(max(distances) - min(distances) > 0.01, distances)


def test_one_slow_probe_delays_no_other():
    with Server(silent) as s:
        with checker(http(f"http://127.0.0.1:{s.port}/", timeout=6), shell("sleep 60", timeout=6), shell(":", interval=0.1)) as c:
            n = 0
            while (r := c.report()).number == 2:
                n += 1
            check(n >= 10, f"{n} reports in 6 s")
            check(r.outcome == BAD, r)


def test_reports_of_probes_that_are_wrong_say_so_and_leave_the_others_alone():
    wrong = [({"Type": "telepathy"}, "Type= is not known"), ({"Type": "command", "Argv": ["relative"]}, "Argv= does not begin with an absolute path"),
             (http("http://127.0.0.1/", Expect="("), "Expect= is no regular expression"),
             (http("http://127.0.0.1/", ExpectStatus="2xx"), "ExpectStatus= is no list of status codes"),
             (http("http://127.0.0.1/", Method="GET /x"), "Method= is no method"),
             (http("http://127.0.0.1/", VerifyTLS="maybe"), "VerifyTLS= is neither true nor false"),
             ({**shell(":"), "TimeoutUSec": "soon"}, "TimeoutUSec= is missing or no such time"),
             ({**shell(":"), "IntervalUSec": 0}, "IntervalUSec= is missing or no such time")]
    wrong = [({"IntervalUSec": 60000000, "TimeoutUSec": 1000000, **p}, text) for p, text in wrong]
    with checker(*(p for p, _ in wrong), shell(":")) as c:
        for _ in range(len(wrong) + 1):
            r = c.report()
            expect(r, *((BAD, wrong[r.number][1]) if r.number < len(wrong) else (GOOD, "exit status 0")))


def test_a_list_that_is_none_ends_the_process_with_a_word():
    for text in ("", "no key file", "[web]\nType=tcp\n", "".join(f"[{n}]\n" for n in range(1025))):
        c = Checker([], text=text)
        check(c.end() == 2 and c.said().startswith("vipd-checker: "), f"{c.status} {c.said()}")
        c.ours.close()


def test_started_by_hand_it_says_what_it_is():
    for argv in ([], ["--help"]):
        r = subprocess.run([room.CHECKER, *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        check(r.returncode == 2 and "started by vipd" in r.stderr, r)
    r = subprocess.run([room.CHECKER, "--version"], capture_output=True, text=True)
    check(r.returncode == 0 and r.stdout.startswith("vipd-checker "), r)


def test_when_vipd_is_gone_everything_is_killed_at_once():
    mark = "31536010"
    program = room.path("daemon", "import os, time\nif os.fork(): time.sleep(3600)\nos.setsid()\nif os.fork(): os._exit(0)\n"
                                  f"open('{room.tmp}/born', 'a').close()\ntime.sleep(3600)\n")
    with checker(shell(f"sleep {mark} & sleep {mark}", timeout=3600), command("/usr/bin/python3", program, mark, timeout=3600)) as c:
        wait(lambda: os.path.exists(room.path("born")) and len(room.running(mark)) >= 3, "the commands")
        started = time.monotonic()
        c.ours.close()
        check(c.end() == 0, f"{c.status} {c.said()}")
        check(time.monotonic() - started < 20, "it took its time")
        check(not room.running(mark), f"left: {room.running(mark)}")


def test_a_shutdown_of_the_socket_is_an_end_too():
    with checker(shell("sleep 3600", timeout=3600)) as c:
        c.ours.shutdown(socket.SHUT_WR)
        check(c.end() == 0, c.status)


def test_sigterm_ends_it_with_its_children():
    mark = "31536011"
    with checker(shell(f"sleep {mark}", timeout=3600)) as c:
        wait(lambda: room.running(mark), "the command")
        os.kill(c.pid, signal.SIGTERM)
        check(c.end() == 0, c.status)
        check(not room.running(mark), "the command is left")


def test_when_it_is_killed_its_commands_die_too():
    mark = "31536012"
    with checker(command("/bin/sleep", mark, timeout=3600)) as c:
        wait(lambda: room.running(mark), "the command")
        os.kill(c.pid, signal.SIGKILL)
        check(c.end() == -signal.SIGKILL, c.status)
        wait(lambda: not room.running(mark), "the end of the command")
        c.status = 0  # as it should be


def test_it_dies_with_its_starter_even_if_the_socket_stays_open():
    starter = ("import os, sys, time\nos.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)\n"
               "pid = os.posix_spawn(sys.argv[3], [sys.argv[3]], {})\nprint(pid, flush=True)\ntime.sleep(3600)\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memfd = os.memfd_create("probes", 0)
    os.write(memfd, room.key_file([shell(":", interval=0.1)]).encode())
    with subprocess.Popen([sys.executable, "-c", starter, str(theirs.fileno()), str(memfd), room.CHECKER], stdout=subprocess.PIPE, text=True,
                          pass_fds=(theirs.fileno(), memfd)) as p:
        pid = int(p.stdout.readline())
        ours.recv(1000)
        p.kill()
    wait(lambda: pid not in room.processes() or not room.processes()[pid], "its end")
    ours.close()
    theirs.close()
    os.close(memfd)


def test_a_reader_that_is_slow_costs_reports_and_nothing_else():
    with Server(lambda c: None) as s, checker(tcp(f"127.0.0.1:{s.port}", interval=0.01)) as c:
        wait(lambda: s.n_connections > 700, "connections", 200)  # more than the socket holds: 10 datagrams by default, or its buffer
        queued = 0
        c.ours.setblocking(False)
        try:
            while True:
                room.Report(0, c.ours.recv(1000))
                queued += 1
        except BlockingIOError:
            pass
        c.ours.setblocking(True)
        check(queued < 600, f"{queued} reports waited")
        expect(c.report(), GOOD, "connected")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def test_it_keeps_no_capabilities_and_cannot_get_any():
    for wrapper in ([], ["setpriv", f"--reuid={room.NOBODY}", f"--regid={room.NOBODY}", "--clear-groups", "--inh-caps=+net_admin,+net_raw",
                         "--ambient-caps=+net_admin,+net_raw"]):
        with checker(shell(":"), wrapper=wrapper) as c:
            c.report()
            status = status_of(c.pid)
            for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                check(int(status[kind], 16) == 0, f"{wrapper}: {kind} {status[kind]}")
            check(status["NoNewPrivs"] == "1", status["NoNewPrivs"])


def test_it_goes_before_the_daemon_when_processor_or_memory_are_short():
    with open("/proc/self/oom_score_adj", encoding="ascii") as f:
        ours = int(f.read())
    with checker(shell("cat /proc/self/oom_score_adj; nice")) as c:
        r = c.report()
        check(os.getpriority(os.PRIO_PROCESS, c.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19), "nice")
        with open(f"/proc/{c.pid}/oom_score_adj", encoding="ascii") as f:
            check(int(f.read()) == min(ours + 300, 1000), "oom_score_adj")
        expect(r, GOOD, f"exit status 0: {min(ours + 300, 1000)}")


def test_it_is_no_realtime_process_though_its_starter_is_one():
    with checker(shell(":"), wrapper=["chrt", "--rr", "1"]) as c:
        c.report()
        check(os.sched_getscheduler(c.pid) == os.SCHED_OTHER, os.sched_getscheduler(c.pid))


def test_it_leaves_no_core_file():
    # what is not dumpable belongs to root, whoever it runs as
    with checker(shell(":"), wrapper=["setpriv", f"--reuid={room.NOBODY}", f"--regid={room.NOBODY}", "--clear-groups"]) as c:
        c.report()
        check(os.stat(f"/proc/{c.pid}/environ").st_uid == 0, "it is dumpable")


def test_what_its_starter_ignores_it_does_not():
    with checker(shell("exit 3"), ignore_sigchld=True) as c:
        expect(c.report(), BAD, "exit status 3")


def test_nothing_of_the_starters_environment_reaches_the_libraries():
    log = room.path("keys")
    with Server(answer()) as s, checker(http(f"https://127.0.0.1:{s.port}/", timeout=2), env={"SSLKEYLOGFILE": log, "CURL_CA_BUNDLE": "/x"}) as c:
        c.report()
        check(not os.path.exists(log), "TLS keys are logged")


def test_many_probes_of_all_kinds_run_for_a_while_without_growing():
    with Server(answer(b"ready")) as s:
        where = f"127.0.0.1:{s.port}"
        probes = [http(f"http://{where}/", Expect="ready", interval=0.1), tcp(where, interval=0.1), shell("echo x", interval=0.1)] * 10
        with checker(*probes) as c:
            for _ in range(100):
                check(c.report().outcome == GOOD, c.reports[-1])
            before = room.resident_kib(c.pid), len(os.listdir(f"/proc/{c.pid}/fd"))
            for _ in range(500):
                check(c.report().outcome == GOOD, c.reports[-1])
            after = room.resident_kib(c.pid), len(os.listdir(f"/proc/{c.pid}/fd"))
            check(after[0] < before[0] + 20000 and after[1] < before[1] + 60, f"KiB and files: {before} {after}")


if __name__ == "__main__":
    room.main(globals())
