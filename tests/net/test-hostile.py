# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bad input gets: a counter, at most a rate-limited line, and no other effect."""

import json
import os
import struct

import carp
import lab as L
from lab import KEY, VIP, check, delta, now, record, rejected, statistics, wait

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
        after = wait(lambda: (s := rejected(statistics(bus))) != before and s, f"{v['name']} is counted")
        changed = delta(before, after)
        check(set(changed) <= COUNTERS[v["name"]] and sum(changed.values()) == 1,
              f"{v['name']} ({v['reject']}) counted as {changed}")
        check(a.state() == "master", f"{v['name']} changed the state: {a.text()}")
    # the same with nothing wrong works: the test could see it
    good = carp.payload(vectors[0]["passphrase"], vectors[0]["vhid"], vectors[0]["vips"], 1, 0)
    sock.send(carp.frame("02:00:00:00:00:01", "192.0.2.1", good))
    a.wait_state("backup")


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
         lambda: f"counted {delta(before, rejected(statistics(bus)))}, sent {want}")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())


def forgeries():
    """What somebody sends who knows all but the passphrase: better than every master, farewells, and in anybody's name; and what is broken."""
    found = [damaged(k)[1] for k in range(40)]
    for k in range(160):
        source = f"192.0.2.{k % 8 + 1}"
        advbase, advskew = ((0, 0), (0, 1), (255, 255), (1, 0))[k // 8 % 4]
        found.append(carp.frame(f"02:00:00:00:00:{k % 8 + 1:02x}", source, carp.payload("wrong", 7, (VIP,), advbase, advskew)))
    return found


def ticks(vipd):
    """CPU time of the process so far, in microseconds."""
    with open(f"/proc/{vipd.pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def test_a_flood_of_forgeries_disturbs_no_election(lab):
    """A hundred thousand a second at every host: nothing changes but counters, and neither CPU nor log is used up."""
    n1, n2 = lab.nodes(2)
    buses = [n1.bus(), n2.bus()]
    a = n1.vipd(bus=buses[0], advskew=10)
    a.wait_state("master")
    b = n2.vipd(bus=buses[1], advskew=100)
    b.wait_state("backup")
    wait(lambda: all(map(statistics, buses)), "statistics")
    at, lines, used = now(), [len(v.lines) for v in (a, b)], [ticks(v) for v in (a, b)]
    before = [sum(rejected(statistics(bus)).values()) for bus in buses]
    sent = L.flooded(lab.flood(forgeries(), n1, n2, rate=100_000, seconds=5))
    passed, used = now() - at, [ticks(v) - u for v, u in zip((a, b), used)]
    # what a full socket loses is nobody's
    for bus, n in zip(buses, before):
        wait(lambda: sum(rejected(statistics(bus)).values()) - n > sent // 100, "the flood was heard")
    adverts = statistics(buses[1])["adverts-received"]
    wait(lambda: statistics(buses[1])["adverts-received"] > adverts, "the master is heard")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())
    check(b.state() == "backup" and len(b.transitions()) == 1, b.text())
    for vipd, n, spent in zip((a, b), lines, used):
        check(len(vipd.lines) - n < 40, f"{len(vipd.lines) - n} lines:\n{vipd.text()}")
        check(spent < passed * 9 // 10, f"{vipd.label} used {spent} us of {passed} us for {sent} frames")
    read = [sum(rejected(statistics(bus)).values()) - n for bus, n in zip(buses, before)]
    print(f"{sent} frames to two hosts in {passed} us, used {used} us of CPU, {read} read")


def test_a_stolen_vhid_and_address_change_no_election(lab):
    """A host that takes our VHID and our address, and advertises a hundred times as often: told, and neither yielded to nor waited for."""
    n1, n2, thief = lab.host("n1", 1), lab.host("n2", 2), lab.host("st", 66)
    a, b = L.elect(n1, n2)
    t = thief.vipd(key="stolen", advbase=0, advskew=2)
    t.wait_state("master")
    at = now()
    a.wait_line(rf"web: {VIP} is also claimed by {thief.mac()} on eth0, who is no peer")
    a.wait_line(rf"web: {thief.address} \({thief.mac()}\) speaks for our VHID 7 with another passphrase")
    wait(lambda: len(lab.observer.carp(n1, at)) >= 4, "the master goes on")
    check(len(a.transitions()) == 2 and len(b.transitions()) == 1, f"{a.text()}\n{b.text()}")
    a.stop()
    b.wait_bow_out()  # as without the thief
    check(t.state() == "master", t.text())


def test_foreign_packets_do_not_hide_a_forger(lab):
    """VRRP with our number is said once, and its packets are not, a wrong digest is: the one must not use up the lines about the other."""
    (n1,) = lab.nodes(1)
    a, bus = master_on_bus(n1, advskew=100)
    sock = lab.injector(n1)
    foreign = carp.frame("02:00:00:00:00:02", "192.0.2.2", carp.payload(KEY, 7, (VIP,), 1, 0, first=0x31))
    for _ in range(20):
        sock.send(foreign)
    wait(lambda: rejected(statistics(bus))["version"] == 20, "counted")
    for _ in range(20):
        sock.send(carp.frame("02:00:00:00:00:02", "192.0.2.2", carp.payload("wrong", 7, (VIP,), 1, 0)))
    wait(lambda: rejected(statistics(bus))["hmac"] == 20, "counted")
    a.wait_line(r"refused an advert from 192\.0\.2\.2: hmac")
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
    wait(lambda: delta(before, rejected(statistics(bus))) == {"loop": 3}, "counted as loop")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())


if __name__ == "__main__":
    L.main()
