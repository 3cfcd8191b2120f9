#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What hangs on a role: units of a user start on takeover and stop on release as README.md promises, however fast roles change and
whatever happens to systemd meanwhile; and no unit ever holds an election up."""

import contextlib
import os
import re
import signal

import hosts
from hosts import VIP, Gate, check, hold, message_id, now, wait

HOLD_SEC = 4
LATE_USEC = 2_000_000  # an advert of AdvBase=1 that came so long after the one before was late
TELL = "/usr/local/sbin/tell-the-provider"
TOLD = "/var/log/told"


def readme_units():
    """The drop-in and the unit of README.md, as they stand there."""
    with open(hosts.README) as f:
        drop_in, unit = (block for block in re.findall(r"```ini\n(.*?)```", f.read(), re.S) if "[Unit]" in block)
    check("[Service]" not in drop_in and TELL in unit, "README.md shows a drop-in, then a unit")
    return drop_in, unit


def with_the_provider(node):
    """README's takeover action, and a provider who writes down what he is told."""
    node.write(TELL, f'#!/bin/sh\necho "$1" >>{TOLD}\n', mode=0o755)
    node.write("/etc/systemd/system/web-takeover.service", readme_units()[1])


def told(node):
    with contextlib.suppress(FileNotFoundError), open(f"{node.root}{TOLD}") as f:
        return f.read().split()
    return []


def fetch(client):
    """The first line of nginx's answer on the floating address, None if there is none."""
    with contextlib.suppress(OSError), client.socket(hosts.net.socket.AF_INET, hosts.net.socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect((VIP, 80))
        sock.send(b"GET / HTTP/1.0\r\n\r\n")
        return sock.recv(4096).decode().split("\r\n")[0]
    return None


def demote(node, instance="web"):
    result = node.call("Demote", instance=instance)
    check(result.returncode == 0, f"Demote: {result.stderr}")


def promote(node, instance="web"):
    result = node.call("Promote", instance=instance)
    check(result.returncode == 0, f"Promote: {result.stderr}")


def check_adverts_in_time(lab, node, since):
    """Whoever was master did not fall silent."""
    lab.observer.sync()
    times = [since, *(e.t for e in lab.observer.carp(node, since)), now()]
    gap = max(b - a for a, b in zip(times, times[1:]))
    check(gap < LATE_USEC, f"no advert for {gap} us")


def failures(node, instance="web"):
    return node.get("FailedUnits", instance)


def unit_lines(node, unit, since=0):
    """How the log calls what became of a unit."""
    return [e["VIPD_RESULT"] for e in node.journal(message_id("UNIT_FAILED"), f"VIPD_UNIT={unit}", since=since)]


# what README.md promises

def test_the_readme_drop_in(lab):
    """nginx as Debian has it, with README's drop-in: on the master only, from takeover to release, also over a reboot."""
    n1, n2, client = lab.elected(2)
    for node in n1, n2:
        node.systemctl("enable", "--now", "nginx.service")
        node.drop_in("override", readme_units()[0], "nginx.service")
        node.systemctl("reenable", "nginx.service")
    check(not os.path.lexists(f"{n1.root}/etc/systemd/system/multi-user.target.wants/nginx.service"), "no longer by itself")
    n2.systemctl("stop", "nginx.service")
    wait(lambda: fetch(client) == "HTTP/1.1 200 OK", "n1 serves")

    demote(n1)
    n2.wait_role("master", ["nginx.service"])
    n1.wait_role("backup")
    n1.wait_active("nginx.service", state="inactive")
    wait(lambda: fetch(client) == "HTTP/1.1 200 OK", "n2 serves")

    result = n1.systemctl("start", "nginx.service", fail=False)
    check(result.returncode != 0 and n1.active("nginx.service") == "inactive", "a backup refuses to start it")
    check(n1.active("vipd-master@web.target") == "inactive", "and trying does not make it a master")

    began = now()
    n1.reboot()
    n1.wait_role("backup")
    check(n1.active("nginx.service") == "inactive", "nor does it start at boot")
    check(not n1.journal("UNIT=nginx.service", f"MESSAGE_ID={hosts.UNIT_STARTED}", since=began), "not even for a moment")


def test_the_readme_takeover_action(lab):
    """Once per takeover, and its counterpart once per release, also when that is a stop."""
    n1, n2, _ = lab.elected(2, with_the_provider)
    for node in n1, n2:
        node.systemctl("daemon-reload")
        node.systemctl("enable", "web-takeover.service")
    # enabled while master: from the next takeover on
    demote(n1)
    n2.wait_role("master", ["web-takeover.service"])
    check(told(n2) == ["here"] and told(n1) == [], f"{told(n1)} {told(n2)}")
    n2.systemctl("stop", "vipd")
    n1.wait_role("master", ["web-takeover.service"])
    n2.wait_role(None, ["web-takeover.service"])
    check(told(n2) == ["here", "gone"] and told(n1) == ["here"], f"{told(n1)} {told(n2)}")


def test_a_release_during_the_takeover_action(lab):
    """It is told of a takeover that is over before it was through, too."""
    def prepare(node):
        with_the_provider(node)
        node.enable("web-takeover.service")
    n1, _ = lab.booted(1, prepare, Takeover_DemoteHold="1min")
    n1.wait_role("master", ["web-takeover.service"])
    demote(n1)
    n1.wait_role("backup", ["web-takeover.service"])
    gate = Gate(n1, "/gate")
    n1.write(TELL, f'#!/bin/sh\necho "$1" >>{TOLD}\n[ "$1" = gone ] || cat /gate\n', mode=0o755)
    promote(n1)
    wait(gate.reached, "it is told of the takeover", 30)
    demote(n1)
    n1.wait_active("vipd-backup@web.target")
    check(told(n1) == ["here", "gone"] * 2, told(n1))


def test_hooks_of_backups(lab):
    n1, n2, _ = lab.elected(2, lambda node: [node.hook("m.service"), node.hook("b.service", role="backup")])
    n1.wait_role("master", ["m.service"], ["b.service"])
    n2.wait_role("backup", ["m.service"], ["b.service"])
    demote(n1)
    n2.wait_role("master", ["m.service"], ["b.service"])
    n1.wait_role("backup", ["m.service"], ["b.service"])
    check(n1.call("Disable").returncode == 0, "Disable")
    n1.wait_role(None, ["m.service"], ["b.service"])
    check(n1.call("Enable").returncode == 0, "Enable")
    n1.wait_role("backup", ["m.service"], ["b.service"])


def test_names_that_units_know(lab):
    """Each character that a name may have, in a target."""
    names = ["a-b", "a.b", "a:b", "a_b", "0" * 64]
    files = {f"{name}.vip": hosts.instance((f"192.0.2.{60 + k}",), vhid=20 + k) for k, name in enumerate(names)}
    n1, _ = lab.booted(1, lambda node: [node.configure(files), *(node.hook(f"m{k}.service", instance=name)
                                                                 for k, name in enumerate(names))])
    for k, name in enumerate(names):
        n1.wait_role("master", [f"m{k}.service"], instance=name)
    check(n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4") == [], "no complaint")


# fast changes

def flap(node, process, times):
    """From master to backup and back, as fast as a verb is."""
    for _ in range(times):
        os.kill(process, signal.SIGUSR2)
        promote(node)


def quickest_flap_usec(node, since):
    """How long the shortest time as backup was, as the journal has it."""
    times = [(int(e["_SOURCE_REALTIME_TIMESTAMP"]), e["VIPD_STATE"]) for e in node.journal(message_id("STATE_CHANGE"), since=since)]
    return min(b - a for (a, x), (b, y) in zip(times, times[1:]) if (x, y) == ("backup", "master"))


SLOW_SECONDS = 0.5


def flapping(lab):
    """A master alone with hooks on both roles."""
    def prepare(node):
        node.hook("m.service")
        node.hook("b.service", role="backup")
        slow = f"Type=oneshot\nRemainAfterExit=yes\nExecStart=sleep {SLOW_SECONDS}\nExecStop=sleep {SLOW_SECONDS}"
        node.hook("slow.service", slow)
        node.hook("slow-b.service", slow, role="backup")
    # who was demoted stays so until promoted
    n1, _ = lab.booted(1, prepare, Takeover_DemoteHold="10min")
    hooks = ["m.service", "slow.service"], ["b.service", "slow-b.service"]
    n1.wait_role("master", *hooks)
    return n1, hooks, n1.process_id()


def test_master_backup_master_in_a_moment(lab):
    """Each time with the right end."""
    n1, hooks, process = flapping(lab)
    began = now()
    for _ in range(10):
        flap(n1, process, 1)
        n1.wait_role("master", *hooks)
    quickest = quickest_flap_usec(n1, began)
    check(quickest < SLOW_SECONDS * 1_000_000, f"{quickest} us is no moment")
    for _ in range(5):
        os.kill(process, signal.SIGUSR2)
        n1.wait_state("backup")
        promote(n1)
        os.kill(process, signal.SIGUSR2)
        n1.wait_role("backup", *hooks)
        promote(n1)
        n1.wait_role("master", *hooks)
    check(failures(n1) == [] and n1.journal(message_id("UNIT_FAILED")) == [], "no failure")


def test_twenty_changes_in_a_row(lab):
    n1, hooks, process = flapping(lab)
    flap(n1, process, 20)
    n1.wait_role("master", *hooks)
    flap(n1, process, 20)
    os.kill(process, signal.SIGUSR2)
    n1.wait_role("backup", *hooks)
    # and they stay
    hold(lambda: n1.actives("m.service", "b.service") == ["inactive", "active"], "the units of a backup", 1)
    check(failures(n1) == [] and n1.journal(message_id("UNIT_FAILED")) == [], "no failure")


def test_sixty_instances_at_once(lab):
    """Every one of them changes in the same moment, three times."""
    names = ["web", *(f"web{k}" for k in range(1, 60))]

    def prepare(node):
        node.configure({name: hosts.instance((f"203.0.113.{k}",), vhid=100 + k, Takeover_DemoteHold=f"{HOLD_SEC}s")
                        for k, name in enumerate(names)})

    def right(role):
        units = [f"vipd-{r}@{name}.target" for name in names for r in ("master", "backup")]
        return n1.actives(*units) == {"master": ["active", "inactive"], "backup": ["inactive", "active"]}[role] * 60
    n1, _ = lab.booted(1, prepare)
    wait(lambda: right("master"), "sixty masters", 30)
    began = now()
    os.kill(n1.process_id(), signal.SIGUSR2)
    # for a moment: the demotion ends
    wait(lambda: right("backup"), "sixty backups", 30, every=0.1)
    wait(lambda: right("master"), "sixty masters again", 30)
    check(n1.show("vipd.service", "StatusText") == "60 instances: 60 master", n1.show("vipd.service", "StatusText"))
    lab.observer.sync()
    for vhid in range(100, 160):
        times = [e.t for e in lab.observer.carp(n1, began, vhid=vhid) if e.advbase != 255]
        gap = max((b - a for a, b in zip(times, times[1:])), default=0)
        check(times and gap < HOLD_SEC * 1_000_000 + LATE_USEC, f"vhid {vhid}: no advert for {gap} us")
    n1.systemctl("stop", "vipd")
    wait(lambda: set(n1.actives(*(f"vipd-{r}@{name}.target" for name in names for r in ("master", "backup")))) == {"inactive"},
         "all stopped", 30)
    check(n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4") == [], "no complaint")


# hooks that fail or hang

def test_a_failing_hook(lab):
    """Logged, published, and forgotten when it is well; the election knows nothing of it."""
    service = "Type=oneshot\nRemainAfterExit=yes\nExecStart=test -e /etc/well"
    n1, n2, _ = lab.elected(2, lambda node: node.hook("sick.service", service))
    wait(lambda: failures(n1) == [["sick.service", "failed"]], lambda: f"FailedUnits {failures(n1)}")
    entry, = n1.journal(message_id("UNIT_FAILED"))
    check((entry["VIPD_UNIT"], entry["VIPD_INSTANCE"], entry["VIPD_RESULT"], entry["PRIORITY"]) ==
          ("sick.service", "web", "failed", "4"), entry)
    check(n1.state() == "master" and lab.holder() == 1, "n1 is master all the same")
    n1.write("/etc/well", "")
    n1.systemctl("start", "sick.service")
    wait(lambda: failures(n1) == [], lambda: f"FailedUnits {failures(n1)}")
    check(unit_lines(n1, "sick.service") == ["failed"], "one line")
    # another role, other units
    os.unlink(f"{n1.root}/etc/well")
    n1.systemctl("restart", "sick.service", fail=False)
    wait(lambda: failures(n1) == [["sick.service", "failed"]], lambda: f"FailedUnits {failures(n1)}")
    demote(n1)
    wait(lambda: failures(n1) == [], lambda: f"FailedUnits of a backup {failures(n1)}")


def test_a_failed_hook_is_known_after_a_restart(lab):
    """Of vipd, and of the bus: it is listed until it is well, as before; and nothing is started to find that out."""
    service = "Type=oneshot\nRemainAfterExit=yes\nExecStart=test -e /etc/well"
    n1, n2, _ = lab.elected(2, lambda node: node.hook("sick.service", service))
    for what in ("vipd", "dbus"):
        wait(lambda: failures(n1) == [["sick.service", "failed"]], lambda: f"FailedUnits {failures(n1)}")
        invocation = n1.show("sick.service", "InvocationID")
        n1.systemctl("restart", what)
        wait(lambda: failures(n1) == [["sick.service", "failed"]], lambda: f"FailedUnits after a restart of {what} {failures(n1)}")
        check(n1.show("sick.service", "InvocationID") == invocation, "not started again")
        n1.write("/etc/well", "")
        n1.systemctl("start", "sick.service")
        wait(lambda: failures(n1) == [], lambda: f"FailedUnits {failures(n1)}")
        os.unlink(f"{n1.root}/etc/well")
        n1.systemctl("restart", "sick.service", fail=False)
    check(n1.state() == "master" and lab.holder() == 1, "n1 is master all the same")


def test_a_hanging_hook(lab):
    """After UnitTimeout= it is called so; meanwhile and afterwards the election goes on, and one that gets there late is well."""
    n1, n2, client = lab.booted(2, prepare_gate("slow.service"), Takeover_UnitTimeout="1s")
    n1.wait_state("master")
    began = now()
    wait(n1.gate.reached, "it has begun", 30)
    wait(lambda: failures(n1) == [["slow.service", "hanging"]], lambda: f"FailedUnits {failures(n1)}")
    check(unit_lines(n1, "slow.service") == ["hanging"], "one line")
    wait(client.ping, "the address is held")
    hold(lambda: n1.state() == "master" and n2.state() == "backup", "the election is undisturbed", 3.5)
    check_adverts_in_time(lab, n1, began)
    n1.gate.open()
    wait(lambda: failures(n1) == [], lambda: f"FailedUnits {failures(n1)}")
    check(n1.active("slow.service") == "active", "it got there")
    check(unit_lines(n1, "slow.service") == ["hanging"], "one line")


def prepare_gate(name, service="Type=oneshot\nRemainAfterExit=yes\nExecStart=cat /gate", only=(1,)):
    """For booted(): a hook whose start waits at node.gate."""
    def prepare(node):
        if node.number in only:
            node.gate = Gate(node, "/gate")
            node.hook(name, service)
    return prepare


def test_a_failing_hook_costs_the_mastership(lab):
    """OnUnitFailure=demote: a host where the units are well takes over."""
    n1, n2, _ = lab.booted(2, lambda node: node.hook("h.service", "Type=oneshot\nRemainAfterExit=yes\nExecStart=test -e /etc/well"),
                           Takeover_OnUnitFailure="demote", Takeover_DemoteHold="1min")
    n2.write("/etc/well", "")
    wait(lambda: lab.holder() == 2, "n2 holds the address", 20)
    n1.wait_state("backup")
    check(("master", "backup", "demoted") in n1.transitions(), n1.transitions())
    check(lab.bow_outs(n1), "with a bow-out")
    n2.wait_role("master", ["h.service"])
    n1.wait_active("vipd-backup@web.target")
    lab.check_never_together(1)


def test_a_hanging_hook_costs_the_mastership(lab):
    n1, n2, _ = lab.booted(2, prepare_gate("h.service"), Takeover_OnUnitFailure="demote", Takeover_UnitTimeout="1s",
                           Takeover_DemoteHold="1min")
    wait(lambda: lab.holder() == 2, "n2 holds the address", 20)
    n1.wait_state("backup")
    check(unit_lines(n1, "h.service") == ["hanging"], "it hung")
    check(("master", "backup", "demoted") in n1.transitions(), n1.transitions())


# UnitsBeforeAddress=yes

SLOW = "Type=oneshot\nRemainAfterExit=yes\nTimeoutStopSec=30\nExecStart=cat /start\nExecStop=cat /stop"


def units_first(lab, n=2, **more):
    """Hosts whose hook starts and stops when the test lets it; the first is master, its units are up and the address is held."""
    def prepare(node):
        node.start, node.stop = Gate(node, "/start"), Gate(node, "/stop")
        node.hook("app.service", SLOW)
    *nodes, client = lab.booted(n, prepare, **{"Takeover_UnitsBeforeAddress": "yes", **more})
    n1 = nodes[0]
    wait(n1.start.reached, "the hook starts", 30)
    n1.wait_state("master")
    began = now()
    for node in nodes[1:]:
        node.listened(advskew=50 * (node.number - 1))
    lab.observer.sync()
    wait(lambda: lab.observer.carp(n1, advbase=1), "it advertises")
    check(lab.holder() is None, "it holds nothing yet")
    check(n1.active("vipd-master@web.target") == "active", "the target is up")
    n1.start.open()
    wait(lambda: lab.holder() == 1, "the address")
    check(n1.active("app.service") == "active", "the hook is up before the address is held")
    check_adverts_in_time(lab, n1, began)
    return [*nodes, client]


def leaves_after_its_units(lab, act):
    """act(): something that ends the mastership as planned. The address stays until the hook has stopped."""
    n1, n2, client = units_first(lab)
    began = now()
    act(n1)
    wait(n1.stop.reached, "the hook stops", 30)
    hold(lambda: lab.holder() == 1, "the address is held while the hook stops", 1.2)
    check(not lab.bow_outs(n1, began) and client.ping(timeout=10), "it answers, and says no farewell")
    check_adverts_in_time(lab, n1, began)
    opened = now()
    n1.stop.open()
    n2.start.open()
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    lost = next(t for t, number, present in lab.changes(began) if number == 1 and not present)
    check(lost > opened and lab.bow_outs(n1, opened), "units, address, bow-out: in this order")
    lab.check_never_together(1)
    return n1, n2


def test_units_before_address_demote(lab):
    n1, _ = leaves_after_its_units(lab, demote)
    n1.wait_role("backup", ["app.service"])


def test_units_before_address_disable(lab):
    n1, _ = leaves_after_its_units(lab, lambda n1: check(n1.call("Disable").returncode == 0, "Disable"))
    n1.wait_role(None, ["app.service"])


def test_units_before_address_stop(lab):
    n1, _ = leaves_after_its_units(lab, lambda n1: n1.systemctl("stop", "--no-block", "vipd"))
    n1.wait_role(None, ["app.service"])
    check(n1.show("vipd.service", "Result") == "success", "a clean end")


def test_units_before_address_reboot(lab):
    n1, _ = leaves_after_its_units(lab, lambda n1: n1.systemctl("reboot"))
    check(n1.wait_down() == 133, "it reboots")


def test_units_before_address_timeout(lab):
    """Neither a start nor a stop that hangs is waited for longer than UnitTimeout=."""
    def prepare(node):
        node.start, node.stop = Gate(node, "/start"), Gate(node, "/stop")
        node.hook("app.service", SLOW)
    n1, _ = lab.booted(1, prepare, Takeover_UnitsBeforeAddress="yes", Takeover_UnitTimeout="1s", Takeover_DemoteHold="1min")
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    master = n1.get("StateChangeTimestampMonotonic")
    held = lab.changes(0)[0][0]
    check(1_000_000 <= held - master < 6_000_000, f"held {held - master} us after it became master")
    check(failures(n1) == [["app.service", "hanging"]], failures(n1))
    n1.start.open()
    wait(lambda: failures(n1) == [], "it got there")
    began = now()
    demote(n1)
    wait(lambda: lab.holder() is None, "the address is given up")
    lost = lab.changes(began)[0][0]
    check(1_000_000 <= lost - began < 6_000_000, f"given up {lost - began} us after the order")
    check(lab.bow_outs(n1, began), "with a bow-out")
    wait(n1.stop.reached, "although the hook still stops", 30)
    check(n1.active("app.service") == "deactivating", n1.active("app.service"))


def test_units_before_address_timeout_of_a_stop(lab):
    """A hook that does not stop holds neither the address nor the service up."""
    n1, n2, _ = units_first(lab)
    # only now, or a start that takes as long as a busy machine needs would be one that hangs
    n1.configure(Takeover_UnitsBeforeAddress="yes", Takeover_UnitTimeout="2s")
    n1.systemctl("reload", "vipd")
    began = now()
    n1.systemctl("stop", "vipd")
    stopped = now() - began
    check(2_000_000 <= stopped < 20_000_000, f"stopped after {stopped} us")
    lost = lab.changes(began)[0][0]
    check(2_000_000 <= lost - began < 8_000_000, f"given up {lost - began} us after the order")
    check(n1.show("vipd.service", "Result") == "success" and lab.bow_outs(n1, began), "a clean end, with a bow-out")
    wait(n1.stop.reached, "the hook still stops", 30)
    check(n1.active("app.service") == "deactivating", n1.active("app.service"))
    n1.stop.open()
    n1.wait_role(None, ["app.service"])


def test_units_before_address_failure_demotes(lab):
    """OnUnitFailure=demote: an address whose units do not come up is never held."""
    n1, n2, _ = lab.booted(2, lambda node: node.hook("h.service", "Type=oneshot\nRemainAfterExit=yes\nExecStart=test -e /etc/well"),
                           Takeover_OnUnitFailure="demote", Takeover_UnitsBeforeAddress="yes", Takeover_DemoteHold="1min")
    n2.write("/etc/well", "")
    wait(lambda: lab.holder() == 2, "n2 holds the address", 20)
    n2.wait_active("h.service")
    check({number for _, number, _ in lab.changes(0)} == {2}, lab.changes(0))


def test_units_before_address_do_not_hold_a_preempted_master(lab):
    """Who is outdone drops the address at once, whatever its units do."""
    n1, n2, _ = units_first(lab, VIP_Lease="60s")
    began = now()
    promote(n2)
    wait(lambda: not lab.observer.holders(VIP), "n1 dropped the address")
    n1.wait_state("backup")
    wait(n1.stop.reached, "the hook stops", 30)
    check(n1.active("app.service") == "deactivating", "the hook has not stopped yet")
    lost = next(t for t, number, present in lab.changes(began) if number == 1 and not present)
    check(lost - began < 10_000_000, f"dropped after {lost - began} us, as if it had waited")
    check(not lab.bow_outs(n1, began), "no farewell")
    n2.start.open()
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    n1.stop.open()
    n1.wait_role("backup", ["app.service"])
    lab.check_never_together(1)


def test_units_before_address_do_not_hold_a_master_without_link(lab):
    n1, n2, _ = units_first(lab, VIP_Lease="60s")
    n1.carrier(False)
    wait(lambda: 1 not in lab.observer.holders(VIP), "n1 dropped the address")
    wait(n1.stop.reached, "the hook stops", 30)
    check(n1.active("app.service") == "deactivating", "the hook has not stopped yet")
    n2.start.open()
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    n1.stop.open()
    n1.wait_role(None, ["app.service"])


# polkit

def ask_systemd(node, user, member, *arguments):
    return node.run("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                    member, *arguments, user=user, fail=False)


def test_the_rule_allows_targets_and_nothing_else(lab):
    """User vipd starts and stops targets of roles; no other unit, no other verb, and no other user."""
    n1, _ = lab.booted(1, vipd=False)
    n1.run("useradd", "alice")
    for unit in ("vipd-master@x.target", "vipd-backup@a-b.c:d_e.target", "vipd-master@" + "9" * 64 + ".target"):
        for member, state in (("StartUnit", "active"), ("StopUnit", "inactive")):
            check(ask_systemd(n1, "alice", member, "ss", unit, "replace").returncode != 0, f"alice may {member} {unit}")
            result = ask_systemd(n1, "vipd", member, "ss", unit, "replace")
            check(result.returncode == 0, f"{member} {unit}: {result.stderr}")
            n1.wait_active(unit, state=state)
    check(ask_systemd(n1, "vipd", "StartUnit", "ss", "vipd-master@x.target", "replace").returncode == 0, "loaded")
    refused = [(member, "ss", unit, "replace") for member in ("StartUnit", "StopUnit")
               for unit in ("nginx.service", "vipd.service", "vipd-failed.service", "multi-user.target", "reboot.target",
                            "vipd-master@x.service", "xvipd-master@x.target", "vipd-other@x.target")]
    refused += [(member, "ss", "vipd-master@x.target", "replace")
                for member in ("RestartUnit", "TryRestartUnit", "ReloadUnit", "ReloadOrRestartUnit")]
    refused += [("KillUnit", "ssi", "vipd-master@x.target", "all", "9"), ("ResetFailedUnit", "s", "vipd-master@x.target"),
                ("SetUnitProperties", "sba(sv)", "vipd-master@x.target", "true", "0"),
                ("EnableUnitFiles", "asbb", "1", "nginx.service", "true", "true"),
                ("MaskUnitFiles", "asbb", "1", "nginx.service", "true", "true"),
                ("StartTransientUnit", "ssa(sv)a(sa(sv))", "vipd-master@t.target", "replace", "0", "0"),
                ("Reload", ), ("Reexecute", ), ("PowerOff", ), ("SetEnvironment", "as", "1", "A=B")]
    for verb in refused:
        result = ask_systemd(n1, "vipd", *verb)
        check(result.returncode != 0 and any(word in result.stderr for word in hosts.DENIED), f"{verb}: {result.returncode} {result.stderr}")
    check(n1.active("vipd-master@x.target") == "active", "nothing became of it")


def test_without_the_rule(lab):
    """systemd refuses: that is said, once for each change, and the election does not need it."""
    n1, n2, client = lab.elected(2, lambda node: os.unlink(f"{node.root}/usr/share/polkit-1/rules.d/50-vipd.rules"))
    wait(lambda: failures(n1) == [["vipd-master@web.target", "refused"]], lambda: f"FailedUnits {failures(n1)}")
    began = now()
    demote(n1)
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    wait(client.ping, "the client reaches it")

    def lines():
        return [e["MESSAGE"] for e in n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4", since=began)]
    wait(lines, "a line about it")
    n1.systemctl("stop", "vipd")
    check(len(lines()) == 1 and "refuses to start vipd-backup@web.target" in lines()[0], lines())


# systemd and its bus, while roles change

def test_systemd_stands_still(lab):
    """Process 1 is stopped: elections, adverts and takeovers go on in time, and when it runs again the units become right."""
    def prepare(node):
        node.hook("m.service")
        node.hook("b.service", role="backup")
    n1, n2, client = lab.elected(2, prepare)
    hooks = ["m.service"], ["b.service"]
    n1.wait_role("master", *hooks)
    leader, process = n1.leader(), n1.process_id()
    os.kill(leader, signal.SIGSTOP)
    began = now()
    demote(n1)
    lab.handed_over(n2)
    check(n1.state() == "backup", "it answers")
    promote(n1)
    wait(lambda: lab.holder() == 1, "n1 holds the address")
    hold(lambda: lab.holder() == 1 and n1.state() == "master", "it goes on", 4)
    check_adverts_in_time(lab, n1, began)
    wait(client.ping, "the client reaches it")
    os.kill(process, signal.SIGUSR2)
    lab.handed_over(n2)
    os.kill(leader, signal.SIGCONT)
    n1.wait_role("backup", *hooks)
    n2.wait_role("master", *hooks)
    check(n1.process_id() == process, "the same process")


def test_bus_restarted_between_changes(lab):
    n1, hooks, process = flapping(lab)
    for role in ("backup", "master"):
        os.kill(process, signal.SIGUSR2)
        n1.systemctl("restart", "--no-block", "dbus.service")
        if role == "master":
            wait(lambda: n1.call("Promote").returncode == 0, "Promote on the new bus", 20)
        n1.wait_role(role, *hooks)
    # a role that changes while there is no bus at all
    n1.systemctl("stop", "dbus.socket", "dbus.service")
    os.kill(process, signal.SIGUSR2)
    wait(lambda: lab.holder() is None, "the address is given up")
    check(n1.active("m.service") == "active", "nobody could tell systemd")
    n1.systemctl("start", "dbus.socket", "dbus.service")
    n1.wait_role("backup", *hooks)
    check(n1.process_id() == process, "the same process")


def test_a_bus_that_knows_no_systemd_yet(lab):
    """systemd comes to a new bus when it likes, perhaps after vipd: the role is told then."""
    n1, hooks, process = flapping(lab)
    forbidden = "/etc/dbus-1/system.d/late.conf"
    n1.write(forbidden, """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><policy context="mandatory"><deny own="org.freedesktop.systemd1"/></policy></busconfig>
""")
    n1.systemctl("restart", "dbus.service")
    wait(lambda: n1.state() == "master", "it answers on the new bus", 20)
    os.kill(process, signal.SIGUSR2)
    n1.wait_state("backup")
    check(n1.active("vipd-master@web.target") == "active", "nobody could tell systemd")
    os.unlink(f"{n1.root}{forbidden}")
    n1.systemctl("reload", "dbus.service")
    n1.systemctl("daemon-reexec")
    n1.wait_role("backup", *hooks)
    # and jobs are followed as before
    gate = Gate(n1, "/gate")
    n1.hook("sick.service", "Type=oneshot\nExecStart=sh -c 'cat /gate; false'")
    promote(n1)
    gate.open()
    wait(lambda: failures(n1) == [["sick.service", "failed"]], lambda: f"FailedUnits {failures(n1)}")


def test_systemd_executed_anew_between_changes(lab):
    n1, hooks, process = flapping(lab)
    for verb in ("daemon-reload", "daemon-reexec"):
        flap(n1, process, 2)
        os.kill(process, signal.SIGUSR2)
        n1.systemctl(verb)
        n1.wait_role("backup", *hooks)
        promote(n1)
        n1.systemctl(verb)
        n1.wait_role("master", *hooks)
    check(failures(n1) == [] and n1.process_id() == process, failures(n1))


def test_vipd_cannot_be_kept_running(lab):
    """After its last attempt to start it, systemd stops what hangs on a role; once it runs again all is as it was."""
    n1, _ = lab.booted(1, lambda node: node.hook("m.service"))
    n1.wait_role("master", ["m.service"])
    n1.drop_in("broken", "[Unit]\nStartLimitIntervalSec=10min\n[Service]\nExecStart=\nExecStart=false\n")
    os.kill(n1.process_id(), signal.SIGKILL)
    wait(lambda: lab.holder() is None, "the address is gone")
    wait(lambda: n1.active("vipd.service") == "failed", "systemd gives up", 60)
    n1.wait_role(None, ["m.service"], timeout=30)
    check(n1.show("vipd-failed.service", "Result") == "success", "vipd-failed.service")
    n1.drop_in("broken", None)
    n1.systemctl("reset-failed", "vipd")
    n1.systemctl("start", "vipd")
    n1.wait_role("master", ["m.service"])


if __name__ == "__main__":
    hosts.main()
