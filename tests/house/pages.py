# SPDX-License-Identifier: LGPL-2.1-or-later
"""A manual page, read from its source as far as tests ask: sections, what stands behind each .TP, examples. Knows the macros of man(7)."""

import os
import re

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAN = os.path.join(TREE, "man")
WORDS = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
ESCAPES = [(r"\\f(?:\(..|.)", ""), (r"\\\(->", "->"), (r"\\\(bu", "*"), (r"\\\(dq", '"'), (r"\\\(mc", "µ"), (r"\\\([lr]q", '"'),
           (r"\\[~ ]", " "), (r"\\-", "-"), (r"\\&", ""), (r"\\e", r"\\")]


def plain(text):
    for pattern, replacement in ESCAPES:
        text = re.sub(pattern, replacement, text)
    return text


def words(text):
    return [m[1].replace('""', '"') if m[1] is not None else m[2] for m in WORDS.finditer(text)]


def line_text(line):
    """One line without its macro: fonts that alternate join their words, the others keep them apart."""
    macro, _, rest = line.partition(" ")
    if re.fullmatch(r"\.(BI|BR|IB|IR|RB|RI)", macro):
        return plain("".join(words(rest)))
    if macro in (".B", ".I", ".SH", ".SS"):
        return plain(" ".join(words(rest)))
    return "" if line.startswith(".") else plain(line)


class Entry:
    """What stands behind a .TP, with what is nested in it."""

    def __init__(self, section, tag, depth):
        self.section, self.tags, self.depth, self.lines = section, [tag], depth, []

    @property
    def text(self):
        """On one line."""
        return re.sub(r"\s+", " ", " ".join(self.lines)).strip()

    def __repr__(self):
        return f"{self.section}: {', '.join(self.tags)}"


class Page:
    """sections: name -> text; a subsection is named with its section before it, as in "THE MANAGER/Methods"."""

    def __init__(self, name):
        self.name = name
        with open(os.path.join(MAN, name), encoding="utf-8") as f:
            self.source = f.read()
        self.sections, self.entries, self.examples = {}, [], []
        self._read()

    def _read(self):
        section, subsection, stack, nests, expected = "", "", [], [], None
        for line in self.source.split("\n"):
            macro = line.partition(" ")[0]
            if macro in (".SH", ".SS"):
                subsection = line_text(line) if macro == ".SS" else ""
                section = section if macro == ".SS" else line_text(line)
                stack, nests = [], []
            elif macro in (".TP", ".TQ"):
                expected = macro
                continue
            elif macro == ".RS":
                nests.append(len(stack))
            elif macro == ".RE":
                stack = stack[:nests.pop()] if nests else []
            elif macro in (".PP", ".LP"):
                stack = stack[:nests[-1] if nests else 0]
            name = f"{section}/{subsection}" if subsection else section
            text = line_text(line)
            if expected == ".TQ":
                stack[-1].tags.append(text)
            elif expected == ".TP":
                for entry in stack[:nests[-1] if nests else 0]:
                    entry.lines.append(text)
                stack = stack[:nests[-1] if nests else 0] + [Entry(name, text, len(nests))]
                self.entries.append(stack[-1])
            else:
                for entry in stack:
                    entry.lines.append(text)
            expected = None
            if macro not in (".SH", ".SS"):
                self.sections[name] = self.sections.get(name, "") + text + "\n"
        self.examples = [plain(e) for e in re.findall(r"^\.EX\n(.*?)^\.EE$", self.source, re.S | re.M)]

    def of(self, section, depth=0):
        """The entries of a section and its subsections."""
        return [e for e in self.entries if (e.section == section or e.section.startswith(section + "/")) and (depth is None or e.depth == depth)]

    def tags(self, section, depth=0):
        return [tag for e in self.of(section, depth) for tag in e.tags]

    def text(self, section):
        """Of a section and its subsections, on one line."""
        return re.sub(r"\s+", " ", " ".join(t for name, t in self.sections.items() if name == section or name.startswith(section + "/")))


def names():
    """Of all pages; what only says where another one is, is none."""
    found = []
    for name in sorted(os.listdir(MAN)):
        if re.search(r"\.\d$", name):
            with open(os.path.join(MAN, name), encoding="utf-8") as f:
                if not f.read().startswith(".so "):
                    found.append(name)
    return found


def read(path):
    with open(os.path.join(TREE, path), encoding="utf-8") as f:
        return f.read()
