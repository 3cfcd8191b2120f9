# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared with what: the groups of the benchmark, and their rows, each a program with a setting."""

import columns
import cost
import failures
import jitter
from programs import Keepalived, Ucarp, Vipd
from service import VipdService


class Row:
    """A program with a setting; options: those of its class. quick, smoke: whether it is there with --quick, with --smoke. of: rows
    are compared with the first one of the same kind. light: it leaves the machine idle, so that with --quick those of a group that are
    apart are measured at once."""

    def __init__(self, program, setting, n_hosts=2, quick=True, smoke=False, of=None, light=False, **options):
        self.program, self.setting, self.n_hosts, self.options = program, setting, n_hosts, options
        self.quick, self.smoke, self.of, self.light = quick, smoke, of, light

    def label(self):
        return f"{self.program.name} {self.setting}".strip()

    def options_at(self, pace):
        """Beside other tests an election that is over in 12 ms would often be over before its time."""
        if pace == "smoke" and self.options.get("advskews") in SLOWER:
            return {**self.options, "advskews": SLOWER[self.options["advskews"]]}
        if pace == "smoke" and self.options.get("interval") == 0.01:
            return {**self.options, "interval": 0.1}
        return self.options


class Group:
    """quick, full: how many samples of each row. apart: rows are prepared one at a time, as even the idle ones would be heard.
    slow: it is all about seconds, so that with --quick the rows need not be in turn."""

    def __init__(self, case, title, tables, rows, quick, full, apart=False, slow=False):
        self.case, self.title, self.rows = case, title, rows
        self.tables = tables if isinstance(tables[0], columns.Table) else [columns.Table(tables)]
        self.quick, self.full, self.apart, self.slow = quick, full, apart, slow

    def numbers(self, quick=False, smoke=False):
        """Which rows are there."""
        return [k for k, row in enumerate(self.rows) if (row.quick or not quick) and (row.smoke or not smoke)]


FAST = {"advbase": 0, "advskews": (1, 1)}
SLOWER = {(1, 1): (32, 32), (1, 2): (32, 64)}
EVERY_50_MS = {"advbase": 0, "advskews": (13,)}
FASTEST = {"interval": 0.01, "priority": 254, "realtime": True}
TWENTY = cost.many(jitter.N_ELECTIONS)

GROUPS = {
    "crash": Group(
        failures.Crash, "A host vanishes; adverts every second", columns.CRASH,
        [Row(Vipd, "AdvSkew=0"), Row(Ucarp, "-k 0", smoke=True), Row(Keepalived, "priority 100")],
        quick=1, full=10, slow=True),
    "crash-fastest": Group(
        failures.Crash, "A host vanishes; each at its fastest (ucarp has nothing below a second)", columns.CRASH,
        [Row(Vipd, "AdvBase=0 AdvSkew=1", smoke=True, **FAST),
         Row(Keepalived, "10 ms, priority 100", interval=0.01, quick=False),
         Row(Keepalived, "10 ms, priority 254, real time", smoke=True, **FASTEST),
         Row(Keepalived, "and down_timer_adverts 2", **FASTEST, down_timer_adverts=2, quick=False)],
        quick=3, full=20, apart=True),
    "killed": Group(
        failures.Killed, "The daemon is killed, its host lives", columns.KILLED,
        [Row(VipdService, "systemd, AdvSkew=0", quick=False), Row(VipdService, "systemd, AdvBase=0 AdvSkew=1", **FAST),
         Row(Vipd, "no systemd, AdvSkew=0"), Row(Vipd, "no systemd, AdvBase=0 AdvSkew=1", smoke=True, **FAST),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100", smoke=True)],
        quick=1, full=5, slow=True),
    "frozen": Group(
        failures.Frozen, "The daemon is frozen (SIGSTOP), its host lives; then it goes on", columns.FROZEN,
        [Row(Vipd, "AdvSkew=0"), Row(Vipd, "AdvBase=0 AdvSkew=1", smoke=True, **FAST), Row(Vipd, "AdvSkew=0 Lease=no", lease="no"),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=3, slow=True),
    "link": Group(
        failures.LinkLoss, "The master's link is lost, and comes back", columns.LINK,
        [Row(Vipd, "AdvSkew=0"), Row(Vipd, "AdvBase=0 AdvSkew=1", smoke=True, **FAST),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=4, slow=True),
    "partition": Group(
        failures.Partition, "The hosts do not hear each other, then they do", columns.PARTITION,
        [Row(Vipd, "AdvSkew=0 and 100", advskews=(0, 100)),
         Row(Vipd, "AdvBase=0 AdvSkew=1 and 2", smoke=True, advbase=0, advskews=(1, 2)),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=5, slow=True),
    "handover": Group(
        failures.Handover, "A planned handover between two hosts", columns.HANDOVER,
        [Row(Vipd, "AdvSkew=0 and 100, Demote", smoke=True, advskews=(0, 100)), Row(Ucarp, "SIGUSR2", smoke=True),
         Row(Keepalived, "priority 100, stop"), Row(Keepalived, "priority 254, stop", priority=254, quick=False),
         Row(Keepalived, "priority 100, track_file", smoke=True, by="track", quick=False)],
        quick=1, full=12),
    "handover-three": Group(
        failures.Handover, "A planned handover among three hosts", columns.HANDOVER,
        [Row(Vipd, "AdvSkew=0, 50 and 100, Demote", advskews=(0, 50, 100), n_hosts=3)],
        quick=4, full=60),
    "restart": Group(
        failures.Restart, "The master's program is restarted", columns.RESTART,
        [Row(VipdService, "systemctl restart"), Row(VipdService, "systemctl restart, AdvBase=0 AdvSkew=1", quick=False, **FAST),
         Row(Vipd, "no systemd", smoke=True), Row(Ucarp, "stop, start"), Row(Keepalived, "stop, start", smoke=True)],
        quick=1, full=5, slow=True),
    "cost": Group(
        cost.Many, "What one, a hundred and a thousand addresses cost", columns.COST,
        [Row(program, f"{n}", of=n, light=n == 1, smoke=(n, program) == (1, Vipd), quick=n != 100 and program is not Ucarp, elections=cost.many(n))
         for n in (1, 100, 1000) for program in (Vipd, Ucarp, Keepalived)
         # every ucarp hears the adverts of every other one: a thousand do not leave the processors anything
         if (n, program) != (1000, Ucarp)],
        quick=1, full=2, apart=True),
    "jitter": Group(
        jitter.Jitter, "How far the interval of adverts is off, in percent of it; idle, and with four times the work the machine can do",
        columns.JITTER,
        [Row(Vipd, "1 s", 1, of=1, elections=TWENTY),
         Row(Vipd, "1 s, real time", 1, quick=False, of=1, elections=TWENTY, realtime=True),
         Row(Ucarp, "1 s", 1, quick=False, of=1, elections=TWENTY),
         Row(Keepalived, "1 s", 1, quick=False, of=1, elections=TWENTY),
         Row(Keepalived, "1 s, real time", 1, quick=False, of=1, elections=TWENTY, realtime=True),
         Row(Vipd, "50 ms", 1, smoke=True, quick=False, of=50, elections=TWENTY, **EVERY_50_MS),
         Row(Vipd, "50 ms, real time", 1, of=50, elections=TWENTY, realtime=True, **EVERY_50_MS),
         Row(Keepalived, "50 ms", 1, quick=False, of=50, elections=TWENTY, interval=0.05),
         Row(Keepalived, "50 ms, real time", 1, quick=False, of=50, elections=TWENTY, interval=0.05, realtime=True)],
        quick=1, full=1, apart=True),
    "resolution": Group(
        failures.Resolution, "The probe itself, with nothing happening", columns.RESOLUTION,
        [Row(Vipd, "", smoke=True)], quick=1, full=3),
}
