# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that do not fit: each mistake made by real programs, and the sentence that names it and who made it."""

import re
import shutil

import carp
import lab as L
from lab import KEY, VIP, VIP6, Process, check, hold, median, now, statistics, wait

OTHER = "192.0.2.51"


def observed(host, **keys):
    """A vipd that is master or will be, and its bus."""
    bus = host.bus()
    return host.vipd(bus=bus, **keys), bus


def sentence(host, says):
    """The line about a host of the lab."""
    return rf"web: {re.escape(host.address)} \({host.mac()}\) {says}"


def check_said(vipd, bus, cause, pattern, timeout=15):
    vipd.wait_line(pattern, timeout)
    counters = {k: v for k, v in statistics(bus).items() if k.startswith("diagnosed-") and v}
    check(set(counters) == {f"diagnosed-{cause}"} and counters[f"diagnosed-{cause}"] >= 3, f"{counters}")
    check(len(vipd.grep(pattern)) == 1, f"said once:\n{vipd.text()}")


def test_another_passphrase(lab):
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1)
    b = n2.vipd(key="incorrect horse", advskew=100)
    check_said(a, bus, "passphrase", sentence(n2, "speaks for our VHID 7 with another passphrase, or for another list of addresses"))
    b.wait_line(sentence(n1, "speaks for our VHID 7 with another passphrase"))
    check(KEY not in a.text() and "incorrect" not in a.text(), "no secret in the log")


def test_another_list_of_addresses(lab):
    """The real ucarp speaks for one address; which, is known from our longer list."""
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1, addresses=(VIP, OTHER))
    n2.ucarp(advskew=100)
    check_said(a, bus, "addresses", rf"web: {n2.address} \(00:00:5e:00:00:07\) has our passphrase, but speaks for {VIP} alone, while we speak for 2 addresses")


def test_one_family_only(lab):
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1, addresses=(VIP, OTHER, VIP6))
    b = n2.vipd(addresses=(VIP, OTHER), advskew=100)
    check_said(a, bus, "addresses", sentence(n2, "has our passphrase, but speaks for our IPv4 addresses alone"))
    b.wait_line(r"web: .* speaks for our VHID 7 with another passphrase, or for another list of addresses")


def test_replay_protection_on_one_side(lab):
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1)
    b = n2.vipd(advskew=100, CARP_ReplayProtection="strict")
    check_said(a, bus, "replay-protection", sentence(n2, "has ReplayProtection=strict, and this host has not"))
    b.wait_line(sentence(n1, "has not ReplayProtection=strict, or is not vipd, and this host has it"))


def clone(lab, host):
    """Another host that was given the address of this one."""
    twin = lab.host("n9", 9)
    twin.ip("addr", "flush", "dev", "eth0")
    twin.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
    return twin


def test_a_clone_of_the_source_address(lab):
    """Told by whoever hears the other: the backup, and, when roles change, the one that was master."""
    n1 = lab.host("n1", 1)
    a, bus = observed(n1)
    a.wait_state("master")
    twin = clone(lab, n1)
    b = twin.vipd(advskew=100)
    b.wait_line(rf"web: {n1.address} \({n1.mac()}\) is another host with our own source address")
    L.bus_call(bus, "web", "Demote")
    b.wait_state("master")
    check_said(a, bus, "same-source", rf"web: {n1.address} \({twin.mac()}\) is another host with our own source address")


def test_a_clone_that_runs_ucarp(lab):
    n1 = lab.host("n1", 1)
    a, bus = observed(n1, advskew=100)
    twin = clone(lab, n1)
    twin.address = n1.address
    twin.ucarp()
    check_said(a, bus, "same-source", rf"web: {n1.address} \(00:00:5e:00:00:07\) is another host with our own source address")


def keepalived(host, version, vrid, addresses):
    path = shutil.which("keepalived", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin")
    if not path:
        raise L.Skip("keepalived is not installed")
    config = f"{host.room}/keepalived.conf"
    with open(config, "w") as f:
        f.write(f"global_defs {{\n vrrp_version {version}\n}}\nvrrp_instance other {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n"
                f" priority 100\n advert_int 1\n virtual_ipaddress {{\n" + "".join(f"  {a}\n" for a in addresses) + " }\n}\n")
    p = Process(host.lab, f"keepalived on {host.name}",
                host.inside(path, "-n", "-l", "-f", config, "-p", f"{host.room}/parent.pid", "-r", f"{host.room}/vrrp.pid"))
    p.may_fail = True
    return p


def vrrp(lab, version, theirs, **keys):
    """The real keepalived, with another address, and our number. It comes first, as it takes our adverts for those of a master."""
    n1, n2 = lab.nodes(2)
    keepalived(n2, version, 7, theirs).wait_line("Entering MASTER STATE", 20)
    a, bus = observed(n1, **keys)
    check_said(a, bus, "vrrp", rf"web: \S+ \({n2.mac()}\) speaks VRRP version {version} with the virtual router ID 7, which is our VHID", 20)
    a.wait_state("master")


def test_vrrp_version_2(lab):
    vrrp(lab, 2, ("192.0.2.77/24",))


def test_vrrp_version_3(lab):
    vrrp(lab, 3, ("192.0.2.77/24",))


def test_vrrp_over_ipv6(lab):
    vrrp(lab, 3, ("fe80::77/64", "2001:db8::77/64"), addresses=(VIP6,))


def test_vrrp_with_another_number_is_nobodys_concern(lab):
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1)
    k = keepalived(n2, 2, 8, ("192.0.2.77/24",))
    k.wait_line("Entering MASTER STATE", 20)
    before = L.rejected(statistics(bus))
    wait(lambda: sum(L.delta(before, L.rejected(statistics(bus))).values()) >= 4, "its adverts are heard")
    check(not a.grep("VRRP") and statistics(bus)["diagnosed-vrrp"] == 0, a.text())


def test_intervals_that_cannot_go_together(lab):
    """The slow host cannot be master beside the fast one, and says why."""
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1, advbase=5)
    n2.vipd(advbase=1, advskew=100)
    check_said(a, bus, "intervals", sentence(n2, r"waits 3\.4 s for an advert, and this host advertises every 5\.0 s, so that one takes over"))
    check(statistics(bus)["rejected-hmac"] == 0, "they believe each other")


def test_a_master_that_advertises_too_rarely(lab):
    """The same, as the fast host sees it."""
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1, advskew=100)
    a.wait_state("master")
    sock = lab.injector(n1)
    for _ in range(3):
        sock.send(carp.frame(n2.mac(), n2.address, carp.payload(KEY, 7, (VIP,), 10, 0)))
    check_said(a, bus, "intervals", sentence(n2, r"advertises every 10\.0 s, and this host waits 3\.4 s for an advert, so it takes over"))


def test_a_routed_advert(lab):
    n1, n2 = lab.nodes(2)
    a, bus = observed(n1)
    a.wait_state("master")
    sock = lab.injector(n1)
    for _ in range(3):
        sock.send(carp.frame(n2.mac(), n2.address, carp.payload(KEY, 7, (VIP,), 1, 0), ttl=254))
    check_said(a, bus, "ttl", sentence(n2, "sends adverts with TTL 254 instead of 255"))


def test_hosts_that_fit_are_not_spoken_of(lab):
    """A group of vipd and ucarp through its failovers, and a few spoilt frames."""
    n1, n2, n3 = lab.nodes(3)
    bus = n1.bus()
    a = n1.vipd(bus=bus)
    a.wait_state("master")
    b = n2.vipd(advskew=100)
    n3.ucarp(advskew=200)
    sock = lab.injector(n1)
    for k, frame in enumerate((carp.frame(n3.mac(), n3.address, carp.payload("noise", 7, (VIP,), 1, 0)),
                               carp.frame(n3.mac(), n3.address, carp.payload(KEY, 7, (VIP,), 1, 0), ttl=1),
                               carp.frame(n3.mac(), n3.address, carp.payload(KEY, 7, (VIP,), 1, 0, first=0x31)))):
        sock.send(frame)
    hold(lambda: a.state() == "master", "a group", 5)
    L.bus_call(bus, "web", "DemoteFor", "t", "1000000")
    # the better one is called first, and on a busy machine the other may be faster
    wait(lambda: lab.observer.holders(VIP) in ({2}, {3}), "another one is master")
    L.bus_call(bus, "web", "Promote")
    wait(lambda: a.state() == "master", "promoted", 15)
    hold(lambda: a.state() == "master", "a group", 3)
    for d in (a, b):
        check(not d.grep(r"web: \d+\.\d+\.\d+\.\d+ \("), d.text())


def test_a_flood_is_looked_at_rarely(lab):
    """Every frame costs a digest, and none costs more than four closer looks a second."""
    (n1,) = lab.nodes(1)
    a, bus = observed(n1, addresses=tuple(f"192.0.2.{k}" for k in range(50, 90)))
    a.wait_state("master")
    frames = [carp.frame(f"02:01:00:00:{k >> 8:02x}:{k & 255:02x}", f"192.0.3.{k % 250 + 1}", carp.payload("wrong", 7, (VIP,), 1, 0))
              for k in range(500)]
    at, lines = now(), len(a.lines)
    L.flooded(lab.flood(frames, n1, rate=20_000, seconds=4))
    ended = now()
    counters = wait(lambda: (s := statistics(bus)) and s["rejected-hmac"] > 1000 and s, "the flood is counted")
    check(0 < counters["diagnosed-passphrase"] <= 4 * (2 + (now() - at) // 1_000_000), f"{counters}")
    adverts = [e for e in lab.observer.carp(n1, at) if e.t < ended and e.source == n1.address]
    gaps = [second.t - first.t for first, second in zip(adverts, adverts[1:])]
    check(gaps and median(gaps) < 1_300_000 and max(gaps) < 3_000_000, f"spacing of adverts, no peer waits for longer: {gaps}")
    check(len(a.lines) - lines < 20, a.text())


if __name__ == "__main__":
    L.main()
