# SPDX-License-Identifier: LGPL-2.1-or-later
"""Facts, as tests await and check them; none is slept for."""

import time


class Skip(Exception):
    """This machine cannot show what the test is about."""


def wait(condition, what, timeout=10.0, every=0.005):
    """Awaits a fact: returns the first true value of condition(), fails with `what`, or what that returns, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(every)


def check(value, what):
    if not value:
        raise AssertionError(what)
