# SPDX-License-Identifier: LGPL-2.1-or-later
"""The section of the README that a run writes, between two marks, and the picture beside it."""

import os

import bounds
import figures
import plot
from case import PROBE_USEC

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
README, PICTURE = os.path.join(TREE, "README.md"), "docs/bench.svg"
BEGIN, END = "<!-- written by tests/bench/bench --readme -->", "<!-- as far as here -->"


def table(head, lines):
    def row(cells):
        return f"| {' | '.join(cells)} |"
    return [row(head), "|---" + "|---:" * (len(head) - 1) + "|", *map(row, lines)]


def section(facts):
    """As Markdown."""
    results, machine, versions = figures.of(facts), facts["machine"], facts["versions"]
    judged = bounds.judge(facts["cases"])
    kept = [b.kept() for b in judged]
    parts = [
        f"One run of {facts['seconds'] / 60:.0f} minutes, on {machine['time'][:10]}: {versions['vipd']} ({versions['commit']}), "
        f"ucarp {versions['ucarp']}, keepalived {versions['keepalived']} (VRRPv3),",
        f"{machine['cores']} × {machine['processor']}, Linux {machine['kernel']}, hosts in network namespaces. Medians; of gaps also the "
        "95th percentile, in brackets.",
        "",
        f"![How long a client misses the address]({PICTURE})",
        "",
        *table([f"a client that asks every {PROBE_USEC / 1000:g} ms misses the address for", *figures.PROGRAMS],
               (figures.line(f, results) for f in figures.GAPS)),
        "",
        *table(["what no client should see", *figures.PROGRAMS], (figures.line(f, results) for f in figures.DOUBLE)),
        "",
        *table(["what it costs; adverts every second", *figures.PROGRAMS], (figures.line(f, results) for f in figures.COST)),
        "",
        f"What vipd set itself, {kept.count(True)} of {len(kept)} kept" +
        (f", {kept.count(None)} not measured:" if None in kept else ":"),
        "",
        *table(["", "at most", "measured", "kept"], ([b.what, b.wanted_text(), b.measured(), b.verdict()] for b in judged)),
    ]
    return "\n".join(parts)


def write(facts):
    """Into the tree."""
    with open(README, encoding="utf-8") as f:
        before, _, rest = f.read().partition(BEGIN)
    after = rest.partition(END)[2]
    if not after:
        raise SystemExit(f"README.md has not both marks: {BEGIN} {END}")
    with open(README, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n{section(facts)}\n{END}{after}")
    with open(os.path.join(TREE, PICTURE), "w", encoding="utf-8") as f:
        f.write(plot.svg(facts))
