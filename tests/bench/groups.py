# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared with what: the tables of the benchmark, their rows (a program with a setting) and columns (a number made of all samples)."""

import math

import cases
import lab as L
from programs import Keepalived, Ucarp, Vipd


class Row:
    """A program with a setting; options: those of its class."""

    def __init__(self, program, setting, n_hosts=2, **options):
        self.program, self.setting, self.n_hosts, self.options = program, setting, n_hosts, options

    def label(self):
        return f"{self.program.name} {self.setting}".strip()


def milliseconds(key):
    return lambda sample: sample[key] / 1000


class Column:
    """summary: of the list of the samples' values."""

    def __init__(self, title, value, summary, digits=2):
        self.title, self.value, self.summary, self.digits = title, value, summary, digits

    def text(self, samples):
        return f"{self.summary([self.value(s) for s in samples]):.{self.digits}f}"


def percentile_95(values):
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


GAP = milliseconds("gap_us")
EARLY = Column("early", lambda s: bool(s["before_us"]), sum, 0)
GAPS = [Column("gap ms", GAP, L.median), Column("p95", GAP, percentile_95)]
CRASH = GAPS + [
    Column("dead interval", milliseconds("dead_interval_us"), L.median),
    Column("added ms", milliseconds("added_us"), L.median),
    Column("p95", milliseconds("added_us"), percentile_95),
    EARLY,
]
HANDOVER = GAPS + [
    Column("told to taken ms", milliseconds("taken_us"), L.median),
    Column("two holders ms", milliseconds("two_holders_us"), max),
    Column("second takers", lambda s: s["n_takers"] > 1, sum, 0),
    EARLY,
]
FAST = {"advbase": 0, "advskews": (1, 1)}


class Group:
    """A table. `apart`: its rows are prepared one at a time, as even the idle ones would be heard."""

    def __init__(self, case, title, columns, rows, quick, full, apart=False):
        self.case, self.title, self.columns, self.rows = case, title, columns, rows
        self.quick, self.full, self.apart = quick, full, apart


GROUPS = {
    "crash": Group(
        cases.Crash, "A host vanishes; adverts every second", CRASH,
        [Row(Vipd, "AdvSkew=0"), Row(Ucarp, "-k 0"), Row(Keepalived, "priority 100")],
        quick=2, full=20),
    "crash-fastest": Group(
        cases.Crash, "A host vanishes; each at its fastest (ucarp has nothing below a second)", CRASH,
        [Row(Vipd, "AdvBase=0 AdvSkew=1", **FAST),
         Row(Keepalived, "10 ms, priority 100", interval=0.01),
         Row(Keepalived, "10 ms, priority 254, real time", interval=0.01, priority=254, realtime=True),
         Row(Keepalived, "and down_timer_adverts 2", interval=0.01, priority=254, realtime=True, down_timer_adverts=2)],
        quick=6, full=50, apart=True),
    "handover": Group(
        cases.Handover, "A planned handover between two hosts", HANDOVER,
        [Row(Vipd, "AdvSkew=0 and 100, Demote", advskews=(0, 100)), Row(Ucarp, "SIGUSR2"),
         Row(Keepalived, "priority 100, stop"), Row(Keepalived, "priority 254, stop", priority=254),
         Row(Keepalived, "priority 100, track_file", by="track")],
        quick=2, full=20),
    "handover-three": Group(
        cases.Handover, "A planned handover among three hosts", HANDOVER,
        [Row(Vipd, "AdvSkew=0, 50 and 100, Demote", advskews=(0, 50, 100), n_hosts=3)],
        quick=10, full=100),
    "memory": Group(
        cases.Memory, "Memory of a master with one address",
        [Column("PSS KiB", lambda s: s["pss_kib"], L.median, 0), Column("processes", lambda s: s["processes"], max, 0)],
        [Row(Vipd, "--bus=none"), Row(Vipd, "on a bus", on_bus=True), Row(Ucarp, ""), Row(Keepalived, "")],
        quick=1, full=3),
    "resolution": Group(
        cases.Resolution, "The probe itself, with nothing happening",
        [Column("requests", lambda s: s["sent"], min, 0), Column("lost", lambda s: s["lost"], max, 0),
         Column("longest outage ms", milliseconds("longest_us"), max), Column("slowest answer", milliseconds("max_rtt_us"), max),
         Column("longest stall", milliseconds("max_stall_us"), max)],
        [Row(Vipd, "")], quick=1, full=3),
}
