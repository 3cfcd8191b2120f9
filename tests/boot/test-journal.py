#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator reads: each kind of event has its line, its fields and its explanation, and is not said more often than it is of
use."""

import os
import re
import signal

import hosts
from hosts import VIP, VIP6, check, message_id, now, wait

HEADER = os.path.join(hosts.HERE, "../../daemon/util/message-ids.h")
CATALOG = os.path.join(hosts.HERE, "../../units/vipd.catalog")


def message_ids():
    with open(HEADER) as f:
        return dict(re.findall(r"MESSAGE_ID_(\w+)_STR \"(\w+)\"", f.read()))


def explanations():
    """id -> (subject, the whole entry), with its fields still to be filled."""
    with open(CATALOG) as f:
        entries = re.findall(r"^-- (\w{32})\n(.*?)(?=^-- \w{32}\n|\Z)", f.read(), re.S | re.M)
    return {key: (re.search(r"^Subject: (.*)", text, re.M)[1], text) for key, text in entries}


def fill(text, entry):
    return re.sub(r"@(VIPD_\w+)@", lambda m: entry[m[1]], text)


def happened(node, name, since=0):
    return wait(lambda: node.journal(message_id(name), since=since), f"{name} in the journal", 20)


def test_each_event_is_explained(lab):
    """Everything that an operator may alert on is made to happen, and journalctl -x fills our text with its fields."""
    def prepare(node):
        node.configure({"web": hosts.instance((VIP, VIP6), Takeover_UpScript="/usr/bin/false"),
                        # there is no way to this peer, see below
                        "lonely": hosts.instance(("192.0.2.60",), vhid=8, CARP_Peers="198.51.100.1"),
                        "broken": "[VIP]\nAddress=nonsense\n",
                        "sick": hosts.instance(("192.0.2.61",), vhid=9, **{"Check hook_Type": "unit", "Check hook_Unit": "cured.service",
                                                                          "Check hook_Interval": "100ms"})})
        node.write("/etc/systemd/system/cured.service", "[Service]\nExecStart=sleep infinity\n")
        node.drop_in("deny", "[Service]\nIPAddressDeny=198.51.100.1\n")
        node.hook("sick.service", "Type=oneshot\nExecStart=false")
    n1, client = lab.booted(1, prepare)
    n1.wait_state("master")
    for name in ("STATE_CHANGE", "CONFIG_PROBLEM", "SCRIPT_FAILED", "UNIT_FAILED", "SEND_FAILED", "CHECK_FAILED"):
        happened(n1, name)
    n1.systemctl("start", "cured.service")
    happened(n1, "CHECK_PASSED")
    wait(lambda: lab.holder() == 1, "the address")
    n1.ip("addr", "del", f"{VIP}/32", "dev", "eth0")
    happened(n1, "ADDRESS_RESTORED")
    n1.systemctl("restart", "vipd")
    happened(n1, "RESUMED")
    wait(lambda: n1.state() == "master", "it answers")
    process = n1.process_id()
    os.kill(process, signal.SIGSTOP)
    began = now()
    wait(lambda: now() - began > 3_500_000, "a dead interval")
    os.kill(process, signal.SIGCONT)
    happened(n1, "STALLED")
    n1.wait_state("master")
    n1.sysctl("ipv6/conf/eth0/disable_ipv6", 1)
    happened(n1, "ADDRESS_NOT_HELD")

    entries = [e for e in n1.journal("_SYSTEMD_UNIT=vipd.service") if "MESSAGE_ID" in e]
    ids, texts = message_ids(), explanations()
    # what other hosts have to do wrong is done in tests/net
    here = {value for name, value in ids.items() if name not in ("CONFLICT", "MISFIT")}
    check({e["MESSAGE_ID"] for e in entries} == here, "an event that did not happen")
    for entry in entries:
        for field in re.findall(r"@(VIPD_\w+)@", texts[entry["MESSAGE_ID"]][1]):
            # the master may not be known
            check(entry.get(field) or (field == "VIPD_PEER" and field in entry), f"{entry['MESSAGE']}: no {field}")
        check(entry["PRIORITY"] in "3456" and entry["CODE_FILE"] and entry["SYSLOG_IDENTIFIER"] == "vipd", entry)
    # what a package's trigger does
    n1.run("journalctl", "--update-catalog")
    shown = n1.run("journalctl", "-x", "--no-pager", "-u", "vipd").stdout
    check("@VIPD" not in shown, "a field that nobody filled")
    for entry in entries:
        subject = fill(texts[entry["MESSAGE_ID"]][0], entry)
        check(f"Subject: {subject}\n" in shown, f"no explanation of {entry['MESSAGE']}: {subject}")
    check("-- Support: man:vipd(8)" in shown.replace("░░ ", "-- "), "where there is help")


def test_a_change_of_state_in_fields(lab):
    n1, n2, _ = lab.elected(2)
    entry = n1.journal(message_id("STATE_CHANGE"))[-1]
    expected = {"VIPD_INSTANCE": "web", "VIPD_INTERFACE": "eth0", "VIPD_VHID": "7", "VIPD_PREVIOUS_STATE": "backup", "VIPD_STATE": "master",
                "VIPD_REASON": "master-timeout", "VIPD_PEER": n1.address, "PRIORITY": "5", "SYSLOG_IDENTIFIER": "vipd",
                "MESSAGE": "web: backup -> master (master-timeout)"}
    check({k: entry.get(k) for k in expected} == expected, entry)
    began = now()
    check(n1.call("Demote").returncode == 0, "Demote")
    happened(n1, "STATE_CHANGE", began)
    # one line per change
    check(len(n1.journal("VIPD_INSTANCE=web", "PRIORITY=5", since=began)) == 1, n1.journal("VIPD_INSTANCE=web", since=began))


def test_a_program_that_removes_the_address_is_told_of_once(lab):
    """However often it does so, until the configuration is read again."""
    n1, client = lab.booted(1)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    for told in 1, 2:
        for _ in range(5):
            began = now()
            n1.ip("addr", "del", f"{VIP}/32", "dev", "eth0")
            wait(lambda: len(lab.observer.changes(VIP, began)) == 2, "it is gone, and back")
        check(len(n1.journal(message_id("ADDRESS_RESTORED"))) == told, n1.journal(message_id("ADDRESS_RESTORED")))
        n1.systemctl("reload", "vipd")
        wait(lambda: len([e for e in n1.journal("_SYSTEMD_UNIT=vipd.service") if e["MESSAGE"] == "Reloading"]) == told, "reloaded")
    check(n1.state() == "master" and len(n1.transitions()) == 2, n1.transitions())


if __name__ == "__main__":
    hosts.main()
