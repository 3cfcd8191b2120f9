#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What else runs on a host: the bus, the journal, systemd itself and the network manager are restarted, stopped or hang, and an
election goes on as if nothing had happened."""

import contextlib
import os
import re
import signal

import hosts
from hosts import VIP, check, hold, now, wait

JOURNALD = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket",
            "systemd-journald.service"]


def pending(process, number):
    with open(f"/proc/{process}/status") as f:
        mask = next(int(line.split()[1], 16) for line in f if line.startswith("ShdPnd:"))
    return mask >> (number - 1) & 1


@contextlib.contextmanager
def undisturbed(lab, node, client):
    """What is done inside costs the master nothing: the same process, no change of state, no packet lost."""
    process = node.process_id()
    with lab.lossless(node, client):
        yield
    check(node.process_id() == process and node.active("vipd.service") == "active", "the same process")


def test_bus_restarted(lab):
    """The interface is lost with the bus and comes back with it."""
    n1, n2, client = lab.elected(2)
    with undisturbed(lab, n1, client):
        n1.systemctl("restart", "dbus.service")
        wait(lambda: n1.state() == "master", "it answers on the new bus", 20)
        # the election is that of before
        check(n1.get("Transitions") == 2, n1.get("Transitions"))
    check(n1.call("Demote").returncode == 0, "a verb on the new bus")
    wait(lambda: lab.holder() == 2, "n2 holds the address")


def test_bus_killed(lab):
    n1, n2, client = lab.elected(2)
    with undisturbed(lab, n1, client):
        os.kill(n1.process_id("dbus.service"), signal.SIGKILL)
        wait(lambda: n1.state() == "master", "it answers on the new bus", 20)


def test_systemd_executed_anew(lab):
    """daemon-reexec and daemon-reload; afterwards systemd still knows the service, and can stop it."""
    n1, n2, client = lab.elected(2)
    with undisturbed(lab, n1, client):
        n1.systemctl("daemon-reexec")
        n1.systemctl("daemon-reload")
        wait(lambda: n1.show("vipd.service", "SubState") == "running", "systemd knows it")
    began = now()
    n1.systemctl("stop", "vipd")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    check(lab.bow_outs(n1, began), "with a bow-out")


def test_journald_stopped(lab):
    n1, n2, client = lab.elected(2)
    with undisturbed(lab, n1, client):
        n1.systemctl("stop", *JOURNALD)
        for _ in range(100):
            os.kill(n1.process_id(), signal.SIGUSR1)  # a line for each instance
        check(n1.state() == "master", "it answers")
        n1.systemctl("start", *JOURNALD)
    began = now()
    check(n1.call("Demote").returncode == 0, "Demote")
    wait(lambda: ("master", "backup", "demoted") in n1.transitions(since=began), "its lines reach the new journald")


def test_journald_frozen(lab):
    """Nobody takes its lines: the socket is full, what is lost is counted, and roles change as quickly as ever."""
    n1, n2, client = lab.elected(2)
    journald, process = n1.process_id("systemd-journald.service"), n1.process_id()
    with undisturbed(lab, n1, client):
        os.kill(journald, signal.SIGSTOP)
        for _ in range(1000):
            os.kill(process, signal.SIGUSR1)  # a line for each instance
            wait(lambda: not pending(process, signal.SIGUSR1), "the signal is taken", every=0.0002)
        check(n1.state() == "master", "it answers")
    began = now()
    check(n1.call("Demote").returncode == 0, "Demote")
    wait(lambda: lab.holder() == 2, "n2 holds the address", 2)
    check(lab.bow_outs(n1, began), "with a bow-out")
    os.kill(journald, signal.SIGCONT)
    check(n1.call("Promote").returncode == 0, "Promote")
    wait(lambda: n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4"), "how many lines were lost")
    check("log lines were lost" in n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4")[0]["MESSAGE"], "it was full")


def managed(lab):
    """Two hosts, the first of which has networkd to manage its interface."""
    n1, n2, client = lab.elected(2, lambda node: node.leave_to_networkd() if node.number == 1 else None)
    check(re.search(r"eth0 .* configured", n1.run("networkctl", "list").stdout), "networkd manages eth0")
    return n1, n2, client


def test_networkd_restarted(lab):
    n1, n2, client = managed(lab)
    with undisturbed(lab, n1, client):
        n1.systemctl("restart", "systemd-networkd")
        wait(lambda: re.search(r"eth0 .* configured", n1.run("networkctl", "list").stdout), "networkd manages eth0 again")


def test_networkd_reconfigures_the_interface(lab):
    """It drops what it does not know, and for a moment its own address too: the floating one is put back, and mastership stays."""
    n1, n2, client = managed(lab)
    began = now()
    n1.run("networkctl", "reconfigure", "eth0")
    wait(lambda: any(not present for _, _, present in lab.observer.changes(VIP, began)), "networkd dropped the address")
    wait(lambda: lab.holder() == 1, "it is back")
    hold(lambda: lab.holder() == 1, "and stays", 2)
    check(n1.transitions(since=began) == [] and n2.transitions(since=began) == [], n1.transitions(since=began))
    wait(client.ping, "the client reaches it")


if __name__ == "__main__":
    hosts.main()
