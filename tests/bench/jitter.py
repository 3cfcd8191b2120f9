# SPDX-License-Identifier: LGPL-2.1-or-later
"""How evenly a master sends, on an idle machine and on one with four times as much work as it has processors. Peers that miss a
master's adverts for a dead interval take its addresses away, so this is what an overload may do to them."""

import os
import subprocess

from case import Case, NetworkLock, sleep_until
from cost import Tally, plug
from lab import check, now, wait
from summary import percentile

N_ELECTIONS = 20
OVERLOAD = 4  # busy processes per processor
# how many intervals are watched, calm and overloaded; with slow and with fast adverts
INTERVALS = {"full": ((6, 16), (100, 200)), "quick": ((1, 4), (20, 60)), "smoke": ((1, 1), (10, 20))}


class Overload:
    """Busy processes, each in a session of its own: where the kernel shares processors by sessions, they are not one."""

    def __enter__(self):
        n = OVERLOAD * len(os.sched_getaffinity(0))
        self.processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL, start_new_session=True)
                          for _ in range(n)]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def errors(times, interval_usec, began, ended):
    """How far each interval between two adverts was off; one that had not ended counts as far as it had come."""
    found = []
    for before, after in zip(times, [*times[1:], None]):
        if after is None and ended - before > interval_usec:
            after = ended
        if after and after > began and before < ended:
            found.append(abs(after - before - interval_usec))
    return found


class Jitter(Case):
    def __init__(self, lab, program, pace="full"):
        super().__init__(lab, program, pace)
        self.host = self.hosts[0]
        plug(self.host, program.elections)
        self.tally = Tally(lab.observer, self.hosts)

    def prepare(self):
        self.program.start(self.host)
        wait(lambda: len(self.tally.read().adverts[self.host.name]) >= N_ELECTIONS, "master of all", 30, every=0.02)
        return 0

    def window(self, n_intervals):
        """As many intervals, of each election: how far they were off, in percent."""
        interval = self.program.interval_usec(self.host)
        began = now()
        sleep_until(began + n_intervals * interval)
        ended = now()
        self.lab.observer.sync()
        found = [e for times in self.tally.read().adverts[self.host.name].values() for e in errors(times, interval, began, ended)]
        check(found, "adverts were sent")
        return {name: percentile(found, part) * 100 / interval for name, part in (("median", 0.5), ("p99", 0.99), ("worst", 1))}

    def measure(self):
        calm, busy = INTERVALS[self.pace][self.program.interval_usec(self.host) < 500_000]
        lock = NetworkLock()
        sample = {"interval_us": self.program.interval_usec(self.host), "calm": self.window(calm)}
        with Overload():
            sample["overloaded"] = self.window(busy)
        return {**sample, "lock_us": lock.finish()}
