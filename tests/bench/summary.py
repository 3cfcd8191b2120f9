# SPDX-License-Identifier: LGPL-2.1-or-later
"""One number made of many."""

import math


def median(values):
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def percentile(values, part):
    """The value that `part` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def percentile_95(values):
    return percentile(values, 0.95)
