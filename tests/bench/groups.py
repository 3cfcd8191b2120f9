# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared with what: the groups of the benchmark, their rows (a program with a setting) and tables (columns, each a number made of all
samples)."""

import math

import cost
import failures
import lab as L
from programs import Keepalived, Ucarp, Vipd
from service import VipdService


class Row:
    """A program with a setting; options: those of its class. quick: whether it is there with --quick. of: rows are compared with the first one
    of the same kind."""

    def __init__(self, program, setting, n_hosts=2, quick=True, of=None, **options):
        self.program, self.setting, self.n_hosts, self.quick, self.of, self.options = program, setting, n_hosts, quick, of, options

    def label(self):
        return f"{self.program.name} {self.setting}".strip()


class Column:
    """value: of a sample, None if it has none; summary: of the list of the samples' values."""

    def __init__(self, title, value, summary, digits=2):
        self.title, self.value, self.summary, self.digits = title, value, summary, digits

    def number(self, samples):
        values = [v for v in map(self.value, samples) if v is not None]
        return self.summary(values) if values else None

    def text(self, samples):
        number = self.number(samples)
        return "-" if number is None else number if isinstance(number, str) else f"{number:.{self.digits}f}"


class Table:
    """What is read from a group's samples. Rows are compared by the first column."""

    def __init__(self, columns, title=None):
        self.columns, self.title = columns, title


class Group:
    """`apart`: its rows are prepared one at a time, as even the idle ones would be heard. quick, full: how many samples of each."""

    def __init__(self, case, title, tables, rows, quick, full, apart=False):
        self.case, self.title, self.rows = case, title, rows
        self.tables = tables if isinstance(tables[0], Table) else [Table(tables)]
        self.quick, self.full, self.apart = quick, full, apart

    def numbers(self, quick):
        return [k for k, row in enumerate(self.rows) if row.quick or not quick]


def key(name):
    return lambda sample: sample.get(name)


def milliseconds(name):
    return lambda sample: None if sample.get(name) is None else sample[name] / 1000


def percentile(values, part):
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def percentile_95(values):
    return percentile(values, 0.95)


def held(sample):
    """Milliseconds, endless if nobody ever took the address away."""
    return math.inf if sample["for_ever"] else sample["held_us"] / 1000


def until(values):
    worst = max(values)
    return "for ever" if worst == math.inf else worst


GAP = milliseconds("gap_us")
EARLY = Column("early", lambda s: bool(s["before_us"]), sum, 0)
GAPS = [Column("gap ms", GAP, L.median), Column("p95", GAP, percentile_95)]
TWO = Column("two holders ms", milliseconds("two_holders_us"), max)
CRASH = GAPS + [
    Column("dead interval", milliseconds("dead_interval_us"), L.median),
    Column("advert", milliseconds("advert_us"), L.median),
    Column("address", milliseconds("address_us"), L.median),
    Column("announced", milliseconds("announced_us"), L.median),
    Column("added ms", milliseconds("added_us"), L.median),
    Column("p95", milliseconds("added_us"), percentile_95),
    EARLY,
]
KILLED = GAPS + [TWO, Column("held by the dead ms", held, until), EARLY]
FROZEN = GAPS + [
    Column("held by the frozen ms", milliseconds("held_us"), max),
    Column("on waking: two holders ms", milliseconds("two_on_waking_us"), max),
    Column("adverts", key("adverts_on_waking"), max, 0),
    Column("gap ms", milliseconds("gap_on_waking_us"), max),
    EARLY,
]
LINK = GAPS + [Column("link back: two holders ms", milliseconds("two_healed_us"), max), Column("gap ms", milliseconds("gap_healed_us"), max), EARLY]
PARTITION = [
    Column("healed to one ms", milliseconds("merged_us"), L.median), Column("p95", milliseconds("merged_us"), percentile_95),
    *GAPS, Column("of it healed ms", milliseconds("gap_healed_us"), max), EARLY,
]
HANDOVER = GAPS + [
    Column("told to taken ms", milliseconds("taken_us"), L.median), TWO,
    Column("second takers", lambda s: s["n_takers"] > 1, sum, 0), EARLY,
]
RESTART = GAPS + [Column("lost probes", key("lost"), max, 0), Column("moved", key("moved"), sum, 0), TWO, EARLY]
STARTED = milliseconds("started_us")


def of_role(role):
    """What a master or a backup uses."""
    def column(title, name, summary, digits=2):
        return Column(title, lambda sample: sample[role].get(name), summary, digits)
    return [
        column("CPU %", "cpu_percent", L.median), column("PSS KiB", "pss_kib", L.median, 0), column("processes", "processes", max, 0),
        column("adverts/s", "adverts_per_s", L.median), column("wake-ups/s", "wake_ups_per_s", L.median),
        column("system calls/advert", "calls_per_advert", L.median), column("allocations/advert", "allocations_per_advert", L.median),
    ]


def of_takeover(title, name, summary):
    return Column(title, lambda sample: sample["takeover"][name] / 1000, summary, 1)


COST = [
    Table(of_role("master"), "The cost of a master; adverts every second"),
    Table(of_role("backup"), "The cost of a backup"),
    Table([Column("master of all ms", STARTED, L.median, 0), Column("dead interval", milliseconds("dead_interval_us"), L.median, 0),
           Column("takes part ms", milliseconds("listens_us"), L.median, 0)], "The start"),
    Table([of_takeover("first ARP ms", "first_us", L.median), of_takeover("last", "last_us", L.median),
           of_takeover("after its dead interval: median", "late_us", L.median), of_takeover("latest", "latest_us", L.median)],
          "The master of all vanishes: gratuitous ARP of the other host, from the cut"),
]
FAST = {"advbase": 0, "advskews": (1, 1)}
FASTEST = {"interval": 0.01, "priority": 254, "realtime": True}

GROUPS = {
    "crash": Group(
        failures.Crash, "A host vanishes; adverts every second", CRASH,
        [Row(Vipd, "AdvSkew=0"), Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=2, full=20),
    "crash-fastest": Group(
        failures.Crash, "A host vanishes; each at its fastest (ucarp has nothing below a second)", CRASH,
        [Row(Vipd, "AdvBase=0 AdvSkew=1", **FAST),
         Row(Keepalived, "10 ms, priority 100", interval=0.01, quick=False),
         Row(Keepalived, "10 ms, priority 254, real time", **FASTEST),
         Row(Keepalived, "and down_timer_adverts 2", **FASTEST, down_timer_adverts=2, quick=False)],
        quick=5, full=50, apart=True),
    "killed": Group(
        failures.Killed, "The daemon is killed, its host lives", KILLED,
        [Row(VipdService, "systemd, AdvSkew=0", quick=False), Row(VipdService, "systemd, AdvBase=0 AdvSkew=1", **FAST),
         Row(Vipd, "no systemd, AdvSkew=0"), Row(Vipd, "no systemd, AdvBase=0 AdvSkew=1", **FAST),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=10),
    "frozen": Group(
        failures.Frozen, "The daemon is frozen (SIGSTOP), its host lives; then it goes on", FROZEN,
        [Row(Vipd, "AdvSkew=0"), Row(Vipd, "AdvBase=0 AdvSkew=1", **FAST), Row(Vipd, "AdvSkew=0 Lease=no", lease="no"),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=8),
    "link": Group(
        failures.LinkLoss, "The master's link is lost, and comes back", LINK,
        [Row(Vipd, "AdvSkew=0"), Row(Vipd, "AdvBase=0 AdvSkew=1", **FAST), Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=10),
    "partition": Group(
        failures.Partition, "The hosts do not hear each other, then they do", PARTITION,
        [Row(Vipd, "AdvSkew=0 and 100", advskews=(0, 100)), Row(Vipd, "AdvBase=0 AdvSkew=1 and 2", advbase=0, advskews=(1, 2)),
         Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=1, full=15),
    "handover": Group(
        failures.Handover, "A planned handover between two hosts", HANDOVER,
        [Row(Vipd, "AdvSkew=0 and 100, Demote", advskews=(0, 100)), Row(Ucarp, "SIGUSR2"),
         Row(Keepalived, "priority 100, stop"), Row(Keepalived, "priority 254, stop", priority=254),
         Row(Keepalived, "priority 100, track_file", by="track")],
        quick=2, full=20),
    "handover-three": Group(
        failures.Handover, "A planned handover among three hosts", HANDOVER,
        [Row(Vipd, "AdvSkew=0, 50 and 100, Demote", advskews=(0, 50, 100), n_hosts=3)],
        quick=8, full=100),
    "restart": Group(
        failures.Restart, "The master's program is restarted", RESTART,
        [Row(VipdService, "systemctl restart", quick=False), Row(VipdService, "systemctl restart, AdvBase=0 AdvSkew=1", **FAST),
         Row(Vipd, "no systemd"), Row(Ucarp, "stop, start"), Row(Keepalived, "stop, start")],
        quick=1, full=10),
    "cost": Group(
        cost.Many, "What one, a hundred and a thousand addresses cost", COST,
        [Row(program, f"{n}", of=n, quick=n != 100 and program is not Ucarp, elections=cost.many(n))
         for n in (1, 100, 1000) for program in (Vipd, Ucarp, Keepalived)
         # every ucarp hears the adverts of every other one: a thousand do not leave the processors anything
         if (n, program) != (1000, Ucarp)],
        quick=1, full=3, apart=True),
    "resolution": Group(
        failures.Resolution, "The probe itself, with nothing happening",
        [Column("requests", key("sent"), min, 0), Column("lost", key("lost"), max, 0),
         Column("longest outage ms", milliseconds("longest_us"), max), Column("slowest answer", milliseconds("max_rtt_us"), max),
         Column("longest stall", milliseconds("max_stall_us"), max)],
        [Row(Vipd, "")], quick=1, full=3),
}
