# SPDX-License-Identifier: LGPL-2.1-or-later
"""ReplayProtection=strict: nothing is believed twice."""

import socket
import struct

import carp
import lab as L
from lab import check, delta, hold, now, record, rejected, statistics, wait

STRICT = {"CARP_ReplayProtection": "strict"}


def forge(data, source=None, advskew=None):
    """A recorded IPv4 advert with another source address or advskew, and right checksums."""
    data = bytearray(data[:70])
    if source:
        data[26:30] = socket.inet_aton(source)
    data[24:26] = b"\0\0"
    data[24:26] = struct.pack("!H", carp.checksum(bytes(data[14:34])))
    if advskew is not None:
        data[34 + 2] = advskew
    data[34 + 6 : 34 + 8] = b"\0\0"
    data[34 + 6 : 34 + 8] = struct.pack("!H", carp.checksum(bytes(data[34:70])))
    return bytes(data)


def replay(lab, strict):
    """Records a master's advert, lets its host die, and plays the advert again and again to the backup."""
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    keys = {"CARP_ReplayProtection": "strict"} if strict else {}
    a = n1.vipd(**keys)
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, **keys)
    b.wait_state("backup")
    old = record(n2, 2)
    n1.cut()
    a.kill()
    sock = lab.injector(n2)
    at = now()
    while b.state() != "master" and now() < at + 6_000_000:
        sock.send(old[0])
        wait(lambda t=now(): now() > t + 200_000, "a moment")
    return b, bus, old, sock


def test_replay_keeps_a_lenient_backup_asleep(lab):
    """CARP's own weakness, which the strict mode cures: shows that the next test can fail."""
    b, _, _, _ = replay(lab, strict=False)
    check(b.state() == "backup", b.text())


def test_replay_is_refused_when_strict(lab):
    b, bus, old, sock = replay(lab, strict=True)
    check(b.state() == "master", b.text())
    for data in old:
        sock.send(data)
    hold(lambda: b.state() == "master", "nor does it yield to one", 1)
    check(rejected(statistics(bus))["replay"] > 5, f"{statistics(bus)}")


def test_replay_under_another_address_is_refused_when_strict(lab):
    """CARP's digest does not cover the source address; with it any host that nobody has heard could say what a master once said."""
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    a = n1.vipd(CARP_ReplayProtection="strict")
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, CARP_ReplayProtection="strict")
    b.wait_state("backup")
    old = record(n2, 2)[0]
    n1.cut()
    a.kill()
    sock, at, k = lab.injector(n2), now(), 0
    while b.state() != "master" and now() < at + 6_000_000:
        sock.send(forge(old, source=f"192.0.2.{100 + (k := k + 1)}"))
        wait(lambda t=now(): now() > t + 200_000, "a moment")
    check(b.state() == "master", b.text())
    check(rejected(statistics(bus))["hmac"] > 5, f"{statistics(bus)}")


def test_forged_priority_is_refused_when_strict(lab):
    """advbase and advskew are outside CARP's digest; strict binds them into the counter."""
    n1, n2 = lab.nodes(2)
    client = lab.client()
    bus = n2.bus()
    a = n1.vipd(advskew=50, CARP_ReplayProtection="strict")
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, CARP_ReplayProtection="strict")
    b.wait_state("backup")
    wait(lambda: statistics(bus), "statistics")
    # one that the backup has not heard, so that its number alone would be right
    lab.filter(f'iifname "{n1.port}" oifname "{n2.port}" ip protocol 112 drop')
    data = record(client, 2)[1]
    before = statistics(bus)
    sock = lab.injector(n2)
    sock.send(forge(data, advskew=0))
    wait(lambda: delta(rejected(before), rejected(statistics(bus))) == {"replay": 1}, "refused as a replay", 2)
    sock.send(forge(data))
    wait(lambda: statistics(bus)["adverts-received"] == before["adverts-received"] + 1, "believed as it was", 2)
    check(a.state() == "master", a.text())


def test_own_numbers_survive_restarts(lab):
    """A host that began again at its old numbers would be refused by all that remember them."""
    n1, n2 = lab.nodes(2)
    a = n1.vipd(**STRICT)
    a.wait_state("master")
    b = n2.vipd(advskew=100, **STRICT)
    b.wait_state("backup")
    for end in (L.Process.kill, L.Process.stop):
        end(a)
        a = n1.vipd(CARP_Preempt="yes", **STRICT)
        a.wait_state("master", timeout=12)
        b.wait_state("backup", timeout=2)
        hold(lambda: b.state() == "backup" and a.state() == "master", "b believes what it says", 4)


if __name__ == "__main__":
    L.main()
