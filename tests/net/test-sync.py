# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sync groups: routers with an inside and an outside, on two bridges that fail on their own. Both addresses are on one host, or on none.

    bridge br0 ─ vp-n1 ─ n1:eth0 192.0.2.1       inside,  VIP 192.0.2.50
    bridge br1 ─ vq-n1 ─ n1:eth1 198.51.100.1    outside, VIP 198.51.100.50
"""

import os

import lab as L
from lab import VIP, bus_call, check, hold, instance, now, run, wait

OUTSIDE = "198.51.100.50"
NAMES = ("inside", "outside")
SETTLE = 5.0  # longer than any dead interval here
TOGETHER_USEC = 500_000  # how far apart a busy machine may do the two halves of one pass of the loop


class Side:
    """One cable of a host."""

    carrier = L.Host.carrier
    cut = L.Host.cut
    isolate = L.Host.isolate

    def __init__(self, port):
        self.port = port


def routers(lab, n):
    run("ip", "link", "add", "br1", "type", "bridge", "stp_state", 0, "forward_delay", 0, "mcast_snooping", 0)
    run("ip", "link", "set", "br1", "up")
    hosts = lab.nodes(n)
    for host in hosts:
        second_interface(host)
    return hosts


def second_interface(host):
    run("ip", "link", "add", f"vq-{host.name}", "type", "veth", "peer", "name", "eth1", "netns", host.name)
    run("ip", "link", "set", f"vq-{host.name}", "master", "br1", "up")
    host.ip("addr", "add", f"198.51.100.{host.number}/24", "dev", "eth1")
    host.ip("link", "set", "eth1", "up")
    host.sides = {"inside": Side(host.port), "outside": Side(f"vq-{host.name}")}


def group(inside=0, outside=None, name="router", **more):
    """The two files of a router; the skews may differ."""
    return {
        "inside": instance(advskew=inside, VIP_SyncGroup=name, **more),
        "outside": instance(addresses=(OUTSIDE,), vhid=8, interface="eth1", VIP_SyncGroup=name,
                            advskew=inside if outside is None else outside, **more),
    }


def wait_all(process, state, timeout=10.0):
    for name in NAMES:
        process.wait_state(state, name, timeout)


def states(*processes):
    return [[p.state(name) for name in NAMES] for p in processes]


def one_master(*processes):
    """Exactly one host is master, and of everything."""
    found = states(*processes)
    return found.count(["master", "master"]) == 1 and all("master" not in s for s in found if s != ["master", "master"])


def elect(first, second, **keys):
    """As lab.elect(), both sides: the first is master of both, the second has listened for long enough."""
    a = first.vipd(group(0, **keys))
    wait_all(a, "master")
    b = second.vipd(group(100, **keys))
    wait_all(b, "backup")
    began = b.transitions("outside")[0].t
    wait(lambda: now() > began + L.dead_usec(1, 100), "the start delay")
    return a, b


def check_together(lab):
    """No host ever holds one of the two addresses without the other for longer than a pass of the loop."""
    lab.observer.sync()
    events = sorted([(t, host, present, address) for address in (VIP, OUTSIDE) for t, host, present in lab.observer.changes(address)])
    held, since = {}, {}
    for t, host, present, address in events:
        if len(held.get(host, ())) == 1:
            check(t - since[host] < TOGETHER_USEC, f"host {host} held {held[host]} alone for {t - since[host]} us")
        held.setdefault(host, set())
        held[host].add(address) if present else held[host].discard(address)
        since[host] = t
    for host, addresses in held.items():
        check(len(addresses) != 1 or now() - since[host] < TOGETHER_USEC, f"host {host} holds {addresses} alone")


def link_down(lab, lost, other):
    """The other side moves by a bow-out; the lost one when the advert that is due there does not come."""
    n1, n2 = routers(lab, 2)
    a, b = elect(n1, n2)
    at = now()
    n1.sides[lost].carrier(False)
    wait_all(b, "master")
    took = max(b.transitions(name)[-1].t for name in NAMES) - at
    # what is above 1.1 s is a busy machine's; silent for a dead interval was, who spoke a second before at most, after 2.4 s
    check(took < 2_300_000, f"not within one advert but {took} us; a dead interval is 3.4 s")
    wait(lambda: states(a) == [["init" if name == lost else "backup" for name in NAMES]], a.text)
    check(a.reason(other) == "sync" and a.reason(lost) == "link-down", a.text())
    check(a.grep(f"{other}: master -> backup .sync., as {lost} of its group is not master any more .link-down."), a.text())
    check([b.reason(name) for name in NAMES] == ["bow-out", "bow-out"], b.text())
    n1.sides[lost].carrier(True)
    wait_all(a, "backup")
    hold(lambda: states(a, b) == [["backup"] * 2, ["master"] * 2], "settled", SETTLE)
    check_together(lab)


def test_a_lost_inside_link_moves_the_outside_within_one_advert(lab):
    link_down(lab, "inside", "outside")


def test_a_lost_outside_link_moves_the_inside_within_one_advert(lab):
    link_down(lab, "outside", "inside")


def test_a_route_through_both_addresses_survives(lab):
    """A client inside and a server outside, whose gateways are the two addresses."""
    n1, n2 = routers(lab, 2)
    client = lab.client()
    server = lab.host("sv", 101)
    second_interface(server)
    server.link("down")
    client.ip("route", "add", "198.51.100.0/24", "via", VIP)
    server.ip("route", "add", "192.0.2.0/24", "via", OUTSIDE)
    for n in (n1, n2):
        n.sysctl("ipv4/ip_forward", 1)
        # both routers hear of both networks by their own interfaces; an answer may come back by the other router until caches are told
        n.sysctl("ipv4/conf/all/rp_filter", 0)
    a, b = elect(n1, n2)
    wait(lambda: client.ping("198.51.100.101"), "a route through the first", 10)
    n1.sides["outside"].carrier(False)
    wait_all(b, "master")
    wait(lambda: client.ping("198.51.100.101"), "a route through the second")
    wait(lambda: "master" not in states(a)[0], a.text)
    check_together(lab)


def test_each_host_better_on_one_half_makes_one_master_of_everything(lab):
    """Each preempts on one side: neither may end as master of a half, and they may not fight for ever."""
    n1, n2 = routers(lab, 2)
    a = n1.vipd(group(0, 100, CARP_Preempt="yes"))
    b = n2.vipd(group(100, 0, CARP_Preempt="yes"))
    # chance decides how often they yield to each other before one is first
    L.settle(lambda: one_master(a, b), lambda: f"one master of everything: {states(a, b)}", SETTLE, 30)
    check_together(lab)
    # and when both were master of everything, parted
    for host in (n1, n2):
        for side in host.sides.values():
            side.isolate()
    wait(lambda: states(a, b) == [["master"] * 2] * 2, "both while parted", 20)
    at = now()
    for host in (n1, n2):
        for side in host.sides.values():
            side.isolate(False)
    wait(lambda: any(p.transitions(name, at) for p in (a, b) for name in NAMES), "they hear each other")
    L.settle(lambda: one_master(a, b), lambda: f"one master of everything: {states(a, b)}", SETTLE, 30)
    check_together(lab)


def test_one_side_cut_moves_nothing_and_makes_no_half_master(lab):
    """A cut that no interface notices: the backup hears its master on one side, and leaves it that."""
    n1, n2 = routers(lab, 2)
    a, b = elect(n1, n2)
    for host in (n1, n2):
        host.sides["inside"].isolate()
    hold(lambda: states(a, b) == [["master"] * 2, ["backup"] * 2], "as it was", SETTLE)
    # the master of everything dies: who was cut off from it takes everything, not a half
    a.signal(15)
    wait_all(b, "master")
    check_together(lab)


def test_hosts_that_can_each_be_master_of_one_half_are_master_of_nothing(lab):
    n1, n2 = routers(lab, 2)
    a, b = elect(n1, n2)
    n2.sides["outside"].carrier(False)
    b.wait_state("init", "outside")
    n1.sides["inside"].carrier(False)
    a.wait_state("init", "inside")
    wait(lambda: "master" not in sum(states(a, b), []), "no master")
    hold(lambda: "master" not in sum(states(a, b), []), "no master of a half", SETTLE)
    n1.sides["inside"].carrier(True)
    wait_all(a, "master")
    check_together(lab)


def check_of_one(lab, effect):
    """A check on the inside alone: it fails, and passes again. Returns the reasons of both hosts when it had failed."""
    n1, n2 = routers(lab, 2)
    well = f"{n1.room}/well"
    open(well, "w").close()
    files = group(0, CARP_Preempt="yes")
    files["inside"] += f"[Check well]\nType=command\nCommand=/usr/bin/test -e {well}\nInterval=200ms\nTimeout=10s\nFall=2\nOnFailure={effect}\n"
    a = n1.vipd(files)
    wait_all(a, "master")
    b = n2.vipd(group(50, CARP_Preempt="yes"))
    wait_all(b, "backup")
    began = b.transitions("outside")[0].t
    wait(lambda: now() > began + L.dead_usec(1, 50), "the start delay")
    os.unlink(well)
    L.settle(lambda: states(a, b) == [["backup"] * 2, ["master"] * 2], lambda: f"it has moved: {states(a, b)}", SETTLE, 15)
    reasons = [[p.reason(name) for name in NAMES] for p in (a, b)]
    open(well, "w").close()
    wait_all(a, "master")
    wait_all(b, "backup")
    check_together(lab)
    return reasons


def test_a_check_that_demotes_one_moves_all_and_back(lab):
    reasons = check_of_one(lab, "demote")
    # whichever hears of it first takes the other along
    check("preempted" in reasons[0] and set(reasons[0]) <= {"preempted", "sync"} and reasons[1] == ["preempting"] * 2, f"{reasons}")


def test_a_check_that_releases_one_releases_all(lab):
    reasons = check_of_one(lab, "release")
    check(reasons == [["health", "sync"], ["bow-out"] * 2], f"{reasons}")


def test_the_verbs_of_one_are_those_of_all(lab):
    n1, n2 = routers(lab, 2)
    bus = n2.bus()
    a = n1.vipd(group(100))
    wait_all(a, "master")
    b = n2.vipd(group(0), bus=bus)
    wait_all(b, "backup")

    def call(name, member):
        return bus_call(bus, name, member).returncode

    wait(lambda: call("inside", "Promote") == 0, "promoted")
    wait_all(b, "master")
    wait_all(a, "backup")
    check(b.reason("inside") == b.reason("outside") == "promoted", b.text())
    hold(lambda: states(a, b) == [["backup"] * 2, ["master"] * 2], "settled", SETTLE)
    check(call("outside", "Demote") == 0, "demoted")
    wait_all(a, "master")
    wait_all(b, "backup")
    check(b.reason("outside") == "demoted" and b.reason("inside") == "sync", b.text())
    check(call("inside", "Disable") == 0, "disabled")
    b.wait_state("init", "inside")
    check(call("outside", "Promote") != 0, "one of its group cannot be master")
    # nobody is left: the other waits for the one that is disabled
    a.stop()
    hold(lambda: states(b) == [["init", "backup"]], "no half", SETTLE)
    check(call("inside", "Enable") == 0, "enabled")
    wait_all(b, "master")
    check_together(lab)


def test_a_reload_makes_and_ends_groups_and_keeps_the_master(lab):
    (n1,) = routers(lab, 1)
    files = group(name="")
    a = n1.vipd({"inside": group()["inside"]})
    a.wait_state("master", "inside")
    at = now()
    # one that is new listens first, and follows
    a.write({"outside": group()["outside"]})
    a.reload()
    a.wait_state("master", "outside")
    check(not a.transitions("inside", at), a.text())
    # out of the group, and in again
    a.write({"outside": files["outside"]})
    a.reload()
    a.write({"outside": group()["outside"]})
    a.reload()
    hold(lambda: states(a) == [["master"] * 2], "nothing moves", 2)
    check(len(a.transitions("outside", at)) == 2 and not a.transitions("inside", at), a.text())
    # gone
    a.write({"outside": None})
    a.reload()
    wait(lambda: a.transitions("outside", at)[-1].reason == "reload", "removed")
    hold(lambda: a.state("inside") == "master", "the other stays", 2)
    check(not a.transitions("inside", at), a.text())
    # one that cannot be master
    n1.sides["outside"].carrier(False)
    a.write({"outside": group()["outside"]})
    a.reload()
    wait(lambda: a.state("inside") == "backup", "the group gives up")
    check(a.reason("inside") == "sync", a.text())


def test_a_better_host_waits_for_its_preempt_delay_on_both_sides(lab):
    n1, n2 = routers(lab, 2)
    a, b = elect(n1, n2, CARP_Preempt="yes", CARP_PreemptDelay="7s")
    # the side that stays healthy has waited long since
    wait(lambda: now() > a.transitions("outside")[0].t + 7_500_000, "the delay after the start", 10)
    n1.sides["inside"].carrier(False)
    wait_all(b, "master")
    n1.sides["inside"].carrier(True)
    wait_all(a, "backup")
    back = a.transitions("inside")[-1].t
    wait_all(a, "master", 15)
    for name in NAMES:
        waited = a.transitions(name)[-1].t - back
        check(a.reason(name) == "preempting" and 6_500_000 < waited < 10_500_000, f"{name}: {a.reason(name)} after {waited} us")
    wait_all(b, "backup")
    check_together(lab)


if __name__ == "__main__":
    L.main()
