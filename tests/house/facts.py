# SPDX-License-Identifier: LGPL-2.1-or-later
"""Facts, as tests await and check them; none is slept for."""

import time


class Skip(Exception):
    """This machine cannot show what the test is about."""


def wait(condition, what, timeout=10.0, every=None):
    """Awaits a fact: returns the first true value of condition(), fails with `what`, or what that returns, after `timeout` seconds. It asks again
    after `every` seconds, for who needs the moment; else after a pause that leaves what is awaited the processor: four times as long as the answer
    took, as many wait at once, and longer the longer it waits, up to half a second."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        answered = time.monotonic()
        if answered > began + timeout:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(every or min(max(0.005, 4 * (answered - asked), min((answered - began) / 50, 0.1)), 0.5))


def check(value, what):
    if not value:
        raise AssertionError(what)
