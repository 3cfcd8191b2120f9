# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the functions test_... of a script and prints TAP. A test returns its complaints, one a line; none is good."""

import sys


def main(namespace):
    tests = {name[5:].replace("_", "-"): f for name, f in namespace.items() if name.startswith("test_")}
    failed = 0
    print(f"TAP version 13\n1..{len(tests)}")
    for number, (name, test) in enumerate(tests.items(), 1):
        complaints = list(test())
        failed += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {number} - {name}")
        for line in complaints:
            print(f"# {line}")
    sys.exit(1 if failed else 0)
