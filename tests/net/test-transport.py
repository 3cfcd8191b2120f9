# SPDX-License-Identifier: LGPL-2.1-or-later
"""How adverts travel: multicast, broadcast, unicast, IPv4 and IPv6."""

import signal
import socket

import carp
import lab as L
from lab import PREEMPTION_USEC, VIP, VIP6, check, elect, hold, wait

FAST = {"advbase": 0, "advskew": 32}


def adverts(lab, host, n=3, **match):
    return wait(lambda: len(found := lab.observer.carp(host, **match)) >= n and found, f"{n} adverts {match}", 8)


def test_multicast(lab):
    (n1,) = lab.nodes(1)
    n1.vipd(**FAST)
    for e in adverts(lab, n1):
        check((e.destination, e.destination_mac, e.source, e.source_mac, e.ttl) ==
              ("224.0.0.18", "01:00:5e:00:00:12", n1.address, n1.mac(), 255), f"{vars(e)}")


def test_broadcast(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2, CARP_Multicast="no")
    for e in adverts(lab, n1):
        check((e.destination, e.destination_mac) == ("224.0.0.18", "ff:ff:ff:ff:ff:ff"), f"{vars(e)}")
    hold(lambda: b.state() == "backup", "heard", 4)
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()


def test_broadcast_with_ucarp(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd(CARP_Multicast="no")
    a.wait_state("master")
    u = n2.ucarp(advskew=100, options=("-z", "-M"))
    hold(lambda: lab.observer.holders(VIP) == {1}, "ucarp hears vipd", 6)
    a.signal(signal.SIGUSR2)
    wait(lambda: lab.observer.holders(VIP) == {2}, "ucarp takes over", 2.5)
    hold(lambda: a.state() == "backup", "vipd hears ucarp", 5)
    check(u.running(), "still there")


def test_unicast(lab):
    n1, n2 = lab.nodes(2)
    n3 = lab.host("n3", 3)
    icmp = n1.packet_socket(), n2.packet_socket(), n3.packet_socket()
    for sock in icmp:
        sock.setblocking(False)
    a = n1.vipd(CARP_Peers=f"{n2.address} {n3.address}")
    a.wait_state("master")
    b = n2.vipd(advskew=50, CARP_Peers=f"{n1.address} {n3.address}")
    c = n3.vipd(advskew=100, CARP_Peers=f"{n1.address} {n2.address}")
    b.wait_state("backup")
    c.wait_state("backup")
    for sock in icmp:
        unreachable(sock)  # from hosts where nobody listened yet
    check({e.destination for e in adverts(lab, n1, 6)} == {n2.address, n3.address}, "only to the peers")
    check({e.ttl for e in lab.observer.carp(n1)} == {255}, "TTL 255")
    hold(lambda: (a.state(), b.state(), c.state()) == ("master", "backup", "backup"), "heard", 4)
    a.signal(signal.SIGUSR2)
    # both backups hear the bow-out, the better one is called first, and on a busy machine the other may be faster
    L.settle(lambda: a.state() == "backup" and {b.state(), c.state()} == {"master", "backup"},
             lambda: f"one takes over, and the other does not: {b.text()}\n{c.text()}", 4, 10)
    check(all(x.transitions()[1].reason == "bow-out" for x in (b, c) if x.state() == "master"), f"{b.text()}\n{c.text()}")
    # who takes over asks for the MAC of the other one before that can hear of it
    lab.observer.check_never_two(allowed_usec=PREEMPTION_USEC)
    for sock in icmp:
        check(not unreachable(sock), "nobody answers an advert with protocol unreachable")


def unreachable(sock):
    found = 0
    while True:
        try:
            data = sock.recv(2048)
        except BlockingIOError:
            return found
        # ICMP destination unreachable about protocol 112
        found += data[12:14] == b"\x08\x00" and data[23] == 1 and data[34] == 3 and data[42 + 9] == 112


def test_ipv6_only(lab):
    """No IPv4 address on any host."""
    n1, n2 = lab.nodes(2)
    for n in (n1, n2):
        n.ip("addr", "del", f"{n.address}/24", "dev", "eth0")
    a, b = elect(n1, n2, addresses=(VIP6,))
    for e in adverts(lab, n1, 2):
        check((e.family, e.destination, e.destination_mac, e.source_mac, e.ttl) ==
              (6, "ff02::12", "33:33:00:00:00:12", n1.mac(), 255), f"{vars(e)}")
    client = lab.client()
    check(client.ping(VIP6), "answers")
    hold(lambda: b.state() == "backup", "heard", 4)
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    lab.observer.check_never_two(VIP6)
    wait(lambda: client.ping(VIP6), "answers from the other")


def test_both_families_each_interval(lab):
    (n1,) = lab.nodes(1)
    n1.vipd(addresses=(VIP, VIP6), **FAST)
    adverts(lab, n1, 5, family=4)
    adverts(lab, n1, 5, family=6)
    lab.observer.sync()
    counts = [len(lab.observer.carp(n1, family=f)) for f in (4, 6)]
    check(abs(counts[0] - counts[1]) <= 1, f"{counts}")


def test_one_family_suffices_to_be_heard(lab):
    """IPv4 multicast lost in between: the IPv6 adverts still hold the election together."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2, addresses=(VIP, VIP6))
    lab.filter("ether type ip ip protocol 112 drop")
    hold(lambda: a.state() == "master" and b.state() == "backup", "still one master", 6)


def test_one_way_link(lab):
    """A backup that the master cannot hear, but that hears the master, stays backup."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    lab.filter('iifname "vp-n2" ether type ip ip protocol 112 drop')
    hold(lambda: a.state() == "master" and b.state() == "backup", "still one master", 5)


def reports(sock, mac):
    """Does the host report that it listens to CARP's groups? {4, 6} by IGMP and MLD."""
    found = set()
    while True:
        try:
            data = sock.recv(2048)
        except BlockingIOError:
            return found
        if data[6:12] == carp.mac_bytes(mac):
            if data[12:14] == b"\x08\x00" and data[23] == 2 and socket.inet_aton("224.0.0.18") in data[34:]:
                found.add(4)
            if data[12:14] == b"\x86\xdd" and data[20] == 0 and socket.inet_pton(socket.AF_INET6, "ff02::12") in data[54:]:
                found.add(6)


def test_group_is_joined_again_when_the_carrier_is_back(lab):
    """A switch that was restarted has forgotten who listens; the kernel alone reports only when the host's own link goes up."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2, addresses=(VIP, VIP6))
    n2.carrier(False)
    b.wait_state("init")
    sock = n1.packet_socket()
    sock.setblocking(False)
    n2.carrier(True)
    b.wait_state("backup")
    heard = set()
    wait(lambda: (heard.update(reports(sock, n2.mac())), heard == {4, 6})[1], lambda: f"reports heard: {heard}")
    hold(lambda: b.state() == "backup" and a.state() == "master", "and hears", 4)


def test_group_is_joined_again_after_administrative_down(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    n2.link("down")
    b.wait_state("init")
    n2.link("up")
    b.wait_state("backup")
    hold(lambda: b.state() == "backup" and a.state() == "master", "hears", 4)


def test_instances_share_a_socket(lab):
    (n1,) = lab.nodes(1)
    files = {f"i{k}": L.instance(addresses=(f"192.0.2.{50 + k}", f"2001:db8::{50 + k}"), vhid=k, **FAST) for k in range(1, 9)}
    a = n1.vipd(files)
    for k in range(1, 9):
        a.wait_state("master", f"i{k}")
    with n1.namespace(), open("/proc/thread-self/net/packet") as f:
        sockets = len(f.readlines()) - 1
    check(sockets <= 4, f"{sockets} packet sockets for 8 instances with two families, of which each has one for adverts and one for neighbours")
    wait(lambda: all(lab.observer.carp(n1, vhid=k) for k in range(1, 9)), "all advertise")


def test_source_address_by_configuration(lab):
    (n1,) = lab.nodes(1)
    n1.ip("addr", "add", "192.0.2.77/24", "dev", "eth0")
    n1.vipd(CARP_SourceAddress="192.0.2.77", **FAST)
    check({e.source for e in adverts(lab, n1)} == {"192.0.2.77"}, "as configured")


def test_foreign_firewall_does_not_matter(lab):
    """Packet sockets hear what the host's own filter drops."""
    n1, n2 = lab.nodes(2)
    rules = "table ip f {\n chain i {\n type filter hook input priority 0; policy drop;\n }\n}\n"
    with n2.namespace():
        L.run("nft", "-f", "-", input=rules)
    a, b = elect(n1, n2)
    hold(lambda: a.state() == "master" and b.state() == "backup", "heard", 5)


if __name__ == "__main__":
    L.main()
