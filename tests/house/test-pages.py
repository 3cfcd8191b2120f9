#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages have what the code has, and nothing else: members of the bus, keys and what they may be, options, exit codes, words. They are
rendered without a warning, and what they show is accepted by those it is for."""

import re

import xml.etree.ElementTree as ET

import pages
import tap
from pages import Page, read

BUS = Page("org.vipd1.5")
INTERFACES = {"THE MANAGER": "org.vipd1.Manager", "INSTANCES": "org.vipd1.Instance"}
ERROR = re.compile(r"org\.(?:vipd1|freedesktop\.DBus)\.Error\.\w+")


def differences(what, wanted, documented):
    for name in sorted(set(wanted) - set(documented)):
        yield f"{what}: {name} is missing"
    for name in sorted(set(documented) - set(wanted)):
        yield f"{what}: {name} does not exist"


def words_in(text):
    return set(re.findall(r"[a-z][a-z0-9-]*[a-z0-9]", text))


# --- the bus ------------------------------------------------------------------------------------------------------------------


def contract(interface):
    """The interface's element, and what the comment before each member says."""
    text = read(f"dbus/{interface}.xml")
    comments = {m[3]: re.sub(r"\s+", " ", m[1]) for m in re.finditer(r'<!--((?:(?!-->).)*)-->\s*<(property|method|signal) name="(\w+)"', text, re.S)}
    return ET.fromstring(text).find("interface"), comments


def arguments(member, direction):
    return ", ".join(f"{a.get('type')} {a.get('name')}" for a in member.findall("arg") if a.get("direction", "in") == direction)


def signature(member):
    """As the page writes it."""
    if member.tag == "property":
        return f"{member.get('name')} ({member.get('type')})"
    out = arguments(member, "out")
    return f"{member.get('name')}({arguments(member, 'in')})" + (f" -> {out}" if out else "")


def annotation(member, name):
    return {a.get("value") for a in member.findall("annotation") if a.get("name") == name}


def test_the_bus_page_has_every_member_with_its_signature():
    for section, interface in INTERFACES.items():
        members = contract(interface)[0]
        for kind, heading in (("property", "Properties"), ("method", "Methods"), ("signal", "Signals")):
            wanted = [signature(m) for m in members.findall(kind)]
            yield from differences(f"{interface}, {heading}", wanted, BUS.tags(f"{section}/{heading}"))


def test_the_bus_page_says_of_every_member_what_the_xml_says():
    """Which properties never change, which action a method is, and how it can fail."""
    for section, interface in INTERFACES.items():
        members, comments = contract(interface)
        entries = {tag.split("(")[0].strip(): e.text for e in BUS.of(section) for tag in e.tags}
        for m in members:
            name, text = m.get("name"), entries.get(m.get("name"), "")
            if m.tag == "property" and ("const" in annotation(m, "org.freedesktop.DBus.Property.EmitsChangedSignal")) != ("Constant." in text):
                yield f"{name}: is it constant?"
            if m.tag == "method":
                said = comments[comments[name].split("as ")[1].split("(")[0]] if re.search(r"Errors: as \w+\(\)", comments[name]) else comments[name]
                yield from differences(f"errors of {name}", ERROR.findall(said), ERROR.findall(text))
                actions = re.findall(r"Action: (org\.vipd1\.\w+)", text)
                yield from differences(f"action of {name}", annotation(m, "org.vipd1.PolkitAction"), actions)


def test_the_bus_page_has_every_error_and_action():
    code = "".join(read(f"dbus/{name}") for name in ("instance-bus.c", "manager-bus.c", "polkit.c"))
    said = set(re.findall(r"(?:refuse\(c|_setf?\(error|errorf\([\w>-]+), SD_BUS_ERROR_(\w+)", code)) - {"UNKNOWN_PROPERTY"}
    errors = {f"org.freedesktop.DBus.Error.{''.join(part.title() for part in name.split('_'))}" for name in said}
    errors |= set(re.findall(r'"(org\.vipd1\.Error\.\w+)"', read("dbus/names.h")))
    yield from differences("errors", errors, BUS.tags("ERRORS"))
    actions = {}
    for interface in INTERFACES.values():
        for m in contract(interface)[0].findall("method"):
            for action in annotation(m, "org.vipd1.PolkitAction"):
                actions.setdefault(action, set()).add(m.get("name"))
    yield from differences("actions", actions, BUS.tags("AUTHORIZATION"))
    for entry in BUS.of("AUTHORIZATION"):
        yield from differences(f"methods of {entry.tags[0]}", actions.get(entry.tags[0], ()), entry.text.split(", "))
    for action in ET.fromstring(read("polkit/org.vipd1.policy")).iter("action"):
        for default in action.find("defaults"):
            if default.text not in BUS.text("AUTHORIZATION"):
                yield f"{action.get('id')}: {default.text} is missing"


if __name__ == "__main__":
    tap.main(globals())
