# SPDX-License-Identifier: LGPL-2.1-or-later
"""One process with one instance takes no more memory than keepalived with one, both of whose processes count."""

import os
import re
import shutil

import lab as L
from lab import Process, check, wait


def pss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        found = [int(p) for p in f.read().split()]
    return found + [g for p in found for g in children(p)]


def test_not_above_keepalived(lab):
    n1, n2 = lab.nodes(2)
    keepalived = shutil.which("keepalived", path="/usr/sbin:/sbin:/usr/bin")
    if not keepalived:
        raise L.Skip("keepalived is not installed")
    a = n1.vipd()
    a.wait_state("master")
    config = f"{n2.room}/keepalived.conf"
    with open(config, "w") as f:
        f.write("vrrp_instance web {\n state MASTER\n interface eth0\n virtual_router_id 9\n priority 100\n advert_int 1\n"
                " virtual_ipaddress {\n  192.0.2.60/32\n }\n}\n")
    k = Process(lab, "keepalived", n2.inside(keepalived, "-n", "-l", "-f", config, "-p", f"{n2.room}/k.pid", "-r",
                                              f"{n2.room}/vrrp.pid"))
    k.may_fail = True
    wait(lambda: n2.holds("192.0.2.60"), "keepalived is master", 15)
    family = [k.pid, *children(k.pid)]
    check(len(family) >= 2, f"keepalived's processes {family}")
    check(not children(a.pid) and len(os.listdir(f"/proc/{a.pid}/task")) == 1, "vipd is one process with one thread")
    ours, theirs = pss_kib([a.pid]), pss_kib(family)
    print(f"PSS: vipd {ours} KiB, keepalived {theirs} KiB in {len(family)} processes")
    check(ours <= theirs, f"PSS: vipd {ours} KiB, keepalived {theirs} KiB")


if __name__ == "__main__":
    L.main()
