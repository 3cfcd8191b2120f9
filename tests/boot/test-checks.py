#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks on real hosts: units as systemd tells of them, probes as the sandbox of the service lets them, and what their verdicts do
to an election. No check, and no process that makes one, ever holds an advert up or costs a healthy master its role."""

import contextlib
import json
import os
import re
import signal
import subprocess

import hosts
from hosts import VIP, Gate, check, hold, message_id, now, wait

LATE_USEC = 2_000_000  # an advert of AdvBase=1 that came so long after the one before was late
QUICK = {"Interval": "100ms", "Timeout": "100ms"}
SECOND = {"Interval": "1s", "Timeout": "1s"}  # patience with Fall=3: 4 s
PATIENCE_USEC = 4_000_000
# where nothing may fail however busy the machine is: patience with Fall=3: 13 s
PATIENT = {"Interval": "1s", "Timeout": "10s"}
PATIENT_SEC = 13


def of(name, **keys):
    """A [Check name], as keys of hosts.instance()."""
    return {f"Check {name}_{key}": value for key, value in keys.items()}


def unit_check(name="thing", unit="thing.service", **more):
    return of(name, Type="unit", Unit=unit, **more)


def with_thing(node, text=hosts.RUNS, name="thing.service"):
    """A unit to be checked, that starts at boot."""
    node.write(f"/etc/systemd/system/{name}", f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{text}\n[Install]\nWantedBy=multi-user.target\n")
    node.enable(name)


def serving(node):
    """A web server that knows how it is."""
    node.write("/var/www/html/health", "all: well\n")
    node.enable("nginx.service")


def said(node, name, instance="web"):
    """(state, last output) of a check on the bus."""
    return next(((state, text) for known, state, text in node.get("Checks", instance) or () if known == name), None)


def wait_check(node, state, name="thing", output=None, instance="web", timeout=15.0):
    def right():
        got = said(node, name, instance)
        return got and got[0] == state and output in (None, got[1])
    wait(right, lambda: f"{name} on {node.name} is {state} ({output}), not {said(node, name, instance)}", timeout)


def statistics(node):
    data = json.loads(node.call("GetStatistics").stdout)["data"][0]
    return {name: value for name, value in data.items() if name.startswith("check")}


def told(node, kind, name="thing", since=0):
    return node.journal(message_id(f"CHECK_{kind}"), f"VIPD_CHECK={name}", since=since)


def check_adverts_in_time(lab, node, since):
    lab.observer.sync()
    times = [since, *(e.t for e in lab.observer.carp(node, since)), now()]
    gap = max(b - a for a, b in zip(times, times[1:]))
    check(gap < LATE_USEC, f"no advert for {gap} us")


def check_quiet(lab, node, since):
    """It was and is master, and all others heard it."""
    for each in lab.booted_nodes():
        check(each.transitions(since=since) == [], f"{each.name}: {each.transitions(since=since)}")
    check_adverts_in_time(lab, node, since)


def reload(node, **keys):
    node.configure(**keys)
    node.systemctl("reload", "vipd")


def processes(node, command=None, unit="vipd.service"):
    """Of a unit's control group, those with such an argv[0]; all if None."""
    found = []
    with contextlib.suppress(FileNotFoundError), open(f"{node.group}/payload/system.slice/{unit}/cgroup.procs") as f:
        for pid in map(int, f.read().split()):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
                argv = line.read().split(b"\0")
                if command is None or (argv[0] and os.path.basename(argv[0].decode()) == command):
                    found.append(pid)
    return found


def checker(node):
    """The process id of vipd-checker, None while there is none."""
    found = processes(node, "vipd-checker")
    check(len(found) < 2, f"{len(found)} checkers")
    return found[0] if found else None


class Monitor:
    """What passes on a host's bus, as dictionaries, from here on."""

    def __init__(self, node, *matches):
        self.path = f"{node.room}/monitor-{now()}"
        argv = node.inside("busctl", "--json=short", "monitor", *(f"--match={m}" for m in matches))
        with open(self.path, "w") as out, open(f"{self.path}.err", "w") as err:
            self.process = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=hosts.ENVIRONMENT, cwd="/")
        wait(lambda: "Monitoring" in open(f"{self.path}.err").read(), "the bus is monitored")

    def messages(self):
        with open(self.path) as f:
            return [json.loads(line) for line in f if line.endswith("}\n")]

    def end(self):
        self.process.terminate()
        self.process.wait()
        return self.messages()


def owner(node, name="org.vipd1"):
    result = node.run("busctl", "--json=short", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                      "GetNameOwner", "s", name)
    return json.loads(result.stdout)["data"][0]


# units

def test_what_counts_as_active(lab):
    def prepare(node):
        node.gate = Gate(node, "/gate")
        with_thing(node)
        with_thing(node, "Type=oneshot\nRemainAfterExit=yes\nExecStart=cat /gate\nTimeoutStartSec=infinity", "slow.service")
        with_thing(node, f"{hosts.RUNS}\nExecReload=cat /gate", "reloads.service")
        run = node.systemctl
        node.begin = lambda *argv: run(*argv[:1], "--no-block", *argv[1:])
    n1, _ = lab.booted(1, lambda node: [prepare(node), os.unlink(f"{node.root}/etc/systemd/system/multi-user.target.wants/slow.service")],
                       **unit_check(**QUICK), **unit_check("slow", "slow.service", **QUICK),
                       **unit_check("reloads", "reloads.service", **QUICK), **unit_check("missing", "missing.service", **QUICK))
    for name, state, output in (("thing", "passing", "active"), ("slow", "failing", "inactive"), ("reloads", "passing", "active"),
                                ("missing", "failing", "inactive")):
        wait_check(n1, state, name, output)
    check(n1.get("Demotion") == 200, n1.get("Demotion"))

    n1.systemctl("stop", "thing")
    wait_check(n1, "failing", "thing", "inactive")
    n1.systemctl("start", "thing")
    wait_check(n1, "passing", "thing", "active")
    os.kill(n1.process_id("thing.service"), signal.SIGKILL)
    wait_check(n1, "failing", "thing", "failed")
    n1.systemctl("restart", "thing")
    wait_check(n1, "passing", "thing", "active")
    os.rename(f"{n1.root}/etc/systemd/system/thing.service", f"{n1.root}/etc/thing.service")
    n1.systemctl("mask", "--now", "thing")
    wait_check(n1, "failing", "thing")
    n1.systemctl("unmask", "thing")
    os.rename(f"{n1.root}/etc/thing.service", f"{n1.root}/etc/systemd/system/thing.service")
    n1.systemctl("daemon-reload")
    n1.systemctl("start", "thing")
    wait_check(n1, "passing", "thing", "active")

    # what starts is not there yet, and what reloads still is
    n1.begin("start", "slow")
    wait_check(n1, "failing", "slow", "activating")
    n1.gate.open()
    wait_check(n1, "passing", "slow", "active")
    n1.begin("reload", "reloads")
    wait_check(n1, "passing", "reloads", "reloading")
    hold(lambda: said(n1, "reloads") == ("passing", "reloading"), "it passes while it reloads", 0.5)
    n1.gate.open()
    wait_check(n1, "passing", "reloads", "active")

    # systemd has never heard of it, and then it is there
    with_thing(n1, name="missing.service")
    n1.systemctl("daemon-reload")
    n1.systemctl("start", "missing")
    wait_check(n1, "passing", "missing", "active")
    wait(lambda: n1.get("Demotion") == 0, "all is well")


def test_a_unit_by_another_name(lab):
    """As mysql.service is mariadb.service on Debian: systemd tells of a unit under its own name alone."""
    n1, _ = lab.booted(1, lambda node: with_thing(node, f"{hosts.RUNS}\n[Install]\nAlias=other.service"),
                       **unit_check(unit="other.service", **QUICK), **unit_check("late", "late.service", **QUICK))
    wait_check(n1, "passing", "thing", "active")
    n1.systemctl("stop", "thing")
    wait_check(n1, "failing", "thing", "inactive")
    n1.systemctl("start", "other")
    wait_check(n1, "passing", "thing", "active")
    # a name that it gets while it is looked at
    wait_check(n1, "failing", "late")
    os.symlink("thing.service", f"{n1.root}/etc/systemd/system/late.service")
    n1.systemctl("daemon-reload")
    wait_check(n1, "passing", "late", "active")
    n1.systemctl("stop", "thing")
    wait_check(n1, "failing", "late", "inactive")
    n1.systemctl("start", "thing")
    wait_check(n1, "passing", "late", "active")
    wait(lambda: n1.get("Demotion") == 0, "all is well")


def test_rise_fall_and_interval(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(Interval="1s", Fall=3, Rise=2))
    wait_check(n1, "passing", "thing", "active")
    for verb, state, n, bad, good in (("stop", "failing", 3, 3, 0), ("start", "passing", 2, 0, 2)):
        before, began = statistics(n1), now()
        n1.systemctl(verb, "thing")
        wait_check(n1, state)
        took = now() - began
        check((n - 1) * 1e6 - 50_000 < took < (n - 1) * 1e6 + 5_000_000, f"{verb}: {state} after {took} us")
        after = statistics(n1)
        counted = {name: after[name] - before[name] for name in after}
        check(counted == {"check-samples-good": good, "check-samples-bad": bad, "check-transitions": 1, "checker-starts": 0}, counted)


def test_a_unit_that_restarts_quickly_costs_nothing(lab):
    n1, n2, _ = lab.elected(2, lambda node: with_thing(node, f"{hosts.RUNS}\nRestart=always\nRestartSec=100ms"), CARP_Preempt="yes",
                            **unit_check(Interval="5s", Fall=3))
    wait_check(n1, "passing")
    wait_check(n2, "passing")
    began = now()
    for _ in range(5):
        n1.systemctl("restart", "thing")
    for _ in range(5):
        before = n1.show("thing.service", "InvocationID")
        os.kill(n1.process_id("thing.service"), signal.SIGKILL)
        wait(lambda: n1.show("thing.service", "InvocationID") != before and n1.active("thing.service") == "active", "it is back")
    wait_check(n1, "passing", "thing", "active")
    check(told(n1, "FAILED", since=began) == [] and n1.get("Demotion") == 0, told(n1, "FAILED", since=began))
    check_quiet(lab, n1, began)


def test_units_are_not_polled(lab):
    """A check that has settled asks nobody, and one that has not, neither."""
    n1, _ = lab.booted(1, with_thing, **unit_check(**QUICK), **unit_check("missing", "missing.service", **QUICK))
    n1.wait_state("master")
    wait_check(n1, "passing")
    wait_check(n1, "failing", "missing")
    vipd = owner(n1)
    monitor, began = Monitor(n1), now()
    wait(lambda: now() - began > 3_000_000, "some intervals")
    # the monitor hears what there is
    n1.systemctl("stop", "thing")
    wait(lambda: any("thing_2eservice" in str(m.get("path")) for m in monitor.messages()), "the unit's signal")
    calls = [m for m in monitor.end() if m["type"] == "method_call" and m.get("sender") == vipd]
    check(calls == [], f"{len(calls)} calls: {calls[:3]}")
    wait_check(n1, "failing")


def follows(node):
    """Whatever happened: checks see what the unit does."""
    node.systemctl("stop", "thing")
    wait_check(node, "failing", "thing", "inactive")
    node.systemctl("start", "thing")
    wait_check(node, "passing", "thing", "active")


def test_what_becomes_of_systemd_and_the_bus(lab):
    n1, n2, _ = lab.elected(2, with_thing, CARP_Preempt="yes", **unit_check(**PATIENT))
    wait_check(n1, "passing")
    wait_check(n2, "passing")
    began = now()
    for act in (["daemon-reload"], ["daemon-reexec"], ["restart", "dbus.service"], ["daemon-reexec"]):
        n1.systemctl(*act)
        # the bus is back with us on it, and nothing has been lost meanwhile
        wait_check(n1, "passing", "thing", "active")
    hold(lambda: n1.get("Demotion") == 0, "and stays", PATIENT_SEC + 0.5)
    check(told(n1, "FAILED", since=began) == [], told(n1, "FAILED", since=began))
    check_quiet(lab, n1, began)
    follows(n1)


def test_a_change_while_the_bus_is_away(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(Interval="1s", Timeout="30s"))
    n1.wait_state("master")
    wait_check(n1, "passing")
    n1.systemctl("stop", "dbus.socket", "dbus.service")
    n1.systemctl("stop", "thing")
    n1.systemctl("start", "dbus.socket", "dbus.service")
    wait_check(n1, "failing", "thing", "inactive")
    follows(n1)


def test_without_the_bus_the_verdict_lasts_for_a_while(lab):
    n1, n2, _ = lab.elected(2, with_thing, CARP_Preempt="yes", **unit_check(**SECOND))
    wait_check(n1, "passing")
    wait_check(n2, "passing")
    began = now()
    n1.systemctl("stop", "dbus.socket", "dbus.service")
    wait(lambda: told(n1, "FAILED", since=began), "it counts as failed", 15)
    n2.wait_state("master")
    lab.observer.sync()
    first = next(e.t for e in lab.observer.carp(n1, began, advskew=100))
    check(PATIENCE_USEC - 100_000 < first - began < PATIENCE_USEC + 3_000_000, f"after {first - began} us")
    entry, = told(n1, "FAILED", since=began)
    check("has not answered for so long that it counts as failed" in entry["MESSAGE"], entry["MESSAGE"])
    check(entry["VIPD_DEMOTION"] == "100", entry["VIPD_DEMOTION"])
    n1.systemctl("start", "dbus.socket", "dbus.service")
    wait_check(n1, "passing", "thing", "active")
    n1.wait_state("master")


# what a verdict does

def test_demoted_a_healthier_peer_takes_over(lab):
    n1, n2, _ = lab.elected(2, with_thing, CARP_Preempt="yes", **unit_check(**QUICK))
    wait_check(n2, "passing")
    n1.systemctl("stop", "thing")
    n2.wait_state("master")
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    check((n1.state(), n1.get("Reason"), n1.get("Demotion")) == ("backup", "preempted", 100), f"{n1.state()} {n1.get('Reason')}")
    check(n2.get("Reason") == "preempting", n2.get("Reason"))
    # ill as well: an equal, who is better again
    n2.systemctl("stop", "thing")
    wait(lambda: lab.holder() == 1, "n1 is as ill, and the better one")
    n2.systemctl("start", "thing")
    wait(lambda: lab.holder() == 2, "n2 is well")
    n1.systemctl("start", "thing")
    wait(lambda: lab.holder() == 1, "n1 is well")
    check(n1.get("Demotion") == 0, n1.get("Demotion"))


def test_released_however_alone(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(**QUICK, OnFailure="release"))
    n1.wait_role("master")
    began = now()
    n1.systemctl("stop", "thing")
    wait(lambda: lab.holder() is None, "given up")
    n1.wait_role("backup")
    check((n1.state(), n1.get("Reason"), n1.get("Demotion")) == ("backup", "health", 0), f"{n1.state()} {n1.get('Reason')}")
    lab.check_bow_out(n1, began)
    refused = n1.call("Promote")
    check(refused.returncode != 0 and "cannot be master now" in refused.stderr, refused.stderr)
    hold(lambda: lab.holder() is None, "and stays so", 4)
    n1.systemctl("start", "thing")
    wait(lambda: lab.holder() == 1, "taken again")
    n1.wait_role("master")
    check(n1.transitions(since=began) == [("master", "backup", "health"), ("backup", "master", "master-timeout")],
          n1.transitions(since=began))


def test_released_to_the_one_who_is_there(lab):
    """Without Preempt=, and with hooks that must be down first."""
    def prepare(node):
        with_thing(node)
        node.hook("m.service")
    n1, n2, _ = lab.elected(2, prepare, Takeover_UnitsBeforeAddress="yes", **unit_check(**QUICK, OnFailure="release"))
    wait_check(n2, "passing")
    n1.systemctl("stop", "thing")
    n2.wait_role("master", ["m.service"])
    n1.wait_role("backup", ["m.service"])
    wait(lambda: lab.holder() == 2, "n2 holds the address")
    lab.check_never_together(1)
    n1.systemctl("start", "thing")
    wait_check(n1, "passing")
    check(n1.state() == "backup", "whoever is master stays so")


# restarts

def test_a_restart_with_passing_checks_loses_nothing(lab):
    def prepare(node):
        with_thing(node)
        serving(node)
    n1, n2, client = lab.elected(2, prepare, CARP_Preempt="yes", **unit_check(**PATIENT, OnFailure="release"),
                                 **of("site", Type="http", URL="http://127.0.0.1/health", Expect="well$", **PATIENT))
    for node in n1, n2:
        wait_check(node, "passing")
        wait_check(node, "passing", "site")
    began = now()
    with lab.lossless(n1, client):
        for _ in range(3):
            n1.systemctl("restart", "vipd")
            wait_check(n1, "passing", "thing", "active")
            wait_check(n1, "passing", "site", "200 OK")
        # none that was trusted over the restart is forgotten afterwards
        hold(lambda: n1.get("Demotion") == 0, "no demotion", PATIENT_SEC + 1)
    check_adverts_in_time(lab, n1, began)
    check([told(n1, kind, name, began) for kind in ("FAILED", "PASSED") for name in ("thing", "site")] == [[]] * 4, "nothing to say")
    check(checker(n1), "and it is probed")


def test_a_restart_of_a_demoted_master(lab):
    """It is as ill afterwards, from its first word on."""
    def prepare(node):
        with_thing(node)
        with_thing(node, name="other.service")
    n1, n2, client = lab.elected(2, prepare, **unit_check(**SECOND), **unit_check("other", "other.service", **SECOND, Weight=20))
    n1.systemctl("stop", "thing", "other")
    wait(lambda: n1.get("Demotion") == 120, "demoted")
    wait(lambda: lab.observer.carp(n1, advskew=120), "and says so")
    began = now()
    with lab.lossless(n1, client):
        for _ in range(3):
            n1.systemctl("restart", "vipd")
            wait(lambda: n1.get("Demotion") == 120, "demoted as before")
            wait_check(n1, "failing", "thing", "inactive")
        hold(lambda: n1.get("Demotion") == 120, "still", 2.5)
    lab.observer.sync()
    skews = {e.advskew for e in lab.observer.carp(n1, began)}
    check(skews == {120}, f"said {skews}")
    check_adverts_in_time(lab, n1, began)
    check(n1.journal(message_id("SEND_FAILED")) == [], "nothing is sent before there is a link")
    check(told(n1, "FAILED", since=began) == [] and told(n1, "PASSED", since=began) == [], "what is handed over is no news")
    n1.systemctl("start", "thing", "other")
    wait(lambda: n1.get("Demotion") == 0, "well again")


def test_a_restart_of_one_that_may_not_be_master(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(**SECOND, OnFailure="release"))
    n1.wait_state("master")
    n1.systemctl("stop", "thing")
    wait(lambda: lab.holder() is None, "given up")
    n1.wait_state("backup")
    began = now()
    for _ in range(3):
        n1.systemctl("restart", "vipd")
        wait_check(n1, "failing", "thing", "inactive")
    hold(lambda: n1.state() == "backup", "for longer than a dead interval", 4)
    check(n1.transitions(since=began) == [] and lab.changes(began) == [], f"{n1.transitions(since=began)} {lab.changes(began)}")
    # a start that is no restart knows nothing, and waits for the answer
    n1.systemctl("stop", "vipd")
    n1.systemctl("start", "vipd")
    wait_check(n1, "failing", "thing", "inactive")
    hold(lambda: n1.state() == "backup", "for longer than a dead interval", 4)
    check(lab.changes(began) == [], lab.changes(began))
    n1.systemctl("start", "thing")
    wait(lambda: lab.holder() == 1, "taken")


# reloads

def test_a_reload_adds_changes_and_removes(lab):
    def prepare(node):
        with_thing(node)
        serving(node)
    n1, n2, client = lab.elected(2, prepare)
    began = now()
    with lab.lossless(n1, client):
        reload(n1, **unit_check(**SECOND, OnFailure="release"),
               **of("site", Type="http", URL="http://127.0.0.1/health", **SECOND, OnFailure="release"))
        check(n1.get("Demotion") == 0, "what is new is trusted")
        wait_check(n1, "passing", "thing", "active")
        wait_check(n1, "passing", "site", "200 OK")
        # another effect and another unit: one that is away
        reload(n1, **of("site", Type="http", URL="http://127.0.0.1/sick", **SECOND, Weight=7),
               **unit_check(unit="missing.service", **SECOND, Weight=30))
        wait_check(n1, "failing", "site")
        wait_check(n1, "failing", "thing", "inactive")
        check([name for name, *_ in n1.get("Checks")] == ["site", "thing"], n1.get("Checks"))
        wait(lambda: n1.get("Demotion") == 37, "both count")
        process = checker(n1)
        reload(n1, **of("site", Type="http", URL="http://127.0.0.1/sick", **SECOND, Weight=7))
        check(n1.get("Demotion") == 7, n1.get("Demotion"))
        check(checker(n1) == process, "the same probes, by the same process")
        reload(n1)
        check(n1.get("Demotion") == 0 and n1.get("Checks") == [], n1.get("Checks"))
        wait(lambda: processes(n1) == [n1.process_id()], "nobody probes any more")
    check_adverts_in_time(lab, n1, began)


def test_a_removed_check_bars_nobody(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check("missing", "missing.service", **QUICK, OnFailure="release"))
    wait_check(n1, "failing", "missing")
    hold(lambda: lab.holder() is None, "barred", 3.5)
    reload(n1)
    wait(lambda: lab.holder() == 1, "free")


def test_an_instance_that_a_reload_brings_knows_its_units(lab):
    """Systemd tells of a unit when it changes, and somebody else may have been told."""
    n1, _ = lab.booted(1, with_thing, **unit_check(**QUICK))
    wait_check(n1, "passing")
    n1.configure({"mail": hosts.instance(("192.0.2.51",), vhid=8, **unit_check("also", **QUICK, OnFailure="release"))})
    n1.systemctl("reload", "vipd")
    wait_check(n1, "passing", "also", "active", "mail")
    n1.wait_state("master", "mail")
    check(n1.get("Demotion") == 0, "the first one is as it was")


# probes

# what a command is, in one line: the first one is what is shown
PROBE = r"""#!/bin/sh
facts() {
        sed -n 's/^\(Uid\|Cap[PEA].*\|NoNewPrivs\):\s*\(\S*\).*/\1=\2/p' /proc/self/status
        for f in / /etc /etc/vipd /usr/bin /var /var/log /root /sys /proc/sys/kernel/core_pattern /var/lib/vipd /run/vipd; do
                [ -d $f ] && f=$f/written
                (: >$f) 2>/dev/null && echo wrote $f
        done
        env | grep -v '^\(PATH\|LANG\|PWD\|_\|SHLVL\|OLDPWD\)='
        ip address add 192.0.2.99/32 dev lo 2>/dev/null && echo may configure the network
        pwd
}
echo $(facts)
"""


def test_probes_work_in_the_sandbox_of_the_service(lab):
    def prepare(node):
        serving(node)
        node.write("/usr/local/bin/probe", PROBE, mode=0o755)
        node.write("/usr/local/bin/fail", "#!/bin/sh\necho no luck, $1 >&2\nexit 3\n", mode=0o755)
    n1, client = lab.booted(1, prepare, **of("site", Type="http", URL="http://127.0.0.1/health", Expect="^all: w(.)ll$", **PATIENT),
                            **of("wrong", Type="http", URL="http://127.0.0.1/health", Expect="ill", **PATIENT),
                            **of("gone", Type="http", URL="http://127.0.0.1/gone", **PATIENT),
                            **of("named", Type="http", URL="http://localhost/health", **PATIENT),
                            **of("port", Type="tcp", Address="127.0.0.1:80", **PATIENT),
                            **of("closed", Type="tcp", Address="127.0.0.1:81", **PATIENT),
                            **of("probe", Type="command", Command="/usr/local/bin/probe", **PATIENT),
                            **of("fail", Type="command", Command='/usr/local/bin/fail "my friend"', **PATIENT))
    uid = n1.run("id", "-u", "vipd").stdout.strip()
    nothing = "0" * 16
    for name, state, output in (
            ("site", "passing", "200 OK"), ("named", "passing", "200 OK"), ("port", "passing", "connected"),
            ("wrong", "failing", "200 OK, but the body is not as expected"), ("gone", "failing", "status 404, expected 200-299"),
            ("closed", "failing", "connection refused"), ("fail", "failing", "exit status 3: no luck, my friend"),
            ("probe", "passing", f"exit status 0: Uid={uid} CapPrm={nothing} CapEff={nothing} CapAmb={nothing} NoNewPrivs=1 /")):
        wait_check(n1, state, name, output)
    n1.wait_state("master")
    wait(lambda: lab.holder() == 1, "and it holds its address")
    n1.systemctl("stop", "nginx")
    wait_check(n1, "failing", "site", "connection refused")
    wait_check(n1, "failing", "port", "connection refused")
    n1.systemctl("start", "nginx")
    wait_check(n1, "passing", "site")


def probed(lab, **more):
    n1, n2, client = lab.elected(2, serving, CARP_Preempt="yes",
                                 **of("site", **{"Type": "http", "URL": "http://127.0.0.1/health", **SECOND, **more}))
    for node in n1, n2:
        wait_check(node, "passing", "site")
    return n1, n2, client


def lines_about_the_checker(node, since):
    return [e["MESSAGE"] for e in node.journal("_SYSTEMD_UNIT=vipd.service", "PRIORITY=4", since=since) if "vipd-checker" in e["MESSAGE"]]


def test_a_checker_that_is_killed_again_and_again(lab):
    n1, _, client = probed(lab, **PATIENT)
    began = now()
    with lab.lossless(n1, client):
        for n in range(15):
            process = wait(lambda: checker(n1), "a checker")
            os.kill(process, signal.SIGKILL)
            wait(lambda: checker(n1) not in (None, process), "another one")
            wait_check(n1, "passing", "site")
        check(n1.get("Demotion") == 0, n1.get("Demotion"))
    check_quiet(lab, n1, began)
    check(statistics(n1)["checker-starts"] == 16, statistics(n1))
    check(told(n1, "FAILED", "site", began) == [], told(n1, "FAILED", "site", began))
    check(len(lines_about_the_checker(n1, began)) == 1, lines_about_the_checker(n1, began))


def test_a_checker_that_freezes_again_and_again(lab):
    n1, _, client = probed(lab)
    began = now()
    with lab.lossless(n1, client):
        for _ in range(3):
            process = wait(lambda: checker(n1), "a checker")
            os.kill(process, signal.SIGSTOP)
            wait(lambda: checker(n1) not in (None, process), "another one", 15)
            wait_check(n1, "passing", "site")
    check_quiet(lab, n1, began)
    check(len(lines_about_the_checker(n1, began)) == 1, lines_about_the_checker(n1, began))


def test_probes_that_nobody_makes_count_as_failed_in_the_end(lab):
    n1, n2, _ = probed(lab)
    n1.run("mv", "/usr/libexec/vipd/vipd-checker", "/usr/libexec/vipd/away")
    began = now()
    os.kill(checker(n1), signal.SIGKILL)
    wait_check(n1, "unknown", "site", "200 OK")
    n2.wait_state("master")
    lab.observer.sync()
    first = next(e.t for e in lab.observer.carp(n1, began, advskew=100))
    check(first - began > PATIENCE_USEC - 100_000, f"demoted after {first - began} us, though the verdict lasts for a while")
    check(n1.get("Demotion") == 100 and said(n1, "site") == ("unknown", "200 OK"), said(n1, "site"))
    n1.run("mv", "/usr/libexec/vipd/away", "/usr/libexec/vipd/vipd-checker")
    n1.wait_state("master")
    wait_check(n1, "passing", "site")


LINGER = """#!/bin/sh
setsid sleep 1001 &
sleep 1002 &
exec sleep 1003
"""


def test_nothing_is_left_after_a_stop(lab):
    def prepare(node):
        serving(node)
        node.write("/usr/local/bin/linger", LINGER, mode=0o755)
    n1, _ = lab.booted(1, prepare, **of("linger", Type="command", Command="/usr/local/bin/linger", Interval="1s", Timeout="10min"),
                       **of("site", Type="http", URL="http://127.0.0.1/health", **SECOND))
    n1.wait_state("master")
    for frozen in False, True:
        wait(lambda: len(processes(n1, "sleep")) == 3, "the command and what it left")
        process = checker(n1)
        if frozen:
            os.kill(process, signal.SIGSTOP)
        began = now()
        n1.systemctl("stop", "vipd")
        check(now() - began < 8_000_000, f"took {now() - began} us")
        check(processes(n1) == [] and n1.active("vipd.service") == "inactive", f"left: {processes(n1)}")
        check(n1.show("vipd.service", "Result") == "success", n1.show("vipd.service", "Result"))
        check(n1.run("pgrep", "-f", "sleep 100[123]", fail=False).stdout == "", "nothing in the unit's group, and nowhere else")
        n1.systemctl("start", "vipd")
    # nor after a restart, or a reload with other probes
    wait(lambda: len(processes(n1, "sleep")) == 3, "the command and what it left")
    before = processes(n1)
    n1.systemctl("restart", "vipd")
    wait(lambda: len(processes(n1, "sleep")) == 3 and not set(before) & set(processes(n1)), "all of them are new")
    wait_check(n1, "passing", "site")
    before = processes(n1, "sleep")
    reload(n1, **of("site", Type="http", URL="http://127.0.0.1/health", **SECOND))
    wait(lambda: processes(n1, "sleep") == [], "no command")
    wait_check(n1, "passing", "site")


def test_a_frozen_checker_whose_probes_are_no_longer_wanted(lab):
    n1, _, _ = probed(lab)
    process = checker(n1)
    os.kill(process, signal.SIGSTOP)
    reload(n1)
    wait(lambda: processes(n1) == [n1.process_id()], "it is gone all the same", 15)


# what is told

def test_the_journal(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(**QUICK, Weight=40))
    wait_check(n1, "passing")
    began = now()
    n1.systemctl("stop", "thing")
    wait_check(n1, "failing")
    n1.systemctl("start", "thing")
    wait_check(n1, "passing")
    n1.run("journalctl", "--update-catalog")
    shown = n1.run("journalctl", "-x", "--no-pager", "-u", "vipd").stdout
    for kind, priority, output, demotion, word in (("FAILED", "4", "inactive", "40", "fails"), ("PASSED", "5", "active", "0", "passes")):
        entry, = told(n1, kind, since=began)
        fields = {"VIPD_INSTANCE": "web", "VIPD_CHECK": "thing", "VIPD_OUTPUT": output, "VIPD_DEMOTION": demotion, "PRIORITY": priority,
                  "MESSAGE": f"web: check thing {word}: {output}; demotion is {demotion}"}
        check({name: entry.get(name) for name in fields} == fields, entry)
        check(f"Subject: Check thing of floating address web {word}\n" in shown, f"no explanation of {kind}")
    check(f"Its last word was: inactive\n" in shown, "the fields are filled")


def changed(monitor, name):
    """The values of a property as its signals told them, in order."""
    return [json.dumps(m["payload"]["data"][1][name]["data"]) for m in monitor.messages()
            if m["payload"]["data"][0] == hosts.INSTANCE and name in m["payload"]["data"][1]]


def test_properties_and_their_signals(lab):
    n1, _ = lab.booted(1, with_thing, **unit_check(**QUICK, Weight=40))
    n1.wait_state("master")
    wait_check(n1, "passing")
    monitor = Monitor(n1, "type='signal',member='PropertiesChanged',path='/org/vipd1/instance/web'")
    n1.systemctl("stop", "thing")
    wait(lambda: changed(monitor, "Demotion") == ["40"], lambda: f"demoted: {changed(monitor, 'Demotion')}")
    check(n1.get("Demotion") == 40 and n1.get("Checks") == [["thing", "failing", "inactive"]], n1.get("Checks"))
    n1.systemctl("start", "thing")
    wait(lambda: changed(monitor, "Demotion") == ["40", "0"], lambda: f"no longer: {changed(monitor, 'Demotion')}")
    states = [json.loads(v) for v in changed(monitor, "Checks")]
    check(states[-1] == n1.get("Checks") == [["thing", "passing", "active"]], states)
    check(["thing", "failing", "inactive"] in [c for v in states for c in v], states)
    check(all(a != b for a, b in zip(states, states[1:])), f"told twice: {states}")
    monitor.end()
    check(set(statistics(n1)) == {"check-samples-good", "check-samples-bad", "check-transitions", "checker-starts"}, statistics(n1))


if __name__ == "__main__":
    hosts.main()
