# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every case has, inside one lab with one program. A case has two verbs: prepare() brings the hosts into the state that the
next sample needs and returns when that will be so; measure() takes one sample. The client sends an echo request every 200 us. An
outage runs from the first request that is not answered to the next one that is, so each end is known to one interval."""

import json
import os
import random
import signal
import subprocess
import types

import lab as L
from lab import VIP, check, now, wait

NETWORK_LOCK = os.path.join(L.BUILD, "tests/bench/bench-network-lock")
PROBE_USEC = 200
WARM_UP_USEC = 300_000
# how much longer is watched once the new master has the address: longer than the pause between two rounds of announcements
TAIL_USEC = 450_000


class NetworkLock:
    """A running network-lock: what in the kernel kept every change of an address waiting."""

    def __init__(self):
        self.popen = subprocess.Popen([NETWORK_LOCK], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def finish(self):
        """The longest wait in us."""
        self.popen.send_signal(signal.SIGTERM)
        output, _ = self.popen.communicate(timeout=10)
        report = json.loads(output, object_hook=lambda d: types.SimpleNamespace(**d))
        check(report.asked > 10, "the network lock was watched")
        return max((w.us for w in report.waits), default=0)


def sleep_until(t):
    wait(lambda: now() >= t, "time passes", max(0, t - now()) / 1e6 + 5, every=0.002)


class Case:
    """pace: "full", or "quick" or "smoke", for who is content with less."""

    def __init__(self, lab, program, pace="full"):
        self.lab, self.program, self.hosts, self.pace = lab, program, program.hosts, pace
        self.client = lab.client()

    def holder(self):
        """The one host that has the address."""
        numbers = self.lab.observer.holders(VIP)
        check(len(numbers) == 1, f"one holder, not {sorted(numbers)}")
        return next(host for host in self.hosts if host.number in numbers)

    def holds(self, host):
        return host.number in self.lab.observer.holders(VIP)

    def others(self, host):
        return [other for other in self.hosts if other is not host]

    def other_holds(self, host):
        return any(self.holds(other) for other in self.others(host))

    def await_one(self, what):
        wait(lambda: len(self.lab.observer.holders(VIP)) == 1, what, 20)

    def prepare(self):
        """The first host is master, the others wait."""
        if not self.program.running:
            self.program.start(self.hosts[0])
            wait(lambda: self.lab.observer.holders(VIP), "a master", 15)
        for host in self.hosts:
            if host.name not in self.program.running:
                self.program.start(host)
        return self.program.ready_usec

    def listen(self, host):
        """The host was master, and is none any more: it may take over a dead interval from now."""
        self.program.settle(host)
        self.program.ready_usec = max(self.program.ready_usec, now() + self.program.dead_usec(host) + 300_000)

    def adverts(self, host, since=0):
        return sorted(self.lab.observer.of("carp", since, port=host.name) + self.lab.observer.of("vrrp", since, port=host.name),
                      key=lambda e: e.t)

    def watch(self, act, done):
        """Runs the probe around act(master), which falls anywhere in the interval of adverts. done(master) is awaited. Returns the
        master, when it was told, and what the probe says."""
        master = self.holder()
        lock = NetworkLock()
        probe = self.client.probe(interval_us=PROBE_USEC)
        sleep_until(now() + WARM_UP_USEC + random.randrange(self.program.interval_usec(master)))
        check(self.holder() is master, "nobody took over before its time")
        at = now()
        act(master)
        wait(lambda: done(master), "another master", 20)
        sleep_until(now() + TAIL_USEC)
        report = probe.finish()
        report.lock_us = lock.finish()
        self.lab.observer.sync()
        check(report.sent * PROBE_USEC > 100_000, "the probe ran")
        return master, at, report

    def two_holders_usec(self, since):
        return sum(end - max(start, since) for start, end, holders in self.lab.observer.intervals(VIP)
                   if len(holders) > 1 and end > since)

    def sample(self, at, report, **more):
        outages = [o for o in report.outages if o.start >= at - PROBE_USEC]
        longest = max(outages, key=lambda o: o.us, default=None)
        return {
            "at": at,
            "gap_us": longest.us if longest else 0,
            "recovered_us": longest.start + longest.us - at if longest else 0,
            "outages_us": [[o.start - at, o.us] for o in outages],
            "before_us": [[o.start - at, o.us] for o in report.outages if o.start < at - PROBE_USEC],
            "probe_stall_us": report.max_stall_us,
            "lock_us": report.lock_us,
            "two_holders_us": self.two_holders_usec(at),
            **more,
        }


def load():
    """What else the machine does, at this moment: the load of the last minute, and its processors' time so far."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return {"load1": os.getloadavg()[0], "idle": ticks[3] + ticks[4], "steal": ticks[7], "all": sum(ticks)}
