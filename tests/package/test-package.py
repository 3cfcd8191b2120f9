#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages on hosts that boot: installed, upgraded, removed and purged by dpkg, with vipd at work."""

import contextlib
import glob
import json
import os
import shutil
import sys

import packages

sys.path.insert(0, os.path.join(packages.HERE, "../boot"))
import hosts  # noqa: E402
import image  # noqa: E402
import lab as net  # noqa: E402
from hosts import VIP, check, hold, message_id, now, wait  # noqa: E402

MADE = os.environ.get("VIPD_TEST_MADE", "")
HOOK_UNITS = ["vipd-master@web.target", "vipd-backup@web.target", "m.service", "b.service"]
INTERFACES = """auto lo
iface lo inet loopback

iface eth0 inet static
    address {address}
    netmask 255.255.255.0
    ucarp-vid 7
    ucarp-vip {vip}
    ucarp-password packaged
    ucarp-advskew {advskew}
iface eth0:ucarp inet static
    address {vip}
    netmask 255.255.255.255
    up echo up >>/var/log/calls
    down echo down >>/var/log/calls
"""


# what is done on a host

def dpkg(node, *argv, fail=True):
    result = node.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *argv, fail=False)
    check(not fail or result.returncode == 0, f"dpkg {argv} on {node.name}: {result.stdout}{result.stderr}")
    return result


def install(node, *names, previous=False):
    """All at once, as apt does it."""
    paths = []
    for name in names:
        package = glob.glob(f"{MADE}/{'previous/' if previous else ''}{name}_*.deb")[0]
        shutil.copy(package, f"{node.root}/srv/{name}.deb")
        paths.append(f"/srv/{name}.deb")
    dpkg(node, "--install", *paths)


def install_ucarp(node):
    """Debian's own."""
    dpkg(node, "--install", "/srv/" + os.path.basename(glob.glob(f"{node.root}/srv/ucarp_*.deb")[0]))


def version(node, name="vipd"):
    return node.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", name).stdout


def exists(node, path):
    return os.path.lexists(f"{node.root}{path}")


def instances(node):
    text = node.run("busctl", "--json=short", "call", "org.vipd1", "/org/vipd1", "org.vipd1.Manager", "ListInstances").stdout
    return [name for name, _, _ in json.loads(text)["data"][0]]


def take_up(node):
    """A person writes the first .vip file, as the README says."""
    node.configure(advskew=50 * (node.number - 1))
    check(node.run("vipd", "--check").stdout == "", "vipd --check has something to say")
    node.systemctl("reload", "vipd")


def elected(lab):
    """n1 is master and n2 backup by the previous version, installed and configured while the hosts run."""
    n1, n2, client = lab.booted(2, vipd=False)
    for node, state in ((n1, "master"), (n2, "backup")):
        install(node, "vipd", previous=True)
        check(packages.PREVIOUS in version(node), version(node))
        node.hook("m.service")
        node.hook("b.service", role="backup")
        take_up(node)
        node.wait_state(state)
    n2.listened(advskew=50)
    n1.wait_role("master", ["m.service"], ["b.service"])
    n2.wait_role("backup", ["m.service"], ["b.service"])
    return n1, n2, client


def units_of(node):
    """What would be another if a unit had been touched."""
    return node.systemctl("show", "--property=Id,MainPID,ActiveState,InactiveExitTimestampMonotonic,ActiveExitTimestampMonotonic",
                          *HOOK_UNITS).stdout


# vipd

def test_installed_it_runs_and_waits_for_an_instance(lab):
    n1, client = lab.booted(1, vipd=False)
    install(n1, "vipd")
    check(n1.active("vipd.service") == "active", "it runs")
    check(n1.systemctl("is-enabled", "vipd.service").stdout.strip() == "enabled", "and will run after the next boot")
    check(instances(n1) == [], "it answers on the bus, with no instance")
    said = [e["MESSAGE"] for e in n1.journal("_SYSTEMD_UNIT=vipd.service") if int(e["PRIORITY"]) < 6]
    check(not said, f"and has nothing to complain about: {said}")
    moment = message_id("STATE_CHANGE").partition("=")[2]
    check("Floating address" in n1.run("journalctl", "--dump-catalog", moment).stdout, "the journal's catalog")
    check(exists(n1, "/usr/share/man/man8/vipd.8.gz") and exists(n1, "/etc/vipd"), "manual page and directory")
    n1.configure()
    n1.run("chmod", "0600", "/etc/vipd/key")
    for command in (["vipd", "--check"], ["vipd", "--check", "/etc/vipd/"], ["vipctl", "check"]):
        result = n1.run(*command, fail=False)
        check(result.returncode == 1 and "tried as user vipd" in result.stdout, f"root checks for the daemon: {command}: {result.stdout}")
    take_up(n1)
    n1.wait_state("master")
    n1.wait_role("master")
    wait(client.ping, "the client reaches the address")
    n1.reboot()
    n1.wait_state("master")


def test_upgrade_of_a_master_loses_nothing(lab):
    """And of a backup: no packet, no event of the address, no change of state, and no unit of a role is touched."""
    n1, n2, client = elected(lab)
    n1.systemctl("enable", "--now", "vipd-metrics.timer")
    for node in (n1, n2):
        process, units, began = node.process_id(), units_of(node), now()
        with lab.lossless(n1, client):
            install(node, "vipd")
            wait(lambda: node.journal(message_id("RESUMED"), since=began), "it goes on")
            wait(lambda: units_of(node) == units, lambda: f"units:\n{units_of(node)}\nbefore:\n{units}")
            hold(lambda: units_of(node) == units, "the units as they were", 0.5)
        check(packages.PREVIOUS not in version(node), version(node))
        check(node.process_id() != process, "another process")
        check(os.readlink(f"/proc/{node.process_id()}/exe") == "/usr/sbin/vipd", "of the new package")
        check(node.active("vipd-metrics.timer") == ("active" if node is n1 else "inactive"), "the timer as it was")


def test_upgrade_respects_disabled(lab):
    n1, client = lab.booted(1, vipd=False)
    install(n1, "vipd", previous=True)
    take_up(n1)
    n1.systemctl("disable", "--now", "vipd")
    install(n1, "vipd")
    check(n1.active("vipd.service") == "inactive", "it is not started")
    check(n1.systemctl("is-enabled", "vipd.service", fail=False).stdout.strip() == "disabled", "nor will be")


def test_removed_it_says_farewell_and_purged_it_is_gone(lab):
    n1, n2, client = elected(lab)
    metrics = "/var/lib/prometheus/node-exporter/vipd.prom"
    n1.run("mkdir", "-p", os.path.dirname(metrics))
    n1.systemctl("enable", "--now", "vipd-metrics.timer")
    wait(lambda: exists(n1, metrics), "metrics are written")
    began = now()
    dpkg(n1, "--remove", "vipd")
    lab.handed_over(n2)
    check(n2.transitions(since=began) == [("backup", "master", "bow-out")], n2.transitions(since=began))
    lab.check_bow_out(n1, began)
    lab.check_never_together(1)
    check(not n1.holds() and client.ping(timeout=10), "n1 has no address, and the client reaches it")
    check(n1.actives("vipd.service", *HOOK_UNITS) == ["inactive"] * 5, "the units of the role have stopped")
    check(n1.active("vipd-metrics.timer") == "inactive" and not exists(n1, metrics), "nobody writes metrics, and there are none")
    check(exists(n1, "/var/lib/vipd") and exists(n1, "/etc/vipd/web.vip"), "what may be wanted again is kept")

    dpkg(n1, "--purge", "vipd")
    for path in ("/var/lib/vipd", "/run/vipd", "/etc/systemd/system/multi-user.target.wants/vipd.service",
                 "/etc/systemd/system/timers.target.wants/vipd-metrics.timer", "/etc/systemd/system/dbus-org.vipd1.service", "/usr/sbin/vipd"):
        check(not exists(n1, path), f"{path} is gone")
    check(not glob.glob(f"{n1.root}/var/lib/systemd/deb-systemd-helper-*/**/*vipd*", recursive=True), "nothing is remembered")
    check(exists(n1, "/etc/vipd/web.vip") and exists(n1, "/etc/vipd/key"), "what a person wrote stays")
    check(n1.run("getent", "passwd", "vipd").stdout, "the user stays, as its files might")

    # and back again
    install(n1, "vipd")
    n1.wait_state("backup")
    n1.wait_role("backup", ["m.service"], ["b.service"])
    check(lab.holder() == 2, "n2 goes on")


def test_autopkgtest_passes(lab):
    """debian/tests, as Debian's own program runs it: it installs the packages by apt, with what they depend on, and takes standard error for a
    failure. The source is the tarball, said to have been built: nothing is to be built on the host."""
    n1, _ = lab.booted(1, vipd=False)
    dpkg(n1, "--install", *(f"/srv/{os.path.basename(path)}" for path in glob.glob(f"{n1.root}/srv/apt-utils_*.deb")))
    # there is no network, and nothing to be had from one
    n1.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
    source = f"{n1.room}/source"
    os.mkdir(source)
    net.run("tar", "--extract", f"--file={glob.glob(f'{MADE}/vipd-*.tar.gz')[0]}", "--strip-components=1", f"--directory={source}")
    with open(f"{source}/debian/files", "w"):
        pass
    result = net.run("autopkgtest", "--no-built-binaries", *(glob.glob(f"{MADE}/{name}_*.deb")[0] for name in packages.NAMES), source, "--",
                     f"{packages.HERE}/virt-host", *n1.inside(), fail=False)
    passed = [line for line in result.stdout.splitlines() if line.split()[1:] == ["PASS"]]
    with open(f"{packages.TREE}/debian/tests/control") as f:
        names = [name.strip() for line in f if line.startswith("Tests:") for name in line.partition(":")[2].split(",")]
    check(result.returncode == 0 and sorted(line.split()[0] for line in passed) == sorted(names), f"{result.returncode}: {result.stdout}{result.stderr}")
    check(version(n1) == version(n1, "vipd-ucarp") and "ii" in version(n1), "both packages are installed")


# vipd-ucarp

def is_debian(node):
    """Debian's own ucarp is where its package has it."""
    return not os.path.islink(f"{node.root}/usr/sbin/ucarp") and dpkg(node, "--verify", "ucarp").stdout == ""


def is_ours(node):
    return os.path.islink(f"{node.root}/usr/sbin/ucarp") and os.readlink(f"{node.root}/usr/sbin/ucarp") == "vipd-ucarp"


def diversions(node):
    return node.run("dpkg-divert", "--list", "*ucarp*").stdout


def test_ucarp_and_its_replacement_in_any_order(lab):
    n1, _ = lab.booted(1, vipd=False)
    # alone
    install(n1, "vipd-ucarp")
    check(is_ours(n1), "without ucarp")
    # then Debian's, and again as at an upgrade
    for _ in range(2):
        install_ucarp(n1)
        check(is_ours(n1) and exists(n1, "/usr/sbin/ucarp.debian"), "ours, and Debian's aside")
    check("vipd-ucarp" in n1.run("ucarp", "--help").stdout, "it is the one that runs")
    check("vipd-ucarp" not in n1.run("ucarp.debian", "--help", fail=False).stdout, "and the other is at hand")
    install(n1, "vipd-ucarp")
    check(is_ours(n1), "upgraded")
    dpkg(n1, "--remove", "vipd-ucarp")
    check(is_debian(n1) and not diversions(n1) and not exists(n1, "/usr/sbin/ucarp.debian"), "all is as it was")
    # ours over Debian's
    install(n1, "vipd-ucarp", previous=True)
    install(n1, "vipd-ucarp")
    check(is_ours(n1) and exists(n1, "/usr/sbin/ucarp.debian"), "ours, and Debian's aside")
    dpkg(n1, "--purge", "ucarp")
    check(is_ours(n1) and not exists(n1, "/usr/sbin/ucarp.debian"), "Debian's is gone")
    dpkg(n1, "--purge", "vipd-ucarp")
    check(not exists(n1, "/usr/sbin/ucarp") and not diversions(n1), "nothing is left")


def programs(node):
    """Of the processes that run a ucarp: its program."""
    found = []
    for pid in node.run("sh", "-c", "pgrep -f '^/usr/sbin/ucarp' || true").stdout.split():
        with contextlib.suppress(AssertionError):
            found.append(node.run("readlink", f"/proc/{pid}/exe").stdout.strip())
    return found


def calls(node):
    if not exists(node, "/var/log/calls"):
        return []
    with open(f"{node.root}/var/log/calls") as f:
        return f.read().splitlines()


def test_ifupdown_starts_the_replacement(lab):
    """Debian's package ucarp, its hook and its scripts are unchanged; the other host runs Debian's program by the same means."""
    n1, n2, client = lab.booted(2, vipd=False)
    for node in (n1, n2):
        install_ucarp(node)
        node.write("/etc/network/interfaces", INTERFACES.format(address=node.address, vip=VIP, advskew=100 * (node.number - 1)))
        # as if the host had just booted: eth0 is ifupdown's
        node.ip("addr", "flush", "dev", "eth0")
        node.ip("link", "set", "eth0", "down")
    install(n1, "vipd-ucarp")
    n1.run("ifup", "eth0")
    wait(lambda: lab.holder() == 1, "n1 holds the address")
    check(programs(n1) == ["/usr/sbin/vipd-ucarp"], f"{programs(n1)}")
    n2.run("ifup", "eth0")
    check(programs(n2) == ["/usr/sbin/ucarp"], f"{programs(n2)}")
    hold(lambda: lab.holder() == 1, "Debian's ucarp is its backup", 5)
    wait(client.ping, "the client reaches the address")
    wait(lambda: calls(n1) == ["up"], lambda: f"the lines of eth0:ucarp: {calls(n1)}")
    n1.run("ifdown", "eth0")
    wait(lambda: lab.holder() == 2, "Debian's ucarp follows", 20)
    wait(lambda: programs(n1) == [], lambda: f"{programs(n1)}")
    wait(lambda: calls(n1) == ["up", "down"], lambda: f"the lines of eth0:ucarp: {calls(n1)}")
    wait(client.ping, "the client reaches the address")
    # and when the package goes, the next ifup has Debian's program again
    dpkg(n1, "--remove", "vipd-ucarp")
    n1.run("ifup", "eth0")
    check(programs(n1) == ["/usr/sbin/ucarp"], f"{programs(n1)}")


def prepare():
    os.environ["VIPD_TEST_MADE"] = packages.prepare()
    return [image.debian(packages.BOOT)]


if __name__ == "__main__":
    hosts.main(prepare)
