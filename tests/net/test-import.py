# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl import on the wire: the program a configuration was written for is elected, then vipd with what was imported from it, against it."""

import os
import shutil

import lab as L
from lab import UID, VIP, VIP6, Process, Skip, check, hold, ucarp_path, wait

VIPCTL = os.environ.get("VIPCTL", os.path.join(L.BUILD, "ctl/vipctl"))


def imported(host, *arguments):
    """Imports into the host's configuration; vipd runs there as another user, who takes the place of vipd's."""
    directory = f"{host.room}/config"
    result = L.run(VIPCTL, "import", arguments[0], f"--output={directory}", "--force", *arguments[1:], fail=False)
    check("not converted" not in result.stderr and "changed:" not in result.stderr and result.returncode == 0, f"{result}")
    names = [name[:-4] for name in os.listdir(directory) if name.endswith(".vip")]
    for name in names:
        os.chown(f"{directory}/{name}.key", UID, UID)
    return sorted(names)


def vipd(host, *arguments, bus="none"):
    (name,) = imported(host, *arguments)
    process = host.vipd(files={}, bus=bus)
    process.name = name
    return process


def test_ucarp_pair_host_by_host(lab):
    """As docs/migration.md says: the backup first. Both are elected, and the address stays on the master until it is its turn."""
    n1, n2 = lab.nodes(2)
    odd = {"vhid": "010", "advskew": 300}
    u1 = n1.ucarp(**odd, options=("-z", "-P"))
    wait(lambda: lab.observer.holders(VIP) == {1}, "ucarp is master", 15)
    u2 = n2.ucarp(vhid=8, advskew=100)
    u2.wait_line("BACKUP")

    u2.kill()
    bus = n2.bus()
    v2 = vipd(n2, "ucarp", "--", *n2.ucarp_command(vhid=8, advskew=100, options=("-z",))[1:], bus=bus)
    v2.wait_state("backup", v2.name)
    hold(lambda: lab.observer.holders(VIP) == {1} and v2.state(v2.name) == "backup", "vipd is the backup of ucarp", 5)

    check(imported(n1, "ucarp", f"--pid={u1.pid}") == ["eth0-8"], "the name of an import")
    began = L.now()
    check(L.bus_call(bus, "eth0_2d8", "Promote").returncode == 0, "promoted")
    v2.wait_state("master", v2.name)
    u1.signal(15)
    u1.end()
    hold(lambda: n2.holds(VIP), "held by what was imported", 4)
    gap = lab.observer.longest_vacancy(VIP, began)
    check(gap < 2_000_000, f"{gap} us without an address; a dead interval is 3,4 s")
    v1 = n1.vipd(files={})
    v1.wait_state("master", "eth0-8", 15)
    wait(lambda: lab.observer.holders(VIP) == {1}, "-P and the better advskew came along")


def interfaces(host, advskew):
    """Debian's options, as its package documents them."""
    path = f"{host.room}/interfaces"
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"iface eth0 inet static\n    address {host.address}\n    netmask 255.255.255.0\n"
                f"    ucarp-vid 012\n    ucarp-vip {VIP}\n    ucarp-password correct horse\n    ucarp-advskew {advskew}\n    ucarp-master yes\n\n"
                f"iface eth0:ucarp inet static\n    address {VIP}\n    netmask 255.255.255.255\n")
    return path


def ifup(host, path):
    """The hook with its own scripts, which read the system's file and keep their state in /run/network."""
    for program in ("/etc/network/if-up.d/ucarp", "/usr/sbin/ifup", "/usr/share/ucarp/vip-up", "/etc/network/interfaces"):
        if not os.path.exists(program):
            raise Skip(f"{program} is not there")
    host.ip("addr", "flush", "dev", "eth0")
    os.makedirs("/run/network", exist_ok=True)
    os.makedirs(f"{host.room}/hooks", exist_ok=True)
    shutil.copy2("/etc/network/if-up.d/ucarp", f"{host.room}/hooks/ucarp")
    # of the hooks of this machine only the one that the test is about
    return Process(host.lab, f"ifup on {host.name}", host.inside("unshare", "--mount", "sh", "-ec", f"""
        mount --bind {path} /etc/network/interfaces
        mount --bind {host.room}/hooks /etc/network/if-up.d
        mount -t tmpfs none /run/network
        ifup eth0
        while pidof ucarp >/dev/null; do sleep 0.1; done"""))


def test_ifupdown_pair_host_by_host(lab):
    ucarp_path()
    n1, n2 = lab.nodes(2)
    path1, path2 = interfaces(n1, 0), interfaces(n2, 90)
    hook = ifup(n1, path1)
    hook.may_fail = True
    wait(lambda: n1.holds(VIP), lambda: f"the hook's ucarp is master: {hook.text()}", 15)
    v2 = vipd(n2, "ifupdown", path2)
    v2.wait_state("backup", "eth0-10")
    hold(lambda: lab.observer.holders(VIP) == {1} and v2.state("eth0-10") == "backup", "vipd is the backup of the hook's ucarp", 5)

    (ucarp,) = [p for p in os.listdir("/proc") if p.isdigit() and runs(p) == ucarp_path()]
    os.kill(int(ucarp), 15)
    v2.wait_state("master", "eth0-10")
    wait(lambda: not n1.holds(VIP), "dropped by the hook's script")
    v1 = vipd(n1, "ifupdown", path1)
    v1.wait_state("master", "eth0-10", 15)
    wait(lambda: lab.observer.holders(VIP) == {1}, "the better one again")


def runs(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def keepalived(host, path):
    program = shutil.which("keepalived", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin")
    if not program:
        raise Skip("keepalived is not installed")
    process = Process(host.lab, f"keepalived on {host.name}",
                      host.inside(program, "-n", "-l", "-P", "-f", path, "-p", f"{host.room}/parent.pid", "-r", f"{host.room}/vrrp.pid"))
    process.may_fail = True
    return process


def virtual(host):
    return {address for address in host.addresses() if address.split("/")[0] in (VIP, VIP6)}


def test_keepalived_pair_at_once(lab):
    nodes = lab.nodes(2)
    paths = {}
    for host, other, priority in zip(nodes, reversed(nodes), (150, 100)):
        paths[host.name] = f"{host.room}/keepalived.conf"
        with open(paths[host.name], "w", encoding="utf-8") as f:
            f.write(f"global_defs {{\n  router_id {host.name}\n}}\nvrrp_instance web {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 7\n"
                    f"  priority {priority}\n  advert_int 1\n  authentication {{\n    auth_type PASS\n    auth_pass 1111\n  }}\n"
                    f"  unicast_src_ip {host.address}\n  unicast_peer {{\n    {other.address}\n  }}\n"
                    f"  virtual_ipaddress {{\n    {VIP}/24\n  }}\n  virtual_ipaddress_excluded {{\n    {VIP6}/64\n  }}\n}}\n")
    before = [keepalived(host, paths[host.name]) for host in nodes]
    wait(lambda: len(virtual(nodes[0])) == 2, lambda: f"keepalived is master: {before[0].text()}", 20)
    wanted = virtual(nodes[0])
    hold(lambda: not virtual(nodes[1]), "and the other is not", 2)

    for host in nodes:
        check(imported(host, "keepalived", paths[host.name]) == ["web"], "the name of an import")
    for process in before:
        process.signal(15)
    for process in before:
        process.end()
    v1, v2 = (host.vipd(files={}) for host in nodes)
    v1.wait_state("master", timeout=20)
    wait(lambda: virtual(nodes[0]) == wanted, lambda: f"the same addresses: {virtual(nodes[0])} instead of {wanted}")
    # if it was faster, it is told
    L.settle(lambda: not virtual(nodes[1]) and v2.state() == "backup", lambda: f"the other is backup: {v2.text()}", 5, 20)
    v1.kill()
    v2.wait_state("master")
    wait(lambda: virtual(nodes[1]) == wanted, lambda: f"the same addresses: {virtual(nodes[1])} instead of {wanted}")


if __name__ == "__main__":
    L.main()
