# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the README shows of a run: one line for each question, one row of the benchmark for each program."""

import math

from bounds import Results
from columns import held, milliseconds
from summary import median, percentile_95

PROGRAMS = ("vipd", "ucarp", "keepalived")


class Figure:
    """labels: which row of the case stands for a program, in the order of PROGRAMS; None if the program has nothing of the kind.
    twice: the figure that says how long two hosts held the address meanwhile."""

    def __init__(self, title, case, labels, value, summary=median, unit="ms", twice=None):
        self.title, self.case, self.labels = title, case, dict(zip(PROGRAMS, labels))
        self.value, self.summary, self.unit, self.twice = value, summary, unit, twice

    def values(self, results, program):
        """All of a run, None if it has none."""
        label = self.labels[program]
        return results.values(self.case, f"{program} {label}".strip(), self.value) if label is not None else None

    def number(self, results, program):
        values = self.values(results, program)
        return None if values is None else self.summary(values)


GAP = milliseconds("gap_us")
TWO = milliseconds("two_holders_us")
KEEPALIVED = "priority 100"


def of_role(role, name):
    return lambda sample: sample[role].get(name)


def cost_of(title, n, role, name, unit, ucarp=True):
    return Figure(f"{n:,} address{'es' if n > 1 else ''}, {role}: {title}", "cost", (f"{n}", f"{n}" if ucarp else None, f"{n}"),
                  of_role(role, name), unit=unit)


# how long two hosts hold it
DOUBLE = [
    Figure("program killed: two hosts hold the address", "killed", ("systemd, AdvSkew=0", "-k 0", KEEPALIVED),
           lambda s: math.inf if s["for_ever"] else TWO(s), max),
    Figure("program killed: the dead one holds it", "killed", ("systemd, AdvSkew=0", "-k 0", KEEPALIVED), held, max),
    Figure("program frozen: two hosts hold the address", "frozen", ("AdvSkew=0", "-k 0", KEEPALIVED), TWO, max),
    Figure("partition heals: until one of two yields", "partition", ("AdvSkew=0 and 100", "-k 0", KEEPALIVED), milliseconds("merged_us")),
]
# how long a client misses the address
GAPS = [
    Figure("host vanishes, adverts every second", "crash", ("AdvSkew=0", "-k 0", KEEPALIVED), GAP),
    Figure("host vanishes, each at its fastest", "crash-fastest", ("AdvBase=0 AdvSkew=1", None, "10 ms, priority 254, real time"), GAP),
    Figure("link lost", "link", ("AdvSkew=0", "-k 0", KEEPALIVED), GAP),
    Figure("planned handover", "handover", ("AdvSkew=0 and 100, Demote", "SIGUSR2", "priority 100, stop"), GAP),
    Figure("program restarted", "restart", ("systemctl restart", "stop, start", "stop, start"), GAP),
    Figure("program killed", "killed", ("systemd, AdvSkew=0", "-k 0", KEEPALIVED), GAP, twice=DOUBLE[0]),
    Figure("program frozen", "frozen", ("AdvSkew=0", "-k 0", KEEPALIVED), GAP, twice=DOUBLE[2]),
    Figure("partition heals", "partition", ("AdvSkew=0 and 100", "-k 0", KEEPALIVED), GAP),
]
COST = [
    cost_of("memory (PSS)", 1, "master", "pss_kib", "KiB"),
    cost_of("wake-ups per second", 1, "master", "wake_ups_per_s", ""),
    cost_of("system calls per advert", 1, "master", "calls_per_advert", ""),
    cost_of("processor", 100, "master", "cpu_percent", "%"),
    *(cost_of(title, 1000, role, name, unit, ucarp=False) for role in ("master", "backup")
      for title, name, unit in (("processor", "cpu_percent", "%"), ("memory (PSS)", "pss_kib", "KiB"),
                                ("system calls per advert", "calls_per_advert", ""),
                                ("allocations per advert", "allocations_per_advert", ""))),
    Figure("1,000 addresses: from the start until all are held", "cost", ("1000", None, "1000"), milliseconds("started_us")),
    Figure("1,000 addresses: the last one taken over, after its dead interval", "cost", ("1000", None, "1000"),
           lambda s: s["takeover"]["latest_us"] / 1000),
    *(Figure(f"adverts {title}, processors four times overloaded: interval off by (99th percentile)", "jitter", labels,
             lambda s: s["overloaded"]["p99"], max, "%")
      for title, labels in (("every second", ("1 s", "1 s", "1 s")),
                            ("every 50 ms, real time", ("50 ms, real time", None, "50 ms, real time")))),
]


def text(number, unit):
    if number is None:
        return "-"
    if number == math.inf:
        return "for ever"
    digits = 0 if number == 0 or abs(number) >= 100 else 1 if abs(number) >= 10 else 2
    return f"{number:,.{digits}f} {unit}".rstrip()


def line(figure, results):
    """Its cells; for gaps also the 95th percentile."""
    cells = [figure.title]
    for program in PROGRAMS:
        values = figure.values(results, program)
        cell = text(figure.number(results, program), figure.unit)
        if values and figure.value is GAP and len(values) > 1:
            cell += f" ({text(percentile_95(values), '').strip()})"
        cells.append(cell)
    return cells


def of(facts):
    return Results(facts["cases"])
