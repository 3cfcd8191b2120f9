# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bad input gets: a counter, at most a rate-limited line, and no other effect."""

import json
import os
import random
import struct

import carp
import lab as L
from lab import KEY, VIP, check, delta, hold, now, record, rejected, statistics, wait

VECTORS = os.path.join(L.HERE, "../vectors/carp-vectors-reject.json")

# the counters that may answer for each vector
COUNTERS = {
    "ttl-254": {"ttl"},
    "version-3-is-vrrp": {"version"},
    "hmac-last-bit": {"hmac"},
    "counter-changed": {"hmac"},
    "vhid-changed": {"vhid"},
    "carp-checksum-wrong": {"checksum"},
    "ip-checksum-wrong": {"ip-checksum"},
    "compensating-checksum-errors": {"checksum", "ip-checksum"},
    "one-byte-short": {"length"},
    "vrrpv2-with-vrid-21-and-7-addresses": {"length"},
    "single-address-hmac": {"hmac"},
}


def master_on_bus(host, **keys):
    bus = host.bus()
    a = host.vipd(bus=bus, **keys)
    a.wait_state("master")
    wait(lambda: statistics(bus), "statistics")
    return a, bus


def test_reject_vectors(lab):
    """Each vector is refused for its own reason by a master that would have to yield to it if it believed it."""
    n1 = lab.host("n1", 7)
    with open(VECTORS) as f:
        vectors = json.load(f)
    check({v["name"] for v in vectors} == set(COUNTERS), "every vector is known")
    a, bus = master_on_bus(n1, addresses=vectors[0]["vips"], vhid=vectors[0]["vhid"], key=vectors[0]["passphrase"], advskew=100)
    sock = lab.injector(n1)
    for v in vectors:
        before = rejected(statistics(bus))
        sock.send(bytes.fromhex(v["frame_hex"]))
        after = wait(lambda: (s := rejected(statistics(bus))) != before and s, f"{v['name']} is counted", 2)
        changed = delta(before, after)
        check(set(changed) <= COUNTERS[v["name"]] and sum(changed.values()) == 1,
              f"{v['name']} ({v['reject']}) counted as {changed}")
        check(a.state() == "master", f"{v['name']} changed the state: {a.text()}")
    # the same with nothing wrong works: the test could see it
    good = carp.payload(vectors[0]["passphrase"], vectors[0]["vhid"], vectors[0]["vips"], 1, 0)
    sock.send(carp.frame("02:00:00:00:00:01", "192.0.2.1", good))
    a.wait_state("backup", timeout=2)


def damaged(k):
    """A frame with one thing wrong, and the counter it belongs to."""
    mac, source = "02:00:00:00:00:02", "192.0.2.2"
    good = carp.payload(KEY, 7, (VIP,), 1, 0)
    kinds = (
        ("ttl", lambda: carp.frame(mac, source, good, ttl=64)),
        ("hmac", lambda: carp.frame(mac, source, carp.payload("wrong", 7, (VIP,), 1, 0))),
        ("vhid", lambda: carp.frame(mac, source, carp.payload(KEY, 9, (VIP,), 1, 0))),
        ("version", lambda: carp.frame(mac, source, carp.payload(KEY, 7, (VIP,), 1, 0, first=0x31))),
        ("type", lambda: carp.frame(mac, source, carp.payload(KEY, 7, (VIP,), 1, 0, first=0x22))),
        ("type", lambda: carp.frame(mac, source, carp.payload(KEY, 7, (VIP,), 1, 0, authlen=6))),
        ("checksum", lambda: carp.frame(mac, source, good[:6] + struct.pack("!H", good[6] * 256 + good[7] ^ 1) + good[8:])),
        ("length", lambda: carp.frame(mac, source, good[:35])),
        ("length", lambda: carp.frame(mac, source, good + b"\0" * 4)),
        ("length", lambda: carp.frame(mac, source, good[:20] + os.urandom(40))),
    )
    name, build = kinds[k % len(kinds)]
    return name, build()


def test_each_damage_has_its_counter(lab):
    (n1,) = lab.nodes(1)
    a, bus = master_on_bus(n1, advskew=100)
    sock = lab.injector(n1)
    before = rejected(statistics(bus))
    want = {}
    for k in range(30):
        name, data = damaged(k)
        sock.send(data)
        want[name] = want.get(name, 0) + 1
    wait(lambda: delta(before, rejected(statistics(bus))) == want,
         lambda: f"counted {delta(before, rejected(statistics(bus)))}, sent {want}", 3)
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())


def flood(lab, host, vipd, bus, n=20_000):
    sock = lab.injector(host)
    frames = [damaged(k)[1] for k in range(200)]
    lines = len(vipd.lines)
    before = sum(rejected(statistics(bus)).values())
    for k in range(n):
        sock.send(frames[random.randrange(len(frames))])
    wait(lambda: sum(rejected(statistics(bus)).values()) - before > n // 20, "the flood is counted")
    check(len(vipd.lines) - lines < 40, f"{len(vipd.lines) - lines} lines:\n{vipd.text()}")


def test_flood_leaves_master_alone(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a, bus = master_on_bus(n1, advskew=10)
    at = now()
    flood(lab, n1, a, bus)
    wait(lambda: now() > at + 3_000_000, "adverts", 5)
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())
    adverts = lab.observer.carp(n1, at)
    late = [second.t - first.t for first, second in zip(adverts, adverts[1:])]
    check(max(late) < 1_300_000, f"spacing of adverts {late}")
    check(client.ping(), "the address answers")


def test_flood_leaves_backup_alone(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd()
    a.wait_state("master")
    bus = n2.bus()
    b = n2.vipd(bus=bus, advskew=100)
    b.wait_state("backup")
    wait(lambda: statistics(bus), "statistics")
    flood(lab, n2, b, bus)
    hold(lambda: a.state() == "master" and b.state() == "backup", "nothing changed", 4)


def test_foreign_packets_do_not_hide_a_forger(lab):
    """VRRP with our number is said once, and its packets are not, a wrong digest is: the one must not use up the lines about the other."""
    (n1,) = lab.nodes(1)
    a, bus = master_on_bus(n1, advskew=100)
    sock = lab.injector(n1)
    foreign = carp.frame("02:00:00:00:00:02", "192.0.2.2", carp.payload(KEY, 7, (VIP,), 1, 0, first=0x31))
    for _ in range(20):
        sock.send(foreign)
    wait(lambda: rejected(statistics(bus))["version"] == 20, "counted", 2)
    for _ in range(20):
        sock.send(carp.frame("02:00:00:00:00:02", "192.0.2.2", carp.payload("wrong", 7, (VIP,), 1, 0)))
    wait(lambda: rejected(statistics(bus))["hmac"] == 20, "counted", 2)
    a.wait_line(r"refused an advert from 192\.0\.2\.2: hmac", timeout=2)
    check(1 <= len(a.grep("refused an advert")) <= 3 and not a.grep("refused .*: version"), a.text())
    check(len(a.grep("speaks VRRP version 3")) == 1, a.text())


def test_own_echo_is_dropped(lab):
    """A switch that sends a host its own adverts back."""
    n1, n2 = lab.nodes(2)
    a, bus = master_on_bus(n1, advskew=10)
    echo = record(n2, 3)
    sock = lab.injector(n1)
    before = rejected(statistics(bus))
    for data in echo:
        sock.send(data)
    wait(lambda: delta(before, rejected(statistics(bus))) == {"loop": 3}, "counted as loop", 2)
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())


if __name__ == "__main__":
    L.main()
