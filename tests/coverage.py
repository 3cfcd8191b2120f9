#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coverage.py BUILD: runs suite unit of a build with -Db_coverage=true, and holds the rooms below to their floors.

Counts by gcov, of lines and of branches both ways. Not counted, as no test can or should reach them: the failing side of an
assert(), and the way out of a switch over an enum of ours of which every member has its case. Names every line that is short.
"""

import collections
import json
import os
import re
import subprocess
import sys

# room: least percentage of lines, of branches. They only rise: raise them with the tests that let them.
FLOORS = {
    "daemon/core": (99, 98.5),
    "daemon/proto": (99.5, 98.5),
}

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files_below(directory, ending):
    return [os.path.join(d, name) for d, _, names in os.walk(directory) for name in names if name.endswith(ending)]


def gcov(build, room):
    """{source: {line: [count, [count per branch]]}}, summed over the objects that contain it."""
    found = collections.defaultdict(dict)
    for notes in files_below(os.path.join(build, room), ".gcno"):
        output = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", os.path.relpath(notes, build)],
                                cwd=build, capture_output=True, text=True, check=True).stdout
        for file in json.loads(output)["files"]:
            source = os.path.relpath(os.path.join(build, file["file"]), TREE)
            if not source.startswith(room + "/"):
                continue
            for line in file["lines"]:
                counts = [b["count"] for b in line["branches"]]
                known = found[source].setdefault(line["line_number"], [0, [0] * len(counts)])
                known[0] += line["count"]
                known[1] = [a + b for a, b in zip(known[1], counts)]
    return found


def judged(text, branches):
    """The branches that a test could take."""
    if re.search(r"\bassert\(", text):
        return []
    if re.search(r"\bswitch \(", text) and 0 in branches:
        branches = list(branches)
        branches.remove(0)
    return branches


def measure(build, room):
    lines, taken, short = [0, 0], [0, 0], []
    for source, counts in sorted(gcov(build, room).items()):
        with open(os.path.join(TREE, source), encoding="utf-8") as f:
            text = f.read().split("\n")
        for number, (count, branches) in sorted(counts.items()):
            branches = judged(text[number - 1], branches)
            lines[0] += count > 0
            lines[1] += 1
            taken[0] += sum(b > 0 for b in branches)
            taken[1] += len(branches)
            if count == 0 or 0 in branches:
                what = "never" if count == 0 else f"{sum(b > 0 for b in branches)} of {len(branches)} branches"
                short.append(f"{source}:{number}: {what}: {text[number - 1].strip()}")
    return lines, taken, short


def main():
    build = os.path.abspath(sys.argv[1])
    for path in files_below(build, ".gcda"):
        os.unlink(path)
    tests = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "--suite", "unit"],
                           capture_output=True, text=True)
    if tests.returncode != 0:
        print(tests.stdout)
        return 1
    bad, summary = False, []
    for room, floors in FLOORS.items():
        lines, branches, short = measure(build, room)
        if not lines[1] or not branches[1]:
            summary.append(f"{room}: nothing was measured")
            bad = True
            continue
        reached = [100 * a / b for a, b in (lines, branches)]
        summary.append(f"{room}: {reached[0]:.1f} % of {lines[1]} lines, {reached[1]:.1f} % of {branches[1]} branches")
        for text in short:
            print(text)
        for what, is_now, least in zip(("lines", "branches"), reached, floors):
            if is_now < least:
                summary.append(f"{room}: less than {least} % of {what}")
                bad = True
    print("\n".join(summary))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
