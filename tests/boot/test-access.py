#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: the real polkitd, its defaults, and the rule that the README gives to a site."""

import re

import hosts
from hosts import check, now, wait

MANAGER = "/org/vipd1", "org.vipd1.Manager"
WEB = "/org/vipd1/instance/web", hosts.INSTANCE
VERBS = [(*WEB, "Demote"), (*WEB, "DemoteFor", "t", "1000000"), (*WEB, "Promote"), (*WEB, "Disable"), (*WEB, "Enable"),
         (*MANAGER, "Reload")]


def call(node, user, *verb, interactive=True):
    return node.run("busctl", f"--allow-interactive-authorization={'yes' if interactive else 'no'}", "call", "org.vipd1", *verb,
                    user=user, fail=False)


def test_a_user_without_rights_is_refused_each_verb(lab):
    """Nothing changes by it, and reading stays free."""
    n1, _ = lab.booted(1)
    n1.run("useradd", "alice")
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    began = now()
    for verb in VERBS:
        result = call(n1, "alice", *verb)
        check(result.returncode != 0 and "Access denied" in result.stderr, f"{verb}: {result.returncode} {result.stderr}")
        result = call(n1, "alice", *verb, interactive=False)
        check(result.returncode != 0 and "Interactive authentication is required" in result.stderr,
              f"{verb}: {result.returncode} {result.stderr}")
    check(n1.get("State", user="alice") == "master" and n1.get("Enabled", user="alice") is True, "nothing changed")
    check(n1.transitions(since=began) == [] and lab.changes(began) == [] and not lab.bow_outs(n1), "nor on the wire")
    for verb in VERBS:
        result = call(n1, None, *verb)
        check(result.returncode == 0 or "NotMaster" in result.stderr or "not master" in result.stderr.lower(),
              f"root, {verb}: {result.stderr}")


def test_a_rule_lets_one_group_demote_one_instance(lab):
    """The rule is the one in the README, as it stands there."""
    with open(hosts.README) as f:
        rule = re.search(r"```js\n(.*?)```", f.read(), re.S)[1]
    instances = {"web": hosts.instance(), "other": hosts.instance(("192.0.2.51",), vhid=8)}
    n1, _ = lab.booted(1, lambda node: node.configure(instances))
    n1.run("groupadd", "web-admins")
    n1.run("useradd", "--groups=web-admins", "alice")
    n1.run("useradd", "bob")
    n1.write("/etc/polkit-1/rules.d/60-web.rules", rule)
    for name in instances:
        n1.wait_state("master", name)
    other = "/org/vipd1/instance/other", hosts.INSTANCE
    refused = [("alice", *other, "Demote"), ("alice", *WEB, "Disable"), ("alice", *WEB, "Promote"), ("alice", *MANAGER, "Reload"),
               ("bob", *WEB, "Demote")]
    for who, *verb in refused:
        check(call(n1, who, *verb).returncode != 0, f"{who} may {verb}")
    # polkitd reads a new rule when it notices the file
    wait(lambda: call(n1, "alice", *WEB, "Demote").returncode == 0, "alice may demote web")
    check(n1.state() == "backup" and n1.get("Reason") == "demoted", f"{n1.state()} {n1.get('Reason')}")
    check(n1.state("other") == "master", "the other instance stays")
    for who, *verb in refused:
        check(call(n1, who, *verb).returncode != 0, f"{who} may {verb} now that the rule is loaded")


def test_nobody_else_takes_the_name(lab):
    n1, _ = lab.booted(1)
    n1.run("useradd", "alice")
    n1.systemctl("stop", "vipd")
    for user in ("alice", "vipd"):
        result = n1.run("busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                        "su", "org.vipd1", "0", user=user, fail=False)
        check((result.returncode == 0) == (user == "vipd"), f"{user}: {result.stdout}{result.stderr}")


def test_without_polkit_only_root_passes(lab):
    n1, _ = lab.booted(1)
    n1.run("useradd", "alice")
    n1.systemctl("mask", "--now", "polkit")
    n1.wait_state("master")
    check(call(n1, "alice", *WEB, "Demote").returncode != 0 and n1.state() == "master", "alice is refused")
    result = call(n1, None, *WEB, "Demote")
    check(result.returncode == 0 and n1.state() == "backup", f"root passes: {result.stderr}")


if __name__ == "__main__":
    hosts.main()
