# SPDX-License-Identifier: LGPL-2.1-or-later
"""One process with one instance takes no more memory than keepalived with one, both of whose processes count; and what each further instance
takes is bounded."""

import os
import re
import shutil
import signal

import lab as L
from lab import Process, check, wait


def pss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
    return total


FEW, MANY = 10, 250
# Half as much again as it is, so that no new table of each instance goes unnoticed. HACKING.md says where it goes.
WEIGHT_BYTES = {"none": 6900, "bus": 9300}


def anonymous_bytes(pid):
    """What is the process's own, however much of the rest others map, too."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", f.read(), re.M)[1]) * 1024


def is_told(bus, n):
    """The last one is asked, behind what all have told."""
    return L.run("busctl", f"--address={bus}", "get-property", "org.vipd1", f"/org/vipd1/instance/web_2d{n}", "org.vipd1.Instance", "State",
                 fail=False).stdout == 's "master"\n'


def weight(host, bus):
    """Of one instance that is master, by what many of them take more than a few."""
    taken = {}
    for n in (FEW, MANY):
        files = {f"web-{k}": L.instance([f"198.18.0.{k}"], k) for k in range(1, n + 1)}
        daemon = host.vipd(files, bus=bus)
        wait(lambda: len(daemon.grep("-> master")) == n, lambda: f"{n} masters, not {len(daemon.grep('-> master'))}", 40)
        wait(lambda: bus == "none" or is_told(bus, n), f"{n} instances on the bus", 20)
        taken[n] = anonymous_bytes(daemon.pid)
        daemon.signal(signal.SIGTERM)
        daemon.end()
        for name in files:
            os.unlink(f"{daemon.directories['config']}/{name}.vip")
    return (taken[MANY] - taken[FEW]) / (MANY - FEW)


def test_an_instance_weighs_no_more_than_is_known(lab):
    n1, = lab.nodes(1)
    weights = {"none": weight(n1, "none"), "bus": weight(n1, n1.bus())}
    print(", ".join(f"{which}: {weight:.0f} bytes of {WEIGHT_BYTES[which]}" for which, weight in weights.items()))
    check(all(weights[which] <= WEIGHT_BYTES[which] for which in weights), f"bytes of one more instance {weights}, at most {WEIGHT_BYTES}")


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
