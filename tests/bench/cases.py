# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured, inside one lab with one program. A case has two verbs: prepare() brings the hosts into the state that the next sample needs and
returns when that will be so; measure() takes one sample. The client sends an echo request every 200 us. An outage runs from the first request
that is not answered to the next one that is, so each end is known to one interval."""

import json
import os
import random
import re
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
    def __init__(self, lab, program):
        self.lab, self.program, self.hosts = lab, program, program.hosts
        self.client = lab.client()

    def holder(self):
        """The one host that has the address."""
        numbers = self.lab.observer.holders(VIP)
        check(len(numbers) == 1, f"one holder, not {sorted(numbers)}")
        return next(host for host in self.hosts if host.number in numbers)

    def others(self, host):
        return [other for other in self.hosts if other is not host]

    def prepare(self):
        """The first host is master, the others wait."""
        if not self.program.running:
            self.program.start(self.hosts[0])
            wait(lambda: self.lab.observer.holders(VIP), "a master", 15)
        for host in self.hosts:
            if host.name not in self.program.running:
                self.program.start(host)
        return self.program.ready_usec

    def adverts(self, host, since=0):
        return sorted(self.lab.observer.of("carp", since, port=host.name) + self.lab.observer.of("vrrp", since, port=host.name),
                      key=lambda e: e.t)

    def watch(self, act, done):
        """Runs the probe around act(); the act falls anywhere in the interval of adverts. done() is awaited."""
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
            **more,
        }


class Crash(Case):
    """The master's cable is pulled and its processes killed, in this order and at once: nobody hears of it again."""

    def prepare(self):
        for host in self.hosts:
            if self.program.running and host.name not in self.program.running:
                host.ip("addr", "del", f"{VIP}/32", "dev", "eth0", fail=False)
                host.carrier(True)
                wait(lambda h=host: '"operstate":"UP"' in h.ip("-j", "link", "show", "dev", "eth0"), "carrier")
        return super().prepare()

    def crash(self, host):
        host.carrier(False)
        self.program.kill(host)

    def measure(self):
        def done(dead):
            return any(other.number in self.lab.observer.holders(VIP) for other in self.others(dead))

        dead, at, report = self.watch(self.crash, done)
        heir = self.others(dead)[0]
        silent = self.adverts(dead)[-1].t
        dead_usec = self.program.dead_usec(heir)
        sample = self.sample(at, report, dead_interval_us=dead_usec)
        check(sample["gap_us"], "the client noticed")
        # from the last advert on the wire to the client's first answered request
        sample["silence_us"] = at + sample["recovered_us"] - silent
        sample["added_us"] = sample["silence_us"] - dead_usec
        return sample


class Handover(Case):
    """The master is told to go. Roles change with each sample."""

    def prepare(self):
        if hasattr(self, "left"):
            self.program.after_handover(self.left)
            del self.left
        return super().prepare()

    def measure(self):
        def done(left):
            holders = self.lab.observer.holders(VIP)
            return holders and left.number not in holders

        left, at, report = self.watch(self.program.hand_over, done)
        self.left = left
        takers = {number for _, number, present in self.lab.observer.changes(VIP, at) if present}
        two = sum(end - max(start, at) for start, end, holders in self.lab.observer.intervals(VIP) if len(holders) > 1 and end > at)
        taken = min(t for t, _, present in self.lab.observer.changes(VIP, at) if present)
        return self.sample(at, report, from_host=left.name, n_takers=len(takers), two_holders_us=two, taken_us=taken - at)


class Memory(Case):
    """Proportional set size of all processes of a master with one address."""

    def prepare(self):
        self.hosts = self.program.hosts = self.hosts[:1]
        return super().prepare()

    def measure(self):
        family, total = self.program.family(self.hosts[0]), 0
        for pid in family:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
        self.program.kill(self.hosts[0])
        self.hosts[0].ip("addr", "del", f"{VIP}/32", "dev", "eth0", fail=False)
        wait(lambda: not self.lab.observer.holders(VIP), "gone")
        return {"pss_kib": total, "processes": len(family)}


class Resolution(Case):
    """What the probe sees when nothing happens: it asks a host for its own address."""

    def prepare(self):
        return 0

    def measure(self):
        wait(lambda: self.client.ping(self.hosts[0].address), "an answer")
        probe = self.client.probe(address=self.hosts[0].address, interval_us=PROBE_USEC)
        sleep_until(now() + 3_000_000)
        return dict(vars(probe.finish()), outages=None)


def load():
    """What else the machine does, at this moment: the load of the last minute, and its processors' time so far."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return {"load1": os.getloadavg()[0], "idle": ticks[3] + ticks[4], "steal": ticks[7], "all": sum(ticks)}
