# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gratuitous ARP in both forms and unsolicited neighbour advertisements: when, how often, and with which MAC address."""

import carp
import lab as L
from lab import KEY, VIP, VIP6, check, now, wait

FAST = {"advbase": 0, "advskew": 32}
OVERRIDE, SOLICITED, ROUTER = 0x20, 0x40, 0x80
BROADCAST = "ff:ff:ff:ff:ff:ff"


def rounds(lab, host, since=0):
    """All announcements of the host: {kind: [events]}, kind request, reply or na."""
    own = [e for e in lab.observer.of("arp", since, port=host.name) if e.address == VIP and e.target == VIP]
    return {
        "request": [e for e in own if e.op == 1],
        "reply": [e for e in own if e.op == 2],
        "na": [e for e in lab.observer.of("na", since, port=host.name) if e.address == VIP6],
    }


def wait_rounds(lab, host, n, since=0):
    wait(lambda: all(len(events) >= n for events in rounds(lab, host, since).values()),
         lambda: f"{n} rounds; seen {({k: len(v) for k, v in rounds(lab, host, since).items()})}")
    return rounds(lab, host, since)


def start(host, **more):
    a = host.vipd(**{**FAST, "addresses": (VIP, VIP6), **more})
    a.wait_state("master")
    return a


def test_first_round_with_the_takeover(lab):
    """Address, advert, announcement, in this order and in one go."""
    (n1,) = lab.nodes(1)
    start(n1, Announce_Interval="3s")
    found = wait_rounds(lab, n1, 1)
    lab.observer.sync()
    held = lab.observer.changes(VIP)[0][0]
    advert = lab.observer.carp(n1)[0].t
    for kind, events in found.items():
        check(advert <= events[0].t, f"{kind} after the advert")
        check(events[0].t - held < 500_000, f"first {kind} {events[0].t - held} us after the address")


def test_forms(lab):
    (n1,) = lab.nodes(1)
    start(n1)
    found = wait_rounds(lab, n1, 5)
    mac = n1.mac()
    for e in found["request"] + found["reply"]:
        check((e.source_mac, e.mac, e.destination_mac) == (mac, mac, BROADCAST), f"ARP {vars(e)}")
    for e in found["na"]:
        check((e.source_mac, e.mac, e.destination_mac) == (mac, mac, "33:33:00:00:00:01"), f"NA {vars(e)}")
        check(e.flags & (OVERRIDE | SOLICITED | ROUTER) == OVERRIDE and e.ttl == 255, f"NA {vars(e)}")


def test_count_and_spacing(lab):
    (n1,) = lab.nodes(1)
    start(n1, Announce_Count=4, Announce_Interval="1s")
    wait_rounds(lab, n1, 4)
    at = now()
    wait(lambda: now() > at + 1_500_000, "time for a fifth")
    lab.observer.sync()
    for kind, events in rounds(lab, n1).items():
        check(len(events) == 4, f"{len(events)} of {kind}")
        # the beat is the loop's; on a busy machine one frame may leave some time after it, and the next one so much sooner
        gaps = [second.t - first.t for first, second in zip(events, events[1:])]
        check(800_000 < L.median(gaps) < 1_300_000 and min(gaps) > 500_000, f"{kind} after {gaps} us")


def test_refresh(lab):
    (n1,) = lab.nodes(1)
    start(n1, Announce_Count=1, Announce_Refresh="1s")
    found = wait_rounds(lab, n1, 4)
    gaps = [second.t - first.t for first, second in zip(found["request"], found["request"][1:])]
    check(800_000 < L.median(gaps) < 1_300_000 and min(gaps) > 500_000, f"after {gaps} us")


def test_neighbours_are_corrected(lab):
    """What it is all for: a client with a wrong entry reaches the new master by the first announcement."""
    (n1,), client = lab.nodes(1), lab.client()
    client.ip("neigh", "replace", VIP, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "reachable")
    client.ip("neigh", "replace", VIP6, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "reachable")
    start(n1, Announce_Count=1)
    wait(lambda: client.neighbour(VIP) == n1.mac() and client.neighbour(VIP6) == n1.mac(), "corrected")


def quiet(lab, host, since):
    """After the burst of the takeover."""
    wait_rounds(lab, host, 5, since)
    at = now()
    wait(lambda: now() > at + 400_000, "quiet")
    return now()


def test_again_when_a_worse_master_is_heard(lab):
    n1, n2 = lab.nodes(2)
    start(n1)
    at = quiet(lab, n1, 0)
    sock = n2.packet_socket()
    body = carp.payload(KEY, 7, (VIP, VIP6), 1, 200)
    sock.send(carp.frame(n2.mac(), n2.address, body))
    found = wait_rounds(lab, n1, 1, at)
    heard = wait(lambda: lab.observer.carp(n2), "it was sent")[0].t
    check(min(e.t for events in found.values() for e in events) - heard < 500_000, "at once")


def test_again_when_a_takeover_was_contested(lab):
    """Two backups took over at once: whoever yields has announced itself last, and clients would stay with it."""
    (n1, n2), client = lab.nodes(2), lab.client()
    sock, body = n2.packet_socket(), carp.payload(KEY, 7, (VIP,), 1, 200)
    client.ip("neigh", "replace", VIP, "lladdr", n2.mac(), "dev", "eth0", "nud", "reachable")
    start(n1, addresses=(VIP,), Announce_Count=1)
    advert, announcement = carp.frame(n2.mac(), n2.address, body), carp.gratuitous_arp(n2.mac(), VIP)
    for frame in (advert, announcement, advert):
        sock.send(frame)
    wait(lambda: len(lab.observer.carp(n2)) == 2, "the other has yielded")
    wait(lambda: client.neighbour(VIP) == n1.mac(), "the client knows who is master", 2.5)


def test_again_when_the_carrier_is_back(lab):
    (n1,) = lab.nodes(1)
    a = start(n1)
    at = quiet(lab, n1, 0)
    n1.carrier(False)
    a.wait_state("init")
    n1.carrier(True)
    a.wait_state("master")
    wait_rounds(lab, n1, 5, at)


def test_again_when_the_mac_changes(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a = start(n1)
    check(client.ping(), "answers")
    at = quiet(lab, n1, 0)
    n1.ip("link", "set", "eth0", "address", "02:00:00:00:01:01")
    found = wait_rounds(lab, n1, 3, at)
    for events in found.values():
        check(all(e.mac == e.source_mac == "02:00:00:00:01:01" for e in events), f"the new one: {vars(events[0])}")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())
    wait(lambda: any(e.source_mac == "02:00:00:00:01:01" for e in lab.observer.carp(n1, at)), "adverts too")
    wait(lambda: client.neighbour(VIP) == "02:00:00:00:01:01", "the client knows")


def test_a_backup_says_nothing(lab):
    n1, n2 = lab.nodes(2)
    _, b = L.elect(n1, n2, addresses=(VIP, VIP6))
    at = b.transitions()[-1].t
    wait(lambda: now() > at + 4_000_000, "four seconds", 6)
    check(not lab.observer.carp(n2), "no advert")
    check(not any(rounds(lab, n2).values()), "no announcement")


if __name__ == "__main__":
    L.main()
