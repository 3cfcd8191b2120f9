#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a master's host, or the daemon on it, comes to an end, and how it comes back: another host holds the address within a bounded
time, no two ever do, and who returns does not take it back unasked."""

import os
import signal

import hosts
from hosts import VIP, check, hold, now, wait

# A bow-out hands over at once; without one a backup waits three seconds after the last advert, which was at most one second ago.
HANDED_OVER_USEC = 2_000_000
DEAD_USEC = 3_000_000 + 50 * 1_000_000 // 256
LATE_USEC = 4_000_000  # for a busy machine


def lost_and_got(lab, since, heirs):
    """Awaits one of the heirs in the place of n1; returns when n1 lost the address and when the first of them got it."""
    wait(lambda: lab.holder() in heirs, lambda: f"one of {heirs} holds the address, not {lab.observer.holders(VIP)}", 30)
    changes = lab.changes(since)
    lost = next(t for t, number, present in changes if number == 1 and not present)
    got = next(t for t, number, present in changes if number != 1 and present)
    lab.check_never_together(1)
    return lost, got


def check_handed_over(lab, since):
    """n1 dropped the address, then said so, and did not let the others wait. Returns the heir: a bow-out calls them all at once."""
    lost, got = lost_and_got(lab, since, (2, 3))
    check(got - lost < HANDED_OVER_USEC, f"nobody held it for {got - lost} us")
    lab.check_bow_out(lab.hosts["n1"], since)
    return lab.holder()


def check_failed_over(lab, since):
    """Without a bow-out the next best host waits least."""
    _, got = lost_and_got(lab, since, (2,))
    check(got - since < DEAD_USEC + LATE_USEC, f"n2 took over after {got - since} us")


def came_back_as_backup(lab, node, master):
    """After its return the address stays where it is, longer than any election takes."""
    node.wait_state("backup")
    began = now()
    node.listened(advskew=50 * (node.number - 1))
    # a renewal that a busy machine delayed is no matter of the one that came back
    hold(lambda: lab.observer.holders(VIP) <= {master} and node.state() == "backup", f"{node.name} leaves the address alone", 1)
    # not even for a moment
    check({number for _, number, _ in lab.changes(began)} <= {master}, lab.changes(began))
    lab.check_never_together(node.number)


def test_stop_bows_out(lab):
    """systemctl stop: the address goes, then the bow-out says so, and the next host has it long before the dead interval."""
    n1, n2, n3, _ = lab.elected(3)
    began = now()
    n1.systemctl("stop", "vipd")
    heir = check_handed_over(lab, began)
    check(n1.show("vipd.service", "Result") == "success" and n1.active("vipd.service") == "inactive", "a clean end")
    n1.systemctl("start", "vipd")
    came_back_as_backup(lab, n1, heir)


def shuts_down(lab, verb, prepare=None):
    n1, n2, n3, _ = lab.elected(3, prepare)
    began = now()
    n1.shut_down(verb)
    heir = check_handed_over(lab, began)
    n1.boot()
    n1.wait_up()
    came_back_as_backup(lab, n1, heir)


def test_reboot_bows_out(lab):
    shuts_down(lab, "reboot")


def test_poweroff_bows_out(lab):
    shuts_down(lab, "poweroff")


def test_shutdown_bows_out_before_the_network_goes(lab):
    """A network service that takes its interface down when it stops, in the place that ifupdown's has in the order of things. vipd
    is made to take its time, so that nothing but that order can help."""
    def prepare(node):
        node.write("/etc/systemd/system/vipd.service.d/slow.conf", "[Service]\nExecStop=sleep 0.5\n")
        node.write("/etc/systemd/system/net.service", """[Unit]
DefaultDependencies=no
Wants=network.target
After=local-fs.target network-pre.target systemd-sysctl.service
Before=network.target shutdown.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link set eth0 up
ExecStop=ip link set eth0 down
[Install]
WantedBy=multi-user.target
""")
        node.enable("net.service")
    shuts_down(lab, "reboot", prepare)


def test_power_cut(lab):
    """Every process and the cable die at once: the next host has the address within the dead interval."""
    n1, n2, n3, client = lab.elected(3)
    began = now()
    n1.lose_power()
    # without a cable it matters not what the kernel of n1 still holds
    wait(lambda: 2 in lab.observer.holders(VIP), "n2 holds the address", 30)
    got = next(t for t, number, present in lab.changes(began) if number == 2 and present)
    check(got - began < DEAD_USEC + LATE_USEC, f"n2 took over after {got - began} us")
    wait(client.ping, "the client reaches it")
    n1.boot()
    n1.wait_up()
    came_back_as_backup(lab, n1, master=2)


def test_all_processes_killed_at_once(lab):
    """The kernel lives on and goes on answering for what it holds: it drops the address itself, before the next host holds it."""
    n1, n2, n3, _ = lab.elected(3)
    began = now()
    n1.kill_all()
    check_failed_over(lab, began)


def test_host_frozen_and_thawed(lab):
    """A host that stands still loses the address, and finds that out before it does anything else."""
    n1, n2, n3, _ = lab.elected(3)
    began = now()
    n1.freeze()
    check_failed_over(lab, began)
    thawed = now()
    n1.thaw()
    came_back_as_backup(lab, n1, master=2)
    check(n1.transitions(since=began)[:1] == [("master", "backup", "stalled")], n1.transitions(since=began))
    check(not [e for e in lab.observer.carp(n1, thawed) if e.advbase != 255], "it did not speak as a master again")


def test_daemon_stopped_by_a_signal(lab):
    """kill -STOP: the lease drops the address."""
    n1, n2, n3, _ = lab.elected(3)
    began, process = now(), n1.process_id()
    os.kill(process, signal.SIGSTOP)
    check_failed_over(lab, began)
    os.kill(process, signal.SIGCONT)
    came_back_as_backup(lab, n1, master=2)


def test_daemon_killed(lab):
    """kill -9: systemd starts it again, and it is a backup that takes nothing back."""
    n1, n2, n3, _ = lab.elected(3)
    began, process = now(), n1.process_id()
    os.kill(process, signal.SIGKILL)
    check_failed_over(lab, began)
    wait(lambda: n1.active("vipd.service") == "active", "it runs again")
    check(n1.process_id() != process, "another process")
    came_back_as_backup(lab, n1, master=2)


def test_disable_survives_a_reboot(lab):
    """And Enable undoes it."""
    n1, n2, _ = lab.elected(2)
    check(n1.call("Disable").returncode == 0, "Disable")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    n1.reboot()
    check((n1.state(), n1.get("Reason"), n1.get("Enabled")) == ("init", "disabled", False), f"{n1.state()} {n1.get('Reason')}")
    n2.systemctl("stop", "vipd")
    hold(lambda: lab.holder() is None and n1.state() == "init", "it takes nothing while disabled", 5)
    check(n1.call("Enable").returncode == 0, "Enable")
    n1.wait_state("master")
    n1.reboot()
    n1.wait_state("master")


def test_nothing_else_survives_a_reboot(lab):
    """Who was demoted for an hour takes part again after a reboot."""
    n1, n2, _ = lab.elected(2)
    check(n1.call("DemoteFor", "t", 3_600_000_000).returncode == 0, "DemoteFor")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    n1.reboot()
    n1.wait_state("backup")
    n2.lose_power()
    n1.wait_state("master")


def test_no_mastership_before_listening(lab):
    """A host that boots without a carrier waits for it, and from then on listens for one dead interval."""
    n1, = lab.nodes(1)
    n1.carrier(False)
    n1.configure()
    n1.enable("vipd.service")
    n1.boot()
    n1.wait_up()
    n1.wait_state("init")
    check(n1.get("Reason") == "link-down", n1.get("Reason"))
    began = now()
    n1.carrier(True)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    held = lab.changes(began)[0][0]
    check(held - began >= 3_000_000, f"held {held - began} us after the carrier came")
    check(lab.observer.carp(n1)[0].t - began >= 3_000_000, "and it said nothing before")


if __name__ == "__main__":
    hosts.main()
