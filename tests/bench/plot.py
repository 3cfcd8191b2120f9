# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gaps of a run as a picture: SVG that needs nothing, and can be read on white and on black."""

import math
from xml.sax.saxutils import escape

import figures
from summary import median, percentile_95

COLOURS = {"vipd": "#1a8f5a", "ucarp": "#c9762a", "keepalived": "#4a7bd0"}
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 900, 270, 110, 54, 46, 10
DECADES = (-1, 4)  # 0.1 ms to 10 s
WORTH_TELLING_MS = 100

# grey that shows on both, for whoever does not say what it is shown on
STYLE = """text { font: 13px system-ui, sans-serif; fill: #768390 } .small { font-size: 11px } .range { stroke: #768390 }
.grid { stroke: #768390; stroke-opacity: 0.3 } @media (prefers-color-scheme: light) { text { fill: #24292f } .range { stroke: #24292f } }
@media (prefers-color-scheme: dark) { text { fill: #d6dde4 } .range { stroke: #d6dde4 } }"""


def x(milliseconds):
    """Logarithmic; what is shorter than the first decade is at its edge."""
    low, high = DECADES
    at = (math.log10(max(milliseconds, 10 ** low)) - low) / (high - low)
    return LEFT + min(at, 1) * (WIDTH - LEFT - RIGHT)


def label(milliseconds):
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"


def bar(y, program, values, twice):
    """A bar to the median, a line to the 95th percentile, and the median in figures. twice: for how many ms two hosts held the
    address."""
    middle, end = median(values), percentile_95(values)
    number = "none lost" if not any(values) else figures.text(middle, "ms")
    if twice and twice >= WORTH_TELLING_MS:
        number += f", but held by two hosts {'for ' if twice != math.inf else ''}{figures.text(twice, 'ms')}"
    parts = [f'<rect x="{LEFT}" y="{y}" width="{max(x(middle) - LEFT, 2):.1f}" height="{BAR}" rx="2" fill="{COLOURS[program]}"/>']
    if end > middle:
        parts.append(f'<path class="range" d="M{x(middle):.1f} {y + BAR / 2}H{x(end):.1f}m0 -3v6" fill="none"/>')
    parts.append(f'<text class="small" x="{x(max(middle, end)) + 6:.1f}" y="{y + BAR - 1}">{number}</text>')
    return parts


def legend():
    parts, at = [], LEFT
    for program, colour in COLOURS.items():
        parts.append(f'<rect x="{at}" y="12" width="12" height="12" rx="2" fill="{colour}"/><text x="{at + 18}" y="23">{program}</text>')
        at += 110
    return parts


def svg(facts):
    results = figures.of(facts)
    shown = [(f, {p: f.values(results, p) for p in figures.PROGRAMS}) for f in figures.GAPS]
    shown = [(f, found) for f, found in shown if any(found.values())]
    height = TOP + ROW * len(shown) + 16
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
             "<title>How long a client misses the address: median, and 95th percentile</title>", f"<style>{STYLE}</style>", *legend()]
    for decade in range(DECADES[0], DECADES[1] + 1):
        at = x(10 ** decade)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP - 4}V{height - 8}"/><text class="small" x="{at:.1f}" y="{TOP - 10}" '
                     f'text-anchor="middle">{label(10 ** decade)}</text>')
    for k, (figure, found) in enumerate(shown):
        y = TOP + ROW * k + 4
        parts.append(f'<text x="{LEFT - 12}" y="{y + 21}" text-anchor="end">{escape(figure.title)}</text>')
        for n, program in enumerate(figures.PROGRAMS):
            if found[program]:
                parts += bar(y + n * (BAR + 3), program, found[program], figure.twice and figure.twice.number(results, program))
    return "\n".join([*parts, "</svg>"]) + "\n"
