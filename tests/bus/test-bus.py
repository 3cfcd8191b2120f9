#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface org.vipd1 on a real dbus-daemon, its verbs under a real polkitd: what the XML promises.

Runs itself again in private mount, network and process namespaces, with overlays on /etc and /usr/share for the policy files
and the users vipd and alice, so that nothing outlives the test and nothing of the machine is changed. Prints TAP. Facts are
awaited with a deadline, never slept for. Instances web (192.0.2.10) and web2 (192.0.2.11) have no peers but where a test starts one
(192.0.2.2, behind the other end of their link): they are master as soon as they may be.
"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TREE, "tests/house"))
import pages  # noqa: E402
from facts import wait  # noqa: E402

VIPD = os.environ.get("VIPD", os.path.join(TREE, "build/vipd"))

NAME = "org.vipd1"
ROOT = "/org/vipd1"
MANAGER = "org.vipd1.Manager"
INSTANCE = "org.vipd1.Instance"
WEB = "/org/vipd1/instance/web"
WEB2 = "/org/vipd1/instance/web2"
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
FAILED = "org.freedesktop.DBus.Error.Failed"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
LIMITS = "org.freedesktop.DBus.Error.LimitsExceeded"
TIMEOUT = "org.freedesktop.DBus.Error.Timeout"
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
HOUR = 3600 * 1000000

POLKIT = "org.freedesktop.PolicyKit1"
POLKIT_SERVICE = "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"
SOCKET = "/run/dbus/system_bus_socket"
CONFIG = "/run/config"
STATE = "/run/state"
UIDS = {"vipd": 977, "alice": 1977, "nobody": 65534, "root": 0}

# the manual's example, as it stands there
RULES = next(e for e in pages.Page("org.vipd1.5").examples if "polkit.addRule" in e)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


def run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def write(path, text, mode=0o644, owner=0):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    if not path.startswith("/proc/"):
        os.chmod(path, mode)
        os.chown(path, owner, owner)


def append(path, text):
    with open(path, "a", encoding="utf-8") as f:
        f.write(text)


# --- the bus, as a caller sees it ---------------------------------------------------------------------------------------------


def as_user(user):
    if user == "root":
        return []
    return ["setpriv", f"--reuid={UIDS[user]}", f"--regid={UIDS[user]}", "--clear-groups"]


def ask(path, interface, method, *args, destination=NAME):
    """A call by root whose answer is read. None: it failed."""
    r = subprocess.run(["busctl", "--json=short", "--timeout=25", "call", destination, path, interface, method, *args],
                       capture_output=True, text=True, check=False)
    if r.returncode != 0:
        return None
    return json.loads(r.stdout)["data"] if r.stdout.strip() else []


def properties(path, interface=INSTANCE):
    """name -> (type, value)"""
    data = ask(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface)
    return {k: (v["type"], v["data"]) for k, v in data[0].items()} if data else {}


def value(path, name):
    return properties(path).get(name, (None, None))[1]


def call(user, path, interface, method, *args):
    """A call that does not allow interaction, on its way: see error_of()."""
    return subprocess.Popen([*as_user(user), "dbus-send", "--system", "--print-reply", "--reply-timeout=25000", f"--dest={NAME}", path,
                             f"{interface}.{method}", *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def call_interactive(user, path, method, *args):
    """As call(), but polkit may ask the user, who has nobody to ask them."""
    return subprocess.Popen([*as_user(user), "busctl", "--timeout=25", "call", NAME, path, INSTANCE, method, *args],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def error_of(caller):
    """The name of the error (of an interactive call the text), or None."""
    _, text = caller.communicate()
    found = re.search(r"^Error (\S+?):? ", text)
    return None if caller.returncode == 0 else found.group(1) if found else text


def verb(user, path, interface, method, *args):
    return error_of(call(user, path, interface, method, *args))


def state(path):
    return value(path, "State")


def told(path):
    """All that may not change by itself while nothing happens."""
    return {k: v for k, v in properties(path).items() if k != "Peers"}


def statistics(path):
    return (ask(path, INSTANCE, "GetStatistics") or [{}])[0]


def has_owner(name):
    data = ask("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner", "s", name, destination="org.freedesktop.DBus")
    return data is not None and data[0]


class Monitor:
    """All that goes over the bus, in order."""

    count = 0

    def __enter__(self):
        self.path = f"/run/monitor-{Monitor.count}"
        Monitor.count += 1
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(["busctl", "--json=short", "monitor"], stdout=out, stderr=subprocess.DEVNULL)
        # it hears this only once it is a monitor
        wait(lambda: ask("/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", destination="org.freedesktop.DBus") and
             self.messages(), "the monitor hears the bus")
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()

    def messages(self):
        with open(self.path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def seen(self, member):
        return [m for m in self.messages() if m.get("member") == member]

    def signals(self, member, path=None):
        """Those told so far: everything before the reply to a last question."""
        question = f"monitor-{time.monotonic_ns()}"
        ask(ROOT, MANAGER, "GetInstance", "s", question)

        def answered():
            asked = [m for m in self.seen("GetInstance") if m["payload"]["data"] == [question]]
            return asked and [m for m in self.messages() if m.get("reply_cookie") == asked[0]["cookie"] and
                              m.get("destination") == asked[0]["sender"]]

        wait(answered, "the monitor sees the last question answered")
        return [m for m in self.seen(member) if m["type"] == "signal" and path in (None, m["path"])]

    def changed(self, path):
        return [m["payload"]["data"] for m in self.signals("PropertiesChanged", path)]


# --- the lab ------------------------------------------------------------------------------------------------------------------


def vip_file(name, vhid, address, more=""):
    """Soon master, and not soon thought to have stalled on a machine that is busy."""
    write(f"{CONFIG}/{name}.vip", f"[VIP]\nAddress={address}\nInterface=eth0\nStartDelay=100ms\n{more}[CARP]\nVHID={vhid}\n"
          f"PassphraseFile={CONFIG}/key\nAdvBase=1\nAdvSkew=100\n")


def default_files():
    vip_file("web", 1, "192.0.2.10")
    vip_file("web2", 2, "192.0.2.11", "SyncGroup=alone\n")


def overlay(path, name):
    upper, work = f"/run/{name}/upper", f"/run/{name}/work"
    os.makedirs(upper)
    os.makedirs(work)
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", path)


def furnish():
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for d in ("/run/dbus", CONFIG, STATE):
        os.makedirs(d)
    os.chown(STATE, UIDS["vipd"], UIDS["vipd"])
    overlay("/etc", "etc")
    overlay("/usr/share", "share")
    shutil.copy(f"{TREE}/dbus/org.vipd1.conf", "/usr/share/dbus-1/system.d/")
    shutil.copy(f"{TREE}/polkit/org.vipd1.policy", "/usr/share/polkit-1/actions/")
    append("/etc/passwd", "vipd:x:977:977::/:/usr/sbin/nologin\nalice:x:1977:1977::/:/bin/sh\n")
    append("/etc/group", "vipd:x:977:\n")
    os.makedirs("/etc/polkit-1/rules.d", exist_ok=True)
    write("/etc/polkit-1/rules.d/60-test.rules", RULES)
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
    Programs.other_host = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    pid = Programs.other_host.pid
    wait(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the other host has a network of its own")
    run("ip", "link", "set", "peer0", "netns", str(pid))
    run(*on_other_host(), "ip", "address", "add", "192.0.2.2/24", "dev", "peer0")
    run(*on_other_host(), "ip", "link", "set", "peer0", "up")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    write(f"{CONFIG}/key", "correct horse\n", 0o600, UIDS["vipd"])
    default_files()


class Programs:
    other_host = None
    bus = None
    vipd = None


def on_other_host():
    return ["nsenter", "-t", str(Programs.other_host.pid), "--net"]


def start_bus():
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    Programs.bus = subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)


def stop_bus():
    Programs.bus.kill()
    Programs.bus.wait()
    os.unlink(SOCKET)


def vipd(config, log):
    return subprocess.Popen(["setpriv", f"--reuid={UIDS['vipd']}", f"--regid={UIDS['vipd']}", "--clear-groups",
                             "--inh-caps=-all,+net_admin,+net_raw", "--ambient-caps=-all,+net_admin,+net_raw", VIPD,
                             f"--config-dir={config}", f"--state-dir={STATE}"], stderr=open(log, "a"))


def start_vipd():
    Programs.vipd = vipd(CONFIG, "/run/vipd.log")


def stop_vipd():
    Programs.vipd.terminate()
    equal(Programs.vipd.wait(30), 0, "vipd's exit code")


def polkitd():
    """The process ids of polkitd: all of this namespace, which is ours alone."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                text = f.read()
        except OSError:
            continue
        if "(polkitd)" in text and text.rpartition(")")[2].split()[0] != "Z":
            found.append(int(pid))
    return found


def start_polkitd():
    ask("/org/freedesktop/DBus", "org.freedesktop.DBus", "StartServiceByName", "su", POLKIT, "0", destination="org.freedesktop.DBus")
    return wait(polkitd, "polkitd runs")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def masters():
    """Both instances are enabled, configured as they were first, and master."""
    default_files()
    wait(lambda: properties(ROOT, MANAGER), "vipd answers")
    verb("root", ROOT, MANAGER, "Reload")
    for path in (WEB, WEB2):
        if not value(path, "Enabled"):
            verb("root", path, INSTANCE, "Enable")
        if state(path) != "master":
            verb("root", path, INSTANCE, "Promote")
        wait(lambda p=path: state(p) == "master", f"{path} is master", 30)


def holds(address):
    r = subprocess.run(["ip", "-4", "-o", "address", "show", "dev", "eth0"], capture_output=True, text=True, check=True)
    return f" {address}/" in r.stdout


# --- the promises -------------------------------------------------------------------------------------------------------------


def described(interface):
    """What a caller can rely on: every member with its types; our own annotations are for readers."""
    members = set()
    for m in interface:
        notes = {a.get("name"): a.get("value") for a in m.findall("annotation")}
        emits = notes.get("org.freedesktop.DBus.Property.EmitsChangedSignal", "true")
        default = "in" if m.tag == "method" else "out"
        args = tuple((a.get("name"), a.get("type"), a.get("direction", default)) for a in m.findall("arg"))
        if m.tag != "annotation":
            members.add((m.tag, m.get("name"), m.get("type"), m.get("access"), emits if m.tag == "property" else None, args))
    return members


def contract(interface):
    return ET.parse(f"{TREE}/dbus/{interface}.xml").getroot().find(f"interface[@name='{interface}']")


def live(path, interface):
    return ET.fromstring(ask(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0]).find(f"interface[@name='{interface}']")


def test_introspection_equals_the_xml():
    for path, interface in ((ROOT, MANAGER), (WEB, INSTANCE)):
        expected, got = described(contract(interface)), described(live(path, interface))
        equal(sorted(map(str, got - expected)), [], f"only in the daemon's {interface}")
        equal(sorted(map(str, expected - got)), [], f"only in {interface}.xml")


def test_xml_policy_and_names_have_the_same_actions_and_errors():
    names = read(f"{TREE}/dbus/names.h")
    actions = set(re.findall(r'#define VIPD_ACTION_\w+ "([^"]+)"', names))
    policy = {a.get("id") for a in ET.parse(f"{TREE}/polkit/org.vipd1.policy").getroot().iter("action")}
    annotated = {a.get("value") for i in (MANAGER, INSTANCE) for a in contract(i).iter("annotation")
                 if a.get("name") == "org.vipd1.PolkitAction"}
    equal(policy, actions, "actions of the policy file and names.h")
    equal(annotated, actions, "actions of the XML and names.h")
    xml = "".join(read(f"{TREE}/dbus/{i}.xml") for i in (MANAGER, INSTANCE))
    equal(set(re.findall(r"org\.vipd1\.Error\.\w+", xml)), set(re.findall(r'"(org\.vipd1\.Error\.\w+)"', names)),
          "errors of the XML and names.h")


def test_each_method_that_changes_something_names_its_action():
    """The reading ones are these; whoever adds a method has to say to which kind it belongs."""
    free = {"ListInstances", "GetInstance", "GetStatistics"}
    for interface in (MANAGER, INSTANCE):
        for m in contract(interface).findall("method"):
            action = [a.get("value") for a in m.findall("annotation") if a.get("name") == "org.vipd1.PolkitAction"]
            equal(len(action), 0 if m.get("name") in free else 1, f"number of actions of {m.get('name')}")


def test_properties_have_their_types_and_values():
    for path, interface in ((ROOT, MANAGER), (WEB, INSTANCE)):
        expected = {p.get("name"): p.get("type") for p in contract(interface).findall("property")}
        equal({k: v[0] for k, v in properties(path, interface).items()}, expected, f"types of {interface}")
    p = {k: v[1] for k, v in properties(WEB).items()}
    times = (p.pop("StateChangeTimestamp"), p.pop("StateChangeTimestampMonotonic"))
    equal(abs(times[0] - time.time_ns() // 1000) < 60000000, True, "StateChangeTimestamp is of this minute")
    equal(abs(times[1] - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000) < 60000000, True, "the other one is of this minute")
    equal(p.pop("Transitions") >= 2, True, "init, backup, master: Transitions")
    equal(p.pop("DigestMismatchTimestamp"), 0, "DigestMismatchTimestamp where no advert is refused")
    equal(p.pop("Reason") in ("master-timeout", "promoted"), True, "Reason")
    equal(p, {"Name": "web", "Description": "", "State": "master", "VIP": ["192.0.2.10/32"], "Interface": "eth0", "Device": "eth0", "Protocol": "carp",
              "VHID": 1, "AdvBase": 1, "AdvSkew": 100, "Demotion": 0, "Preempt": False, "Enabled": True, "Master": "192.0.2.1",
              "Peers": [], "SyncGroup": "", "Checks": [], "Problem": "", "Conflict": "", "FailedUnits": []}, "web")
    equal(value(WEB2, "SyncGroup"), "alone", "SyncGroup of web2")
    equal(properties(ROOT, MANAGER)["Instances"][1], [WEB, WEB2], "Instances")
    equal(ask(ROOT, MANAGER, "ListInstances"), [[["web", WEB, "master"], ["web2", WEB2, "master"]]], "ListInstances")
    equal(ask(ROOT, MANAGER, "GetInstance", "s", "web2"), [WEB2], "GetInstance")


def test_everybody_may_read():
    r = subprocess.run([*as_user("nobody"), "busctl", "get-property", NAME, WEB, INSTANCE, "State"], capture_output=True, text=True,
                       check=False)
    equal(r.stdout.strip(), 's "master"', "State as nobody reads it")


def test_an_unknown_instance_is_no_such_instance():
    equal(verb("nobody", ROOT, MANAGER, "GetInstance", "string:nope"), "org.vipd1.Error.NoSuchInstance", "GetInstance(nope)")


def test_a_long_string_is_refused_and_not_repeated():
    """Whoever asks for what there is not is answered with its name, which would cost us as much time as they like."""
    properties_, long = "org.freedesktop.DBus.Properties", "a" * 5000
    for path, interface, *call in ((WEB, properties_, "GetAll", f"string:{long}"), (WEB, properties_, "Get", f"string:{INSTANCE}", f"string:{long}"),
                                   (ROOT, MANAGER, "GetInstance", f"string:{long}"), (f"/{long}", INSTANCE, "Promote")):
        equal(verb("nobody", path, interface, *call), LIMITS, f"{call[0]} at {path[:20]}")
    equal(verb("nobody", ROOT, MANAGER, "GetInstance", f"string:{long[:4000]}"), "org.vipd1.Error.NoSuchInstance", "what is only long")


def test_a_rule_lets_alice_demote_web_and_nothing_else():
    before = told(WEB2)
    equal(verb("alice", WEB2, INSTANCE, "Demote"), INTERACTIVE, "alice demotes web2")
    equal(verb("alice", WEB, INSTANCE, "Disable"), INTERACTIVE, "alice disables web")
    equal(told(WEB2), before, "web2")
    equal(state(WEB), "master", "web before")
    equal(verb("alice", WEB, INSTANCE, "DemoteFor", f"uint64:{HOUR}"), None, "alice demotes web")
    equal((state(WEB), value(WEB, "Reason")), ("backup", "demoted"), "web after")


def test_nobody_is_refused_every_verb_and_nothing_changes():
    equal(verb("root", WEB2, INSTANCE, "DemoteFor", f"uint64:{HOUR}"), None, "root demotes web2")
    vip_file("web", 1, "192.0.2.10", "Description=not yet\n")
    calls = [(WEB, INSTANCE, "Demote"), (WEB, INSTANCE, "DemoteFor", f"uint64:{HOUR}"), (WEB, INSTANCE, "Disable"),
             (WEB2, INSTANCE, "Promote"), (ROOT, MANAGER, "Reload")]
    for args in calls:
        before = told(WEB), told(WEB2)
        equal(verb("nobody", *args), INTERACTIVE, args[2])
        equal((told(WEB), told(WEB2)), before, f"the instances after a refused {args[2]}")
    equal(verb("root", WEB2, INSTANCE, "Disable"), None, "root disables web2")
    before = told(WEB2)
    equal(verb("nobody", WEB2, INSTANCE, "Enable"), INTERACTIVE, "Enable")
    equal(told(WEB2), before, "web2 after a refused Enable")


def test_polkit_may_prompt_only_if_that_helps_and_the_caller_allows_it():
    start_polkitd()
    before = told(WEB)
    with Monitor() as monitor:
        def flags():
            monitor.signals("none")
            return [m["payload"]["data"][3] for m in monitor.seen("CheckAuthorization")]

        equal(verb("nobody", WEB, INSTANCE, "Demote"), INTERACTIVE, "Demote that allows no interaction")
        equal(flags(), [0], "flags of what polkit is asked")
        equal("Access denied" in error_of(call_interactive("nobody", WEB, "Demote")), True, "without an agent: Access denied")
        equal(flags(), [0, 0, 1], "flags of what polkit is asked")
        equal(told(WEB), before, "web after refused calls")
        equal(error_of(call_interactive("alice", WEB, "Demote")), None, "alice demotes web")
        equal(flags(), [0, 0, 1, 0], "flags of what polkit is asked")


def test_root_may_do_everything():
    steps = [("DemoteFor", [f"uint64:{HOUR}"], "backup", "demoted"), ("Promote", [], "master", "promoted"),
             ("Demote", [], "backup", "demoted"), ("Promote", [], "master", "promoted"), ("Promote", [], "master", "promoted"),
             ("Disable", [], "init", "disabled"), ("Disable", [], "init", "disabled")]
    for method, args, expected, reason in steps:
        equal(verb("root", WEB, INSTANCE, method, *args), None, method)
        equal((state(WEB), value(WEB, "Reason")), (expected, reason), f"after {method}")
    equal(verb("root", WEB, INSTANCE, "Enable"), None, "Enable")
    equal(value(WEB, "Enabled"), True, "Enabled")
    wait(lambda: state(WEB) == "master", "web is master again")
    equal(verb("root", ROOT, MANAGER, "Reload"), None, "Reload")


def refused(error, *calls):
    """Each call of root ends with the error, and nothing is other than it was."""
    before = told(WEB), told(WEB2)
    for args in calls:
        equal(verb("root", *args), error, " ".join(args[2:]))
        equal((told(WEB), told(WEB2)), before, f"the instances after a refused {' '.join(args[2:])}")


def test_wrong_arguments_and_unknown_objects_are_refused_and_nothing_changes():
    vip_file("web", 1, "192.0.2.10", "Description=not yet\n")
    refused(INVALID, *((WEB, INSTANCE, "DemoteFor", *args) for args in (
        ["uint64:0"], ["uint64:86400000001"], ["uint64:18446744073709551615"], ["string:1"], ["uint32:1"], [], ["uint64:1", "uint64:1"])),
            *((WEB, INSTANCE, method, "uint64:1") for method in ("Demote", "Promote", "Disable", "Enable")),
            (ROOT, MANAGER, "Reload", "string:web"))
    nope = "/org/vipd1/instance/nope"
    refused("org.freedesktop.DBus.Error.UnknownObject", (nope, INSTANCE, "DemoteFor", "uint64:1"),
            *((nope, INSTANCE, method) for method in ("Demote", "Promote", "Disable", "Enable")))
    refused("org.freedesktop.DBus.Error.UnknownMethod", (WEB, MANAGER, "Reload"), (WEB, INSTANCE, "Reload"), (ROOT, INSTANCE, "Demote"),
            (ROOT, MANAGER, "Demote"))
    refused("org.freedesktop.DBus.Error.PropertyReadOnly",
            (WEB, "org.freedesktop.DBus.Properties", "Set", f"string:{INSTANCE}", "string:AdvSkew", "variant:byte:1"))
    equal(verb("nobody", WEB, INSTANCE, "DemoteFor", "uint64:0"), INVALID, "wrong arguments need no rights to be wrong")


def test_verbs_that_cannot_be_done_say_why_and_change_nothing():
    demotions = (WEB, INSTANCE, "Demote"), (WEB, INSTANCE, "DemoteFor", f"uint64:{HOUR}")
    done(WEB, "DemoteFor", f"uint64:{HOUR}")
    refused("org.vipd1.Error.NotMaster", *demotions)
    done(WEB, "Disable")
    refused("org.vipd1.Error.NotEnabled", *demotions, (WEB, INSTANCE, "Promote"))
    run("ip", "link", "set", "eth0", "down")
    try:
        wait(lambda: state(WEB2) == "init" and value(WEB, "Reason") == "link-down", "both see the link down")
        refused("org.vipd1.Error.NotEnabled", *demotions, (WEB, INSTANCE, "Promote"))
        refused("org.vipd1.Error.Busy", (WEB2, INSTANCE, "Promote"))
        refused("org.vipd1.Error.NotMaster", (WEB2, INSTANCE, "Demote"), (WEB2, INSTANCE, "DemoteFor", "uint64:1"))
        done(WEB, "Enable")
        equal((value(WEB, "Enabled"), state(WEB), value(WEB, "Reason")), (True, "init", "link-down"), "enabled without a link")
    finally:
        run("ip", "link", "set", "eth0", "up")


def test_what_cannot_be_saved_is_in_force_all_the_same():
    os.chmod(STATE, 0o500)
    try:
        equal(verb("root", WEB, INSTANCE, "Disable"), FAILED, "Disable")
        equal((value(WEB, "Enabled"), state(WEB)), (False, "init"), "web")
    finally:
        os.chmod(STATE, 0o700)


TRANSITION = {"State", "Reason", "StateChangeTimestamp", "StateChangeTimestampMonotonic", "Transitions"}


def tells(path, act, *expected):
    """All that PropertiesChanged tells of path until act() is over: the names, signal by signal; and their last values are those read."""
    with Monitor() as monitor:
        before = told(path)
        act()
        now, changed = properties(path), monitor.changed(path)
        equal([set(c[1]) for c in changed], list(expected), "what is told, signal by signal")
        equal([(c[0], c[2]) for c in changed], [(INSTANCE, [])] * len(changed), "interface and what is only invalidated")
        # when a peer was heard last is told with other news of it, and is older than what is read
        values = {k: v["data"] for c in changed for k, v in c[1].items() if k != "Peers"}
        equal(values, {k: now[k][1] for k in values}, "told and read")
        equal({k for k in before if before[k] != now[k]} - set(values), set(), "what changed and is not told")
        return [m["payload"]["data"] for m in monitor.signals("StateChanged", path)]


def done(path, method, *args):
    equal(verb("root", path, INSTANCE, method, *args), None, method)


def reload():
    equal(verb("root", ROOT, MANAGER, "Reload"), None, "Reload")


def enable():
    done(WEB, "Enable")
    wait(lambda: state(WEB) == "master", "web is master again")


def test_each_transition_tells_exactly_what_changed():
    equal(tells(WEB2, lambda: done(WEB, "Demote")), [], "StateChanged of another instance")
    equal(tells(WEB, lambda: done(WEB, "Promote"), TRANSITION | {"Master"}), [["backup", "master", "promoted"]], "StateChanged")
    equal(tells(WEB, lambda: done(WEB, "Promote")), [], "StateChanged of a master that is promoted")
    equal(tells(WEB, lambda: done(WEB, "DemoteFor", f"uint64:{HOUR}"), TRANSITION | {"Master"}), [["master", "backup", "demoted"]],
          "StateChanged")
    equal(tells(WEB, lambda: done(WEB, "Disable"), TRANSITION | {"Enabled"}), [["backup", "init", "disabled"]], "StateChanged")
    equal(tells(WEB, lambda: done(WEB, "Disable")), [], "StateChanged of one that is disabled already")
    equal(tells(WEB, enable, TRANSITION | {"Enabled"}, TRANSITION | {"Master"}),
          [["init", "backup", "enabled"], ["backup", "master", "master-timeout"]], "StateChanged")


def test_a_reason_that_changes_alone_is_told_alone():
    done(WEB, "Disable")
    try:
        def link_down():
            run("ip", "link", "set", "eth0", "down")
            wait(lambda: value(WEB, "Reason") == "link-down", "web sees the link down")

        equal(tells(WEB, link_down, {"Reason"}), [], "StateChanged")
        equal(tells(WEB, lambda: done(WEB, "Enable"), {"Enabled"}), [], "StateChanged")
        equal(tells(WEB, lambda: done(WEB, "Disable"), {"Enabled", "Reason"}), [], "StateChanged")
    finally:
        run("ip", "link", "set", "eth0", "up")


def test_a_reload_tells_what_it_changed_and_nothing_else():
    def rewrite(old, new):
        with open(f"{CONFIG}/web.vip", encoding="utf-8") as f:
            text = f.read()
        write(f"{CONFIG}/web.vip", text.replace(old, new))
        reload()

    tells(WEB, lambda: rewrite("AdvSkew=100\n", "AdvSkew=11\n"), {"AdvSkew"})
    tells(WEB, lambda: rewrite("VHID", "Preempt=yes\nVHID"), {"Preempt"})
    tells(WEB, lambda: rewrite("Address=192.0.2.10\n", "Address=192.0.2.10 192.0.2.13\nDescription=two\n"), {"VIP", "Description"})
    tells(WEB, lambda: rewrite("AdvSkew=11\n", "AdvSkew=11\n[Announce]\nCount=3\n"))
    tells(WEB, reload)
    tells(WEB2, default_files_again)


def default_files_again():
    default_files()
    reload()


def test_what_is_at_the_end_of_a_pass_as_it_was_is_not_told():
    """The promotion fails at once: its IPv6 address cannot be held on an interface without IPv6."""
    done(WEB, "DemoteFor", f"uint64:{HOUR}")
    write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1")
    try:
        vip_file("web", 1, "192.0.2.10 2001:db8::10")
        reload()
        equal(tells(WEB, lambda: done(WEB, "Promote"), TRANSITION - {"State"}),
              [["backup", "master", "promoted"], ["master", "backup", "address-lost"]], "StateChanged")
    finally:
        write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0")


def test_a_peer_is_told_once_and_its_adverts_are_not():
    done(WEB, "DemoteFor", f"uint64:{HOUR}")
    os.makedirs("/run/peer")
    write("/run/peer/web.vip", read(f"{CONFIG}/web.vip").replace("eth0", "peer0").replace("AdvBase=1", "AdvBase=0").replace("AdvSkew=100", "AdvSkew=5"))
    received, peer = statistics(WEB)["adverts-received"], None

    def peer_comes():
        nonlocal peer
        peer = subprocess.Popen([*on_other_host(), VIPD, "--bus=none", "--config-dir=/run/peer", "--state-dir=/run/peer"], stderr=subprocess.DEVNULL)
        wait(lambda: statistics(WEB)["adverts-received"] > received + 5, "adverts come", 30)

    try:
        tells(WEB, peer_comes, {"Master", "Peers"})
        equal((value(WEB, "Master"), [p[:3] for p in value(WEB, "Peers")]), ("192.0.2.2", [["192.0.2.2", "master", 5]]), "web's view")

        def peer_leaves():
            peer.terminate()
            wait(lambda: value(WEB, "Master") == "", "web hears the bow-out")

        tells(WEB, peer_leaves, {"Master", "Peers"})
        equal([p[:3] for p in value(WEB, "Peers")], [["192.0.2.2", "bowed-out", 5]], "web's view")
    finally:
        if peer:
            peer.kill()
            peer.wait()


CLAIM = """import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("peer0", 0))
mac, address = bytes.fromhex("020000000009"), socket.inet_aton("192.0.2.10")
while True:
    s.send(b"\\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + address + bytes(6) + address)
    time.sleep(0.1)
"""


def test_another_host_with_the_address_is_told_and_so_is_the_end_of_it():
    """Named while we are master; a backup's address is another's by right."""
    begun = time.monotonic()
    stranger = subprocess.Popen([*on_other_host(), sys.executable, "-c", CLAIM])
    try:
        tells(WEB, lambda: wait(lambda: value(WEB, "Conflict") == "192.0.2.10 is also claimed by 02:00:00:00:00:09 on eth0",
                                "the stranger is named"), {"Conflict"})
        equal(value(WEB2, "Conflict"), "", "web2, which has another address")
        answers = statistics(WEB)["conflicts-defended"]
        equal(1 <= answers <= 1 + (time.monotonic() - begun) // 10, True, f"an answer every ten seconds at most: {answers}")
        tells(WEB, lambda: done(WEB, "DemoteFor", f"uint64:{HOUR}"), TRANSITION | {"Master", "Conflict"})
        equal(value(WEB, "Conflict"), "", "as a backup")
    finally:
        stranger.kill()
        stranger.wait()


def test_a_verb_is_told_before_its_reply():
    with Monitor() as monitor:
        done(WEB, "Demote")
        monitor.signals("StateChanged", WEB)
        messages = monitor.messages()
    call = next(m for m in messages if m.get("member") == "Demote")
    reply = next(k for k, m in enumerate(messages) if m.get("reply_cookie") == call["cookie"] and m.get("destination") == call["sender"])
    told_before = [m["member"] for m in messages[:reply] if m["type"] == "signal" and m.get("path") == WEB]
    equal(told_before, ["PropertiesChanged", "StateChanged"], "what is told of web before the reply")


def attack(kind, members):
    """Three seconds of it, by nobody; see attack.py, which nobody may not be able to read where it lies."""
    path = "/run/attack.py"
    if not os.path.exists(path):
        shutil.copy(f"{HERE}/attack.py", path)
        os.chmod(path, 0o755)
    write("/run/members", members)
    with open("/run/members", encoding="utf-8") as stdin:
        return subprocess.Popen([*as_user("nobody"), sys.executable, "-B", path, kind, "3"], stdin=stdin, stdout=subprocess.PIPE, text=True, cwd="/")


SO_TIMESTAMPNS = 35


def starved_seconds(process):
    """For how long it was ready to run in all and had no processor."""
    return int(read(f"/proc/{process.pid}/schedstat").split()[1]) / 1e9


class Adverts:
    """When ours leave eth0, as the kernel has it; and how long vipd had waited for a processor by then."""

    def __enter__(self):
        self.times, self.starved, self.ending = [], [], threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(("eth0", 0))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self.hear)
        self.thread.start()
        return self

    def hear(self):
        while not self.ending.is_set():
            try:
                data, stamps, _, address = self.socket.recvmsg(256, 64)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_OUTGOING and data[12:14] == b"\x08\x00" and data[23] == 112 and data[35] == 1:
                seconds, nanoseconds = struct.unpack("qq", stamps[0][2])
                self.times.append(seconds + nanoseconds / 1e9)
                self.starved.append(starved_seconds(Programs.vipd))

    def gaps(self):
        """[(seconds, how many of them vipd may have waited for a processor)]; we may starve as well, and look a little late."""
        return [(b - a, self.starved[k + 1] - self.starved[max(k - 1, 0)]) for k, (a, b) in enumerate(zip(self.times, self.times[1:]))]

    def __exit__(self, *unused):
        self.ending.set()
        self.thread.join()
        self.socket.close()


def members_of_the_contract():
    """Everything that can be called, one per line, as attack.py reads it."""
    found = [(path, interface.get("name"), m.get("name")) for path in (ROOT, WEB)
             for interface in ET.fromstring(ask(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0]).findall("interface")
             for m in interface.findall("method")]
    return "".join(" ".join(m) + "\n" for m in found)


def is_sanitized(pid):
    with open(f"/proc/{pid}/exe", "rb") as f:
        return b"__asan_init" in f.read()


def resident_bytes(process):
    return int(re.search(r"^VmRSS:\s*(\d+)", read(f"/proc/{process.pid}/status"), re.M)[1]) * 1024


def test_a_local_user_who_attacks_the_bus_disturbs_no_election():
    """Without rights, from as many connections as the bus allows: every member with every kind of argument, megabytes, what is no message, signals in
    the name of others, and match rules by the ten thousand. Who is master stays so and says so in time."""
    # no host would think that it stood still itself, and bow to that, before we know of it
    append(f"{CONFIG}/web.vip", "DeadRatio=20\n")
    reload()
    wait(lambda: state(WEB) == "master", "web is master")
    done(WEB2, "DemoteFor", f"uint64:{HOUR}")
    before, transitions, lines = (told(WEB), told(WEB2)), value(WEB, "Transitions"), len(read("/run/vipd.log").splitlines())
    with Adverts() as adverts:
        members, memory = members_of_the_contract(), resident_bytes(Programs.vipd)
        for kinds in (("calls", "signals", "malformed"), ("oversize", "connections"), ("matches", "calls")):
            attackers = [attack(kind, members) for kind in kinds]
            print(f"# {[(kind, int(a.communicate(timeout=60)[0])) for kind, a in zip(kinds, attackers)]}", flush=True)
        begun = time.time()
        wait(lambda: properties(WEB), "vipd answers, when the bus passes a question on", 60)
        wait(lambda: adverts.times and adverts.times[-1] > begun, "and advertises")
    equal((told(WEB), told(WEB2)), before, "the instances")
    equal(value(WEB, "Transitions"), transitions, "how often web changed")
    # what a peer would wait for: 3 * AdvBase and more; nobody can help it where others have the processors
    equal(max(gap - starved for gap, starved in adverts.gaps()) < 3, True, f"no advert is missed by a peer: {adverts.gaps()}")
    grown, more = resident_bytes(Programs.vipd) - memory, len(read("/run/vipd.log").splitlines()) - lines
    print(f"# {grown >> 10} KiB, {more} lines, longest gap {max(gap for gap, _ in adverts.gaps()):.2f} s")
    # what a sanitizer keeps of what was freed is its own
    equal(grown < (512 << 20 if is_sanitized(Programs.vipd.pid) else 64 << 20), True, f"no memory is used up: {grown} bytes")
    equal(more < 50, True, f"nor the log: {more} lines")


def test_a_frozen_polkit_stops_neither_reads_nor_elections():
    pids = start_polkitd()
    with Monitor() as monitor:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        caller = subprocess.Popen([*as_user("alice"), "busctl", "--timeout=60", "call", NAME, WEB, INSTANCE, "DemoteFor", "t", str(HOUR)])
        try:
            wait(lambda: monitor.seen("CheckAuthorization"), "polkit is asked")
            equal(state(WEB), "master", "web while polkit is silent")
            run("ip", "link", "set", "eth0", "down")
            wait(lambda: state(WEB) == "init" and state(WEB2) == "init", "the link is down")
            run("ip", "link", "set", "eth0", "up")
            wait(lambda: state(WEB) == "master" and state(WEB2) == "master", "both are master again")
            equal(caller.poll(), None, "the call still waits")
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        equal(caller.wait(30), 0, "the call after polkit's answer")
        equal((state(WEB), value(WEB, "Reason")), ("backup", "demoted"), "web after polkit's answer")


class FrozenPolkit:
    def __enter__(self):
        self.pids = start_polkitd()
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *unused):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


def test_root_does_not_wait_for_polkit():
    with FrozenPolkit(), Monitor() as monitor:
        begun = time.monotonic()
        for method in ("Demote", "Promote", "Disable", "Enable"):
            done(WEB, method)
        reload()
        equal(time.monotonic() - begun < 9, True, "five verbs of root take less than polkit is waited for")
        monitor.signals("none")
        equal(monitor.seen("CheckAuthorization"), [], "what polkit is asked")


def test_a_frozen_polkit_is_waited_for_ten_seconds_and_eight_calls_of_a_user():
    hour = f"uint64:{HOUR}"
    with Monitor() as monitor:
        before = told(WEB)
        with FrozenPolkit():
            callers = [call("alice", WEB, INSTANCE, "DemoteFor", hour) for _ in range(7)]
            interactive = call_interactive("alice", WEB, "DemoteFor", "t", str(HOUR))
            wait(lambda: len(monitor.seen("CheckAuthorization")) == 8, "polkit is asked eight times")
            equal(verb("alice", WEB, INSTANCE, "DemoteFor", hour), LIMITS, "alice's ninth call")
            other = call("nobody", WEB, INSTANCE, "Demote")
            wait(lambda: len(monitor.seen("CheckAuthorization")) == 9, "polkit is asked for another user")
            equal([error_of(c) for c in callers], [TIMEOUT] * 7, "alice's calls")
            equal("polkit does not answer" in error_of(interactive), True, "alice's interactive call: polkit does not answer")
            equal(error_of(other), TIMEOUT, "the other user's call")
            equal(told(WEB), before, "web")
            equal(verb("alice", WEB, INSTANCE, "DemoteFor", hour), LIMITS, "alice's call while polkit owes eight answers")
        wait(lambda: len(monitor.seen("CancelCheckAuthorization")) == 9, "all questions are taken back")
        equal(told(WEB), before, "web after polkit's late answers")
        wait(lambda: verb("alice", WEB, INSTANCE, "DemoteFor", hour) is None, "alice passes again")
        equal(state(WEB), "backup", "web")


def test_an_instance_that_goes_while_polkit_thinks_is_no_such_instance():
    with Monitor() as monitor:
        with FrozenPolkit():
            caller = call("alice", WEB, INSTANCE, "Demote")
            wait(lambda: monitor.seen("CheckAuthorization"), "polkit is asked")
            os.unlink(f"{CONFIG}/web.vip")
            reload()
        equal(error_of(caller), "org.vipd1.Error.NoSuchInstance", "Demote")


def test_a_caller_that_leaves_changes_nothing():
    pids = start_polkitd()
    with Monitor() as monitor:
        before = told(WEB)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            caller = subprocess.Popen([*as_user("alice"), "busctl", "--timeout=60", "call", NAME, WEB, INSTANCE, "Demote"])
            asked = wait(lambda: monitor.seen("CheckAuthorization"), "polkit is asked")[0]
            caller.kill()
            caller.wait()
            cancelled = wait(lambda: monitor.seen("CancelCheckAuthorization"), "the question is taken back")[0]
            equal(cancelled["payload"]["data"], [asked["payload"]["data"][-1]], "what is taken back")
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        wait(lambda: [m for m in monitor.messages() if m.get("reply_cookie") == asked["cookie"] and
                      m.get("destination") == asked["sender"]], "polkit answers the first question all the same")
        equal(verb("root", WEB2, INSTANCE, "Demote"), None, "a later call, which polkit answers later")
        equal(told(WEB), before, "web")


def test_without_polkit_only_root_passes():
    start_polkitd()
    os.rename(POLKIT_SERVICE, "/usr/share/polkit.service.away")
    try:
        Programs.bus.send_signal(signal.SIGHUP)
        names = "org.freedesktop.DBus"
        wait(lambda: POLKIT not in (ask("/org/freedesktop/DBus", names, "ListActivatableNames", destination=names) or [[POLKIT]])[0],
             "polkit cannot be activated")
        for pid in polkitd():
            os.kill(pid, signal.SIGKILL)
        wait(lambda: not has_owner(POLKIT), "polkit is gone")
        before = told(WEB)
        for user in ("alice", "nobody"):
            equal(verb(user, WEB, INSTANCE, "Demote"), DENIED, f"{user} demotes web")
        equal(verb("alice", ROOT, MANAGER, "Reload"), DENIED, "alice reloads")
        equal(told(WEB), before, "web after refused calls")
        equal(verb("root", WEB, INSTANCE, "Demote"), None, "root demotes web")
        equal(verb("root", ROOT, MANAGER, "Reload"), None, "root reloads")
    finally:
        os.rename("/usr/share/polkit.service.away", POLKIT_SERVICE)
        Programs.bus.send_signal(signal.SIGHUP)


def test_a_reload_adds_and_removes_objects():
    with Monitor() as monitor:
        vip_file("extra", 3, "192.0.2.12")
        extra = "/org/vipd1/instance/extra"
        try:
            equal(verb("root", ROOT, MANAGER, "Reload"), None, "Reload")
            added = monitor.signals("InterfacesAdded")
            equal([(m["path"], m["payload"]["data"][0]) for m in added], [(ROOT, extra)], "InterfacesAdded")
            equal(added[0]["payload"]["data"][1][INSTANCE]["Name"]["data"], "extra", "its Name there")
            equal(properties(ROOT, MANAGER)["Instances"][1], [extra, WEB, WEB2], "Instances with extra")
            equal([sorted(c[1]) for c in monitor.changed(ROOT)], [["Instances"]], "what is told of the manager")
            objects = ask(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
            equal(sorted(p for p in objects if INSTANCE in objects[p]), [extra, WEB, WEB2], "GetManagedObjects")
        finally:
            os.unlink(f"{CONFIG}/extra.vip")
        equal(verb("root", ROOT, MANAGER, "Reload"), None, "Reload")
        removed = monitor.signals("InterfacesRemoved")
        equal([m["payload"]["data"][0] for m in removed], [extra], "InterfacesRemoved")
        equal(INSTANCE in removed[0]["payload"]["data"][1], True, "the interface there")
        equal(properties(ROOT, MANAGER)["Instances"][1], [WEB, WEB2], "Instances without extra")
        equal(properties(extra), {}, "properties of extra")


def test_an_instance_that_is_replaced_is_a_new_object_and_the_list_is_as_it_was():
    with Monitor() as monitor:
        vip_file("web2", 4, "192.0.2.11")
        reload()
        equal(monitor.changed(ROOT), [], "what is told of the manager")
        objects = [m for m in monitor.messages() if m.get("member") in ("InterfacesRemoved", "InterfacesAdded")]
        equal([(m["member"], m["payload"]["data"][0]) for m in objects], [("InterfacesRemoved", WEB2), ("InterfacesAdded", WEB2)],
              "what is told of objects")
        equal(objects[1]["payload"]["data"][1][INSTANCE]["VHID"]["data"], 4, "the VHID there")
        wait(lambda: state(WEB2) == "master", "web2 is master again")
        equal([m["payload"]["data"][1] for m in monitor.signals("StateChanged", WEB2)], ["init", "master"], "its states")
        equal(value(WEB2, "VHID"), 4, "the VHID now")


def test_a_broken_file_sets_problem_and_keeps_the_instance():
    transitions = value(WEB, "Transitions")
    with Monitor() as monitor:
        vip_file("web", 0, "192.0.2.10")
        equal(verb("root", ROOT, MANAGER, "Reload"), FAILED, "Reload")
        problem = value(WEB, "Problem")
        equal("web.vip:6" in problem, True, f"file and line in {problem!r}")
        equal([list(c[1]) for c in monitor.changed(WEB)], [["Problem"]], "what is told")
    equal((state(WEB), value(WEB, "Transitions"), value(WEB, "VHID")), ("master", transitions, 1), "web")
    default_files()
    equal(verb("root", ROOT, MANAGER, "Reload"), None, "Reload of the mended file")
    equal((value(WEB, "Problem"), value(WEB, "Transitions")), ("", transitions), "web after it")


def test_elections_and_objects_outlive_the_bus():
    transitions, sent = value(WEB, "Transitions"), statistics(WEB)["adverts-sent"]
    pid = Programs.vipd.pid
    stop_bus()
    equal((Programs.vipd.poll(), holds("192.0.2.10")), (None, True), "vipd without a bus: exit code, holds")
    start_bus()
    wait(lambda: properties(WEB), "web answers on the new bus", 30)
    equal((state(WEB), value(WEB, "Transitions"), Programs.vipd.pid), ("master", transitions, pid), "web")
    wait(lambda: statistics(WEB)["adverts-sent"] > sent, "adverts go on")
    equal(verb("alice", WEB, INSTANCE, "Demote"), None, "alice demotes web on the new bus")


def test_disable_outlives_a_restart_of_the_daemon():
    equal(verb("root", WEB2, INSTANCE, "Disable"), None, "Disable")
    stop_vipd()
    start_vipd()
    wait(lambda: state(WEB) == "master", "web is master again")
    equal((state(WEB2), value(WEB2, "Reason"), value(WEB2, "Enabled")), ("init", "disabled", False), "web2")
    equal(verb("root", WEB2, INSTANCE, "Enable"), None, "Enable")
    stop_vipd()
    start_vipd()
    wait(lambda: state(WEB2) == "master", "web2 is master again")


def test_a_bus_that_comes_late_finds_the_election_running():
    stop_vipd()
    stop_bus()
    start_vipd()
    wait(lambda: holds("192.0.2.10") and holds("192.0.2.11"), "both addresses are held without a bus")
    start_bus()
    wait(lambda: properties(WEB), "web answers on the late bus", 40)
    equal(state(WEB), "master", "web")


def test_a_socket_that_is_there_before_anybody_listens_is_tried_again():
    stop_vipd()
    stop_bus()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
        early.bind(SOCKET)
        os.chmod(SOCKET, 0o666)
        begun = len(read("/run/vipd.log"))
        start_vipd()
        wait(lambda: "init -> backup" in read("/run/vipd.log")[begun:], "vipd runs, and was refused")
        early.listen()
        early.settimeout(10)
        early.accept()[0].close()
    start_bus()
    wait(lambda: properties(WEB), "web answers on the bus", 30)


def test_a_bus_that_dies_over_our_name_has_not_refused_it():
    stop_vipd()
    Programs.bus.send_signal(signal.SIGSTOP)
    begun = len(read("/run/vipd.log"))
    start_vipd()
    # the listener, and a connection that nobody accepts
    wait(lambda: read("/proc/net/unix").count(SOCKET) > 1 and holds("192.0.2.10"), "vipd is connected, and master")
    stop_bus()
    wait(lambda: "The bus is gone" in read("/run/vipd.log")[begun:], "vipd sees the bus die")
    start_bus()
    wait(lambda: properties(WEB), "web answers on the new bus", 30)
    equal("refuses" in read("/run/vipd.log")[begun:], False, "a refusal in the log")


def test_a_name_that_another_owns_is_taken_when_it_is_free():
    os.makedirs("/run/empty")
    second = vipd("/run/empty", "/run/second.log")
    try:
        wait(lambda: "The bus name org.vipd1 has another owner" in read("/run/second.log"), "the second one says that it waits")
        equal(state(WEB), "master", "web at the owner of the name")
        stop_vipd()
        wait(lambda: properties(ROOT, MANAGER).get("Instances") == ("ao", []), "the second one answers")
    finally:
        second.terminate()
        second.wait()
        start_vipd()


def main():
    tests = [(name[5:].replace("_", " "), f) for name, f in globals().items() if name.startswith("test_")]
    print(f"1..{len(tests)}", flush=True)
    furnish()
    start_bus()
    start_vipd()
    failed = 0
    for n, (name, test) in enumerate(tests, 1):
        begun = time.monotonic()
        try:
            masters()
            test()
            result = "ok"
        except Exception:  # pylint: disable=broad-except
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
            result = "not ok"
            failed += 1
        print(f"{result} {n} - {name}\n# {time.monotonic() - begun:.2f} s", flush=True)
    if failed:
        with open("/run/vipd.log", encoding="utf-8") as f:
            print("".join("# " + line for line in f), end="")
    return 1 if failed else 0


def begin():
    if os.geteuid() != 0:
        print("1..0 # SKIP this test needs root, for namespaces of its own")
        return 77
    missing = [p for p in ("busctl", "dbus-daemon", "dbus-send", "ip", "nsenter", "setpriv", "unshare") if not shutil.which(p)]
    if missing or not os.path.exists(POLKIT_SERVICE):
        print(f"1..0 # SKIP missing here: {' '.join(missing) or 'polkitd'}")
        return 77
    if "--inside" in sys.argv:
        return main()
    os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private",
                          sys.executable, "-B", os.path.abspath(__file__), "--inside"])
    return 1


if __name__ == "__main__":
    sys.exit(begin())
