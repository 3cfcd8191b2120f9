# SPDX-License-Identifier: LGPL-2.1-or-later
"""MACAddress=virtual: the addresses are at 00:00:5e:00:01:VHID whoever holds them, and nothing else on any host changes for good."""

import contextlib
import json
import os
import signal
import socket
import struct
import time

import lab as L
from lab import VIP, VIP6, check, hold, instance, now, wait

MAC = "00:00:5e:00:01:07"
DEVICE = "vip-web"
ADDRESSES = (VIP, VIP6)
FAST = {"advbase": 0, "advskew": 64}
BACKUP = 200  # the other one's advskew: a dead interval of 2.3 s, in which a busy machine lets a master be heard
KEYS = {"addresses": ADDRESSES, "VIP_MACAddress": "virtual", **FAST}
SO_TIMESTAMPNS = 35
ARP = ("arp_ignore", "arp_announce")


def device(host, name=DEVICE):
    """What the kernel says of it, or None."""
    found = json.loads(host.ip("-d", "-j", "link", "show", "dev", name, fail=False) or "[]")
    return found[0] if found else None


def devices(host):
    return [link["ifname"] for link in json.loads(host.ip("-j", "link", "show")) if link["ifname"].startswith("vip-")]


def is_up(host, name=DEVICE):
    found = device(host, name)
    return found is not None and "UP" in found["flags"]


def held(host, name=DEVICE):
    return {a.split("/")[0] for a in host.addresses(name)}


def arp(host, interface="eth0"):
    return tuple(int(host.run("cat", f"/proc/sys/net/ipv4/conf/{interface}/{s}").stdout) for s in ARP)


def elect(lab, **keys):
    n1, n2 = lab.nodes(2)
    return n1, n2, *L.elect(n1, n2, BACKUP, **{**KEYS, **keys})


def clean_up(host, directory="runtime"):
    return L.run(*host.vipd_command(), "--cleanup", f"--runtime-dir={host.room}/{directory}", env={**os.environ, "SERVICE_RESULT": "signal"})


def who_answers(client, address):
    """The MACs that say, within half a second, that they have it; what has come by then is read, however late."""
    own = bytes.fromhex(client.mac().replace(":", ""))
    question = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, socket.inet_aton(client.address), bytes(6), socket.inet_aton(address))
    found, end = set(), now() + 500_000
    with client.packet_socket(0x0806) as sock:
        sock.settimeout(0.1)
        sock.send(b"\xff" * 6 + own + b"\x08\x06" + question)
        while True:
            try:
                frame = sock.recv(64)
            except TimeoutError:
                if now() > end:
                    return found
                continue
            if frame[20:22] == b"\x00\x02" and frame[28:32] == socket.inet_aton(address) and frame[:6] == own:
                found.add(frame[22:28].hex(":"))


def learn(client, addresses=ADDRESSES):
    for address in addresses:
        wait(lambda: client.ping(address), f"{address} answers")
        check(client.neighbour(address) == MAC, f"{address} is at {client.neighbour(address)}")


def speak_for_the_address(host, client):
    """What makes the host ask for the client's MAC with the virtual address as the sender's."""
    host.ip("neigh", "flush", "all")
    host.run("ping", "-n", "-c1", "-W1", "-I", VIP, client.address, fail=False)


def test_master_answers_with_it_and_nobody_else_does(lab):
    n1, n2, a, b = elect(lab)
    client = lab.client()
    check(held(n1) == set(ADDRESSES) and not n1.holds(VIP) and not n1.holds(VIP6), f"on the device alone: {n1.addresses(DEVICE)}")
    learn(client)
    check(who_answers(client, VIP) == {MAC}, f"{who_answers(client, VIP)}")
    speak_for_the_address(n1, client)
    check(client.neighbour(VIP) == MAC, f"it asks as what it answers: {client.neighbour(VIP)}")
    # its own addresses are where they were
    check(who_answers(client, n1.address) == {n1.mac()}, f"{who_answers(client, n1.address)}")
    wait(lambda: client.ping(n1.address6), "the host's own address answers")
    check(client.neighbour(n1.address6) == n1.mac(), "at its own MAC")
    check(not is_up(n2) and held(n2) == set(), f"the backup's is down: {device(n2)}")
    check(device(n1)["linkinfo"]["info_kind"] == "macvlan" and device(n1)["ifalias"] == "vipd: web", f"its marks: {device(n1)}")


def test_clients_keep_their_entry_through_a_failover(lab):
    """And through the handover back, without any announcement."""
    n1, n2, a, b = elect(lab, CARP_Preempt="yes")
    client = lab.client()
    learn(client)
    # what is said to all; who asks is answered
    lab.filter(f"ether daddr ff:ff:ff:ff:ff:ff arp saddr ip {VIP} drop\nether daddr 33:33:00:00:00:01 icmpv6 type nd-neighbor-advert drop")
    probes = [client.probe(address) for address in ADDRESSES]
    a.kill()
    n1.carrier(False)
    b.wait_state("master")
    for address in ADDRESSES:
        wait(lambda: client.ping(address), f"{address} answers again")
        check(client.neighbour(address) == MAC, "at the same MAC")
    n1.carrier(True)
    clean_up(n1)
    a = n1.vipd(**KEYS, CARP_Preempt="yes")
    a.wait_state("master")
    b.wait_state("backup")
    for address in ADDRESSES:
        wait(lambda: client.ping(address), f"{address} answers again")
    for probe in probes:
        probe.finish()
    wait(lambda: not is_up(n2), "the device of the one that left is down")


def test_a_backup_says_nothing_with_it(lab):
    """Or the switch would send the master's frames elsewhere: neither while it never was master nor after it was."""
    # a lease that is renewed rarely, as the kernel tells of that with the same MAC
    n1, n2, a, b = elect(lab, VIP_Lease="60s")

    def behind():
        """Where the switch believes it to be."""
        return [e["ifname"] for e in json.loads(L.run("bridge", "-j", "fdb", "show", "br", "br0").stdout) if e["mac"] == MAC]

    wait(lambda: behind() == [n1.port], "learned")
    hold(lambda: behind() == [n1.port], "the backup is silent", 2)
    ears = lab.injector(n1)
    ears.bind((n1.port, 3))
    wait(lambda: now() - lab.observer.of("address", nsid=1, address=VIP6, present=True)[-1].t > 1_000_000, "between two renewals")
    a.signal(signal.SIGUSR2)
    b.wait_state("master")
    wait(lambda: behind() == [n2.port], "learned anew")
    hold(lambda: behind() == [n2.port], lambda: f"who was master is silent: it is behind {behind()}", 2)
    farewell = lab.observer.carp(n1, advbase=255, advskew=255)
    check(farewell and all(e.source_mac == n1.mac() for e in farewell), f"so is its farewell: {farewell}")
    # nor did the kernel say in its name what a moment later was somebody else's, such as that nobody hears the address any more
    heard, ended = [], False
    ears.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, address = ears.recvfrom(2048)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            ended = ended or frame[6:12].hex(":") == n1.mac() and frame[12:14] == b"\x08\x00" and frame[23] == 112
            if ended and frame[6:12].hex(":") == MAC:
                heard.append(frame.hex())
    check(ended and not heard, f"after its farewell: {heard}")


def test_the_kernel_tells_of_a_renewal_at_once(lab):
    """And not at a random moment of the next second, in which the address may have become another host's."""
    (n1,) = lab.nodes(1)
    ears = lab.injector(n1)
    ears.bind((n1.port, 3))
    ears.setblocking(False)
    ears.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    n1.vipd(**KEYS).wait_state("master")
    wait(lambda: len(renewals := lab.observer.of("address", nsid=1, address=VIP6, present=True)) > 9 and now() - renewals[-1].t > 500_000,
         "renewals", 20)
    lab.observer.sync()
    renewals, reports = [e.t for e in lab.observer.of("address", nsid=1, address=VIP6, present=True)], []
    to_boottime_usec = now() - time.time_ns() // 1000
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, ((_, _, stamp), *_), _, address = ears.recvmsg(2048, 64)
            # hop-by-hop options come before MLD
            if address[2] != socket.PACKET_OUTGOING and frame[6:14].hex() == MAC.replace(":", "") + "86dd" and frame[20] == 0:
                seconds, nanoseconds = struct.unpack("qq", stamp)
                reports.append(seconds * 1_000_000 + nanoseconds // 1000 + to_boottime_usec)
    late = [min((t - r for r in renewals if r <= t + 1000), default=0) for t in reports]
    # half of them come at once in any case; and the witness may have read of a renewal later than of what the kernel told of it
    check(len(late) >= 18 and sorted(late)[len(late) * 7 // 8] < 200_000, f"after a renewal, in us: {late}")


def test_two_masters_become_one(lab):
    """They speak with the same MAC, and hear each other all the same."""
    n1, n2, a, b = elect(lab)
    lab.filter(f'iifname "{n1.port}" oifname "{n2.port}" drop\niifname "{n2.port}" oifname "{n1.port}" drop')
    b.wait_state("master")
    check(a.state() == "master", a.text())
    lab.filter("")
    b.wait_state("backup")
    hold(lambda: a.state() == "master" and b.state() == "backup", "settled", 2)
    check(held(n2) == set(), "the one that yielded holds nothing")


def test_settings_are_put_back(lab):
    """Those of the interface, by the last one that needs them, and not if somebody changed them meanwhile."""
    (n1,) = lab.nodes(1)
    n1.sysctl("ipv4/conf/eth0/arp_announce", 1)
    files = {"web": instance(**KEYS), "other": instance(("192.0.2.60",), vhid=9, VIP_MACAddress="virtual")}
    a = n1.vipd(files)
    a.wait_state("master")
    a.wait_state("master", "other")
    check(arp(n1) == (1, 2), f"while it is needed: {arp(n1)}")
    a.write({"other": None})
    a.reload()
    wait(lambda: not device(n1, "vip-other"), "removed")
    check(arp(n1) == (1, 2), f"one needs it still: {arp(n1)}")
    a.stop()
    check(arp(n1) == (0, 1), f"as before: {arp(n1)}")
    check(devices(n1) == [], f"left behind: {devices(n1)}")

    a = n1.vipd(**KEYS)
    a.wait_state("master")
    n1.sysctl("ipv4/conf/eth0/arp_ignore", 2)
    a.stop()
    check(arp(n1) == (2, 1), f"what somebody set is his: {arp(n1)}")


def test_only_what_ipv4_needs_is_changed(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(addresses=(VIP6,), VIP_MACAddress="virtual")
    a.wait_state("master")
    check(arp(n1) == (0, 0), f"IPv6 needs none of it: {arp(n1)}")


def test_routers_and_own_addresses_are_kept_from_it(lab):
    n1, n2, a, b = elect(lab)
    n1.sysctl("ipv6/conf/eth0/forwarding", 0)
    conf = {s: n1.run("cat", f"/proc/sys/net/ipv6/conf/{DEVICE}/{s}").stdout.strip() for s in ("accept_ra", "addr_gen_mode")}
    check(conf == {"accept_ra": "0", "addr_gen_mode": "1"}, conf)
    check(not a.grep("listens to IPv6 routers"), a.text())
    check(held(n1) == set(ADDRESSES), f"nothing but ours: {n1.addresses(DEVICE)}")


def test_strict_reverse_path_filter_does_not_hurt(lab):
    """rp_filter=1 of all interfaces: what arrives on the device leaves by another."""
    (n1,), client = lab.nodes(1), lab.client()
    n1.sysctl("ipv4/conf/all/rp_filter", 1)
    a = n1.vipd(**KEYS)
    a.wait_state("master")
    learn(client, (VIP,))


def test_the_hosts_own_traffic_stays_where_it_was(lab):
    """With the length of the subnet too: the device's route is worse than the interface's, in whatever order they were made."""
    (n1,), client = lab.nodes(1), lab.client()
    a = n1.vipd(addresses=(f"{VIP}/24", f"{VIP6}/64"), VIP_MACAddress="virtual")
    a.wait_state("master")
    for address, more in ((f"{n1.address}/24", ()), (f"{n1.address6}/64", ("nodad",))):
        n1.ip("addr", "del", address, "dev", "eth0")
        n1.ip("addr", "add", address, "dev", "eth0", *more)
    for destination, own in ((client.address, n1.address), (client.address6, n1.address6)):
        route = json.loads(n1.ip("-j", "route", "get", destination))[0]
        check(route["dev"] == "eth0" and route["prefsrc"] == own, f"{route}")
    learn(client)


def killed(host, **keys):
    a = host.vipd(**{**KEYS, "VIP_Lease": "no", **keys})
    a.wait_state("master")
    wait(lambda: held(host) == set(ADDRESSES), "held")
    a.kill()
    check(is_up(host) and arp(host) == (1, 2), "left behind")


def test_cleanup_after_a_crash(lab):
    (n1,) = lab.nodes(1)
    killed(n1)
    said = clean_up(n1).stderr
    check(devices(n1) == [] and arp(n1) == (0, 0), f"{devices(n1)} {arp(n1)}")
    check(VIP in said and DEVICE in said, said)
    check(clean_up(n1).stderr == "" and os.listdir(f"{n1.room}/runtime") == ["lock"], f"{os.listdir(f'{n1.room}/runtime')}")


def test_cleanup_after_a_crash_of_one_that_could_write_nothing_at_its_start(lab):
    """What it found and what it holds is noted when the directory can be written, and nothing is touched as long as it lives."""
    (n1,) = lab.nodes(1)
    path = f"{n1.room}/read-only"
    os.mkdir(path)
    os.chown(path, L.UID, L.UID)
    L.run("mount", "-t", "tmpfs", "-o", "ro", "none", path)
    a = n1.vipd(None, f"--runtime-dir={path}", **{**KEYS, "VIP_Lease": "no"})
    a.wait_line(f"could not be noted in {path}, .*: Read-only file system")
    a.wait_state("master")
    L.run("umount", path)
    a.wait_line(f"is noted in {path} now")
    L.run("mount", "--bind", "-o", "ro", path, path)
    check("A vipd runs" in clean_up(n1, "read-only").stderr and held(n1) == set(ADDRESSES), "it lives")
    L.run("umount", path)
    a.kill()
    check(is_up(n1) and arp(n1) == (1, 2), "left behind")
    L.run("mount", "--bind", "-o", "ro", path, path)
    said = clean_up(n1, "read-only").stderr
    check(devices(n1) == [] and arp(n1) == (0, 0), f"{devices(n1)} {arp(n1)}")
    check("noted" not in said, f"who cleans up does not try again: {said}")
    L.run("umount", path)
    check(len(a.grep("noted")) == 2, f"once each: {a.text()}")


def test_without_cleanup_the_lease_ends_it_and_the_next_daemon_clears_up(lab):
    (n1,) = lab.nodes(1)
    killed(n1, VIP_Lease="1s")
    wait(lambda: held(n1) == set(), "the kernel drops both")
    a = n1.vipd({"web": instance()})
    a.wait_state("master")
    check(devices(n1) == [] and arp(n1) == (0, 0), f"another configuration: {devices(n1)} {arp(n1)}")
    a.stop()
    killed(n1)
    a = n1.vipd(**{**KEYS, "advbase": 1})
    wait(lambda: device(n1) and not is_up(n1), "not master yet, and so it is down")
    a.wait_state("master")
    a.stop()
    check(devices(n1) == [] and arp(n1) == (0, 0), f"what was before the first: {devices(n1)} {arp(n1)}")


def test_another_ones_device_is_not_touched(lab):
    (n1,) = lab.nodes(1)
    n1.ip("link", "add", "link", "eth0", "name", DEVICE, "type", "macvlan")
    n1.ip("link", "set", DEVICE, "alias", "vipd: another")
    before = device(n1)
    a = n1.vipd(**KEYS)
    a.wait_line("vip-web that is not ours")
    hold(lambda: a.state() == "init", "it takes no part", 1)
    a.kill()
    clean_up(n1)
    check(device(n1)["ifindex"] == before["ifindex"] and device(n1)["flags"] == before["flags"], "as it was")
    check(arp(n1) == (0, 0), f"{arp(n1)}")
    a = n1.vipd(**KEYS)
    a.wait_line("vip-web that is not ours")
    n1.ip("link", "del", DEVICE)
    a.wait_state("master")
    wait(lambda: held(n1) == set(ADDRESSES), "held")


def test_what_somebody_takes_from_it_is_put_back(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a = n1.vipd(**KEYS, VIP_Lease="10s")
    a.wait_state("master")
    for verb in (("set", "dev", DEVICE, "down"), ("del", "dev", DEVICE), ("set", "dev", DEVICE, "address", "02:00:00:00:00:01"),
                 ("set", "dev", DEVICE, "down", "name", "stolen")):
        learn(client)
        n1.ip("link", *verb)
        wait(lambda: is_up(n1) and held(n1) == set(ADDRESSES) and device(n1)["address"] == MAC, f"put back after {verb}", 5)
    learn(client)
    check(device(n1, "stolen") is None and a.state() == "master", a.text())


def test_what_somebody_gives_to_a_backups_is_taken_back(lab):
    """Up, it would speak and hear as the virtual MAC."""
    n1, n2, a, b = elect(lab)
    n2.ip("link", "set", "dev", DEVICE, "up")
    wait(lambda: not is_up(n2), "down again")
    check(is_up(n1) and a.state() == "master", a.text())


def test_interface_goes_and_comes(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a = n1.vipd(**KEYS)
    a.wait_state("master")
    n1.link("down")
    a.wait_state("init")
    wait(lambda: held(n1) == set() and not is_up(n1), "down")
    n1.link("up")
    n1.ip("addr", "replace", f"{n1.address6}/64", "dev", "eth0", "nodad")
    a.wait_state("master")
    learn(client, (VIP,))
    n1.ip("link", "del", "eth0")
    a.wait_state("init")
    check(devices(n1) == [], f"left behind: {devices(n1)}")
    n1.plug()
    a.wait_state("master")
    wait(lambda: held(n1) == set(ADDRESSES) and arp(n1) == (1, 2), "held on the new one")
    client.ip("neigh", "flush", "all")
    learn(client)


def test_reload_changes_the_way(lab):
    (n1,), client = lab.nodes(1), lab.client()
    keys = {**KEYS, "VIP_Lease": "60s"}
    a = n1.vipd(**keys)
    a.wait_state("master")
    learn(client)
    for _ in range(2):
        a.write({"web": instance(**{**keys, "VIP_MACAddress": "interface"})})
        a.reload()
        wait(lambda: n1.holds(VIP) and n1.holds(VIP6) and devices(n1) == [] and arp(n1) == (0, 0), "on the interface")
        wait(lambda: client.ping(VIP) and client.neighbour(VIP) == n1.mac(), "which the neighbours learn")
        a.write({"web": instance(**keys)})
        a.reload()
        wait(lambda: held(n1) == set(ADDRESSES) and not n1.holds(VIP) and arp(n1) == (1, 2), "on the device")
        wait(lambda: client.ping(VIP) and client.neighbour(VIP) == MAC, "which the neighbours learn")
    check(len(a.transitions()) == 2, a.text())


def test_on_a_bridge_and_on_a_macvlan(lab):
    """As hosts of virtual machines and as containers have them."""
    (n1,), client = lab.nodes(1), lab.client()
    for kind in ("bridge", "macvlan"):
        n1.ip("addr", "flush", "dev", "eth0", "scope", "global")
        n1.ip("link", "add", *(("link", "eth0") if kind == "macvlan" else ()), "name", kind, "type", kind)
        if kind == "bridge":
            n1.ip("link", "set", "eth0", "master", kind)
        n1.ip("link", "set", kind, "up")
        n1.ip("addr", "add", f"{n1.address}/24", "dev", kind)
        n1.ip("addr", "add", f"{n1.address6}/64", "dev", kind, "nodad")
        a = n1.vipd(**KEYS, interface=kind)
        a.wait_state("master", timeout=40)
        learn(client)
        a.stop()
        check(devices(n1) == [] and arp(n1, kind) == (0, 0), f"{devices(n1)} {arp(n1, kind)}")
        n1.ip("link", "del", kind)


def test_a_reload_that_removes_many_holds_nobody_up(lab):
    """The kernel takes its time to delete a device."""
    (n1,) = lab.nodes(1)
    files = {f"v{k}": instance((f"198.51.100.{k}",), vhid=k, VIP_MACAddress="virtual") for k in range(1, 201)}
    stays = {"web": instance(vhid=250, advbase=0, advskew=16)}
    a = n1.vipd({**files, **stays})
    for name in ("web", "v200"):
        a.wait_state("master", name, 60)
    at = wait(lambda: lab.observer.carp(n1, vhid=250), "the first advert")[-1].t
    a.write({name: None for name in files})
    a.reload()
    wait(lambda: devices(n1) == [], "all are gone", 30)
    gone = now()
    wait(lambda: len(lab.observer.carp(n1, gone, vhid=250)) > 3, "adverts go on")
    said = lab.observer.carp(n1, at, vhid=250)
    late = max(second.t - first.t for first, second in zip(said, said[1:]))
    check(late < 1_500_000, f"adverts were up to {late} us apart")
    check(a.state("web") == "master", a.text())
    a.stop()


def test_250_on_one_interface(lab):
    """All of them, on two hosts: from the first to the second, and nothing is left on the first."""
    n1, n2 = lab.nodes(2)
    client = lab.client()
    files = {f"v{k}": instance((f"198.51.100.{k}", f"2001:db8::5:{k:x}"), vhid=k, VIP_MACAddress="virtual", VIP_SyncGroup="all") for k in range(1, 251)}
    client.ip("route", "add", "198.51.100.0/24", "dev", "eth0")
    n1.ip("route", "add", "198.51.100.0/24", "dev", "eth0")
    a = n1.vipd(files)
    for k in range(1, 251):
        a.wait_state("master", f"v{k}", 60)
    b = n2.vipd({name: text.replace("AdvSkew=0", "AdvSkew=100") for name, text in files.items()})
    for k in range(1, 251):
        b.wait_state("backup", f"v{k}", 60)
    check(len(devices(n1)) == len(devices(n2)) == 250, f"{len(devices(n1))} {len(devices(n2))}")
    for k in (1, 125, 250):
        check(client.ping(f"198.51.100.{k}", 5) and client.neighbour(f"198.51.100.{k}") == f"00:00:5e:00:01:{k:02x}", f"{k}")
    a.stop(60)
    check(devices(n1) == [] and arp(n1) == (0, 0), f"left behind: {devices(n1)}")
    for k in range(1, 251):
        b.wait_state("master", f"v{k}", 60)
    for k in (1, 125, 250):
        wait(lambda: client.ping(f"198.51.100.{k}"), f"{k} answers")
    b.stop(60)


if __name__ == "__main__":
    L.main()
