#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What else runs on a host: the bus, the journal, systemd itself and the network manager are restarted, stopped or hang, and an
election goes on as if nothing had happened."""

import contextlib
import os
import re
import signal
import time

import hosts
from hosts import VIP, check, hold, message_id, now, run, wait

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
        n1.has_journald = False
        os.kill(journald, signal.SIGSTOP)
        for _ in range(1000):
            os.kill(process, signal.SIGUSR1)  # a line for each instance
            wait(lambda: not pending(process, signal.SIGUSR1), "the signal is taken", every=0.0002)
        check(n1.state() == "master", "it answers")
    began = now()
    check(n1.call("Demote").returncode == 0, "Demote")
    lab.handed_over(n2)
    check(lab.bow_outs(n1, began), "with a bow-out")
    os.kill(journald, signal.SIGCONT)
    n1.has_journald = True
    check(n1.call("Promote").returncode == 0, "Promote")
    wait(lambda: n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4"), "how many lines were lost")
    check("log lines were lost" in n1.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4")[0]["MESSAGE"], "it was full")


def managed(lab):
    """Two hosts, the first of which has networkd to manage its interface."""
    n1, n2, client = lab.elected(2, lambda node: node.leave_to_networkd() if node.number == 1 else None)
    wait(lambda: re.search(r"eth0 .* configured", n1.run("networkctl", "list").stdout), "networkd manages eth0")
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
    hosts.net.settle(lambda: lab.holder() == 1, "it is back, and stays", 2, 15)
    check(n1.transitions(since=began) == [] and n2.transitions(since=began) == [], n1.transitions(since=began))
    wait(client.ping, "the client reaches it")


def keeps(node):
    """The advice of the manual, and the catalog's, which is the same."""
    found = set()
    for path in ("man/vipd.8", "units/vipd.catalog"):
        with open(os.path.join(hosts.HERE, "../..", path)) as f:
            text = f.read()
        found.add(re.search(r"KeepConfiguration=\w+", text)[0])
    setting, = found
    path = "/etc/systemd/network/10-eth0.network"
    with open(f"{node.root}{path}") as f:
        node.write(path, f"{f.read()}{setting}\n")


def test_networkd_told_to_keep_addresses(lab):
    """With the manual's setting a master stays one and keeps all, also through the moment without an address of its own."""
    def prepare(node):
        node.leave_to_networkd()
        keeps(node)
    n1, _ = lab.booted(1, prepare)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    for verb in (["networkctl", "reconfigure", "eth0"], ["networkctl", "reload"], ["systemctl", "restart", "systemd-networkd"]):
        began = now()
        n1.run(*verb)
        if "reconfigure" in verb:
            wait(lambda: [e.present for e in lab.observer.of("address", began, address=n1.address)][-1:] == [True], "reconfigured")
        wait(lambda: re.search(r"eth0 .* configured", n1.run("networkctl", "list").stdout), "networkd manages eth0 again")
        lab.observer.sync()
        check(not lab.observer.of("address", began, address=VIP, present=False), f"{verb} removed the address for a moment")
    check(len(n1.transitions()) == 2 and n1.journal(message_id("ADDRESS_RESTORED")) == [], n1.transitions())


def comes_back(lab, address, since):
    """It was gone, however often, and is there."""
    found = [e.present for e in lab.observer.of("address", since, address=address)]
    return False in found and found[-1]


def test_networkd_that_drops_addresses_is_told_of_once(lab):
    """Without it, the address is put back each time."""
    n1, _ = lab.booted(1, lambda node: node.leave_to_networkd())
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    for _ in range(3):
        lab.observer.sync()
        began = now()
        n1.run("networkctl", "reconfigure", "eth0")
        for address in VIP, n1.address:
            wait(lambda a=address, since=began: comes_back(lab, a, since), f"{address} is gone, and back")
        wait(lambda: re.search(r"eth0 .* configured", n1.run("networkctl", "list").stdout), "networkd manages eth0 again")
    check(len(n1.transitions()) == 2 and lab.holder() == 1, n1.transitions())
    check(len(n1.journal(message_id("ADDRESS_RESTORED"))) == 1, n1.journal(message_id("ADDRESS_RESTORED")))


YEAR_SEC = 365 * 86400


def test_the_wall_clock_is_set(lab):
    """A year ahead, then a year back, as vipd sees it: that is what it says of its changes, and nothing else comes of it."""
    def prepare(node):
        run("install", "-m", "0755", hosts.CLOCKS, f"{node.root}/usr/lib/clocks.so")
        node.write("/etc/wall-clock", "0\n")
        node.drop_in("clock", "[Service]\nEnvironment=LD_PRELOAD=/usr/lib/clocks.so WALL_CLOCK=/etc/wall-clock\n")
    n1, n2, client = lab.elected(2, prepare)

    def clock_of(node):
        """How far ahead the clock is by which a node dates its changes."""
        return node.get("StateChangeTimestamp") / 1e6 - time.time()
    for shift in (YEAR_SEC, -YEAR_SEC):
        with undisturbed(lab, n1, client):
            for node in n1, n2:
                node.write("/etc/wall-clock", f"{shift}\n")
            hold(lambda: lab.holder() == 1 and n2.state() == "backup", "the election is undisturbed", 3.5)
        # and roles change as ever
        check(n1.call("Demote").returncode == 0, "Demote")
        lab.handed_over(n2)
        for node in n1, n2:
            check(abs(clock_of(node) - shift) < 3600, f"the clock of {node.name} is {clock_of(node)} s ahead")
        check(n2.call("Demote").returncode == 0, "Demote")
        wait(lambda: lab.holder() == 1, "n1 holds the address")


if __name__ == "__main__":
    hosts.main()
