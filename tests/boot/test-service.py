#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a packager installs: it starts as the README says, is what systemd calls a good service, and has no more rights than it
needs."""

import json
import os
import re

import hosts
from hosts import KEY, VIP, VIP6, check, hold, now, run, wait

NET_ADMIN_AND_NET_RAW = 0x3000
EXPOSURE_CEILING = 1.8
WEB2, WEB3 = "192.0.2.51", "192.0.2.52"


def several(node, **keys):
    """Three good instances and a broken one."""
    node.configure({"web": hosts.instance(**keys), "web2": hosts.instance((WEB2,), vhid=8, **keys),
                    "web3": hosts.instance((WEB3,), vhid=9, **keys), "broken": "[VIP]\nAddress=nonsense\n"})


def test_the_readme_leads_to_a_master(lab):
    """What the README says for a host without packages, and that has never seen vipd."""
    package, lab.layers = lab.layers[0], lab.layers[1:]
    n1, client = lab.booted(1, vipd=False)
    run("cp", "-a", f"{package}/.", n1.root)
    n1.run("systemd-sysusers")
    n1.run("install", "-d", "-m", "0755", "/etc/vipd")
    n1.run("install", "-m", "0640", "-g", "vipd", "/dev/null", "/etc/vipd/web.key")
    n1.run("tee", "/etc/vipd/web.key", input="our secret\n")
    n1.run("tee", "/etc/vipd/web.vip", input=hosts.instance().replace("@KEYFILE@", "/etc/vipd/web.key"))
    check(n1.run("vipd", "--check").stdout == "", "vipd --check has something to say")
    n1.systemctl("daemon-reload")
    n1.systemctl("reload", "dbus")
    n1.systemctl("enable", "--now", "vipd")
    check(n1.active("vipd.service") == "active", "not active when systemctl returns")
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address is held")
    wait(client.ping, "a client reaches it")
    check(n1.transitions() == [("init", "backup", "startup"), ("backup", "master", "master-timeout")], n1.transitions())


def test_ready_when_every_valid_instance_runs(lab):
    """systemd hears of readiness after each of them has begun to listen; a broken file beside them is a line in the log."""
    n1, _ = lab.booted(1, several)
    entries = [e for e in n1.journal() if e.get("_SYSTEMD_UNIT") == "vipd.service" or e.get("UNIT") == "vipd.service"]
    ready = next(k for k, e in enumerate(entries) if e.get("MESSAGE_ID") == hosts.UNIT_STARTED)
    runs = {e["VIPD_INSTANCE"] for e in entries[:ready] if e.get("VIPD_STATE") == "backup"}
    check(runs == {"web", "web2", "web3"}, f"before READY ran only {runs}")
    check(any(e.get("VIPD_INSTANCE") == "broken" and e["PRIORITY"] == "3" for e in entries), "the broken file is an error")


def test_own_user_and_exactly_two_capabilities(lab):
    n1, _ = lab.booted(1)
    with open(f"/proc/{n1.process_id()}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    uid, gid = n1.run("id", "-u", "vipd").stdout.strip(), n1.run("id", "-g", "vipd").stdout.strip()
    check(uid != "0" and status["Uid"].split() == [uid] * 4, f"users {status['Uid']}, vipd is {uid}")
    groups = status["Gid"].split() + status["Groups"].split()
    check(set(groups) == {gid}, f"groups {groups}, vipd is {gid}")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        check(int(status[name], 16) == NET_ADMIN_AND_NET_RAW, f"{name} {status[name]}")
    # what a script of ours would inherit
    for name in ("CapInh", "CapAmb"):
        check(int(status[name], 16) & ~NET_ADMIN_AND_NET_RAW == 0, f"{name} {status[name]}")
    check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "no new privileges, and a filter of system calls")


def test_unit_files_are_clean(lab):
    """systemd-analyze verify says nothing, and each manual page that a unit names is installed."""
    n1, _ = lab.booted(1)
    units = sorted(os.listdir(f"{lab.layers[0]}/usr/lib/systemd/system"))
    check("vipd.service" in units, units)
    result = n1.run("systemd-analyze", "--man=no", "--recursive-errors=no", "verify",
                    *(unit.replace("@.", "@web.") for unit in units), fail=False)
    check(result.returncode == 0 and result.stdout + result.stderr == "", f"{result.returncode}: {result.stdout}{result.stderr}")
    for unit in units:
        with open(f"{lab.layers[0]}/usr/lib/systemd/system/{unit}") as f:
            for page, section in re.findall(r"man:([\w.@-]+)\((\d)\)", f.read()):
                installed = os.path.exists(f"{lab.layers[0]}/usr/share/man/man{section}/{page}.{section}")
                check(installed, f"{unit} names {page}({section})")


def test_exposure_stays_under_its_ceiling(lab):
    n1, _ = lab.booted(1)
    report = n1.run("systemd-analyze", "security", "--no-pager", "vipd.service").stdout
    exposure = float(re.search(r"exposure level for vipd.service: ([\d.]+)", report)[1])
    check(exposure <= EXPOSURE_CEILING, f"exposure {exposure}, the ceiling is {EXPOSURE_CEILING}:\n{report}")
    check(n1.state() in ("backup", "master"), "and it works under that")


def test_peers_are_reached_from_the_sandbox(lab):
    """Unicast adverts are the only packets that the service sends as IP: they leave, arrive, and elect, with multicast lost on the way."""
    lab.filter("ip daddr 224.0.0.0/4 drop\nip6 daddr ff00::/8 ip6 nexthdr 112 drop")
    n1, n2, client = lab.elected(2, lambda node: node.configure(
        addresses=(VIP, VIP6), advskew=50 * (node.number - 1), CARP_Peers=f"192.0.2.{3 - node.number} 2001:db8::{3 - node.number}"))
    hold(lambda: (n1.state(), n2.state()) == ("master", "backup"), "the backup hears the master", 4)
    check({e.destination for e in lab.observer.carp()} == {n2.address, n2.address6}, "adverts to the peer alone")
    check(n1.call("Demote").returncode == 0, "Demote")
    lab.handed_over(n2)
    wait(client.ping, "the client reaches it")
    n2.lose_power()
    wait(lambda: n1.state() == "master" and lab.holder() is not None, "n1 takes over", 20)
    for node in n1, n2:
        check(node.journal(hosts.message_id("SEND_FAILED")) == [], f"no advert of {node.name} was refused")


def test_the_sandbox_lets_unicast_through(lab):
    """Adverts to Peers= leave by an IP socket, other than those to everybody."""
    def prepare(node):
        node.configure(advskew=50 * (node.number - 1), CARP_Peers=f"192.0.2.{3 - node.number}")
    n1, n2, _ = lab.booted(2, prepare)
    n1.wait_state("master")
    wait(lambda: n2.get("Master") == n1.address, "n2 hears n1")
    check(json.loads(n1.call("GetStatistics").stdout)["data"][0]["send-errors"] == 0, "nothing is refused")


def test_a_call_on_the_bus_starts_it(lab):
    n1, _ = lab.booted(1)
    n1.run("useradd", "alice")
    n1.systemctl("stop", "vipd")
    check(n1.active("vipd.service") == "inactive", "stopped")
    answer = n1.run("busctl", "call", "org.vipd1", "/org/vipd1", "org.vipd1.Manager", "ListInstances", user="alice").stdout
    check('"web"' in answer, answer)
    check(n1.active("vipd.service") == "active", "the call started it")


def test_reload_leaves_the_unchanged_alone(lab):
    """One instance of two gets another AdvSkew: the other one's state, address and clients see nothing."""
    files = {"web": hosts.instance(), "web2": hosts.instance((WEB2,), vhid=8)}
    n1, client = lab.booted(1, lambda node: node.configure(files))
    for name in files:
        n1.wait_state("master", name)
    wait(lambda: lab.holder() == 1 and client.ping(), "the client reaches the address")
    began, main, probe = now(), n1.process_id(), client.probe(interval_us=1000)
    n1.configure({"web2": hosts.instance((WEB2,), vhid=8, advskew=20)})
    n1.systemctl("reload", "vipd")
    wait(lambda: n1.get("AdvSkew", "web2") == 20, "the change is in force")
    report = probe.finish()
    check(report.lost == 0, f"lost {report.lost} of {report.sent}")
    check(n1.process_id() == main, "the same process")
    check(n1.transitions(since=began) == [] and n1.transitions("web2", since=began) == [], "no change of state")
    check(lab.holder() == 1 and lab.changes(began) == [], "the address stayed")


def test_the_status_line_is_true(lab):
    """Through changes of state, of the link and of the configuration."""
    # they listen for as long as it takes to see that they do
    files = {"web": hosts.instance(Takeover_DemoteHold="1min", VIP_StartDelay="15s"), "web2": hosts.instance((WEB2,), vhid=8, VIP_StartDelay="15s")}

    def prepare(node):
        node.configure(files)
        # a sign of life would bring the line along, however late
        node.drop_in("watchdog", "[Service]\nWatchdogSec=0\n")
    n1, _ = lab.booted(1, prepare)

    def says(text):
        wait(lambda: n1.show("vipd.service", "StatusText") == text, lambda: f"{n1.show('vipd.service', 'StatusText')}, not {text}", 30)
    says("2 instances: 2 backup")
    says("2 instances: 2 master")
    check(n1.call("Demote").returncode == 0, "Demote")
    says("2 instances: 1 master, 1 backup")
    n1.carrier(False)
    says("2 instances: 2 init")
    os.unlink(f"{n1.root}/etc/vipd/web2.vip")
    n1.systemctl("reload", "vipd")
    says("1 instance: 1 init")
    n1.systemctl("restart", "vipd")
    says("1 instance: 1 init")


def test_a_reload_is_told_and_awaited(lab):
    """systemd hears RELOADING=1, then READY=1, and systemctl returns when the new configuration is in force."""
    n1, _ = lab.booted(1)
    n1.wait_state("master")
    n1.systemctl("log-level", "debug")
    began = now()
    n1.systemctl("reload", "vipd")
    wait(lambda: n1.active("vipd.service") == "active", "reloaded")
    said = [e["MESSAGE"] for e in n1.journal("_PID=1", since=began) if "vipd.service: " in e["MESSAGE"]]
    reloading = next(k for k, line in enumerate(said) if "RELOADING=1" in line)
    ready = next(k for k, line in enumerate(said) if "READY=1" in line)
    check(reloading < ready, said)
    n1.systemctl("log-level", "info")
    for advskew in range(1, 21):
        n1.configure(advskew=advskew)
        n1.systemctl("reload", "vipd")
        check(n1.get("AdvSkew") == advskew, f"AdvSkew={n1.get('AdvSkew')} after the reload to {advskew}")


def test_a_passphrase_as_a_credential(lab):
    """The drop-in of the manual, as it stands there; the host is understood by one that reads a file."""
    with open(os.path.join(hosts.HERE, "../../man/vipd.8")) as f:
        drop_in = re.search(r"^\.EX\n# systemctl edit vipd.service\n(\[Service\]\n.*?)^\.EE", f.read(), re.S | re.M)[1]

    def prepare(node):
        if node.number == 2:
            text = hosts.instance(advskew=50)
            node.configure({"web": "".join(line for line in text.splitlines(True) if "PassphraseFile" not in line)})
            os.unlink(f"{node.root}/etc/vipd/key")
            node.write("/etc/credstore/vipd.web", KEY, mode=0o600)
            node.drop_in("credential", drop_in)
    n1, n2, _ = lab.elected(2, prepare)
    check(n2.get("Master") == n1.address, f"n2 hears {n2.get('Master')}")
    n1.systemctl("stop", "vipd")
    n2.wait_state("master")
    n2.systemctl("reload-or-restart", "vipd")
    wait(lambda: n2.state() == "master", "and it is still there after a reload")


def test_start_delay(lab):
    """Longer than the dead interval, for a switch that forwards late; at the start, and when the link comes back."""
    n1, _ = lab.booted(1, VIP_StartDelay="10s")
    n1.wait_state("backup")
    for began in (n1.get("StateChangeTimestampMonotonic"), None):
        if began is None:
            n1.carrier(False)
            n1.wait_state("init")
            began = now()
            n1.carrier(True)
        n1.wait_state("master", timeout=30)
        listened = n1.get("StateChangeTimestampMonotonic") - began
        check(10_000_000 <= listened < 20_000_000, f"listened for {listened} us")


def test_a_broken_file_keeps_the_running_instance(lab):
    n1, _ = lab.booted(1)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "the address")
    began = now()
    n1.write("/etc/vipd/web.vip", "[VIP]\nAddress=192.0.2.999\n")
    n1.systemctl("reload", "vipd")
    problem = wait(lambda: n1.get("Problem"), "the problem is on the bus")
    check(problem.startswith("/etc/vipd/web.vip:2"), problem)
    check(n1.state() == "master" and lab.changes(began) == [], "it goes on")


def test_no_secret_is_told(lab):
    """Not in the journal, even at debug level, nor in what any local user can see of the process, nor on the bus."""
    n1, _ = lab.booted(1, lambda node: node.write("/etc/vipd/vipd.conf", "[Daemon]\nLogLevel=debug\n"))
    n1.run("useradd", "alice")
    n1.wait_state("master")
    entries = n1.journal("_SYSTEMD_UNIT=vipd.service")
    check(any(e["PRIORITY"] == "7" for e in entries), "lines at debug level")
    seen = [str(e) for e in entries]
    for path in ("cmdline", "environ"):
        with open(f"/proc/{n1.process_id()}/{path}") as f:
            seen.append(f.read())
    seen.append(n1.run("busctl", "call", "org.vipd1", "/org/vipd1", "org.freedesktop.DBus.ObjectManager",
                       "GetManagedObjects").stdout)
    seen.append(n1.run("systemctl", "show", "vipd", user="alice").stdout)
    check(all(KEY not in text for text in seen), "the passphrase was told")
    check(n1.run("cat", "/etc/vipd/key", user="alice", fail=False).returncode != 0, "alice reads the key")


if __name__ == "__main__":
    hosts.main()
