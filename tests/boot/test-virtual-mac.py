#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""MACAddress=virtual under systemd: what the sandbox leaves vipd is enough, a restart costs nothing, a crash leaves nothing, and a
network manager that takes every interface leaves this one alone."""

import json
import os
import re
import signal

import hosts
from hosts import VIP, VIP6, check, hold, now, wait

MAC = "00:00:5e:00:01:07"
DEVICE = "vip-web"
EVERY_INTERFACE = "[Match]\nName=*\n[Network]\nDHCP=yes\nLinkLocalAddressing=yes\n"


def device(node):
    """ifindex, flags and addresses: what would be another if anybody had touched it; None if there is none."""
    found = json.loads(node.ip("-j", "addr", "show", "dev", DEVICE, fail=False) or "[]")
    return found and (found[0]["ifindex"], found[0]["flags"], sorted(a["local"] for a in found[0]["addr_info"])) or None


def settings(node):
    paths = [f"ipv4/conf/eth0/{s}" for s in ("arp_ignore", "arp_announce")] + [f"ipv6/conf/{DEVICE}/accept_ra"]
    return [node.run("cat", f"/proc/sys/net/{path}").stdout.strip() for path in paths]


def prepare(node):
    node.leave_to_networkd()
    node.write("/etc/systemd/network/90-every.network", EVERY_INTERFACE)


def test_under_systemd(lab):
    n1, n2, client = lab.elected(2, prepare, addresses=(VIP, VIP6), VIP_MACAddress="virtual", VIP_Lease="60s")
    check(settings(n1) == ["1", "2", "0"], f"{settings(n1)}")
    check(re.search(rf"{DEVICE} .* unmanaged", n1.run("networkctl", "list").stdout), n1.run("networkctl", "list").stdout)
    wait(lambda: client.ping(VIP) and client.ping(VIP6), "both answer")

    # a restart
    before, process = device(n1), n1.process_id()
    check(before and before[2] == sorted((VIP, VIP6)), f"{before}")
    with lab.lossless(n1, client):
        n1.systemctl("restart", "vipd")
        wait(lambda: n1.process_id() != process and n1.state() == "master", "another process")
        hold(lambda: device(n1) == before and settings(n1) == ["1", "2", "0"], f"{device(n1)} {settings(n1)}, before {before}", 0.5)
    check(client.neighbour(VIP) == client.neighbour(VIP6) == MAC, "and the neighbours have seen one MAC")

    # a crash
    began, process = now(), n1.process_id()
    os.kill(process, signal.SIGKILL)
    wait(lambda: lab.holder() == 2, "the other holds it", 20)
    wait(lambda: n1.process_id() not in (None, process), "another process")
    wait(lambda: n1.state() == "backup", "and a backup")
    now_there = device(n1)
    check(now_there and now_there[0] != before[0] and "UP" not in now_there[1] and not now_there[2], f"a new device: {now_there}")
    lab.check_never_together(1)
    check(n1.transitions(since=began), "")
    for address in (VIP, VIP6):
        wait(lambda: client.ping(address), f"{address} answers")
        check(client.neighbour(address) == MAC, "at the same MAC")

    # the end
    n1.systemctl("stop", "vipd")
    check(device(n1) is None, f"left behind: {device(n1)}")
    check([n1.run("cat", f"/proc/sys/net/ipv4/conf/eth0/{s}").stdout.strip() for s in ("arp_ignore", "arp_announce")] == ["0", "0"], "put back")


if __name__ == "__main__":
    hosts.main()
