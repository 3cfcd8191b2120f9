#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipd is killed, hangs, or cannot be started again: systemd drops the address and starts a new one, which is a backup that takes
nothing back."""

import os
import signal
import statistics

import hosts
from hosts import VIP, check, hold, message_id, now, wait

# What drops the address as the service's other programs are started.
SANDBOXED = "[Service]\nExecStopPost=\nExecStopPost=/usr/sbin/vipd --cleanup\n"
# Far longer than anything here may take: what is gone sooner was not dropped by the kernel at the end of its lease.
LONG_LEASE = {"VIP_Lease": "60s"}
SOON_USEC = 10_000_000


def kill(node, number=signal.SIGKILL):
    process = node.process_id()
    os.kill(process, number)
    return process


def lost_usec(lab, since, number=1):
    """When the host lost the address; awaited."""
    wait(lambda: number not in lab.observer.holders(VIP), f"n{number} lost the address", 70)
    return next(t for t, n, present in lab.changes(since) if n == number and not present)


def begins_afresh(node, since):
    """The journal, which may be read later than written, knows of no earlier role."""
    wait(lambda: node.transitions(since=since), f"{node.name} has a role")
    check(node.transitions(since=since)[:1] == [("init", "backup", "startup")], node.transitions(since=since))


def came_back(node, process, since):
    """Another process, as backup, which knows nothing of what was before."""
    wait(lambda: node.active("vipd.service") == "active" and node.process_id() != process, "another process", 20)
    node.wait_state("backup")
    begins_afresh(node, since)
    check(not node.journal(message_id("RESUMED"), since=since), "nothing resumed")


def stays_backup(lab, node, master):
    node.listened(advskew=50 * (node.number - 1))
    # a renewal of the master's that a busy machine delayed is no matter of this one
    hold(lambda: lab.observer.holders(VIP) <= {master} and node.state() == "backup", f"{node.name} takes nothing back", 1)
    lab.check_never_together(node.number)


def killed(lab, **lease):
    n1, n2, _ = lab.elected(2, lambda node: node.hook("m.service"), **lease)
    n1.wait_role("master", ["m.service"])
    began = now()
    process = kill(n1)
    lost = lost_usec(lab, began)
    check(lost - began < SOON_USEC, f"held for {lost - began} us")
    came_back(n1, process, began)
    n1.wait_role("backup", ["m.service"])
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    stays_backup(lab, n1, master=2)


def test_killed(lab):
    """kill -9: the address is dropped at once, by systemd and not by its lease."""
    killed(lab, **LONG_LEASE)


def test_killed_for_a_moment(lab):
    """The address is dropped in less time than with a sandbox around what drops it: much less where there is nothing else to do, and some as
    long as others take the processors."""
    n1, _ = lab.booted(1, advbase=0, advskew=26, VIP_Lease="no")
    held = {None: [], SANDBOXED: []}
    for _ in range(9):
        for how, times in held.items():
            n1.wait_state("master")
            wait(lambda: lab.holder() == 1, "the address")
            n1.drop_in("how", how or "")
            began = now()
            kill(n1)
            times.append(lost_usec(lab, began) - began)
            n1.systemctl("reset-failed", "vipd")  # these starts are not too many
    shipped, sandboxed = map(statistics.median, held.values())
    check(shipped < 0.9 * sandboxed, f"held for {shipped} us, with a sandbox for {sandboxed} us")


def test_who_drops_it_is_not_root(lab):
    """systemd starts it as root; by the time it does anything it is the daemon's user."""
    n1, _ = lab.booted(1)
    uid = n1.run("id", "-u", "vipd").stdout.strip()
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    began = now()
    kill(n1)
    lost_usec(lab, began)
    # whose words these are is known by the socket, even of a process that has ended by then
    said = wait(lambda: [e for e in n1.journal("_TRANSPORT=journal", since=began) if f"dropped {VIP}" in e["MESSAGE"]], "it says so")
    check([e["_UID"] for e in said] == [uid], said)


def test_killed_without_a_lease(lab):
    killed(lab, VIP_Lease="no")


def test_killed_and_not_yet_started_again(lab):
    """It is not the new process that drops the address, however long it takes to come."""
    n1, n2, _ = lab.elected(2, lambda node: node.drop_in("later", "[Service]\nRestartSec=10min\n"), VIP_Lease="no")
    began = now()
    kill(n1)
    check(lost_usec(lab, began) - began < SOON_USEC, "dropped")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    lab.check_never_together(1)
    check(n1.show("vipd.service", "SubState") == "auto-restart", n1.show("vipd.service", "SubState"))
    n1.systemctl("stop", "vipd")
    n1.systemctl("start", "vipd")
    begins_afresh(n1, began)


def test_killed_alone(lab):
    """Nobody else wants the address: the new process is master again, as one that has just started."""
    n1, _ = lab.booted(1, **LONG_LEASE)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    began = now()
    process = kill(n1)
    lost_usec(lab, began)
    came_back(n1, process, began)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")


def test_killed_again_and_again(lab):
    """Each time it is started again."""
    n1, n2, _ = lab.elected(2, **LONG_LEASE)
    began = now()
    for _ in range(4):
        since = now()
        came_back(n1, kill(n1), since)
    check(lost_usec(lab, began) - began < SOON_USEC, "dropped")
    wait(lambda: lab.holder() == 2, "n2 holds the address")


def test_stopped_by_a_signal(lab):
    """kill -STOP: the lease drops the address, and systemd's watchdog starts a new process."""
    n1, n2, _ = lab.elected(2, lambda node: node.drop_in("watchdog", "[Service]\nWatchdogSec=6s\n"))
    began = now()
    process = kill(n1, signal.SIGSTOP)
    lost_usec(lab, began)
    wait(lambda: "watchdog" in {e.get("UNIT_RESULT") for e in n1.journal("UNIT=vipd.service", since=began)}, "the watchdog", 20)
    came_back(n1, process, began)
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    stays_backup(lab, n1, master=2)


def test_alive_to_the_watchdog(lab):
    """Who works gives signs of life: without them it would not outlive the patience of the watchdog, which has as much as a busy machine needs."""
    n1, n2, _ = lab.elected(2, lambda node: node.drop_in("watchdog", "[Service]\nWatchdogSec=4s\n"))
    process = n1.process_id()
    hold(lambda: n1.process_id() == process and n1.state() == "master", "it lives", 9)


def test_killed_after_a_restart(lab):
    """What a restart carried over is used once: whoever comes after a crash knows nothing of it."""
    n1, n2, _ = lab.elected(2, **LONG_LEASE)
    n1.systemctl("restart", "vipd")
    n1.wait_state("master")
    began = now()
    process = kill(n1)
    check(lost_usec(lab, began) - began < SOON_USEC, "dropped")
    came_back(n1, process, began)
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    stays_backup(lab, n1, master=2)


def test_killed_during_a_restart(lab):
    """In whatever moment it dies, nothing is held by nobody, and no role goes on that should have ended."""
    n1, n2, _ = lab.elected(2, **LONG_LEASE)
    for delay_usec in (0, 5_000, 20_000, 50_000, 100_000):
        began = now()
        process = n1.process_id()
        n1.systemctl("restart", "--no-block", "vipd")
        wait(lambda: now() - began > delay_usec, "the moment", every=0.0005)
        n1.systemctl("kill", "--signal=KILL", "--kill-who=main", "vipd", fail=False)
        wait(lambda: n1.active("vipd.service") == "active" and n1.process_id() != process, "another process", 20)
        wait(lambda: n1.state() is not None, "it answers")
        held = 1 in lab.observer.holders(VIP)
        wait(lambda: (n1.state() == "master") == (1 in lab.observer.holders(VIP)), f"{n1.state()}, held: {held}")
        lab.check_never_together(1)


def test_restarted_too_often(lab):
    """systemd refuses to start it once more: what the last one left to its successor is dropped, and others take over."""
    def prepare(node):
        node.hook("m.service")
        # however long each takes
        node.drop_in("limit", "[Unit]\nStartLimitIntervalSec=10min\n")
    n1, n2, _ = lab.elected(2, prepare, VIP_Lease="no")
    n1.wait_role("master", ["m.service"])
    wait(lambda: n1.systemctl("restart", "vipd", fail=False).returncode != 0, "the last straw", 60)
    check(n1.show("vipd.service", "Result") == "start-limit-hit", n1.show("vipd.service", "Result"))
    wait(lambda: lab.holder() == 2, "n2 holds the address alone")
    n1.wait_role(None, ["m.service"])
    n1.systemctl("reset-failed", "vipd")
    began = now()
    n1.systemctl("start", "vipd")
    begins_afresh(n1, began)


def test_a_restart_into_nothing(lab):
    """The new version does not start: what the old one left to it is dropped, and others take over."""
    n1, n2, _ = lab.elected(2, lambda node: node.hook("m.service"), **LONG_LEASE)
    n1.wait_role("master", ["m.service"])
    n1.drop_in("broken", "[Unit]\nStartLimitIntervalSec=10min\n[Service]\nExecStart=\nExecStart=false\n")
    began = now()
    n1.systemctl("restart", "vipd", fail=False)
    lost = lost_usec(lab, began)
    check(lost - began < SOON_USEC, f"held for {lost - began} us")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    wait(lambda: n1.active("vipd.service") == "failed", "systemd gives up", 60)
    n1.wait_role(None, ["m.service"])
    lab.check_never_together(1)
    n1.drop_in("broken", None)
    n1.systemctl("reset-failed", "vipd")
    began = now()
    n1.systemctl("start", "vipd")
    begins_afresh(n1, began)


if __name__ == "__main__":
    hosts.main()
