#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The events with a message ID: each is unique, said somewhere, and explained by the catalog. Argument: the catalog."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import tap

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(TREE, "daemon/util/message-ids.h")
CATALOG = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TREE, "units/vipd.catalog")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def declared():
    return re.findall(r'^#define (MESSAGE_ID_\w+_STR) "(.*)"', read(HEADER), re.M)


def code():
    found = ""
    for top in ("checker", "daemon", "dbus"):
        for directory, _, names in os.walk(os.path.join(TREE, top)):
            found += "".join(read(os.path.join(directory, name)) for name in names if name.endswith(".c"))
    return found


def entries():
    """[(ID, {header: value}, body)]"""
    found = []
    for part in re.split(r"^-- ", read(CATALOG), flags=re.M)[1:]:
        identity, _, rest = part.partition("\n")
        head, _, body = rest.partition("\n\n")
        found.append((identity.strip(), dict(re.findall(r"^([\w-]+): (.*)$", head, re.M)), body.strip()))
    return found


def test_every_id_is_an_id_and_unique():
    seen = {}
    if not declared():
        yield f"nothing is declared in {HEADER}"
    for name, value in declared():
        if not re.fullmatch(r"[0-9a-f]{32}", value):
            yield f"{name} is not 32 hexadecimal digits: {value}"
        if value in seen:
            yield f"{name} and {seen[value]} are the same"
        seen[value] = name


def test_every_id_is_said_somewhere():
    text = code()
    for name, _ in declared():
        if not re.search(rf"\b{name}\b", text):
            yield f"{name} is declared, and nothing logs it"


def test_no_id_is_written_out_in_the_code():
    for value in re.findall(r'"[0-9a-f]{32}"', code()):
        yield f"{value} belongs into message-ids.h"


def test_the_catalog_has_the_same_list():
    names, catalog = {value: name for name, value in declared()}, [identity for identity, _, _ in entries()]
    for value, name in names.items():
        if catalog.count(value) != 1:
            yield f"{name} has {catalog.count(value)} entries"
    for identity in catalog:
        if identity not in names:
            yield f"entry {identity} explains nothing that is declared"


def test_every_entry_is_complete():
    said = set(re.findall(r'"(VIPD_\w+)"', code()))
    for identity, headers, body in entries():
        for key in ("Subject", "Defined-By", "Support", "Documentation"):
            if not headers.get(key):
                yield f"{identity} has no {key}:"
        if headers.get("Defined-By") != "vipd":
            yield f"{identity} is defined by {headers.get('Defined-By')}"
        if body.count("\n\n") < 1:
            yield f"{identity} should say what happened and, in another paragraph, what to do"
        for field in re.findall(r"@(\w+)@", headers.get("Subject", "") + body):
            if field not in said:
                yield f"{identity} uses {field}, which no line has"


def test_journalctl_reads_it():
    with tempfile.TemporaryDirectory(prefix="vipd-catalog-") as root:
        os.makedirs(f"{root}/usr/lib/systemd/catalog")
        os.makedirs(f"{root}/var/lib/systemd/catalog")
        shutil.copy(CATALOG, f"{root}/usr/lib/systemd/catalog/vipd.catalog")
        result = subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], capture_output=True, text=True)
        if result.returncode != 0 or result.stderr:
            yield f"update-catalog: {result.returncode} {result.stderr}"
            return
        listing = subprocess.run(["journalctl", f"--root={root}", "--list-catalog"], capture_output=True, text=True, check=True).stdout
        for identity, headers, _ in entries():
            if not re.search(rf"^{identity} vipd: {re.escape(headers['Subject'])}$", listing, re.M):
                yield f"journalctl does not list {identity}:\n# {listing}"


if __name__ == "__main__":
    tap.main(globals())
