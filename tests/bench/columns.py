# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is read from the samples of a case: tables, and their columns, each a number made of all samples."""

import math

from summary import median, percentile_95


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


def key(name):
    return lambda sample: sample.get(name)


def milliseconds(name):
    return lambda sample: None if sample.get(name) is None else sample[name] / 1000


def held(sample):
    """Milliseconds, endless if nobody ever took the address away."""
    return math.inf if sample["for_ever"] else sample["held_us"] / 1000


def until(values):
    worst = max(values)
    return "for ever" if worst == math.inf else worst


GAP = milliseconds("gap_us")
EARLY = Column("early", lambda s: bool(s["before_us"]), sum, 0)
GAPS = [Column("gap ms", GAP, median), Column("p95", GAP, percentile_95)]
TWO = Column("two holders ms", milliseconds("two_holders_us"), max)
CRASH = GAPS + [
    Column("dead interval", milliseconds("dead_interval_us"), median),
    Column("advert", milliseconds("advert_us"), median),
    Column("address", milliseconds("address_us"), median),
    Column("announced", milliseconds("announced_us"), median),
    Column("added ms", milliseconds("added_us"), median),
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
LINK = GAPS + [
    Column("link back: two holders ms", milliseconds("two_healed_us"), max), Column("gap ms", milliseconds("gap_healed_us"), max),
    EARLY,
]
PARTITION = [
    Column("healed to one ms", milliseconds("merged_us"), median), Column("p95", milliseconds("merged_us"), percentile_95),
    *GAPS, Column("of it healed ms", milliseconds("gap_healed_us"), max), EARLY,
]
HANDOVER = GAPS + [
    Column("told to taken ms", milliseconds("taken_us"), median), TWO,
    Column("second takers", lambda s: s["n_takers"] > 1, sum, 0), EARLY,
]
RESTART = GAPS + [Column("lost probes", key("lost"), max, 0), Column("moved", key("moved"), sum, 0), TWO, EARLY]
STARTED = milliseconds("started_us")


def kinds(values):
    """The most frequent system calls."""
    found = sorted(((median([v.get(name, 0) for v in values]), name) for name in set().union(*values)), reverse=True)
    return ", ".join(f"{name} {n:.2f}" for n, name in found[:6] if n >= 0.01)


def of_role(role):
    """What a master or a backup uses."""
    def column(title, name, summary, digits=2):
        return Column(title, lambda sample: sample[role].get(name), summary, digits)
    return [
        column("CPU %", "cpu_percent", median), column("PSS KiB", "pss_kib", median, 0), column("processes", "processes", max, 0),
        column("adverts/s", "adverts_per_s", median), column("wake-ups/s", "wake_ups_per_s", median),
        column("system calls/advert", "calls_per_advert", median), column("allocations/advert", "allocations_per_advert", median),
        column("which calls", "kinds_per_advert", kinds),
    ]


def of_takeover(title, name, summary):
    return Column(title, lambda sample: sample["takeover"][name] / 1000, summary, 1)


COST = [
    Table(of_role("master"), "The cost of a master; adverts every second"),
    Table(of_role("backup"), "The cost of a backup"),
    Table([Column("master of all ms", STARTED, median, 0), Column("dead interval", milliseconds("dead_interval_us"), median, 0),
           Column("takes part ms", milliseconds("listens_us"), median, 0)], "The start"),
    Table([of_takeover("first ARP ms", "first_us", median), of_takeover("last", "last_us", median),
           of_takeover("after its dead interval: median", "late_us", median), of_takeover("latest", "latest_us", median)],
          "The master of all vanishes: gratuitous ARP of the other host, from the cut"),
]


def off(state, name):
    return Column(f"{'idle' if state == 'calm' else state}: p99 %" if name == "p99" else name, lambda s: s[state][name], max)


JITTER = [off(state, name) for state in ("overloaded", "calm") for name in ("p99", "worst", "median")]
RESOLUTION = [
    Column("requests", key("sent"), min, 0), Column("lost", key("lost"), max, 0),
    Column("longest outage ms", milliseconds("longest_us"), max), Column("slowest answer", milliseconds("max_rtt_us"), max),
    Column("longest stall", milliseconds("max_stall_us"), max),
]
