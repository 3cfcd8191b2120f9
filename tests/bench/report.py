# SPDX-License-Identifier: LGPL-2.1-or-later
"""The results as tables of text. What it reads is what is written as JSON, so that an earlier run can be shown again."""

LOADED = 1.0  # a sample that began with more than this load was taken on a busy machine
LOCKED_USEC = 1000  # and one during which the kernel's network lock was not to be had for longer than this, on one that disturbed it


def rows(group, result):
    """[(row, what the run has of it)], for the rows that it has."""
    known = {row.label(): row for row in group.rows}
    return [(known[f"{r['program']} {r['setting']}".strip()], r) for r in result["rows"]]


def ratio(value, base):
    return f"x{value / base:.2f}" if value and base and value != float("inf") else ""


def align(lines):
    widths = [max(len(cells[k]) for cells in lines if k < len(cells)) for k in range(max(map(len, lines)))]
    return "\n".join("  ".join(cell.ljust(widths[k]) if k == 0 else cell.rjust(widths[k]) for k, cell in enumerate(cells)).rstrip()
                     for cells in lines)


def table(group, result, which):
    """One of a group's tables: a line for each row, and one for those of its samples that nothing disturbed."""
    columns = group.tables[which].columns
    lines = [["", "n", "failed", "loaded", "locked"] + [c.title for c in columns] + ["against vipd"]]
    bases = {}
    for row, found in rows(group, result):
        samples = found["samples"]
        free = [s for s in samples if s.get("lock_us", 0) <= LOCKED_USEC]
        for name, chosen in ((row.label(), samples), ("   with the lock free", free)):
            if chosen is free and len(free) in (0, len(samples)):
                continue
            cells = [name, str(len(chosen)), str(len(found["failures"])) if chosen is samples else "",
                     str(sum(s["load1"] > LOADED for s in chosen)), str(len(samples) - len(free)) if chosen is samples else ""]
            if chosen:
                value = columns[0].number(chosen)
                base = bases.setdefault((row.of, chosen is samples), value)
                cells += [c.text(chosen) for c in columns] + [ratio(value, base)]
            lines.append(cells)
    return align(lines)


def tables(name, group, result):
    """All of a group, with their titles."""
    return "\n".join(f"\n{name}: {t.title or group.title}\n{table(group, result, k)}" for k, t in enumerate(group.tables))
