# SPDX-License-Identifier: LGPL-2.1-or-later
"""What man/vipctl.1 promises, read from its source: the schema of --json, verbs, options, metrics; and what org.vipd1(5) says of statistics."""

import os
import re
import sys

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests/house"))
from pages import Page, names  # pylint: disable=unused-import,wrong-import-position

PATH = os.path.join(TREE, "man/vipctl.1")


def plain(text):
    return re.sub(r"\\f.", "", text.replace("\\-", "-").replace("\\&", ""))


def text():
    with open(PATH, encoding="utf-8") as f:
        return f.read()


def section(name):
    return re.search(rf'^\.S[HS] {re.escape(name)}\n(.*?)(?=^\.SH|^\.SS|\Z)', text(), re.S | re.M)[1]


def tags(name):
    """The line behind each .TP and .TQ."""
    return [plain(line) for line in re.findall(r"^\.T[PQ]\n(.*)$", section(name), re.M)]


def fields(name):
    """path -> types: of a heading of the JSON section."""
    found = {}
    for tag in tags(name):
        path, types = re.fullmatch(r'\.BR (\S+) " \((.*)\)"', tag).groups()
        found[path] = types.split(" or ")
    return found


def verbs():
    return {re.match(r"(?:\.B )?(\S+)", tag)[1] for name in ("VERBS THAT SHOW", "VERBS THAT CHANGE") for tag in tags(name)}


def options():
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*=?", " ".join(tags("OPTIONS"))))


def metrics():
    return {word for tag in tags("METRICS") for word in re.findall(r"vipd_\w+", tag)}


def statistics():
    return {word for tag in Page("org.vipd1.5").tags("STATISTICS") for word in tag.split(", ")}


def is_a(value, kind):
    if kind == "any":
        return True
    return {"string": isinstance(value, str), "number": isinstance(value, int) and not isinstance(value, bool),
            "boolean": isinstance(value, bool), "null": value is None,
            "array of string": isinstance(value, list) and all(isinstance(v, str) for v in value),
            "array of object": isinstance(value, list) and all(isinstance(v, dict) for v in value)}[kind]


def complaints(value, *headings):
    """Where an object is not what the headings say, both ways."""
    wanted = {path: types for heading in headings for path, types in fields(heading).items()}
    found = [f"{name} is not documented" for name in value if name not in wanted]
    for path, types in wanted.items():
        if "[]." in path:
            array, member = path.split("[].")
            for item in value.get(array) or []:
                found += [] if member in item and any(is_a(item[member], t) for t in types) else [f"{path}: {item}"]
                found += [f"{array}[].{k} is not documented" for k in item if f"{array}[].{k}" not in wanted]
        elif path not in value:
            found += [] if "absent" in types else [f"{path} is missing"]
        elif not any(is_a(value[path], t) for t in types if t != "absent"):
            found.append(f"{path}: {value[path]!r} is not {types}")
        elif "null" in types and value[path] == "":
            found.append(f"{path}: nothing is null")
    return found
