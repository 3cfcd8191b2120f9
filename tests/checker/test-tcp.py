#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""TCP probes, and how names are looked up for them."""

import os
import socket
import subprocess

import room
from room import BAD, GOOD, Server, check, checker, expect, http, one, shell, tcp, wait


def test_a_port_that_accepts_is_good_and_nothing_is_sent():
    received = []
    with Server(lambda c: received.append(c.recv(100))) as s:
        expect(one(tcp(f"127.0.0.1:{s.port}")), GOOD, "connected")
        wait(lambda: received, "the end of the connection")
        check(received == [b""], received)


def test_a_port_that_refuses_is_bad():
    with Server(lambda c: None) as s:
        port = s.port
    expect(one(tcp(f"127.0.0.1:{port}")), BAD, "connection refused")
    expect(one(tcp(f"[::1]:{port}")), BAD, "connection refused")


def test_a_host_that_says_nothing_is_bad_after_the_timeout():
    subprocess.run("ip link add dead type veth peer name end && ip addr add 192.0.2.1/24 dev dead && "
                   "ip link set dead up && ip link set end up && "
                   "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev dead", shell=True, check=True)
    try:
        with checker(tcp("192.0.2.9:80", timeout=0.5)) as c:
            r = c.report()
            expect(r, BAD, "no answer within 500ms")
            check(0.4 < r.when - c.started < 5, f"after {r.when - c.started} s")
    finally:
        subprocess.run(["ip", "link", "del", "dead"], check=True)


def test_a_network_that_cannot_be_reached_is_named():
    expect(one(tcp("198.51.100.1:80")), BAD, "network is unreachable")


def test_ipv6():
    with Server(lambda c: None, host="::1", family=socket.AF_INET6) as s:
        expect(one(tcp(f"[::1]:{s.port}")), GOOD, "connected")


def test_names_are_looked_up():
    with Server(lambda c: None) as s:
        expect(one(tcp(f"localhost:{s.port}")), GOOD, "connected")


def test_an_address_cannot_say_more_than_where_to_connect():
    for address in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "user@127.0.0.1:80", "127.0.0.1:80/path", "a b:80",
                    ":80", "127.0.0.1:80#", "127.0.0.1:80?x:80", "[::1]80"):
        expect(one(tcp(address)), BAD, "Address= is not HOST:PORT")


def resolver_of(nameserver):
    """Names are asked for there, in this process's mount namespace."""
    conf = room.path("resolv.conf", f"nameserver {nameserver}\n")
    nsswitch = room.path("nsswitch.conf", "hosts: files dns\n")
    subprocess.run(["mount", "--bind", conf, os.path.realpath("/etc/resolv.conf")], check=True)
    subprocess.run(["mount", "--bind", nsswitch, "/etc/nsswitch.conf"], check=True)


def resolver_end():
    subprocess.run(["umount", os.path.realpath("/etc/resolv.conf"), "/etc/nsswitch.conf"], check=True)


def test_a_name_server_that_does_not_answer_delays_no_other_probe():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.53", 53))
        resolver_of("127.0.0.53")
        try:
            with checker(tcp("www.example:80", timeout=0.5, interval=0.5), http("http://www.example/", timeout=0.5, interval=0.5),
                         shell(":", interval=0.1)) as c:
                times, failed = [c.report(number=2).when], 0
                while len(times) < 25:
                    r = c.report()
                    if r.number == 2:
                        times.append(r.when)
                    else:
                        expect(r, BAD, "no answer within 500ms")
                        failed += 1
                gap = max(b - a for a, b in zip(times, times[1:]))
                check(failed >= 4, f"{failed} reports on names")
                # a resolver would wait for 5 s
                check(gap < 4, f"{gap} s without a report of another probe")
                deaf.setblocking(False)
                check(deaf.recv(512), "nobody asked")
        finally:
            resolver_end()


def test_a_name_that_does_not_exist_is_bad():
    r = one(tcp("no.such.host.invalid:80", timeout=8))
    expect(r, BAD, "...resolve")


def test_a_name_is_looked_up_anew_for_each_probe():
    hosts = room.path("hosts", "127.0.0.1 moving.example\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    try:
        with Server(lambda c: None, host="127.0.0.2") as s:
            with checker(tcp(f"moving.example:{s.port}", interval=0.1)) as c:
                expect(c.report(), BAD, "connection refused")
                room.path("hosts", "127.0.0.2 moving.example\n")
                wait(lambda: c.report().outcome == GOOD, "the new address")
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)


if __name__ == "__main__":
    room.main(globals())
