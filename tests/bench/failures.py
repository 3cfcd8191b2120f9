# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to a master, as a client sees it and on the wire: see case.py for what all have."""

import random

from case import PROBE_USEC, Case, sleep_until
from lab import VIP, check, now, wait

# longer than any lease outlives its time: the kernel is up to a second late
PATIENCE_USEC = 2_000_000


class Crash(Case):
    """The master's cable is pulled and its processes killed, in this order and at once: nobody hears of it again."""

    def prepare(self):
        for host in self.hosts:
            if self.program.running and host.name not in self.program.running:
                self.revive(host)
        return super().prepare()

    def revive(self, host):
        host.ip("addr", "del", f"{VIP}/32", "dev", "eth0", fail=False)
        host.carrier(True)
        wait(lambda: '"operstate":"UP"' in host.ip("-j", "link", "show", "dev", "eth0"), "carrier")

    def crash(self, host):
        host.carrier(False)
        self.program.kill(host)

    def measure(self):
        dead, at, report = self.watch(self.crash, self.other_holds)
        heir = self.others(dead)[0]
        # everything is told from the moment in which the dead interval is over
        silent = self.adverts(dead)[-1].t
        dead_usec = self.program.dead_usec(heir)
        over = silent + dead_usec
        sample = self.sample(at, report, dead_interval_us=dead_usec)
        check(sample["gap_us"], "the client noticed")
        sample["advert_us"] = self.adverts(heir, at)[0].t - over
        sample["address_us"] = next(t for t, _, present in self.lab.observer.changes(VIP, at) if present) - over
        sample["announced_us"] = self.lab.observer.of("arp", at, port=heir.name, address=VIP)[0].t - over
        sample["added_us"] = at + sample["recovered_us"] - over
        return sample


def lease_usec(case, host):
    """How long the kernel keeps the address without a renewal, as it says itself; 0 if for ever."""
    valid = [e.valid for e in case.lab.observer.of("address", nsid=host.number, address=VIP, present=True)]
    return max(valid[-1], 0) * 1_000_000


class Killed(Crash):
    """The master's processes are killed; its host lives on, with all that its kernel knows."""

    def watch_the_dead(self, host):
        began = now()
        patience = PATIENCE_USEC + max(1_000_000, self.program.dead_usec(host))
        self.program.kill(host)
        wait(lambda: self.other_holds(host) and (not self.holds(host) or now() > began + patience), "another master", 20)

    def measure(self):
        dead, at, report = self.watch(self.watch_the_dead, self.other_holds)
        lost = [t for t, number, present in self.lab.observer.changes(VIP, at) if number == dead.number and not present]
        end = now()
        self.listen(dead)
        return self.sample(at, report, held_us=(lost[0] if lost else end) - at, for_ever=not lost, lease_us=lease_usec(self, dead))


class Frozen(Case):
    """The master's processes stand still for longer than any dead interval or lease, then go on."""

    def freeze(self, host):
        began = now()
        self.program.freeze(host)
        wait(lambda: self.other_holds(host), "another master", 20)
        sleep_until(began + max(1_000_000, self.program.dead_usec(host)) + PATIENCE_USEC)
        self.held_on_waking = self.holds(host)
        self.woken = now()
        self.program.thaw(host)
        self.await_one("one master when it is awake")
        sleep_until(now() + 1_000_000)

    def measure(self):
        host, at, report = self.watch(self.freeze, lambda _: True)
        woken = self.woken
        lost = [t for t, number, present in self.lab.observer.changes(VIP, at) if number == host.number and not present]
        # as long as it has not been elected again: by then it may have sent one that comes before its address
        changes = self.lab.observer.changes(VIP, woken)
        elected = min((t for t, number, present in changes if number == host.number and present), default=None)
        said = [e for e in self.adverts(host, woken) if getattr(e, "advbase", 0) != 255 and (not elected or e.t < elected - 20_000)]
        self.listen(host)
        return self.sample(at, report, held_us=(lost[0] if lost else now()) - at, held_on_waking=self.held_on_waking,
                           lease_us=lease_usec(self, host),
                           adverts_on_waking=len(said), two_on_waking_us=self.two_holders_usec(woken),
                           gap_on_waking_us=max((o.us for o in report.outages if o.start >= woken), default=0))


class LinkLoss(Case):
    """The master loses its link, and has it again a second after another host has taken over. Its processes live."""

    def lose(self, host):
        host.carrier(False)
        wait(lambda: self.other_holds(host), "another master", 20)
        sleep_until(now() + 1_000_000)
        self.healed = now()
        host.carrier(True)
        # whoever still believes to be master says so within an interval
        sleep_until(now() + self.program.interval_usec(host) + 500_000)
        self.await_one("one master when the link is back")

    def measure(self):
        host, at, report = self.watch(self.lose, lambda _: True)
        self.listen(host)
        return self.sample(at, report, two_healed_us=self.two_holders_usec(self.healed),
                           gap_healed_us=max((o.us for o in report.outages if o.start >= self.healed), default=0))


class Partition(Case):
    """The hosts do not hear each other, while the client reaches both; then they do."""

    def part(self, _):
        for host in self.hosts:
            host.isolate()
        wait(lambda: len(self.lab.observer.holders(VIP)) == len(self.hosts), "a master on each side", 20)
        sleep_until(now() + 500_000 + random.randrange(self.program.interval_usec(self.hosts[0])))
        self.healed = now()
        for host in self.hosts:
            host.isolate(False)
        self.await_one("one master again")

    def measure(self):
        _, at, report = self.watch(self.part, lambda _: True)
        yielded = [t for t, _, present in self.lab.observer.changes(VIP, self.healed) if not present]
        return self.sample(at, report, merged_us=yielded[0] - self.healed,
                           gap_healed_us=max((o.us for o in report.outages if o.start >= self.healed), default=0))


class Handover(Case):
    """The master is told to go. Roles change with each sample."""

    def prepare(self):
        if hasattr(self, "left"):
            self.program.after_handover(self.left)
            del self.left
        return super().prepare()

    def measure(self):
        left, at, report = self.watch(self.program.hand_over, lambda host: self.other_holds(host) and not self.holds(host))
        self.left = left
        takers = {number for _, number, present in self.lab.observer.changes(VIP, at) if present}
        taken = min(t for t, _, present in self.lab.observer.changes(VIP, at) if present)
        return self.sample(at, report, from_host=left.name, n_takers=len(takers), taken_us=taken - at)


class Restart(Case):
    """The master's program is restarted, by the means that its users have."""

    def measure(self):
        host, at, report = self.watch(self.program.restart, lambda _: len(self.lab.observer.holders(VIP)) == 1)
        self.listen(host)
        return self.sample(at, report, lost=report.lost, moved=self.holder() is not host)


class Resolution(Case):
    """What the probe sees when nothing happens: it asks a host for its own address."""

    def prepare(self):
        return 0

    def measure(self):
        wait(lambda: self.client.ping(self.hosts[0].address), "an answer")
        probe = self.client.probe(address=self.hosts[0].address, interval_us=PROBE_USEC)
        sleep_until(now() + 3_000_000)
        return dict(vars(probe.finish()), outages=None)
