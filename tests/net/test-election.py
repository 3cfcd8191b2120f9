# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is master, and when: vipd with vipd, with the real ucarp, and with a peer by the BSDs' rules."""

import os
import signal

import lab as L
from lab import PREEMPTION_USEC, VIP, VIP6, check, elect, hold, now, wait

SETTLE = 5.0  # nothing may change for so long once it is settled: longer than any dead interval here
UCARP_DELAY = 2.0  # ucarp hears everything up to 1 s late; and its scripts take time, on a busy machine
SWEEP_USEC = 1_500_000  # the kernel's sweep is up to 1 s late


def one_holder(lab, number):
    return lambda: lab.observer.holders(VIP) == {number}


def test_first_takes_over_after_one_dead_interval(lab):
    (n1,) = lab.nodes(1)
    began = now()
    a = n1.vipd()
    a.wait_state("master")
    check([(x.new, x.reason) for x in a.transitions()] == [("backup", "startup"), ("master", "master-timeout")], a.text())
    lab.observer.sync()
    taken = lab.observer.changes(VIP)[0][0]
    check(taken - began > 2_990_000, f"master {taken - began} us after it was begun")
    took = taken - a.transitions()[0].t
    check(took < 4_000_000, f"master {took} us after it began to listen")


def test_second_stays_backup(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    hold(lambda: b.state() == "backup" and a.state() == "master", "first master, second backup", SETTLE)
    lab.observer.check_never_two()


def test_backup_follows_killed_master_host(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    n1.cut()
    a.kill()
    b.wait_state("master")
    check(b.reason() == "master-timeout", b.text())
    wait(lambda: n2.holds(), "the address on the second host")


def test_backup_follows_killed_daemon(lab):
    """The host lives on, with the address of a dead daemon: the kernel removes it about when the backup takes over."""
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    a.kill()
    b.wait_state("master")
    wait(one_holder(lab, 2), "only the second host holds")
    lab.observer.check_never_two(allowed_usec=SWEEP_USEC)


def test_link_down_gives_up_at_once(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    n1.carrier(False)
    a.wait_state("init")
    check(a.reason() == "link-down", a.text())
    lab.observer.sync()
    down = lab.observer.of("link", at, nsid=1, name="eth0", running=False)[0].t
    lost = [t for t, number, present in lab.observer.changes(VIP, at) if number == 1 and not present]
    # to take an address away, it waits for the kernel's lock like everybody on this machine
    check(lost and lost[0] - down < 1_000_000, f"dropped at once: {[t - down for t in lost]}")
    b.wait_state("master")
    n1.carrier(True)
    a.wait_state("backup")
    hold(lambda: a.state() == "backup", "no way back without preempt", SETTLE)
    lab.observer.check_never_two()


def test_administrative_down_gives_up_at_once(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    n1.link("down")
    a.wait_state("init")
    b.wait_state("master")
    check(a.running(), "still there, unlike ucarp")
    lab.observer.check_never_two()


def test_better_host_preempts(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd(advskew=100, CARP_Preempt="yes")
    a.wait_state("master")
    b = n2.vipd(advskew=0, CARP_Preempt="yes")
    b.wait_state("master")
    a.wait_state("backup")
    check((a.reason(), b.reason()) == ("preempted", "preempting"), a.text() + b.text())
    hold(lambda: b.state() == "master" and a.state() == "backup", "settled", SETTLE)
    lab.observer.check_never_two(allowed_usec=PREEMPTION_USEC)
    check(lab.observer.longest_vacancy(VIP, a.transitions()[-1].t - 1_000_000) == 0, "no gap in a preemption")


def test_better_host_waits_without_preempt(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd(advskew=100)
    a.wait_state("master")
    b = n2.vipd(advskew=0)
    b.wait_state("backup")
    hold(lambda: a.state() == "master" and b.state() == "backup", "no preemption", SETTLE)


def test_better_host_waits_for_its_preempt_delay(lab):
    """After its start, and after its link was gone: healthy again, it leaves the address where it is for so long."""
    n1, n2 = lab.nodes(2)
    a = n1.vipd(advskew=100)
    a.wait_state("master")
    b = n2.vipd(CARP_Preempt="yes", CARP_PreemptDelay="6s")
    for _ in range(2):
        b.wait_state("backup")
        back = b.transitions()[-1].t
        b.wait_state("master", timeout=12)
        waited = b.transitions()[-1].t - back
        check(b.reason() == "preempting" and 5_500_000 < waited < 9_000_000, f"{b.reason()} after {waited} us")
        a.wait_state("backup")
        n2.carrier(False)
        b.wait_state("init")
        a.wait_state("master")
        n2.carrier(True)


def test_best_of_two_backups_follows_bow_out(lab):
    n1, n2, n3 = lab.nodes(3)
    a, b = elect(n1, n2, second_advskew=1)
    c = n3.vipd(advskew=254)
    c.wait_state("backup")
    wait(lambda: len(lab.observer.carp(n1, since=c.transitions()[-1].t)) > 1, "adverts heard")
    # they act two milliseconds apart, and nobody else on the machine is to decide who does so first
    for process in (b, c):
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(10))
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    hold(lambda: b.state() == "master" and c.state() == "backup", "the better one, and it stays", SETTLE)
    check(len(c.transitions()) == 1, c.text())
    lab.observer.check_never_two()


def test_demotion_both_ways(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    a.wait_state("backup")
    check(a.reason() == "demoted", a.text())
    # the hold is over, and another dead interval
    wait(lambda: now() > at + 3_500_000, "the hold", 5)
    b.signal(signal.SIGUSR2)
    a.wait_bow_out()
    lab.observer.check_never_two()


def test_demoted_host_alone_comes_back(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(Takeover_DemoteHold="1s")
    a.wait_state("master")
    at = now()
    a.signal(signal.SIGUSR2)
    a.wait_state("backup")
    a.wait_state("master")
    check(a.transitions()[-1].t - at > 990_000, "not before its hold")


def test_restart_of_either(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    b.stop()
    b = n2.vipd(advskew=100)
    b.wait_state("backup")
    hold(lambda: a.state() == "master" and b.state() == "backup", "backup restarted", SETTLE)
    a.stop()
    b.wait_bow_out()
    a = n1.vipd()
    a.wait_state("backup")
    hold(lambda: a.state() == "backup" and b.state() == "master", "master restarted", SETTLE)
    lab.observer.check_never_two()


def test_equal_vipd_after_partition(lab):
    """Both are master and equal; healed, one yields within one advert, and nothing flaps."""
    n1, n2 = lab.nodes(2)
    for n in (n1, n2):
        n.isolate()
    a, b = n1.vipd(), n2.vipd()
    a.wait_state("master")
    b.wait_state("master")
    at = now()
    for n in (n1, n2):
        n.isolate(False)
    wait(lambda: {a.state(), b.state()} == {"master", "backup"}, "one of them yields")
    moved = a.transitions(since=at) + b.transitions(since=at)
    check(len(moved) == 1 and moved[0].t - at < 2_000_000, f"within one advert, as soon as they hear each other: {[m.t - at for m in moved]}")
    hold(lambda: len(a.transitions(since=at)) + len(b.transitions(since=at)) == 1, "no flapping", SETTLE)
    check(a.state() == "master", "the lower address wins")


def test_equal_vipd_started_together(lab):
    n1, n2 = lab.nodes(2)
    a, b = n1.vipd(), n2.vipd()
    L.settle(lambda: {a.state(), b.state()} == {"master", "backup"}, lambda: f"one master: {a.text()}\n{b.text()}", SETTLE, 15)
    # both may take over before they hear each other, and then one yields, once
    check(len(a.transitions()) + len(b.transitions()) <= 5, f"no flapping: {a.text()}\n{b.text()}")
    lab.observer.check_never_two(allowed_usec=1_000_000 + PREEMPTION_USEC)


def equal_ucarp(lab, vipd_host, ucarp_host):
    """Equal values, partition, heal: one holder within one advert of the slower program, and then no change."""
    for n in (vipd_host, ucarp_host):
        n.isolate()
    a = vipd_host.vipd()
    ucarp_host.ucarp()
    wait(lambda: lab.observer.holders(VIP) == {1, 2}, "two holders while parted")
    a.wait_state("master")
    at = now()
    for n in (vipd_host, ucarp_host):
        n.isolate(False)
    wait(lambda: len(lab.observer.holders(VIP)) == 1, "one of them yields", 1 + UCARP_DELAY)
    settled = lab.observer.holders(VIP)
    hold(lambda: lab.observer.holders(VIP) == settled, "no flapping", SETTLE + 3)
    check(len(a.transitions(since=at)) <= 1, a.text())


def test_equal_ucarp_with_higher_address(lab):
    n1, n2 = lab.nodes(2)
    equal_ucarp(lab, n1, n2)


def test_equal_ucarp_with_lower_address(lab):
    n1, n2 = lab.nodes(2)
    equal_ucarp(lab, n2, n1)


def equal_bsd(lab, vipd_host, bsd_host):
    for n in (vipd_host, bsd_host):
        n.isolate()
    a = vipd_host.vipd()
    peer = bsd_host.bsd_peer()
    a.wait_state("master")
    wait(lambda: peer.state == "master", "the BSD peer is master")
    at = now()
    for n in (vipd_host, bsd_host):
        n.isolate(False)
    wait(lambda: (a.state() == "master") != (peer.state == "master"), "one of them yields", 2.5)
    states = (a.state(), peer.state)
    hold(lambda: (a.state(), peer.state) == states, "no flapping", SETTLE + 3)
    check(len(a.transitions(since=at)) + len([t for t, _ in peer.transitions if t >= at]) <= 1, a.text())
    peer.stop()


def test_equal_bsd_peer_with_higher_address(lab):
    n1, n2 = lab.nodes(2)
    equal_bsd(lab, n1, n2)


def test_equal_bsd_peer_with_lower_address(lab):
    n1, n2 = lab.nodes(2)
    equal_bsd(lab, n2, n1)


def test_bsd_peer_in_either_role(lab):
    n1, n2 = lab.nodes(2)
    peer = n2.bsd_peer(advskew=0)
    wait(lambda: peer.state == "master", "the BSD peer is master")
    a = n1.vipd(advskew=100)
    a.wait_state("backup")
    hold(lambda: a.state() == "backup" and peer.state == "master", "vipd hears it", 4)
    peer.stop()
    a.wait_state("master")
    peer = n2.bsd_peer(advskew=200)
    hold(lambda: a.state() == "master" and peer.state == "backup", "it hears vipd", 5)
    a.signal(signal.SIGUSR2)
    wait(lambda: peer.state == "master", "it obeys the bow-out", 2.5)
    peer.stop()


def test_vipd_master_ucarp_backup(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd()
    a.wait_state("master")
    u = n2.ucarp(advskew=100)
    hold(one_holder(lab, 1), "ucarp believes vipd's adverts", SETTLE + 2)
    # demotion: the bow-out reaches ucarp, and vipd stays backup
    at = now()
    a.signal(signal.SIGUSR2)
    wait(one_holder(lab, 2), "ucarp takes over", UCARP_DELAY)
    hold(lambda: a.state() == "backup", "vipd believes ucarp's adverts", SETTLE)
    lab.observer.sync()
    check(all(len(h) < 2 for s, e, h in lab.observer.intervals(VIP) if e > at), "never two holders")
    # restart of ucarp
    u.stop()
    wait(one_holder(lab, 1), "vipd takes over from a stopped ucarp")
    n2.ucarp(advskew=100)
    hold(one_holder(lab, 1), "a restarted ucarp is backup", SETTLE)


def test_ucarp_master_vipd_backup(lab):
    n1, n2 = lab.nodes(2)
    u = n1.ucarp()
    wait(one_holder(lab, 1), "ucarp is master")
    b = n2.vipd(advskew=100)
    hold(one_holder(lab, 1), "vipd is backup", SETTLE)
    # restart of vipd
    b.stop()
    b = n2.vipd(advskew=100)
    hold(one_holder(lab, 1), "a restarted vipd is backup", SETTLE)
    # demotion of ucarp
    u.signal(signal.SIGUSR2)
    wait(one_holder(lab, 2), "vipd takes over from a demoted ucarp")
    hold(one_holder(lab, 2), "ucarp stays backup", SETTLE + 2)


def test_addresses_that_move_along_with_the_one_ucarp_knows(lab):
    n1, n2 = lab.nodes(2)
    more = "192.0.2.51"
    a = n1.vipd(addresses=(VIP, more, VIP6), CARP_DigestAddresses="first")
    a.wait_state("master")
    wait(lambda: all(n1.holds(address) for address in (VIP, more, VIP6)), "all held")
    n2.ucarp(advskew=100)
    hold(one_holder(lab, 1), "ucarp believes vipd's adverts", SETTLE + 2)
    a.signal(signal.SIGUSR2)
    wait(one_holder(lab, 2), "ucarp takes over", UCARP_DELAY)
    check(not n1.holds(more) and not n1.holds(VIP6), "the others are given up with the first")
    hold(lambda: a.state() == "backup", "vipd believes ucarp's adverts", SETTLE)
    lab.observer.check_never_two()


def test_takeover_from_killed_ucarp_host(lab):
    n1, n2 = lab.nodes(2)
    u = n1.ucarp()
    wait(one_holder(lab, 1), "ucarp is master")
    b = n2.vipd(advskew=100)
    b.wait_state("backup")
    wait(lambda: len(lab.observer.carp(n1)) > 4, "adverts heard")
    n1.cut()
    u.kill()
    b.wait_state("master")


def test_ucarp_takes_over_from_killed_vipd_host(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd()
    a.wait_state("master")
    n2.ucarp(advskew=100)
    hold(one_holder(lab, 1), "ucarp is backup", 4)
    n1.cut()
    a.kill()
    wait(lambda: 2 in lab.observer.holders(VIP), "ucarp takes over")


def test_link_down_with_ucarp(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd()
    a.wait_state("master")
    n2.ucarp(advskew=100)
    hold(one_holder(lab, 1), "ucarp is backup", 4)
    n1.carrier(False)
    wait(one_holder(lab, 2), "ucarp takes over")
    n1.carrier(True)
    a.wait_state("backup")
    # then ucarp loses its link
    n2.carrier(False)
    a.wait_state("master")


def test_vipd_preempts_ucarp(lab):
    n1, n2 = lab.nodes(2)
    n1.ucarp(advskew=100)
    wait(one_holder(lab, 1), "ucarp is master")
    n2.vipd(CARP_Preempt="yes").wait_state("master")
    wait(one_holder(lab, 2), "ucarp yields", 1 + UCARP_DELAY)
    hold(one_holder(lab, 2), "settled", SETTLE)
    lab.observer.check_never_two(allowed_usec=int((1 + UCARP_DELAY) * 1e6))


def test_ucarp_preempts_vipd(lab):
    n1, n2 = lab.nodes(2)
    a = n1.vipd(advskew=100)
    a.wait_state("master")
    n2.ucarp(options=("-z", "-P"))
    a.wait_state("backup", timeout=15)
    check(a.reason() == "preempted", a.text())
    hold(one_holder(lab, 2), "settled", SETTLE)
    # ucarp runs its script before its first advert
    lab.observer.check_never_two(allowed_usec=1_500_000)


if __name__ == "__main__":
    L.main()
