# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another host with our address: noticed, published, answered with measure; and never seen where only roles change."""

import json
import signal
import struct

import carp
import lab as L
from lab import VIP, VIP6, bus_call, check, elect, hold, now, statistics, wait

STRANGER = "02:00:00:00:00:09"
QUIET_USEC = 3_000_000


def conflict(bus, name="web"):
    result = bus_call(bus, name, "Get", "ss", "org.vipd1.Instance", "Conflict", interface="org.freedesktop.DBus.Properties")
    return json.loads(result.stdout)["data"][0]["data"] if result.returncode == 0 else None


def master(host, **keys):
    """A master for long enough that its takeover explains nothing any more."""
    bus = host.bus()
    a = host.vipd(bus=bus, **keys)
    a.wait_state("master", timeout=15)
    began = a.transitions()[-1].t
    wait(lambda: now() > began + QUIET_USEC + 200_000, "the takeover is over")
    check(conflict(bus) == "", f"nobody claims it yet: {conflict(bus)}")
    return a, bus


def announced(lab, host, since):
    """Its announcements by request: each answer to a conflict is one, and the burst of a takeover is over."""
    return [e for e in lab.observer.of("arp", since, port=host.name) if e.op == 1 and e.address == e.target == VIP]


def test_a_stranger_is_named_and_answered_once_in_ten_seconds(lab):
    n1, st = lab.host("n1", 1), lab.host("st", 66)
    a, bus = master(n1)
    sock = st.packet_socket()
    at = now()

    def told():
        sock.send(carp.gratuitous_arp(STRANGER, VIP))
        return conflict(bus) == f"{VIP} is also claimed by {STRANGER} on eth0"
    wait(told, lambda: f"told; {conflict(bus)}")
    while now() < at + 20_000_000 and len(announced(lab, n1, at)) < 2:
        check(told(), conflict(bus))
    after = now()
    while now() < after + 1_000_000:
        check(told(), conflict(bus))
    a.wait_line(rf"web: {VIP} is also claimed by {STRANGER} on eth0, who is no peer")
    check(len(a.grep("also claimed")) == 1, a.text())
    answers = announced(lab, n1, at)
    # the first of them may have been late
    check(len(answers) == 2 and answers[1].t - answers[0].t > 9_500_000, f"answers {[e.t - at for e in answers]}")
    replies = [e for e in lab.observer.of("arp", at, port="n1") if e.op == 2 and e.address == VIP]
    check(not replies, f"{len(replies)} replies to nobody")
    counters = statistics(bus)
    check(counters["conflicts-defended"] == 2 and counters["conflicts"] > 10, f"{counters}")
    check(a.state() == "master" and n1.holds(), "we keep it")


def test_a_host_that_only_answers_is_found(lab):
    """It announces nothing and asks nobody: it was given the addresses before we took them."""
    n1, st = lab.host("n1", 1), lab.host("st", 66)
    st.ip("addr", "add", f"{VIP}/32", "dev", "eth0")
    st.ip("addr", "add", f"{VIP6}/128", "dev", "eth0", "nodad")
    bus = n1.bus()
    a = n1.vipd(bus=bus, addresses=(VIP, VIP6))
    a.wait_state("master", timeout=15)
    mac = st.mac()
    want = f"{VIP} is also claimed by {mac} on eth0; {VIP6} is also claimed by {mac} on eth0"
    wait(lambda: conflict(bus) == want, lambda: f"found; {conflict(bus)}", 10)
    # whoever is no longer master minds nobody
    bus_call(bus, "web", "Demote")
    check(conflict(bus) == "", conflict(bus))


def test_duplicate_address_detection_is_a_claim(lab):
    """The kernel has answered it, so that is told, and not answered again."""
    n1, st = lab.host("n1", 1), lab.host("st", 66)
    a, bus = master(n1, addresses=(VIP, VIP6))
    st.sysctl("ipv6/conf/eth0/accept_dad", 1)
    at = now()
    st.ip("addr", "add", f"{VIP6}/64", "dev", "eth0")
    wait(lambda: conflict(bus) == f"{VIP6} is also claimed by {st.mac()} on eth0", lambda: f"told; {conflict(bus)}")
    check(statistics(bus)["conflicts-defended"] == 0, f"{statistics(bus)}")
    wait(lambda: any("dadfailed" in str(v) for v in st.addresses().values()), lambda: f"the kernel has answered: {st.addresses()}")
    # the same of IPv4
    sock = st.packet_socket()
    probe = bytearray(carp.gratuitous_arp(STRANGER, VIP))
    probe[28:32] = bytes(4)
    sock.send(bytes(probe))
    wait(lambda: f"{VIP} is also claimed by {STRANGER} on eth0" in conflict(bus), lambda: f"told; {conflict(bus)}")
    check(not announced(lab, n1, at) and a.state() == "master", "no answer")


def advertisement(mac, address):
    """Unsolicited, to all, as a host sends it that has just got the address."""
    import ipaddress
    target = ipaddress.ip_address(address).packed
    all_nodes = ipaddress.ip_address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\x02\x01" + carp.mac_bytes(mac)
    pseudo = target + all_nodes + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", carp.checksum(pseudo + body)) + body[4:]
    return carp.frame(mac, address, body, destination="ff02::1", destination_mac="33:33:00:00:00:01", protocol=58)


def test_a_neighbour_advertisement_is_answered(lab):
    n1, st = lab.host("n1", 1), lab.host("st", 66)
    a, bus = master(n1, addresses=(VIP, VIP6))
    at = now()
    st.packet_socket().send(advertisement(STRANGER, VIP6))
    wait(lambda: conflict(bus) == f"{VIP6} is also claimed by {STRANGER} on eth0", lambda: f"told; {conflict(bus)}")
    wait(lambda: [e for e in lab.observer.of("na", at, port="n1") if e.address == VIP6 and e.mac == n1.mac()], "answered")
    check(statistics(bus)["conflicts-defended"] == 1, f"{statistics(bus)}")
    check(a.state() == "master", a.text())


def test_ordinary_neighbours_are_no_conflict(lab):
    """Who asks for the address, uses it, has others, or is another interface of this very host."""
    n1, client = lab.host("n1", 1), lab.client()
    L.run("ip", "link", "add", "vp-second", "type", "veth", "peer", "name", "eth1", "netns", "n1")
    L.run("ip", "link", "set", "vp-second", "master", "br0", "up")
    n1.ip("link", "set", "eth1", "up")
    a, bus = master(n1, addresses=(VIP, VIP6))
    eth1 = json.loads(n1.ip("-j", "link", "show", "dev", "eth1"))[0]["address"]
    # Linux answers for all its addresses on all its interfaces
    client.ip("neigh", "flush", "all")
    check(client.ping() and client.ping(VIP6), "the address answers")
    wait(lambda: [e for e in lab.observer.of("arp") if e.op == 2 and e.address == VIP and e.mac == eth1], "eth1 answers as well")
    sock = client.packet_socket()
    for address in (client.address, "192.0.2.51", "192.0.3.50"):
        sock.send(carp.gratuitous_arp(STRANGER, address))
    for echo in (carp.gratuitous_arp(n1.mac(), VIP), advertisement(n1.mac(), VIP6)):
        lab.injector(n1).send(echo)
    at = now()
    wait(lambda: now() > at + 1_000_000, "a second")
    counters = statistics(bus)
    check(counters["conflicts"] == 0 and conflict(bus) == "" and not a.grep("claimed"), f"{counters}\n{a.text()}")


def check_no_conflict(*daemons):
    for d in daemons:
        check(not d.grep("also claimed"), d.text())


def test_failover_between_vipd_is_no_conflict(lab):
    """Handed over, killed, frozen, and cut off, with clients that ask all the time who has the address."""
    (n1, n2), client = lab.nodes(2), lab.client()
    probe = client.probe(interval_us=2000)
    a, b = elect(n1, n2)
    a.signal(signal.SIGUSR2)
    b.wait_state("master")
    b.signal(signal.SIGSTOP)
    a.wait_state("master", timeout=15)
    b.signal(signal.SIGCONT)
    b.wait_state("backup")
    n1.cut()
    b.wait_state("master", timeout=15)
    hold(lambda: b.state() == "master", "alone long enough to forget", 4)
    n1.cut(False)
    wait(lambda: {a.state(), b.state()} == {"master", "backup"}, "one again")
    (a if a.state() == "master" else b).kill()
    (b if not b.may_fail else a).wait_state("master", timeout=15)
    hold(lambda: True, "and what may come then", 5)
    probe.finish()
    check_no_conflict(a, b)


def test_a_frozen_master_whose_lease_outlives_it_is_no_conflict(lab):
    """At such speed the other host takes over while the frozen one's kernel still answers for the address."""
    n1, n2 = lab.nodes(2)
    fast = {"advbase": 0, "advskew": 64, "VIP_Lease": "5s"}
    bus = n2.bus()
    a = n1.vipd(**fast)
    a.wait_state("master")
    b = n2.vipd(bus=bus, **{**fast, "advskew": 128})
    b.wait_state("backup")
    hold(lambda: b.state() == "backup", "backup", 2)

    def renewals():
        return len(lab.observer.of("address", nsid=1, address=VIP, present=True))
    n = renewals()
    wait(lambda: renewals() > n, "the lease has just begun")
    a.signal(signal.SIGSTOP)
    b.wait_state("master")
    check(n1.holds() and n2.holds(), "both hold it")
    wait(lambda: not n1.holds(), "the lease ends")
    hold(lambda: b.state() == "master", "and what may come then", 4)
    a.signal(signal.SIGCONT)
    check_no_conflict(b)
    check(statistics(bus)["conflicts"] == 0, f"{statistics(bus)}")


def test_failover_with_ucarp_is_no_conflict(lab):
    """Both ways: ucarp preempts us, announcing before it advertises and from another MAC; leaves; and is outdone."""
    (n1, n2), client = lab.nodes(2), lab.client()
    client.probe(interval_us=2000)
    a, bus = master(n1, advskew=50)
    for _ in range(2):
        u = n2.ucarp(options=("-z", "-P"))
        wait(lambda: lab.observer.holders(VIP) == {2}, "ucarp has preempted", 15)
        a.wait_state("backup")
        hold(lambda: a.state() == "backup", "backup", 1)
        u.signal(signal.SIGTERM)
        u.end()
        a.wait_state("master", timeout=15)
        hold(lambda: a.state() == "master", "master, beyond what the takeover explains", 5)
    u = n2.ucarp(advskew=100)
    n2.cut()
    wait(lambda: lab.observer.holders(VIP) == {1, 2}, "both are master, apart", 15)
    hold(lambda: a.state() == "master", "for long", 4)
    n2.cut(False)
    wait(lambda: lab.observer.holders(VIP) == {1}, "ucarp is outdone", 15)
    hold(lambda: a.state() == "master", "and what may come then", 5)
    check_no_conflict(a)
    check(statistics(bus)["conflicts"] == 0, f"{statistics(bus)}")


def test_what_a_killed_ucarp_leaves_is_a_conflict(lab):
    """It heads the list of what goes wrong while hosts are replaced one at a time."""
    n1, n2 = lab.nodes(2)
    u = n2.ucarp()
    wait(lambda: lab.observer.holders(VIP) == {2}, "ucarp is master", 15)
    bus = n1.bus()
    a = n1.vipd(bus=bus, advskew=100)
    a.wait_state("backup")
    u.kill()
    a.wait_state("master", timeout=15)
    wait(lambda: conflict(bus) == f"{VIP} is also claimed by {n2.mac()} on eth0", lambda: f"told; {conflict(bus)}", 10)


def test_who_goes_on_after_a_restart_looks_for_claims(lab):
    """It was master before, and takes nothing over by which it could begin."""
    n1, st = lab.host("n1", 1), lab.host("st", 66)
    st.ip("addr", "add", f"{VIP}/32", "dev", "eth0")
    memory, bus = f"{n1.room}/memory", n1.bus()
    with open(memory, "w") as f:
        f.write(f"""[vipd handover]
Version=1
[web]
Interface=eth0
VHID=7
State=master
Reason=master-timeout
DownReason=master-timeout
AttemptedUSec={now()}
SentUSec={now()}
Holds=true
""")
    # as systemd passes on what it keeps for a service
    a = n1.vipd(bus=bus, prefix=("sh", "-c", 'exec 3<>"$1"; shift; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=vipd-state; exec "$@"',
                                 "sh", memory))
    a.wait_line("web: still master after a restart")
    want = f"{VIP} is also claimed by {st.mac()} on eth0"
    wait(lambda: conflict(bus) == want, lambda: f"found; {conflict(bus)}", 10)
    check(not a.transitions(), a.text())


def test_a_flood_of_claims_delays_no_advert(lab):
    """A hundred thousand forged claims a second, of hundreds of hosts, half of them of other addresses."""
    (n1,), client = lab.nodes(1), lab.client()
    a, bus = master(n1)
    frames = []
    for k in range(1000):
        mac = f"02:01:00:00:{k >> 8:02x}:{k & 255:02x}"
        frames.append(carp.gratuitous_arp(mac, VIP if k % 2 else f"192.0.2.{60 + k % 100}"))
    at, lines = now(), len(a.lines)
    sent = L.flooded(lab.flood(frames, n1, rate=100_000, seconds=5))
    ended = now()
    check(sent > 50_000, f"{sent} claims")
    wait(lambda: "also claimed by 02:01:" in (conflict(bus) or ""), "told")
    adverts = [e for e in lab.observer.carp(n1, at) if e.t < ended]
    gaps = [second.t - first.t for first, second in zip(adverts, adverts[1:])]
    check(gaps and max(gaps) < 3_000_000, f"spacing of adverts, no peer waits for longer: {gaps}")
    check(len(a.lines) - lines < 20, a.text())
    check(statistics(bus)["conflicts-defended"] <= 2, f"{statistics(bus)}")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())
    check(client.ping(timeout=5), "the address answers")


if __name__ == "__main__":
    L.main()
