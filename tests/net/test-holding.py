# SPDX-License-Identifier: LGPL-2.1-or-later
"""The address in the kernel: there at once and complete, gone when its keeper is, and nobody else's touched."""

import fcntl
import os
import re
import signal
import socket
import struct
import threading

import lab as L
from lab import VIP, VIP6, check, elect, hold, now, wait

# a single host need not wait long to be master: adverts 125 ms apart
FAST = {"advbase": 0, "advskew": 32}
MANY = (VIP, "192.0.2.51/32", "198.51.100.7/24", VIP6, "2001:db8::51/64")
IFA_F_TENTATIVE, IFA_F_OPTIMISTIC, IFA_F_DADFAILED = 0x40, 0x04, 0x08


def master(host, **keys):
    a = host.vipd(**{**FAST, **keys})
    a.wait_state("master")
    return a


def without_prefix(addresses):
    return {a.split("/")[0] for a in addresses}


SYS_PIDFD_GETFD = 438
TFD_IOC_SET_TICKS = 0x40085400


def end_wait_of_clock_set(vipd):
    """The timer that the kernel ends when the wall clock is set, or the machine wakes: by the kernel's own means for who restores processes."""
    found = []
    for fd in os.listdir(f"/proc/{vipd.pid}/fd"):
        with open(f"/proc/{vipd.pid}/fdinfo/{fd}") as f:
            text = f.read()
        # CLOCK_REALTIME; TFD_TIMER_ABSTIME and TFD_TIMER_CANCEL_ON_SET
        if "clockid: 0\n" in text and "settime flags: 03\n" in text:
            found.append(int(fd))
    check(len(found) == 1, f"one such timer: {found}")
    pidfd = os.pidfd_open(vipd.pid)
    fd = L.libc.syscall(SYS_PIDFD_GETFD, pidfd, found[0], 0)
    check(fd >= 0, "its descriptor")
    try:
        fcntl.ioctl(fd, TFD_IOC_SET_TICKS, struct.pack("=Q", 1))
    except OSError as e:
        raise L.Skip(f"no kernel that restores timers: {e}") from None
    finally:
        os.close(fd)
        os.close(pidfd)


def test_a_master_that_wakes_looks_at_once(lab):
    """Its waits are on a clock that stands still while the machine sleeps: without the timer it would be master until the next advert is due."""
    (n1,) = lab.nodes(1)
    slept = f"{n1.room}/slept"
    with open(slept, "w") as f:
        f.write("0")
    os.chmod(n1.room, 0o755)
    # one advert in ten seconds, and nothing else to wake up for; but as soon as that
    still = {"VIP_Lease": "no", "Announce_Count": 1}
    a = n1.vipd(env={"LD_PRELOAD": os.environ["VIPD_TEST_CLOCKS"], "SLEPT": slept}, **still)
    a.wait_state("master")
    a.write({"web": L.instance(advbase=10, **still)})
    a.reload()
    said = wait(lambda: lab.observer.carp(n1, advbase=10), "the first of its slow adverts")[0].t
    # three seconds after it became master it asks once who else has the address
    wait(lambda t=now(): now() > t + 3_500_000, "it waits")
    with open(slept, "w") as f:
        f.write("40")
    hold(lambda: a.state() == "master" and n1.holds(), "its wait goes on", 1)
    end_wait_of_clock_set(a)
    a.wait_line("web: stood still for a dead interval")
    wait(lambda: not n1.holds(), "the address is dropped")
    check(now() < said + 9_000_000, "long before the next advert")


def test_several_addresses_of_both_families(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a = master(n1, addresses=MANY)
    held = n1.addresses()
    for prefix in (f"{VIP}/32", "192.0.2.51/32", "198.51.100.7/24", f"{VIP6}/128", "2001:db8::51/64"):
        check(prefix in held, f"{prefix} is held: {list(held)}")
    for address in (VIP, "192.0.2.51", VIP6, "2001:db8::51"):
        check(client.ping(address), f"{address} answers")
    a.stop()
    check(set(n1.addresses()) == set(without(held, MANY)), "all gone, the others stay")


def without(held, vips):
    return [key for key in held if key.split("/")[0] not in without_prefix(vips)]


def test_ipv6_is_usable_at_once(lab):
    """No duplicate address detection: never tentative, and the client is answered from the first moment."""
    (n1,), client = lab.nodes(1), lab.client()
    n1.sysctl("ipv6/conf/eth0/accept_dad", 1)
    probe = client.probe(VIP6)
    a = master(n1, addresses=(VIP, VIP6))
    at = a.transitions()[-1].t
    wait(lambda: now() > at + 400_000, "some answers")
    report = probe.finish()
    lab.observer.sync()
    events = [e for e in lab.observer.of("address", address=VIP6) if e.present]
    bad = IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED
    check(events and not any(e.flags & bad for e in events), f"flags {[hex(e.flags) for e in events]}")
    answered = report.outages[-1].start + report.outages[-1].us
    # with it, that would be a second or two
    check(answered - events[0].t < 500_000, f"answered {answered - events[0].t} us after it was added")


def chosen_source(host, destination):
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    sock = host.socket(family, socket.SOCK_DGRAM)
    with sock:
        sock.connect((destination, 9))
        return sock.getsockname()[0]


def test_never_chosen_as_source(lab):
    (n1,) = lab.nodes(1)
    n1.ip("route", "add", "default", "via", "192.0.2.254")
    n1.ip("route", "add", "default", "via", "2001:db8::fe")
    a = master(n1, addresses=(VIP, VIP6))
    for destination in ("192.0.2.100", "203.0.113.1", VIP[:-2] + "99"):
        check(chosen_source(n1, destination) == n1.address, f"to {destination}: {chosen_source(n1, destination)}")
    for destination in ("2001:db8::100", "2001:db8:ffff::1"):
        check(chosen_source(n1, destination) == n1.address6, f"to {destination}: {chosen_source(n1, destination)}")
    a.stop()


def test_operators_addresses_are_left_alone(lab):
    """An address that somebody configured for ever is neither changed at takeover nor removed afterwards."""
    (n1,) = lab.nodes(1)
    n1.ip("addr", "add", "192.0.2.60/24", "dev", "eth0")
    n1.ip("addr", "add", f"{VIP}/32", "dev", "eth0")
    before = n1.addresses()
    a = master(n1, addresses=(VIP, "192.0.2.61"))
    check("192.0.2.61/32" in n1.addresses(), "its own is there")
    check(n1.addresses()[f"{VIP}/32"]["valid_life_time"] == before[f"{VIP}/32"]["valid_life_time"], "still for ever")
    a.signal(signal.SIGUSR2)
    a.wait_state("backup")
    check(n1.addresses() == before, f"after demotion: {n1.addresses()}")
    a.stop()
    check(n1.addresses() == before, f"after the end: {n1.addresses()}")


def test_the_log_says_how_somebodys_address_is_handed_over(lab):
    (n1,) = lab.nodes(1)
    for address in (f"{VIP}/32", f"{VIP6}/128"):
        n1.ip("addr", "add", address, "dev", "eth0", "nodad")
    a = master(n1, addresses=(VIP, VIP6), VIP_Lease="no")
    for address in (f"{VIP}/32", f"{VIP6}/128"):
        line = a.wait_line(f"{address} is configured on eth0 by somebody else")
        n1.run(*re.search(r'"(ip address del [^"]*)"', line)[1].split())
        wait(lambda: address in n1.addresses(), f"{address} is held by vipd")
    a.stop()
    check(not {f"{VIP}/32", f"{VIP6}/128"} & set(n1.addresses()), "dropped at the end")


def test_what_an_operator_made_his_own_is_left_to_him(lab):
    """An address of ours that somebody configured for ever stays when it leaves the configuration."""
    (n1,) = lab.nodes(1)
    a = master(n1, addresses=(VIP, "192.0.2.61"))
    n1.ip("addr", "replace", "192.0.2.61/32", "dev", "eth0", "valid_lft", "forever", "preferred_lft", "forever")
    a.wait_line("configured on eth0 by somebody else")
    a.write({"web": L.instance(addresses=(VIP,), **FAST)})
    at = now()
    a.reload()
    a.signal(signal.SIGUSR1)
    a.wait_line("web: master on eth0", since=at)
    check("192.0.2.61/32" in n1.addresses(), f"after the reload: {list(n1.addresses())}")
    a.stop()
    check("192.0.2.61/32" in n1.addresses(), f"after the end: {list(n1.addresses())}")


def test_put_back_at_once(lab):
    (n1,) = lab.nodes(1)
    a = master(n1, addresses=(VIP, VIP6), VIP_Lease="10s")
    for address, prefix in ((VIP, 32), (VIP6, 128)):
        for _ in range(3):
            at = now()
            n1.ip("addr", "del", f"{address}/{prefix}", "dev", "eth0")
            wait(lambda: lab.observer.holders(address) == {1} and len(lab.observer.changes(address, at)) == 2,
                 f"{address} put back")
            (lost, _, _), (back, _, _) = lab.observer.changes(address, at)
            # long before the lease is renewed; each change of an address waits for the kernel's lock
            check(back - lost < 1_000_000, f"{address} back after {back - lost} us")
    check(a.state() == "master" and len(a.transitions()) == 2, a.text())


def test_told_once_that_somebody_removes_it(lab):
    (n1,) = lab.nodes(1)
    a = master(n1, VIP_Lease="10s")
    for _ in range(2):
        for _ in range(3):
            at = now()
            n1.ip("addr", "del", f"{VIP}/32", "dev", "eth0")
            wait(lambda: lab.observer.holders(VIP) == {1} and len(lab.observer.changes(VIP, at)) == 2, "put back")
        a.wait_line("another program removed an address")
        check(len(a.grep("another program removed")) == 1, a.text())
        a.lines.clear()
        a.reload()
        a.wait_line("Reloading")


def test_somebodys_loop_costs_few_lines(lab):
    n1, n2 = lab.nodes(2)
    master(n1)
    b = n2.vipd(advbase=0, advskew=250)
    b.wait_state("backup")
    verbs = f"address add {VIP}/32 dev eth0\naddress del {VIP}/32 dev eth0\n"
    n2.run("ip", "-batch", "-", input=verbs * 200)
    b.signal(signal.SIGUSR1)
    b.wait_line("web: backup on")
    check(1 <= len(b.grep("by somebody else")) <= 3, b.text())


def test_flushed_interface_is_restored(lab):
    """A network manager that flushes and configures the interface anew."""
    (n1,) = lab.nodes(1)
    a = master(n1, VIP_Lease="10s")
    # which gives up after ten rounds: what it removes is put back
    n1.ip("addr", "flush", "dev", "eth0", "scope", "global", fail=False)
    n1.ip("addr", "add", f"{n1.address}/24", "dev", "eth0")
    a.wait_state("master")
    wait(lambda: n1.holds() and a.state() == "master", "held again")


def test_link_up_takes_part_again(lab):
    (n1,) = lab.nodes(1)
    a = master(n1, addresses=(VIP, VIP6))
    n1.link("down")
    a.wait_state("init")
    check(not n1.holds(VIP) and not n1.holds(VIP6), "nothing left behind")
    n1.link("up")
    n1.ip("addr", "replace", f"{n1.address6}/64", "dev", "eth0", "nodad")
    a.wait_state("master")
    wait(lambda: n1.holds(VIP) and n1.holds(VIP6), "held again")


def test_renamed_interface(lab):
    (n1,) = lab.nodes(1)
    a = master(n1)
    n1.link("down")
    n1.ip("link", "set", "eth0", "name", "lan0")
    n1.ip("link", "set", "lan0", "up")
    a.wait_state("init")
    wait(lambda: a.reason() == "interface-missing" or not n1.addresses("lan0").get(f"{VIP}/32"), "not on the renamed one")
    check(f"{VIP}/32" not in n1.addresses("lan0"), "no address left on it")
    n1.ip("link", "set", "lan0", "down")
    n1.ip("link", "set", "lan0", "name", "eth0")
    n1.link("up")
    a.wait_state("master")


def test_deleted_and_created_interface(lab):
    (n1,) = lab.nodes(1)
    a = master(n1)
    for _ in range(2):
        n1.ip("link", "del", "eth0")
        a.wait_state("init")
        n1.plug()
        a.wait_state("master")
        wait(lambda: n1.holds(), "held on the new one")


def test_interface_absent_at_start(lab):
    (n1,) = lab.nodes(1)
    n1.ip("link", "del", "eth0")
    a = n1.vipd(**FAST)
    hold(lambda: a.running() and a.state() == "init", "waits for it", 1)
    n1.plug()
    a.wait_state("master")
    wait(lambda: n1.holds(), "held")


def test_no_source_address_at_start(lab):
    (n1,) = lab.nodes(1)
    n1.ip("addr", "flush", "dev", "eth0", "scope", "global")
    a = n1.vipd(**FAST)
    hold(lambda: a.running() and a.state() == "init", "waits for an address", 1)
    n1.ip("addr", "add", f"{n1.address}/24", "dev", "eth0")
    a.wait_state("master")


def test_a_moment_without_any_address_costs_nothing(lab):
    """As a network manager makes it, that configures the interface anew: the VIP is put back, and the role stays."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    for _ in range(3):
        for address in (f"{n1.address}/24", f"{VIP}/32"):
            n1.ip("addr", "del", address, "dev", "eth0")
        n1.ip("addr", "add", f"{n1.address}/24", "dev", "eth0")
        wait(lambda: n1.holds(), "put back")
    hold(lambda: b.state() == "backup", "nobody takes over", 4)
    check(not a.transitions(since=at), a.text())


def test_without_a_source_address_for_good_it_takes_no_part(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    n1.ip("addr", "del", f"{n1.address}/24", "dev", "eth0")
    a.wait_state("init", timeout=15)
    check(a.reason() == "no-source-address" and now() - at > 4_900_000, a.text())
    check(not n1.holds(), "dropped")
    b.wait_state("master")
    n1.ip("addr", "add", f"{n1.address}/24", "dev", "eth0")
    a.wait_state("backup")
    lab.observer.check_never_two()


def lease_runs_out(lab, how):
    (n1,) = lab.nodes(1)
    a = master(n1, addresses=(VIP, VIP6), VIP_Lease="1s")
    at = now()
    how(a)
    wait(lambda: not n1.holds(VIP) and not n1.holds(VIP6), "the kernel drops both")
    lab.observer.sync()
    for address in (VIP, VIP6):
        held = lab.observer.changes(address)[-1][0] - at
        check(held < 2_800_000, f"{address} for the lease and the kernel's second, both of 1 s, but {held} us")
    return n1, a


def test_lease_after_kill(lab):
    lease_runs_out(lab, lambda a: a.kill())


def test_lease_after_stop_and_recovery(lab):
    """A frozen master loses the address; thawed, it does not think that it is master."""
    n1, a = lease_runs_out(lab, lambda a: a.signal(signal.SIGSTOP))
    at = now()
    a.signal(signal.SIGCONT)
    wait(lambda: [x for x in a.transitions(since=at)], "it notices")
    check(a.transitions(since=at)[0].reason == "stalled", a.text())
    changes = lab.observer.changes(VIP, at)
    check(not changes or changes[0][0] >= a.transitions(since=at)[0].t - 5000, "no address before it knows")
    a.wait_state("master")


def test_thawed_master_does_not_disturb_its_successor(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd()
    a.wait_state("master")
    b = n2.vipd(advskew=50)
    b.wait_state("backup")
    a.signal(signal.SIGSTOP)
    b.wait_state("master")
    wait(lambda: not n1.holds(), "the lease is over")
    at = now()
    a.signal(signal.SIGCONT)
    a.wait_state("backup")
    hold(lambda: b.state() == "master" and a.state() == "backup", "settled", 4)
    lab.observer.sync()
    check(all(len(h) < 2 for s, e, h in lab.observer.intervals(VIP) if e > at), "never two holders after the thaw")


def test_no_lease_on_request(lab):
    (n1,) = lab.nodes(1)
    a = master(n1, VIP_Lease="no")
    check(n1.addresses()[f"{VIP}/32"]["valid_life_time"] > 1 << 31, "for ever")
    a.stop()
    check(not n1.holds(), "dropped at the end all the same")


def test_left_over_address_is_adopted(lab):
    """A daemon that died without a lease leaves its address; the next one does not take it for somebody's configuration."""
    (n1,) = lab.nodes(1)
    for lease in ("no", "30s"):
        a = master(n1, VIP_Lease=lease)
        a.kill()
        check(n1.holds(), f"left behind, lease {lease}")
        a = master(n1, VIP_Lease=lease)
        a.stop()
        check(not n1.holds(), f"gone, lease {lease}")


def test_connection_survives_renewals(lab):
    """TCP through the address while its lease is renewed about every half second: no gap, no address event but renewals."""
    (n1,), client = lab.nodes(1), lab.client()
    master(n1, addresses=(VIP, VIP6), VIP_Lease="1s")
    at = now()
    stop = threading.Event()
    sent_again = []

    def serve(family):
        server = n1.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 7777))
        server.listen()
        connection, _ = server.accept()
        while data := connection.recv(64):
            connection.sendall(data)
        sent_again.append(total_retransmissions(connection))

    def talk(address, family):
        sock = client.socket(family, socket.SOCK_STREAM)
        sock.settimeout(10)
        wait(lambda: sock.connect_ex((address, 7777)) == 0, "connected", 5)
        while not stop.is_set():
            sock.sendall(b"x" * 64)
            check(len(sock.recv(64)) > 0, "connection lost")
            stop.wait(0.002)
        sent_again.append(total_retransmissions(sock))
        sock.close()

    threads = []
    for address, family in ((VIP, socket.AF_INET), (VIP6, socket.AF_INET6)):
        threading.Thread(target=serve, args=(family,), daemon=True).start()
        wait(lambda: listening(n1, family), "server")
        threads.append(threading.Thread(target=talk, args=(address, family), daemon=True))
        threads[-1].start()
    hold(lambda: all(t.is_alive() for t in threads), "connections", 15)
    stop.set()
    for t in threads:
        t.join()
    lab.observer.sync()
    for address in (VIP, VIP6):
        events = lab.observer.of("address", since=at, address=address)
        check(len(events) >= 20, f"{len(events)} renewals of {address}")
        check(all(e.present for e in events), f"{address} never went away")
    # the kernel's own word: how long a round trip takes is the machine's
    wait(lambda: len(sent_again) == 4, "the ends of both connections")
    check(sent_again == [0] * 4, f"no retransmission: {sent_again}")


def total_retransmissions(sock):
    """tcpi_total_retrans of tcp_info."""
    return struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


def listening(host, family):
    table = "/proc/thread-self/net/tcp6" if family == socket.AF_INET6 else "/proc/thread-self/net/tcp"
    with host.namespace(), open(table) as f:
        return any(line.split()[1].endswith(f":{7777:04X}") and line.split()[3] == "0A" for line in list(f)[1:])


if __name__ == "__main__":
    L.main()
