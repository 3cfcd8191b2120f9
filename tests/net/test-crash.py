# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long the address is away after a crash, against what the protocol promises. Bounds are generous here: a shared machine may
be slow for a moment; the medians of a quiet machine belong to the benchmarks."""

import signal

import lab as L
from lab import VIP, check, elect, median, now, wait


def crash(lab, n1, n2, client, **keys):
    """One host dies with its daemon; returns (client's gap, silence from the last advert heard to the takeover), in us; or None if
    the machine was so slow that the backup took over before."""
    a, b = elect(n1, n2, **keys)
    wait(lambda: len(lab.observer.carp(n1, since=b.transitions()[-1].t)) >= 2, "adverts heard")
    probe = client.probe()
    began = now()
    wait(lambda: now() > began + 200_000, "the probe runs")
    a.signal(signal.SIGKILL)
    n1.carrier(False)
    a.kill()
    b.wait_state("master")
    end = now()
    wait(lambda: now() > end + 100_000, "the probe sees it")
    report = probe.finish()
    lab.observer.sync()
    taken = [t for t, number, present in lab.observer.changes(VIP) if number == 2 and present]
    last = lab.observer.carp(n1)[-1].t
    b.stop()
    n1.ip("addr", "del", f"{VIP}/32", "dev", "eth0", fail=False)
    n1.carrier(True)
    undisturbed = len(b.transitions()) == 3 and taken[-1] > last  # backup, master, and the end
    return (report.longest_us, taken[-1] - last) if undisturbed else None


def series(lab, n, dead_usec, **keys):
    n1, n2 = lab.nodes(2)
    client = lab.client()
    found = []
    for _ in range(3 * n):
        found += filter(None, [crash(lab, n1, n2, client, **keys)])
        if len(found) == n:
            break
    check(found, "never undisturbed")
    gaps, silences = [g for g, _ in found], [s for _, s in found]
    print(f"dead interval {dead_usec} us, client gaps {gaps}, silences before takeover {silences}")
    return gaps, silences


def test_one_second_adverts(lab):
    dead = 3_000_000
    gaps, silences = series(lab, 3, dead, second_advskew=0)
    check(min(silences) > dead - 20_000, "nobody takes over before the dead interval is over")
    check(median(silences) < dead * 1.03 + 100_000, f"takeover {median(silences)} us after the last advert")
    check(median(gaps) < dead * 1.03 + 100_000, f"the client missed it for {median(gaps)} us")


def test_fastest_adverts(lab):
    """advbase 0: adverts every 3.9 ms, dead interval 11.7 ms."""
    gaps, _ = series(lab, 5, 11_718, advbase=0, advskew=1, second_advskew=1)
    check(median(gaps) < 100_000, f"the client missed it for {median(gaps)} us")


if __name__ == "__main__":
    L.main()
