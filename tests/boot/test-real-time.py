#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The drop-in for real time, put in place by the command that it names: who is real time by it and who is not, and what it is for."""

import contextlib
import os
import re
import subprocess

import hosts
from hosts import check, now, wait

DROP_IN = "/usr/share/doc/vipd/examples/real-time.conf"
ADVSKEW = 13  # 50.8 ms
INTERVAL_USEC = ADVSKEW * 1_000_000 // 256
OVERLOADED_SECONDS = 6
OVERLOAD = 4  # busy processes per processor
EXPOSURE_CEILING = 1.8


def put_in_place(node):
    """By the first line of the command in the file; the second one is for a host that runs."""
    with open(f"{node.root}{DROP_IN}") as f:
        command = re.search(r"^#   (install .*)$", f.read(), re.M)[1]
    hosts.run("chroot", node.root, *command.split())


def status(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return re.search(rf"^{name}:\s*(\d+)", f.read(), re.M)[1]


def limit(pid, name):
    """(soft, hard), as text."""
    with open(f"/proc/{pid}/limits") as f:
        return tuple(re.search(rf"^Max {name}\s+(\w+)\s+(\w+)", f.read(), re.M).groups())


def processes(node, name):
    """Those of the service that run a program of this name."""
    with open(f"{node.group}/payload{node.show('vipd.service', 'ControlGroup')}/cgroup.procs") as f:
        pids = f.read().split()
    found = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/comm") as f:
            found += [int(pid)] if f.read().strip() == name else []
    return found


def test_vipd_is_real_time_and_what_it_starts_is_not(lab):
    def prepare(node):
        node.write("/etc/vipd/web.vip.d/check.conf", "[Check c]\nType=command\nCommand=/bin/sleep 600\nInterval=1s\nTimeout=10min\n")
        put_in_place(node)
    n1, _ = lab.booted(1, prepare)
    main = n1.process_id()
    check(os.sched_getscheduler(main) == os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_getscheduler(main))
    check(os.sched_getparam(main).sched_priority == 10, os.sched_getparam(main))
    for name in "vipd-checker", "sleep":
        for pid in wait(lambda: processes(n1, name), f"{name} runs"):
            check(os.sched_getscheduler(pid) == os.SCHED_OTHER, f"{name}: {os.sched_getscheduler(pid)}")
            check(status(pid, "VmLck") == "0", f"{name} has locked memory")
    report = n1.run("systemd-analyze", "security", "--no-pager", "vipd.service").stdout
    exposure = float(re.search(r"exposure level for vipd.service: ([\d.]+)", report)[1])
    check(exposure <= EXPOSURE_CEILING, f"exposure {exposure}:\n{report}")


def test_its_limits(lab):
    """Processor time without a rest; and memory, where systemd may give so much, which in a container it may not."""
    n1, _ = lab.booted(1, put_in_place)
    main = n1.process_id()
    check(limit(main, "realtime timeout") == ("2000000", "3000000"), limit(main, "realtime timeout"))
    said = [e["MESSAGE"] for e in n1.journal("_SYSTEMD_UNIT=vipd.service") if "memory" in e["MESSAGE"]]
    if limit(main, "locked memory")[0] == "unlimited":
        check(said == [], said)
        check(int(status(main, "VmLck")) > int(status(main, "VmSize")) * 0.9, f"locked: {status(main, 'VmLck')} kB")
    else:
        check(len(said) == 1 and "LimitMEMLOCK=" in said[0], said)


def overload(seconds):
    """Busy processes that the kernel prefers to everybody who is not real time, this program and the witness too; returns when they have ended,
    by themselves. Each is in a session of its own: where the kernel shares processors by sessions, it is these that have a niceness."""
    processes = [subprocess.Popen(["nice", "-n", "-20", "timeout", str(seconds), "sh", "-c", "while :; do :; done"],
                                  stdin=subprocess.DEVNULL, start_new_session=True)
                 for _ in range(OVERLOAD * len(os.sched_getaffinity(0)))]
    for process in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{process.pid}/autogroup", "w") as f:
            f.write("-20")
    for process in processes:
        process.wait()


def test_adverts_keep_their_pace_on_an_overloaded_host(lab):
    """Without the drop-in they are late by seconds. The kernel notes their times; the witness, which starves, may read them later."""
    n1, _ = lab.booted(1, put_in_place, advbase=0, advskew=ADVSKEW)
    n1.wait_state("master")
    began = now()
    overload(OVERLOADED_SECONDS)
    ended = now()
    lab.observer.sync()
    times = [e.t for e in lab.observer.carp(n1, began) if e.t < ended]
    check(len(times) > OVERLOADED_SECONDS * 1_000_000 / INTERVAL_USEC * 0.9, f"{len(times)} adverts in {ended - began} us")
    errors = sorted(abs(b - a - INTERVAL_USEC) for a, b in zip(times, times[1:]))
    p99 = errors[int(len(errors) * 0.99) - 1]
    check(p99 <= INTERVAL_USEC / 4, f"the 99th percentile of an interval's error is {p99} us of {INTERVAL_USEC}")


if __name__ == "__main__":
    hosts.main()
