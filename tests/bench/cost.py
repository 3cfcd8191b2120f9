# SPDX-License-Identifier: LGPL-2.1-or-later
"""What many elections cost: one to a thousand of them on two hosts, on as many interfaces as their numbers, 1 to 255, need. One
sample tells how long the start takes, what a master and a backup use, and how long a backup takes to have all addresses when the
master vanishes."""

import contextlib
import resource

import counters
import lab as L
from case import Case, sleep_until
from lab import check, now, run, wait
from programs import Election

PER_INTERFACE = 250
# From being master of all on: each announces its addresses for a while, keepalived once more after five seconds, and vipd looks after three
# whether anybody else has them.
SETTLE_USEC = {"full": 6_000_000, "quick": 6_000_000, "smoke": 0}
SOME = 4
# Stretches of time in which a thing is counted, and how long they are. The median counts, as whatever else the machine does costs every program.
WINDOWS = {"full": 5, "quick": 3, "smoke": 1}
SECONDS = {"full": 2, "quick": 1, "smoke": 1}


def many(n):
    """n elections, their addresses of the block that is set aside for benchmarks."""
    return [Election(f"e{k // PER_INTERFACE + 1}", k % PER_INTERFACE + 1, f"198.18.{k // PER_INTERFACE + 1}.{k % PER_INTERFACE + 1}",
                     f"198.19.{k // PER_INTERFACE + 1}.{{}}") for k in range(n)]


def plug(host, elections):
    """A cable and a switch for each interface, as no number may be there twice."""
    for name in sorted({e.interface for e in elections}):
        switch, port = f"br{name[1:]}", f"{host.port}-{name[1:]}"
        if run("ip", "link", "show", "dev", switch, fail=False).returncode != 0:
            run("ip", "link", "add", switch, "type", "bridge", "stp_state", 0, "forward_delay", 0, "mcast_snooping", 0)
            run("ip", "link", "set", switch, "up")
        run("ip", "link", "add", port, "type", "veth", "peer", "name", name, "netns", host.name)
        run("ip", "link", "set", port, "master", switch, "up")
        source = next(e.source for e in elections if e.interface == name).format(host.number)
        host.ip("addr", "add", f"{source}/24", "dev", name)
        host.ip("link", "set", name, "up")


class Tally:
    """What the observer has seen of many elections, read once."""

    def __init__(self, observer, hosts):
        self.observer, self.n_read = observer, 0
        self.names = {host.number: host.name for host in hosts}
        self.adverts = {host.name: {} for host in hosts}  # by interface and number: all times
        self.held = {host.name: {} for host in hosts}  # by address: the last change, None if it was lost
        self.announced = {host.name: {} for host in hosts}  # by address: all times

    def read(self):
        events = self.observer.events
        for e in events[self.n_read:len(events)]:
            self.n_read += 1
            host, _, interface = getattr(e, "port", "").partition("-")
            if e.kind in ("carp", "vrrp") and host in self.adverts:
                # a farewell is none
                if getattr(e, "advbase", 0) != 255 and getattr(e, "priority", 1) != 0:
                    number = e.vhid if e.kind == "carp" else e.vrid
                    self.adverts[host].setdefault((f"e{interface}", number), []).append(e.t)
            elif e.kind == "address" and e.nsid in self.names:
                self.held[self.names[e.nsid]].setdefault(e.address, e.t)
                if not e.present:
                    del self.held[self.names[e.nsid]][e.address]
            elif e.kind == "arp" and host in self.announced:
                self.announced[host].setdefault(e.address, []).append(e.t)
        return self

    def n_adverts(self, host, since, until):
        return sum(since <= t < until for times in self.adverts[host.name].values() for t in times)


class Many(Case):
    def __init__(self, lab, program, pace="full"):
        super().__init__(lab, program, pace)
        self.elections = program.elections
        self.tracing = counters.Tracing(f"{L.ROOM}/tracing")
        for host in self.hosts:
            plug(host, self.elections)
        self.tally = Tally(lab.observer, self.hosts)
        self.settled_usec = 0
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    def prepare(self):
        return 0

    def is_master(self, host):
        """Of all its elections, with their addresses announced."""
        seen = self.tally.read()
        return (len(seen.adverts[host.name]) >= len(self.elections) and
                all(e.address in seen.held[host.name] and e.address in seen.announced[host.name] for e in self.elections))

    def start(self, host):
        """Until it says that it takes part in all elections, and is master of all; both counted from the start of its first
        process."""
        self.program.start(host)
        began, listens = self.program.running[host.name][0].began, now()
        wait(lambda: self.is_master(host), lambda: f"master of all, not of {len(self.tally.adverts[host.name])}", 60, every=0.05)
        seen = self.tally
        done = max(max(seen.adverts[host.name][e.interface, e.number][0], seen.held[host.name][e.address]) for e in self.elections)
        self.settled_usec = done + SETTLE_USEC[self.pace]
        return {"listens_us": listens - began, "started_us": done - began, "dead_interval_us": self.program.dead_usec(host)}

    # what they use

    def between_adverts(self):
        """Waits, if it has to, so that a whole number of adverts falls into a window."""
        interval = self.program.interval_usec(self.hosts[0])
        times = self.tally.read().adverts[self.hosts[0].name]["e1", 1]
        last = times[-1]
        if not interval // 4 < now() - last < interval // 2:
            wait(lambda: self.tally.read() and times[-1] > last, "an advert")
            sleep_until(times[-1] + interval // 3)

    def window(self, counted):
        """What is counted, for each host, with the number of adverts and the seconds."""
        if len(self.elections) == 1:
            self.between_adverts()
        before, began = [c.read() for c in counted], now()
        sleep_until(began + SECONDS[self.pace] * 1_000_000)
        after, ended = [c.read() for c in counted], now()
        self.lab.observer.sync()
        adverts = self.tally.read().n_adverts(self.hosts[0], began, ended)
        check(adverts, "adverts were sent")
        return [{name: a[name] - b[name] for name in a} for a, b in zip(after, before)], adverts, (ended - began) / 1e6

    def windows(self, times, makes, some=None):
        """So many windows with the counters of `makes` on all processes of each host, or on some."""
        with contextlib.ExitStack() as stack:
            counted = [stack.enter_context(contextlib.closing(counters.Several(makes, self.program.family(host)[:some]))) for host in self.hosts]
            return [self.window(counted) for _ in range(times)]

    def medians(self, windows, number):
        """Of master and backup: number(counted, adverts, seconds) of each thing counted."""
        return [{name: L.median([number(of_hosts[k][name], adverts, seconds) for of_hosts, adverts, seconds in windows])
                 for name in windows[0][0][k]} for k in range(len(self.hosts))]

    def use(self):
        """Of master and backup: what they spend, then what would disturb that, by itself."""
        n_processes = [len(self.program.family(host)) for host in self.hosts]
        windows = self.windows(WINDOWS[self.pace], {"nsec": counters.cpu, "wake_ups": counters.WakeUps})
        adverts_per_s = L.median([adverts / seconds for _, adverts, seconds in windows])
        used = [{"processes": n, "adverts_per_s": adverts_per_s, "cpu_percent": spent["nsec"] / 1e7, "wake_ups_per_s": spent["wake_ups"]}
                for n, spent in zip(n_processes, self.medians(windows, lambda n, _, seconds: n / seconds))]
        # of many processes, one for each election, some speak for all
        of_some = max(1, n_processes[0] / SOME)
        windows = self.windows(WINDOWS[self.pace], {"calls": self.tracing.calls, "allocations": counters.allocations}, SOME)
        for role, counted in zip(used, self.medians(windows, lambda n, adverts, _: n * of_some / adverts)):
            role.update({f"{name}_per_advert": counted.get(name) for name in ("calls", "allocations")})
        if self.pace == "full" and of_some == 1:
            windows = self.windows(1, self.tracing.kinds())
            for role, counted in zip(used, self.medians(windows, lambda n, adverts, _: round(n / adverts, 2))):
                role["kinds_per_advert"] = {name: n for name, n in sorted(counted.items()) if n} or None
        return used

    def vanish(self, host):
        for name in sorted({e.interface for e in self.elections}):
            host.carrier(False, f"{host.port}-{name[1:]}")
        self.program.kill(host)

    def take_over(self, dead, heir):
        """The first and the last gratuitous ARP for another address, from the cut and from the end of each one's dead interval."""
        at = now()
        self.vanish(dead)
        alone = counters.pss_kib(self.program.family(heir))
        wait(lambda: self.is_master(heir), "all addresses on the other host", 60, every=0.05)
        self.lab.observer.sync()
        seen, dead_usec = self.tally.read(), self.program.dead_usec(heir)
        first = {e: min(t for t in seen.announced[heir.name][e.address] if t > at) for e in self.elections}
        late = sorted(t - max(seen.adverts[dead.name][e.interface, e.number]) - dead_usec for e, t in first.items())
        return alone, {"first_us": min(first.values()) - at, "last_us": max(first.values()) - at, "late_us": L.median(late),
                       "latest_us": late[-1]}

    def measure(self):
        master, backup = self.hosts
        sample = self.start(master)
        # alone, as what two hosts share would be halved
        pss = [counters.pss_kib(self.program.family(master)), None]
        self.program.start(backup)
        sleep_until(self.settled_usec)
        used = self.use()
        wait(lambda: now() >= self.program.ready_usec, "the start delay", 20)
        pss[1], taken = self.take_over(master, backup)
        for role, kib in zip(used, pss):
            role["pss_kib"] = kib
        return {**sample, "master": used[0], "backup": used[1], "takeover": taken}
