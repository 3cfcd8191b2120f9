#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coverage.py [--whole] BUILD: builds and runs suite unit with -Db_coverage=true, and holds the rooms below to their floors.

--whole, as root, runs every suite that can run in such a build, and holds all that ships to a floor of lines; it takes as long as they do.
Processes that are killed, as tests of crashes do, leave no counts behind.

Counts by gcov, of lines and of branches both ways. Not counted, as no test can or should reach them: the failing side of an
assert(), and the way out of a switch over an enum of ours of which every member has its case. Names every line that is short.
"""

import collections
import json
import os
import re
import struct
import subprocess
import sys

# room: least percentage of lines, of branches. They only rise: raise them with the tests that let them.
FLOORS = {
    "daemon/core": (99, 98.5),
    "daemon/proto": (99.5, 98.5),
}

# the same of everything, over these suites
WHOLE_FLOOR = 85
WHOLE = ("checker", "container", "ctl", "daemon", "dbus")
WHOLE_SUITES = ("unit", "fuzz", "io", "bus", "checker", "ctl", "net")

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files_below(directory, ending):
    return [os.path.join(d, name) for d, _, names in os.walk(directory) for name in names if name.endswith(ending)]


def gcov(build, directory, rooms):
    """{source: {line: [count, [count per branch]]}} of the rooms, summed over the objects below the directory of the build that contain it."""
    found = collections.defaultdict(dict)
    for notes in files_below(os.path.join(build, directory), ".gcno"):
        output = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", os.path.relpath(notes, build)],
                                cwd=build, capture_output=True, text=True, check=True).stdout
        for file in json.loads(output)["files"]:
            source = os.path.relpath(os.path.join(build, file["file"]), TREE)
            if not source.startswith(tuple(room + "/" for room in rooms)):
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
    for source, counts in sorted(gcov(build, room, (room,)).items()):
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


def run_tests(build, suites):
    """Builds what they need, and says whether all of them passed. They mostly wait, so there are more side by side than processors."""
    chosen = [word for suite in suites for word in ("--suite", suite)]
    tests = subprocess.run(["meson", "test", "-C", build, "--print-errorlogs", "--num-processes", str(os.cpu_count() * 3), *chosen],
                           capture_output=True, text=True)
    if tests.returncode != 0:
        print(tests.stdout)
    return tests.returncode == 0


def open_to_all(directory):
    """The daemon runs as another user than the tests, and both write counts of the same objects: an ACL that their umask does not change."""
    os.chmod(directory, 0o777)
    entries = b"".join(struct.pack("<HHI", tag, 7, 0xFFFFFFFF) for tag in (0x01, 0x04, 0x20))  # owner, group, others
    os.setxattr(directory, "system.posix_acl_default", struct.pack("<I", 2) + entries)


def is_reachable(path):
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


def main_whole(build):
    if not is_reachable(build):
        print(f"{build} cannot be reached by every user, as whom the daemon and its checks run")
        return 1
    for directory in {build, *(os.path.dirname(p) for p in files_below(build, ".gcno"))}:
        open_to_all(directory)
    passed, total, summary = run_tests(build, WHOLE_SUITES), [0, 0], []
    # what a test compiles once more is counted with it
    found = gcov(build, "", WHOLE)
    for room in WHOLE:
        room_lines = [0, 0]
        for source in sorted(s for s in found if s.startswith(room + "/")):
            lines = [sum(count > 0 for count, _ in found[source].values()), len(found[source])]
            room_lines = [a + b for a, b in zip(room_lines, lines)]
            print(f"{source}: {100 * lines[0] / lines[1]:.1f} % of {lines[1]} lines")
        total = [a + b for a, b in zip(total, room_lines)]
        summary.append(f"{room}: {100 * room_lines[0] / max(room_lines[1], 1):.1f} % of {room_lines[1]} lines")
    reached = 100 * total[0] / max(total[1], 1)
    summary.append(f"the whole: {reached:.1f} % of {total[1]} lines")
    if reached < WHOLE_FLOOR:
        summary.append(f"the whole: less than {WHOLE_FLOOR} % of lines")
    if not passed:
        summary.append("and not every test passed")
    print("\n".join(summary))
    return 0 if passed and reached >= WHOLE_FLOOR else 1


def main_rooms(build):
    if not run_tests(build, ["unit"]):
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


def main():
    whole = sys.argv[1:2] == ["--whole"]
    build = os.path.abspath(sys.argv[2 if whole else 1])
    for path in files_below(build, ".gcda"):
        os.unlink(path)
    return main_whole(build) if whole else main_rooms(build)


if __name__ == "__main__":
    sys.exit(main())
