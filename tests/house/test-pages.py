#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages have what the code has, and nothing else: members of the bus, keys and what they may be, options, exit codes, words. They are
rendered without a warning, and what they show is accepted by those it is for."""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET

import pages
import tap
from pages import Page, read

BUILD = os.environ.get("VIPD_BUILD", os.path.join(pages.TREE, "build"))
VIPD = os.path.join(BUILD, "vipd")
SAME_CONFIG = os.path.join(BUILD, "tests/house/same-config")
BUS, NAME_VIP, VIPD_CONF = Page("org.vipd1.5"), Page("name.vip.5"), Page("vipd.conf.5")
INTERFACES = {"THE MANAGER": "org.vipd1.Manager", "INSTANCES": "org.vipd1.Instance"}
# words for a default that are written as an empty value
NOTHING = ("none", "never", "one dead interval", "the first usable address of the interface", "the system's")
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


# --- configuration ------------------------------------------------------------------------------------------------------------


def keys_of_code():
    """(section, key) -> the kind of check that has it, for those that one kind has alone."""
    found = {(section, key): None for section, key in re.findall(r'^\s+\{ "(\w+)", "(\w+)", \w+, ', read("daemon/config-keys.c"), re.M)}
    for key, kind in re.findall(r'^\s+\{ "Check", "(\w+)", .*?(?:TYPE\((\w+)\)|0) \},$', read("daemon/config-checks.c"), re.M):
        found["Check", key] = kind.lower()
    return found


class Key:
    """As name.vip(5) has it."""

    def __init__(self, section, name, entry, which):
        self.section, self.name, self.text = section, name, entry.text
        default = re.search(r"Default: (.*?)\.(?: |$)", entry.text)
        self.default = default and (default[1].split(" and ")[which] if len(entry.tags[0].split(", ")) > 1 and " and " in default[1] else default[1].split(",")[0])
        self.required = "equired" in entry.text


def keys_of_page():
    found = {}
    for section in NAME_VIP.sections:
        heading = re.fullmatch(r"SECTION \[(\w+)( NAME)?\]", section)
        for entry in NAME_VIP.of(section) if heading else ():
            for k, name in enumerate(entry.tags[0].split(", ")):
                found[heading[1], name.rstrip("=")] = Key(heading[1], name.rstrip("="), entry, k)
    return found


def without_effect():
    """(section, key) -> the value that is accepted."""
    return {(section, key): value for key, value, section in re.findall(r"(\w+)=(\w+) +in \[(\w+)\]", NAME_VIP.text("KEYS WITHOUT EFFECT"))}


def test_every_key_is_in_the_manual():
    code, page, reserved = keys_of_code(), keys_of_page(), without_effect()
    if len(code) < 40:
        yield f"only {len(code)} keys were found in the code"
    yield from differences("name.vip(5)", code, list(page) + list(reserved))
    for key in page.values():
        if not key.default and not key.required:
            yield f"{key.name}= has neither a default nor is it required"
    yield from differences("vipd.conf(5)", re.findall(r'a->key, "(\w+)"', read("daemon/config-load.c")),
                           [tag.rstrip("=") for tag in VIPD_CONF.tags("DESCRIPTION")])
    kinds = [key for key, kind in keys_of_code().items() if kind]
    if not kinds:
        yield "no key of one kind of check was found"


CHECKS = {"unit": "Unit=haproxy.service", "link": "Interface=eth1", "command": "Command=/bin/true", "http": "URL=http://127.0.0.1/",
          "tcp": "Address=127.0.0.1:80"}


class Directory:
    """Instances that differ in one line each."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="vipd-pages-")
        self.n = 0
        self.names = {}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.path)

    def add(self, section, key, value):
        """value None: without the key."""
        self.n += 1
        name = f"i{self.n:03}"
        self.names[name] = f"{key}={value}"
        lines = {"VIP": [f"Address=2001:db8::{self.n}", f"Interface={name}"], "CARP": ["VHID=1", "Passphrase=secret"]}
        kind = keys_of_code()[section, key] or "command"
        if section == "Check":
            lines["Check one"] = [f"Type={kind}", CHECKS[kind]]
        where = "Check one" if section == "Check" else section
        kept = [line for line in lines.get(where, []) if value is None or not line.startswith(f"{key}=")]
        lines[where] = kept + ([] if value is None else [f"{key}={value}"])
        with open(os.open(f"{self.path}/{name}.vip", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
            for heading, content in lines.items():
                f.write("\n".join([f"[{heading}]", *content, ""]))
        return name

    def said(self):
        """name -> what vipd --check says of it."""
        r = subprocess.run([VIPD, "--check", self.path], capture_output=True, text=True, check=False, timeout=30)
        found = {name: [] for name in self.names}
        for line in r.stdout.splitlines():
            if line.startswith(f"{self.path}/"):  # not of the directory, which may be without instances
                found[line[len(self.path) + 1:].split(".vip")[0]].append(line.split(": ", 1)[1])
        return found


def different(a, b):
    """Names of instances that are not the same."""
    r = subprocess.run([SAME_CONFIG, a.path, b.path], capture_output=True, text=True, check=True, timeout=30)
    return set(r.stdout.split())


def other_than(value):
    """Another value of the same kind, or None."""
    if value in ("yes", "no"):
        return "no" if value == "yes" else "yes"
    if re.fullmatch(r"\d+", value):
        return str(int(value) + 1)
    return "7s" if re.fullmatch(r"\d+m?s", value) else None


def test_what_the_manual_calls_the_default_is_the_default():
    """And another value is not: so a difference would be seen."""
    with Directory() as without, Directory() as default, Directory() as other:
        changed = set()
        for key in keys_of_page().values():
            if not key.default:
                continue
            value = "" if key.default in NOTHING else key.default
            without.add(key.section, key.name, None)
            default.add(key.section, key.name, value)
            name = other.add(key.section, key.name, other_than(value) or value)
            if other_than(value):
                changed.add(name)
        said = default.said()
        for name in sorted(different(without, default)):
            yield f"{default.names[name]} is not the default; {'; '.join(said[name])}"
        for name in sorted(changed ^ different(without, other)):
            yield f"{other.names[name]} is the default, or not the same as the default"
        if len(changed) < 20:
            yield f"only {len(changed)} defaults were compared"


def bounds(text):
    """What a range of the manual allows, and what it does not, as [values], [values]."""
    found = re.search(r"\b(\d+)(ms|h|s)? to (\d+)(ms|h|s)?\b", text)
    if found:
        low, low_unit, high, high_unit = found.groups()
        if high_unit:
            return [low + low_unit, high + high_unit], [f"{int(low) * 1000 - 1}us", f"{high}{high_unit} 1us"]
        return [low, high], [str(int(low) - 1), str(int(high) + 1)]
    if "at least 1ms" in text:
        return ["1ms"], ["999us", "0"]
    if "above 0 and at most 1h" in text:
        return ["1us", "1h"], ["0", "1h 1us"]
    return [], []


def allowed(sentence):
    """What of the daemon's sentence about a wrong value the manual has to say, too."""
    what = re.sub(r",? such as .*|\(.*\)$", "", sentence.partition("allowed is ")[2] or sentence.partition("allowed are ")[2])
    if what == "yes or no":
        return {"oolean"}
    if re.fullmatch(r"[a-z]+(?:, [a-z]+)*,? or [a-z]+", what):
        return set(re.findall(r"[a-z]+", what)) - {"or"}
    numbers = set(re.findall(r"\b\d+(?:ms|s|h)?\b", what))
    return numbers | ({"bsolute path"} if "absolute path" in what else set())


def test_what_the_manual_allows_is_what_the_daemon_allows():
    page = keys_of_page()
    with Directory() as wrong, Directory() as good, Directory() as bad:
        names = {wrong.add(section, name, "@ @"): page[section, name] for section, name in page}
        said, n = wrong.said(), 0
        for name, key in names.items():
            sentence = next((s for s in said[name] if s.startswith(f"error: {key.name}=") and "allowed" in s), "")
            for word in allowed(sentence):
                if word not in key.text:
                    yield f"{key.name}=: {word} is missing in name.vip(5), as the daemon says {sentence}"
            ranged = "whole number" in sentence or " time " in sentence
            for value in bounds(key.text)[0] if ranged else ():
                n += 1
                good.add(key.section, key.name, value)
            for value in bounds(key.text)[1] if ranged else ():
                bad.add(key.section, key.name, value)
        yield from (f"{good.names[name]}: {'; '.join(lines)}" for name, lines in good.said().items() if any("error: " in line for line in lines))
        yield from (f"{bad.names[name]} is accepted" for name, lines in bad.said().items() if not any("error: " in line for line in lines))
        if n < 20:
            yield f"only {n} ends of ranges were found"


def test_what_is_required_is_required():
    """A value of nothing is none."""
    with Directory() as directory:
        for key in keys_of_page().values():
            if key.required and not key.default and "assphrase" not in key.name:
                directory.add(key.section, key.name, "")
        yield from (f"{directory.names[name]} is accepted" for name, lines in directory.said().items() if not any("error: " in line for line in lines))
        if directory.n < 8:
            yield f"only {directory.n} keys are required"


def test_the_log_levels_of_the_manual_are_those_of_the_daemon():
    entry = next(e for e in VIPD_CONF.of("DESCRIPTION") if e.tags == ["LogLevel="])
    default = re.search(r"Default: (\w+)", entry.text)[1]
    with Directory() as without, Directory() as with_it:
        for level, expected in ((default, set()), ("debug", {"vipd.conf"})):
            with open(f"{with_it.path}/vipd.conf", "w", encoding="utf-8") as f:
                f.write(f"[Daemon]\nLogLevel={level}\n")
            if different(without, with_it) != expected:
                yield f"LogLevel={level} is as different from the default as {different(without, with_it)}"
        with open(f"{with_it.path}/vipd.conf", "w", encoding="utf-8") as f:
            f.write("[Daemon]\nLogLevel=loud\n")
        r = subprocess.run([VIPD, "--check", with_it.path], capture_output=True, text=True, check=False, timeout=30)
        yield from (f"{word} is missing in vipd.conf(5)" for word in allowed(r.stdout.strip()) if word not in entry.text)


def test_reserved_keys_take_one_value():
    with Directory() as good, Directory() as bad:
        for (section, key), value in without_effect().items():
            good.add(section, key, value)
            bad.add(section, key, "something")
        yield from (f"{good.names[name]}: {lines}" for name, lines in good.said().items() if lines)
        yield from (f"{bad.names[name]} is accepted" for name, lines in bad.said().items() if not lines)


# --- how they look ------------------------------------------------------------------------------------------------------------


def reference_names(page):
    """[(name, section)] of what a page refers to."""
    return re.findall(r"\b([A-Za-z][\w.@-]*)\((\d)\)", plain_text(page))


def plain_text(page):
    return "\n".join(page.sections.values())


def own(name):
    return name.startswith(("vip", "name.vip", "org.vipd1"))


def stub_target(name):
    """The page that an alias stands for, or None."""
    found = re.match(r"\.so man\d/(\S+)\n$", read(f"man/{name}"))
    return found and found[1]


def test_pages_are_rendered_without_a_warning():
    """But for the missing date: a page is as old as the version in its footer; and for lines in which one long word is all there is."""
    for name in pages.names():
        path = os.path.join(pages.MAN, name)
        for argv in (["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path], ["groff", "-man", "-Tutf8", "-ww", "-z", path],
                     ["mandoc", "-T", "lint", "-W", "warning", path]):
            r = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60,
                               env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            said = r.stderr + (r.stdout if argv[0] == "mandoc" else "")
            yield from (line for line in said.splitlines() if not line.endswith(('WARNING: missing date, using "": TH', "cannot adjust line")))


def test_every_page_has_the_version_and_is_installed():
    version = re.search(r"version: '([^']+)'", read("meson.build"))[1]
    installed = re.findall(r"'(.*\.\d)'", read("man/meson.build"))
    yield from differences("man/meson.build", [name for name in os.listdir(pages.MAN) if re.search(r"\.\d$", name)], installed)
    for name in pages.names():
        title, section, what = re.search(r'^\.TH (\S+) (\d) "" "(.*?)" ', read(f"man/{name}"), re.M).groups()
        if (pages.plain(title).lower(), section, what) != (name.rsplit(".", 1)[0].lower(), name[-1], f"vipd {version}"):
            yield f"{name} calls itself {title}({section}) of {what}"


def test_every_name_of_a_page_leads_to_it():
    for name in pages.names():
        for alias in Page(name).text("NAME").split(" - ")[0].strip().split(", "):
            found = [n for n in os.listdir(pages.MAN) if n.rsplit(".", 1)[0] == alias]
            if len(found) != 1 or (found[0] != name and stub_target(found[0]) != name):
                yield f"{name} is {alias}, too, and {found} is what leads there"
    for name in set(os.listdir(pages.MAN)) - set(pages.names()) - {"meson.build"}:
        if name.rsplit(".", 1)[0] not in Page(stub_target(name)).text("NAME"):
            yield f"{name} leads to a page that does not know of it"


def test_every_reference_leads_somewhere():
    """To a page of ours in its section; and for others, where their page is installed at all, in that section."""
    ours = {tuple(name.rsplit(".", 1)) for name in os.listdir(pages.MAN)}
    theirs = {}
    for path in glob.glob("/usr/share/man/man?/*"):
        name, _, section = os.path.basename(path).removesuffix(".gz").rpartition(".")
        theirs.setdefault(name, set()).add(section[:1])
    places = {f"man/{name}": reference_names(Page(name)) for name in pages.names()}
    for path in ("README.md", *(f"docs/{name}" for name in os.listdir(os.path.join(pages.TREE, "docs")) if name.endswith(".md"))):
        places[path] = re.findall(r"(?<![\w`/.])([a-z][\w.@-]*)\((\d)\)", read(path))
    places["units"] = re.findall(r"man:([\w.@-]+)\((\d)\)", "".join(read(f"units/{name}") for name in os.listdir(os.path.join(pages.TREE, "units"))))
    for place, found in places.items():
        if not found:
            yield f"no reference was found in {place}"
        for name, section in set(found):
            if own(name) and (name, section) not in ours or not own(name) and section not in theirs.get(name, section):
                yield f"{place}: {name}({section}) does not exist"
    for name in pages.names():
        see = re.findall(r"([\w.@-]+)\((\d)\)", Page(name).text("SEE ALSO"))
        if not see or len(see) != len(set(see)) or tuple(name.rsplit(".", 1)) in see:
            yield f"SEE ALSO of {name}: {see}"


# --- programs -----------------------------------------------------------------------------------------------------------------


DAEMON, UCARP, CHECKER, HOOK = Page("vipd.8"), Page("vipd-ucarp.8"), Page("vipd-checker.8"), Page("vipd-digitalocean@.service.8")


def run(*argv):
    """Exit status and output of a program of the build, without what this process was told by its environment."""
    r = subprocess.run([os.path.join(BUILD, argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30,
                       env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}})
    return r.returncode, r.stdout + r.stderr


def options(text):
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", text))


def test_every_option_is_in_the_manual():
    for page, help_text in ((DAEMON, run("vipd", "--help")[1]), (UCARP, run("vipd-ucarp", "--help")[1])):
        wanted = options(" ".join(re.findall(r"^  (-.*?)(?:  |$)", help_text, re.M)))
        documented = options(" ".join(page.tags("OPTIONS")))
        yield from differences(page.name, wanted, documented)
        if len(wanted) < 8:
            yield f"only {wanted} was found in the help of {page.name}"
    lower = {f"--{name}" for name in re.findall(r'^        \{ "(\w+)", \w+_argument', read("daemon/ucarp-options.c"), re.M)}
    yield from differences("vipd-ucarp's own table", lower, {o for o in options(" ".join(UCARP.tags("OPTIONS"))) if o.startswith("--")})


def test_every_exit_code_is_in_the_manual_and_happens():
    tried = {
        DAEMON: [(0, "vipd", "--version"), (1, "vipd", "--check", "/nonexistent"), (2, "vipd", "--nonsense"), (2, "vipd", "nonsense"),
                 (2, "vipd", "--log-level=loud")],
        UCARP: [(0, "vipd-ucarp", "-h"), (1, "vipd-ucarp", "-v", "0"), (2, "vipd-ucarp", "-m", "192.0.2.1")],
        CHECKER: [(2, "checker/vipd-checker")],
    }
    for page, calls in tried.items():
        for expected, *argv in calls:
            status, said = run(*argv)
            if status != expected:
                yield f"{' '.join(argv)}: {status}, {said}"
    for page, codes in ((DAEMON, "012"), (UCARP, "012"), (CHECKER, "012")):
        yield from differences(f"exit codes of {page.name}", codes, page.tags("EXIT STATUS"))
    yield from differences(f"exit codes of {HOOK.name}", ["0", *re.findall(r"^EX_\w+ = (\d+)$", read("hooks/cloud.py"), re.M)], HOOK.tags("EXIT STATUS"))


def test_every_signal_is_in_the_manual():
    for page, source in ((DAEMON, "daemon/main.c"), (UCARP, "daemon/ucarp-main.c")):
        wanted = re.search(r"signals\[\] = \{ (.*?) \};", read(source))[1].split(", ")
        yield from differences(f"signals of {page.name}", wanted, [name for tag in page.tags("SIGNALS") for name in tag.split(", ")])


def sources(*rooms):
    found = ""
    for room in rooms:
        for directory, _, names in os.walk(os.path.join(pages.TREE, room)):
            found += "".join(read(os.path.join(directory, name)) for name in names if name.endswith(".c"))
    return found


def test_every_variable_is_in_the_manual():
    """But for those of which systemd's library tells what it needs, and the terminal's; and with the one that it reads for us."""
    for page, rooms, others, more in ((DAEMON, ("daemon",), {"JOURNAL_STREAM", "NOTIFY_SOCKET"}, set()),
                                      (Page("vipctl.1"), ("ctl",), {"TERM"}, {"DBUS_SYSTEM_BUS_ADDRESS"})):
        wanted = set(re.findall(r'getenv\("(\w+)"', sources(*rooms))) - others | more
        yield from differences(f"variables of {page.name}", wanted, re.findall(r"\b[A-Z][A-Z_]+\b", " ".join(page.tags("ENVIRONMENT"))))


# --- words --------------------------------------------------------------------------------------------------------------------


def table_of(source, prefix):
    """The words of a table with an index of this prefix."""
    return set(re.findall(rf'\[{prefix}_\w+\] = "([a-z-]+)"', read(source)))


def test_every_reason_is_explained():
    reasons = table_of("daemon/core/election.c", "ELECTION_REASON")
    if len(reasons) < 20:
        yield f"only {reasons} was found in the code"
    explained = [word for tag in DAEMON.tags("STATES AND REASONS") for word in tag.split(", ")]
    yield from differences("reasons in vipd(8)", reasons, explained)
    if len(explained) != len(set(explained)):
        yield f"one is explained twice: {explained}"
    text = next(e.text for e in BUS.of("INSTANCES") if e.tags[0] == "Reason (s)")
    yield from differences("reasons in org.vipd1(5)", reasons, words_in(re.search(r"stays: (.*?)\. They", text)[1]) - {"or"})


def test_every_state_is_in_the_manual():
    states = table_of("daemon/core/election.c", "ELECTION_STATE")
    for text in (next(e.text for e in BUS.of("INSTANCES") if e.tags[0] == "State (s)"), DAEMON.text("STATES AND REASONS").split("With the state")[0]):
        yield from (f"{state} is missing in {text}" for state in states if state not in words_in(text))


def test_every_cause_is_explained():
    causes = table_of("daemon/diagnosis.c", "DIAGNOSIS")
    yield from differences("causes in vipd(8)", causes, [word for tag in DAEMON.tags("HOSTS THAT DO NOT FIT") for word in tag.split(", ")])
    if len(causes) < 5:
        yield f"only {causes} was found in the code"


def test_every_field_of_the_journal_is_explained():
    said = set(re.findall(r'\{ "(VIPD_\w+)", ', sources("checker", "daemon", "dbus")))
    yield from differences("fields in vipd(8)", said, [name for tag in DAEMON.tags("LOG") for name in tag.split(", ")])


def test_every_event_is_listed():
    declared = re.findall(r'^#define MESSAGE_ID_\w+ "(\w+)"', read("daemon/util/message-ids.h"), re.M)
    yield from differences("events in vipd(8)", declared, DAEMON.tags("EVENTS"))
    for name in pages.names():
        yield from (f"{name}: {value} is no event" for value in re.findall(r"\b[0-9a-f]{32}\b", plain_text(Page(name))) if value not in declared)


# --- units --------------------------------------------------------------------------------------------------------------------


UNITS = Page("vipd.units.7")


def unit_examples():
    """[(page, unit, is a drop-in, text)]"""
    for name in pages.names():
        for text in Page(name).examples:
            if re.search(r"^\[(Unit|Service)\]$", text, re.M):
                found = re.match(r"# (?:systemctl edit |/etc/systemd/system/)(\S+)\n", text)
                yield name, found and found[1], "systemctl edit" in text, text


def test_every_unit_shown_is_one_for_systemd():
    with tempfile.TemporaryDirectory(prefix="vipd-pages-") as directory:
        shown = []
        for unit in glob.glob(f"{BUILD}/units/*.service") + glob.glob(os.path.join(pages.TREE, "units/*.target")):
            shutil.copy(unit, directory)
        for page, unit, drop_in, text in unit_examples():
            if not unit:
                yield f"{page}: the first line does not say where this belongs: {text.splitlines()[0]}"
                continue
            base = f"{directory}/{unit}"
            if drop_in:
                os.makedirs(f"{base}.d", exist_ok=True)
            with open(f"{base}.d/{len(shown)}.conf" if drop_in else base, "w", encoding="utf-8") as f:
                # programs that the reader has
                f.write(re.sub(r"(?<==)/usr/local/\S+", "/bin/true", text))
            for needed in (unit, unit.replace(".timer", ".service")):
                if not os.path.exists(f"{directory}/{re.sub('@.*[.]', '@.', needed)}"):
                    with open(f"{directory}/{needed}", "w", encoding="utf-8") as f:
                        f.write("[Service]\nExecStart=/bin/true\n")
            shown.append(unit)
        # so that programs of the package need not be installed
        for unit in glob.glob(f"{directory}/vipd*.service"):
            with open(unit, encoding="utf-8") as f:
                text = f.read()
            with open(unit, "w", encoding="utf-8") as f:
                f.write(re.sub(r"(?<==)[-+]?/\S*/(vipd|digitalocean)\b", "/bin/true", text))
        r = subprocess.run(["systemd-analyze", "--man=no", "--recursive-errors=no", "verify", *(u.replace("@.", "@web.") for u in sorted(set(shown)))],
                           capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{directory}:"})
        yield from (r.stdout + r.stderr).splitlines()
        if r.returncode != 0 or len(shown) < 5:
            yield f"exit status {r.returncode} of {shown}"


def test_the_units_of_the_readme_are_those_of_the_manual():
    readme = [block for block in re.findall(r"^```ini\n(.*?)^```$", read("README.md"), re.M | re.S) if "[Unit]" in block]
    manual = [text.split("\n", 1)[1] for _, _, _, text in unit_examples()]
    yield from (f"README.md shows another one:\n{block}" for block in readme if block not in manual)
    if len(readme) < 2:
        yield f"README.md shows {len(readme)} units"


def shipped_units():
    return [name for name in os.listdir(os.path.join(pages.TREE, "units")) if name.endswith((".service", ".target", ".timer"))]


def test_every_unit_that_is_shipped_is_explained():
    documented = [name for tag in UNITS.tags("UNITS THAT COME WITH VIPD") for name in tag.split(", ")]
    yield from differences("units", shipped_units(), documented)
    for alias in re.findall(r"^Alias=(.*)$", read("units/vipd.service"), re.M):
        if alias not in UNITS.text("UNITS THAT COME WITH VIPD"):
            yield f"{alias} is missing"


def test_every_unit_that_is_named_is_shipped():
    for name in pages.names():
        for unit in set(re.findall(r"(?<![\w.-])vipd[\w@%-]*\.(?:service|target|timer|socket|path)\b", plain_text(Page(name)))):
            if re.sub("@.*[.]", "@.", unit) not in shipped_units():
                yield f"{name}: {unit} does not exist"


# --- documents ----------------------------------------------------------------------------------------------------------------


def test_the_start_page_names_every_document_and_they_are_installed():
    documents = [name for name in os.listdir(os.path.join(pages.TREE, "docs")) if name.endswith(".md")]
    yield from differences("documents in vipd(8)", documents, re.findall(r"\b([\w-]+\.md)\b", DAEMON.text("DESCRIPTION")))
    yield from differences("documents in meson.build", documents, re.findall(r"'docs/([\w-]+\.md)'", read("meson.build")))
    for name in pages.names():
        yield from (f"{name}: {found} does not exist" for found in re.findall(r"\b([\w-]+\.md)\b", plain_text(Page(name))) if found not in documents)
        for path in re.findall(r"/usr/share/doc/vipd/([\w/.-]*\w)", plain_text(Page(name))):
            if not os.path.exists(os.path.join(pages.TREE, "docs", path)) and not os.path.exists(os.path.join(pages.TREE, path)):
                yield f"{name}: {path} does not exist"


if __name__ == "__main__":
    tap.main(globals())
