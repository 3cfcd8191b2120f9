# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an advert costs those who send and those who hear it."""

import os
import struct

import lab as L
from lab import check, wait

N_ADVERTS = 50


def counted(host, **keys):
    """vipd on this host, and a function that says how often it has used the heap."""
    path = f"{host.room}/allocations"
    with open(path, "wb") as f:
        f.write(bytes(8))
    os.chmod(path, 0o666)
    daemon = host.vipd(env={"LD_PRELOAD": os.environ["VIPD_TEST_ALLOCATIONS_SHIM"], "VIPD_TEST_ALLOCATIONS": path}, **keys)

    def count():
        with open(path, "rb") as f:
            return struct.unpack("=Q", f.read(8))[0]
    return daemon, count


def await_adverts(lab, host, n):
    seen = len(lab.observer.carp(host))
    wait(lambda: len(lab.observer.carp(host)) >= seen + n, f"{n} adverts of {host.name}", 20)


def test_an_advert_costs_no_allocation(lab):
    """Neither of the master that sends it and renews its leases, of both families, nor of the backup that hears and believes it."""
    n1, n2 = lab.nodes(2)
    keys = {"addresses": (L.VIP, "2001:db8::50"), "advbase": 0, "Announce_Count": 1}
    a, of_master = counted(n1, advskew=5, **keys)
    a.wait_state("master")
    b, of_backup = counted(n2, advskew=250, **keys)
    b.wait_state("backup")
    # who has just begun still learns who is there
    await_adverts(lab, n1, N_ADVERTS)
    check(of_master() > 100 and of_backup() > 100, f"what a start takes is counted: {of_master()}, {of_backup()}")
    before = of_master(), of_backup()
    await_adverts(lab, n1, N_ADVERTS)
    after = of_master(), of_backup()
    check(before == after, f"heap calls of master and backup over {N_ADVERTS} adverts: {before} to {after}")


if __name__ == "__main__":
    L.main()
