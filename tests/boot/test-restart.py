#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemctl restart vipd, and what looks like it: a restart costs nothing and tells nobody, a stop says farewell, and what the
configuration says since then is what holds afterwards."""

import os
import signal

import hosts
from hosts import VIP, Gate, check, hold, message_id, now, wait

VIP2 = "192.0.2.51"
WRITES = "Type=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'echo start >>/var/log/hook'\nExecStop=sh -c 'echo stop >>/var/log/hook'"


def hooked(node):
    node.hook("m.service")
    node.hook("once.service", WRITES)
    node.hook("b.service", role="backup")


HOOKS = ["m.service", "once.service"], ["b.service"]


def units_of(node):
    """What would be another if a unit had been touched."""
    units = ["vipd-master@web.target", "vipd-backup@web.target", "m.service", "once.service", "b.service"]
    return node.systemctl("show", "--property=Id,MainPID,StateChangeTimestampMonotonic,InactiveExitTimestampMonotonic", *units).stdout


def memory_of(node):
    """What must survive a restart, on the bus."""
    return [node.get(name) for name in ("State", "Reason", "Master", "StateChangeTimestamp", "StateChangeTimestampMonotonic")]


def resumed(node, since):
    return [e["VIPD_STATE"] for e in node.journal(message_id("RESUMED"), since=since)]


def restarts(lab, node, client, act):
    """act(): another process, and nobody notices; the state and the units are those of before."""
    units, memory, process, began = units_of(node), memory_of(node), node.process_id(), now()
    with lab.lossless(lab.hosts[f"n{lab.holder()}"], client):
        act()
        wait(lambda: memory_of(node) == memory, lambda: f"{memory_of(node)}, before {memory}")
        check(node.process_id() != process, "another process")
        check(resumed(node, began) == [memory[0]], f"resumed: {resumed(node, began)}")
        # longer than it takes to be told of units
        hold(lambda: units_of(node) == units, lambda: f"units:\n{units_of(node)}\nbefore:\n{units}", 0.5)


def elected(lab, **keys):
    n1, n2, client = lab.elected(2, hooked, **keys)
    n1.wait_role("master", *HOOKS)
    n2.wait_role("backup", *HOOKS)
    return n1, n2, client


def test_restart_of_a_master(lab):
    n1, n2, client = elected(lab)
    restarts(lab, n1, client, lambda: n1.systemctl("restart", "vipd"))
    with open(f"{n1.root}/var/log/hook") as f:
        check(f.read() == "start\n", "the hook ran once")
    # what was done by hand stays so
    n1.systemctl("stop", "m.service")
    restarts(lab, n1, client, lambda: n1.systemctl("restart", "vipd"))
    check(n1.active("m.service") == "inactive", "a hook that was stopped by hand")
    # what it knows of the units has come through: they follow the next change
    check(n1.call("Demote").returncode == 0, "Demote")
    n1.wait_role("backup", *HOOKS)
    n2.wait_role("master", *HOOKS)


def test_restart_of_a_backup(lab):
    n1, n2, client = elected(lab)
    restarts(lab, n2, client, lambda: n2.systemctl("restart", "vipd"))
    # and it is as ready to follow as it was
    began = now()
    n1.lose_power()
    n2.wait_role("master", *HOOKS)
    wait(lambda: 2 in lab.observer.holders(VIP), "n2 holds the address")
    check(n2.transitions(since=began) == [("backup", "master", "master-timeout")], n2.transitions(since=began))


def test_other_verbs_of_restart(lab):
    n1, n2, client = elected(lab)
    for verb in ("try-restart", "reload-or-restart"):
        if verb == "reload-or-restart":
            # it reloads where it can
            process = n1.process_id()
            with lab.lossless(n1, client):
                n1.systemctl(verb, "vipd")
            check(n1.process_id() == process, "the same process")
        else:
            restarts(lab, n1, client, lambda: n1.systemctl(verb, "vipd"))
    n1.drop_in("plain", "[Service]\nExecReload=\n")
    restarts(lab, n1, client, lambda: n1.systemctl("reload-or-restart", "vipd"))


def test_upgrade(lab):
    """As a package's script does it: another binary in the place of the old one, then daemon-reload and try-restart."""
    n1, n2, client = elected(lab)
    old = os.stat(f"{n1.root}/usr/sbin/vipd").st_ino

    def upgrade():
        n1.run("install", "-m", "0755", "/usr/sbin/vipd", "/usr/sbin/vipd.new")
        n1.run("mv", "/usr/sbin/vipd.new", "/usr/sbin/vipd")
        n1.systemctl("daemon-reload")
        n1.systemctl("try-restart", "vipd")
    restarts(lab, n1, client, upgrade)
    runs = os.stat(f"/proc/{n1.process_id()}/exe").st_ino
    check(runs != old and runs == os.stat(f"{n1.root}/usr/sbin/vipd").st_ino, "the new binary runs")


def test_ten_restarts_in_a_row(lab):
    n1, n2, client = elected(lab)
    memory, began = memory_of(n1), now()
    with lab.lossless(n1, client):
        for _ in range(10):
            n1.systemctl("restart", "vipd")
    wait(lambda: memory_of(n1) == memory, lambda: f"{memory_of(n1)}, before {memory}")
    check(resumed(n1, began) == ["master"] * 10, resumed(n1, began))


def test_restart_after_daemon_reexec(lab):
    """systemd keeps what we gave it over its own restart."""
    n1, n2, client = elected(lab)

    def both():
        n1.systemctl("daemon-reexec")
        n1.systemctl("restart", "vipd")
    restarts(lab, n1, client, both)


def test_restart_in_the_middle_of_a_script(lab):
    """The script is given the time to end, and its master stays one."""
    def prepare(node):
        hooked(node)
        node.gate = Gate(node, "/gate")
        node.write("/usr/local/bin/up", "#!/bin/sh\ncat /gate\n", mode=0o755)
    n1, n2, client = lab.elected(2, prepare, Takeover_UpScript="/usr/local/bin/up")
    n1.wait_role("master", *HOOKS)
    wait(n1.gate.reached, "the script runs", 30)

    def restart():
        n1.systemctl("restart", "--no-block", "vipd")
        wait(lambda: n1.show("vipd.service", "SubState") == "stop-sigterm", "it is told to end", every=0.001)
        n1.gate.open()
        wait(lambda: n1.show("vipd.service", "SubState") == "running", "it runs again")
    restarts(lab, n1, client, restart)
    check(n1.journal(message_id("SCRIPT_FAILED")) == [], "the script came to its end")


def test_restart_in_the_middle_of_a_long_script(lab):
    """It is ended with the process that ran it, and begins anew with the next."""
    def prepare(node):
        node.gate = Gate(node, "/gate")
        node.write("/usr/local/bin/up", "#!/bin/sh\ntrap '' TERM\necho began >>/run/ups\ncat /gate\necho ended >>/run/ups\n", mode=0o755)
        node.drop_in("ups", "[Service]\nReadWritePaths=/run\n")
        node.drop_in("ups-file", "[Service]\nExecStartPre=+sh -c 'touch /run/ups; chown vipd /run/ups'\n")
    n1, _, _ = lab.elected(2, prepare, Takeover_UpScript="/usr/local/bin/up")
    wait(n1.gate.reached, "the script runs", 30)
    main = n1.process_id()
    n1.systemctl("restart", "vipd")
    check(n1.process_id() != main and n1.state() == "master", "master still, in a new process")

    def ups():
        return n1.run("cat", "/run/ups").stdout.split()
    wait(lambda: ups() == ["began", "began"], lambda: f"it begins anew: {ups()}")
    # nobody waits there any more but the second
    n1.gate.fd = n1.gate.fd and os.close(n1.gate.fd)
    n1.gate.open()
    wait(lambda: ups() == ["began", "began", "ended"], lambda: f"and comes to its end: {ups()}")


def test_restart_while_units_start(lab):
    """The hooks of a role are awaited as before, and OnUnitFailure= and the like go on."""
    def prepare(node):
        node.gate = Gate(node, "/gate")
        node.hook("slow.service", "Type=oneshot\nRemainAfterExit=yes\nExecStart=cat /gate")
    n1, n2, client = lab.booted(2, prepare, Takeover_UnitsBeforeAddress="yes")
    n1.wait_state("master")
    wait(n1.gate.reached, "the hook starts", 30)
    began = now()
    n1.systemctl("restart", "vipd")
    wait(lambda: resumed(n1, began) == ["master"], "it goes on as master")
    hold(lambda: lab.holder() is None and n1.state() == "master", "nothing is held before the units are up", 1)
    n1.gate.open()
    wait(lambda: lab.holder() == 1, "the address")
    check(n1.active("slow.service") == "active" and n1.transitions(since=began) == [], n1.transitions(since=began))


# what is no restart

def test_fastest_adverts_bow_out(lab):
    """With AdvBase=0 the others would not wait for the new process: it says farewell."""
    # no faster than a busy machine can follow
    n1, n2, client = elected(lab, advbase=0, advskew=128)
    began = now()
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    check(lab.bow_outs(n1, began), "with a bow-out")
    n1.wait_role("backup", *HOOKS)
    n2.wait_role("master", *HOOKS)
    lab.check_never_together(1)


def leaves(lab, act):
    """act(): a stop. The address goes, then the bow-out, and both targets are down."""
    n1, n2, client = elected(lab)
    began = now()
    act(n1)
    wait(lambda: lab.holder() == 2, "n2 holds the address", 20)
    lab.check_bow_out(n1, began)
    lab.check_never_together(1)
    return n1, n2, began


def check_stopped(n1):
    n1.wait_active("vipd.service", state="inactive")
    check(n1.show("vipd.service", "Result") == "success", n1.show("vipd.service", "Result"))
    n1.wait_role(None, *HOOKS)
    n1.systemctl("start", "vipd")
    n1.wait_role("backup", *HOOKS)
    check(not n1.journal(message_id("RESUMED")), "a start is no restart")


def test_stop(lab):
    n1, *_ = leaves(lab, lambda n1: n1.systemctl("stop", "vipd"))
    check(n1.actives("vipd-master@web.target", "vipd-backup@web.target") == ["inactive"] * 2, "the targets")
    check_stopped(n1)


def test_stop_waits_for_the_down_script(lab):
    """It has some seconds to end, and no signal cuts them short."""
    def prepare(node):
        hooked(node)
        node.gate = Gate(node, "/gate")
        node.write("/usr/local/bin/down", "#!/bin/sh\n[ -e /etc/now ] || exit 0\ncat /gate\ntouch /var/lib/vipd/done\n", mode=0o755)
    n1, n2, _ = lab.elected(2, prepare, Takeover_DownScript="/usr/local/bin/down")
    n1.write("/etc/now", "")
    n1.systemctl("stop", "--no-block", "vipd")
    wait(n1.gate.reached, "the script runs", 30)
    wait(lambda: lab.holder() == 2, "the address is another's already")
    n1.wait_role(None, *HOOKS)
    check(n1.active("vipd.service") == "deactivating", "vipd waits for nothing but the script")
    n1.gate.open()
    n1.wait_active("vipd.service", state="inactive")
    check(os.path.exists(f"{n1.root}/var/lib/vipd/done"), "the script came to its end")
    check(n1.journal(message_id("SCRIPT_FAILED")) == [], "well")


def test_systemctl_kill(lab):
    n1, *_ = leaves(lab, lambda n1: n1.systemctl("kill", "vipd"))
    check_stopped(n1)


def test_a_plain_signal(lab):
    n1, *_ = leaves(lab, lambda n1: os.kill(n1.process_id(), signal.SIGTERM))
    check_stopped(n1)


def test_restart_without_a_bus(lab):
    """Nobody can say that it is a restart: it is a stop, and the new process a backup."""
    def act(n1):
        n1.systemctl("stop", "dbus.socket", "dbus.service")
        n1.systemctl("restart", "vipd")
    n1, n2, began = leaves(lab, act)
    check(resumed(n1, began) == [], "nothing resumed")
    n1.systemctl("start", "dbus.socket", "dbus.service")
    n1.wait_role("backup", *HOOKS)


# a configuration that changed meanwhile

def alone(lab):
    # a lease that outlives every test: what is dropped here was dropped by somebody
    n1, client = lab.booted(1, hooked, VIP_Lease="60s")
    n1.wait_role("master", *HOOKS)
    wait(lambda: lab.holder() == 1, "the address")
    return n1, client


def check_nothing_stale(n1, addresses, instances):
    held = {a.split("/")[0] for a in n1.addresses()} & {VIP, VIP2, hosts.VIP6}
    check(held == set(addresses), f"held: {held}")
    records = [name for name in n1.run("ls", "/run/vipd").stdout.split() if name != "lock"]
    check(records == [f"{name}.held" for name in instances], records)


def test_an_address_added(lab):
    n1, client = alone(lab)
    began = now()
    with lab.lossless(n1, client):
        n1.configure(addresses=(VIP, VIP2), VIP_Lease="60s")
        n1.systemctl("restart", "vipd")
        wait(lambda: lab.holder(VIP2) == 1, "the new address")
    check(resumed(n1, began) == ["master"], "it goes on")
    check_nothing_stale(n1, [VIP, VIP2], ["web"])
    # and the other way round
    n1.configure(addresses=(VIP2,), VIP_Lease="60s")
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder(VIP) is None, "the old address is dropped")
    check_nothing_stale(n1, [VIP2], ["web"])
    check(n1.transitions(since=began) == [], "master all the time")


def test_another_vhid(lab):
    """That is another election: what was held for the old one is dropped, and the new one begins by listening."""
    n1, client = alone(lab)
    began = now()
    # long enough to be looked at
    n1.configure(vhid=9, VIP_Lease="60s", VIP_StartDelay="15s")
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder() is None, "the address is dropped")
    check(n1.state() == "backup" and resumed(n1, began) == [], n1.state())
    check_nothing_stale(n1, [], ["web"])
    n1.wait_role("backup", *HOOKS)
    n1.wait_role("master", *HOOKS, timeout=40)
    check(n1.transitions(since=began) == [("init", "backup", "startup"), ("backup", "master", "master-timeout")],
          n1.transitions(since=began))
    lab.observer.sync()
    check({e.vhid for e in lab.observer.carp(n1, lab.changes(began)[0][0])} == {9}, "adverts of the new one only")


def test_an_instance_removed(lab):
    n1, client = alone(lab)
    os.unlink(f"{n1.root}/etc/vipd/web.vip")
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder() is None, "the address is dropped")
    n1.wait_role(None, *HOOKS)
    check_nothing_stale(n1, [], [])
    check(n1.show("vipd.service", "StatusText") == "0 instances", n1.show("vipd.service", "StatusText"))


def test_an_instance_renamed(lab):
    """The units of the old name stop; those of the new one follow."""
    n1, client = alone(lab)
    os.rename(f"{n1.root}/etc/vipd/web.vip", f"{n1.root}/etc/vipd/www.vip")
    n1.systemctl("restart", "vipd")
    n1.wait_role(None, *HOOKS)
    n1.wait_role("master", instance="www")
    wait(lambda: lab.holder() == 1, "the address")
    check_nothing_stale(n1, [VIP], ["www"])


def test_an_instance_switched_off(lab):
    """Enabled=no: it leaves as if it had been told to."""
    n1, client = alone(lab)
    began = now()
    n1.configure(VIP_Enabled="no", VIP_Lease="60s")
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder() is None, "the address is dropped")
    n1.wait_role(None, *HOOKS)
    check((n1.state(), n1.get("Reason"), n1.get("Enabled")) == ("init", "disabled", False), f"{n1.state()} {n1.get('Reason')}")
    check(lab.bow_outs(n1, began), "with a bow-out")
    check_nothing_stale(n1, [], ["web"])


def test_a_configuration_that_broke(lab):
    """Nothing of it runs, so nothing of it is held."""
    n1, client = alone(lab)
    n1.write("/etc/vipd/web.vip", "[VIP]\nAddress=nonsense\n")
    n1.systemctl("restart", "vipd")
    wait(lambda: lab.holder() is None, "the address is dropped")
    n1.wait_role(None, *HOOKS)
    check_nothing_stale(n1, [], [])


if __name__ == "__main__":
    hosts.main()
