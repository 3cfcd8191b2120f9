# SPDX-License-Identifier: LGPL-2.1-or-later
"""Planned handover: the address is dropped, then the bow-out is sent, then the next host takes it; never two holders."""

import signal

import lab as L
from lab import VIP, VIP6, bus_call, check, elect, median, now, statistics, wait

BOW_OUT = {"advbase": 255, "advskew": 255}


def check_order(lab, leaver, taker, since):
    """Dropped, then bowed out, then taken: the first and last by the kernel's own order, between the first two by that in which the witness read
    them, as it reads all changes of addresses there are before it reads a frame, and the last two by time."""
    lab.observer.sync()
    changes = lab.observer.changes(VIP, since)
    check([(number, present) for _, number, present in changes] == [(leaver.number, False), (taker.number, True)],
          f"address events {changes}")
    farewell = lab.observer.carp(leaver, since, **BOW_OUT)
    check(farewell, "a bow-out")
    dropped = lab.observer.of("address", since, nsid=leaver.number, address=VIP, present=False)[0]
    seen = [e for e in list(lab.observer.events) if e is dropped or e is farewell[0]]
    check(seen[0] is dropped, f"bow-out {farewell[0].t}, dropped {changes[0][0]}")
    # the time of an address event is that of reading it: never early, at most late
    check(changes[1][0] - farewell[0].t > 0, f"taken {changes[1][0]}, bow-out {farewell[0].t}")
    after = [e for e in lab.observer.carp(leaver, farewell[-1].t + 1)]
    check(not after, f"adverts after the bow-out: {after}")
    lab.observer.check_never_two()
    return changes[1][0] - changes[0][0]


def test_demote(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    vacant = check_order(lab, n1, n2, at)
    check(vacant < 600_000, f"no holder for {vacant} us")
    a.wait_state("backup")
    check(a.reason() == "demoted", a.text())


def test_stop(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    a.stop()
    b.wait_bow_out()
    check_order(lab, n1, n2, at)


def test_both_families(lab):
    """The bow-out goes out in both families, and every address moves."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2, addresses=(VIP, VIP6))
    at = now()
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    check_order(lab, n1, n2, at)
    lab.observer.check_never_two(VIP6)
    check({e.family for e in lab.observer.carp(n1, at, **BOW_OUT)} == {4, 6}, "in both families")


def test_link_down_bows_out_to_nobody(lab):
    """A bow-out without link would only be an error; the address goes all the same."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    n1.carrier(False)
    a.wait_state("init")
    check(a.reason() == "link-down" and not n1.holds(), a.text())
    a.stop()


def test_disable_and_enable_by_the_bus(lab):
    n1, n2 = lab.nodes(2)
    bus = n1.bus()
    a, b = elect(n1, n2, first_bus=bus)
    wait(lambda: statistics(bus), "the instance on the bus")
    at = now()
    result = bus_call(bus, "web", "Disable")
    check(result.returncode == 0, result.stderr)
    b.wait_bow_out()
    a.wait_state("init")
    check(a.reason() == "disabled", a.text())
    check_order(lab, n1, n2, at)
    # across a restart
    a.stop()
    a = n1.vipd(bus=bus)
    wait(lambda: "disabled" in a.text(), "still disabled")
    check(a.state() == "init", a.text())
    wait(lambda: bus_call(bus, "web", "Enable").returncode == 0, "enabled again")
    a.wait_state("backup")
    wait(lambda: now() > at + 5_000_000, "settled", 6)
    check(b.state() == "master", b.text())
    lab.observer.check_never_two()


def test_client_gap(lab):
    """Five handovers there and back, seen by a client every 200 us."""
    n1, n2 = lab.nodes(2)
    client = lab.client()
    keys = {"Takeover_DemoteHold": "100ms"}
    a, b = elect(n1, n2, **keys)
    gaps = []
    for k in range(6):
        giver, taker = (a, b) if k % 2 == 0 else (b, a)
        at = now()
        wait(lambda: now() > at + 3_600_000, "the hold and a dead interval", 5)
        probe = client.probe()
        before = now()
        wait(lambda: now() > before + 200_000, "the probe runs")
        giver.signal(signal.SIGUSR2)
        taker.wait_state("master", timeout=1)
        after = now()
        wait(lambda: now() > after + 200_000, "the probe sees it")
        gaps.append(probe.finish().longest_us)
    lab.observer.check_never_two()
    print(f"client gaps in us: {gaps}, median {median(gaps)}")
    check(median(gaps) < 50_000, f"gaps {gaps}")


if __name__ == "__main__":
    L.main()
