#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl against a real vipd on a real bus, under a real polkitd: what its manual page promises. See lab.py."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import manual
from lab import StandIn, Stream, VIPCTL, bus, equal, environment, has, main, on_terminal, read, run, vipctl, wait, write

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

ESCAPE = "\x1b"
NAMES = ["web", "web2"]


def code(result, expected, what):
    if result.code != expected:
        raise AssertionError(f"{what}: {result!r}, expected exit code {expected}")
    return result


def done(*argv, **more):
    return code(vipctl(*argv, **more), 0, " ".join(argv))


def as_json(*argv):
    return json.loads(done(*argv, "--json=short").out)


def state(name):
    return bus.state(f"/org/vipd1/instance/{name}")


# --- showing ------------------------------------------------------------------------------------------------------------------


def test_list_is_the_default_and_shows_every_instance():
    out = done().out
    equal(out.split("\n")[0].split(), ["NAME", "STATE", "REASON", "SINCE", "INTERFACE", "ADDRESSES", "MASTER"], "the header")
    for name, address in (("web", "192.0.2.10/32"), ("web2", "192.0.2.11/32")):
        row = next(line for line in out.split("\n") if line.startswith(name + " "))
        has(row, " master ", " eth0 ", address, " 192.0.2.1")
    has(out, "\n2 instances.\n")
    rows = done("list", "--no-legend").out.split("\n")
    equal([line.split()[0] for line in rows if line], NAMES, "names without a legend")


def note(name):
    """The last column of an instance, where vipctl list has it."""
    lines = done("list").out.split("\n")
    row = next(line for line in lines if line.startswith(f"{name} "))
    return row[lines[0].index("NOTE"):]


def test_json_is_what_the_manual_says():
    for argv, heading in ((["list"], ["An instance"]), (["status"], ["An instance", "More of an instance, from status"])):
        for mode in ("short", "pretty"):
            text = done(*argv, f"--json={mode}").out
            equal(len(text.split("\n")) == 2, mode == "short", f"one line: {mode}")
            found = json.loads(text)
            equal([i["name"] for i in found], NAMES, "the names")
            for instance in found:
                equal(manual.complaints(instance, *heading), [], f"{argv} --json={mode}")
    equal(as_json("status", "web")[0]["addresses_present"], [{"address": "192.0.2.10/32", "interface": "eth0"}], "addresses_present")


def test_the_schema_of_the_manual_is_that_of_the_bus():
    """Every property of the contract has a field, with the same value."""
    told = {k: v[1] for k, v in bus.properties(bus.WEB).items()}
    found = as_json("list")[0]
    names = {"VIP": "addresses", "StateChangeTimestamp": "since_realtime_usec", "StateChangeTimestampMonotonic": "since_boottime_usec",
             "AdvBase": "advbase", "AdvSkew": "advskew", "DigestMismatchTimestamp": "digest_mismatch_realtime_usec"}
    for prop, value in told.items():
        name = names.get(prop, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", prop).lower())
        equal(name in found, True, f"{prop} as {name}")
        if name != "peers":
            equal("" if found[name] is None else found[name], value, name)
    equal(len(found), len(told), "number of fields")


def test_status_shows_state_reason_master_and_addresses():
    out = done("status", "web").out
    # the lab promotes it, unless it was first
    reasons = "Reason: promoted: this host was told to take over\n", "Reason: master-timeout: no master was heard for a dead interval\n"
    equal(any(line in out for line in reasons), True, f"the reason in {out}")
    has(out, "web\n", "State: master since ", " ago\n", "Master: 192.0.2.1 (this host)\n", "Interface: eth0, VHID 1, AdvBase 1, AdvSkew 100\n", "192.0.2.10/32 present on eth0\n")
    equal("Advice" in out, False, "advice where nothing is wrong")
    equal("web2" in out, False, "web2 in the status of web")
    out = done("status").out
    has(out, "192.0.2.10/32", "192.0.2.11/32")


def test_status_sees_in_the_kernel_what_is_missing_and_what_should_not_be():
    done("demote", "--for=1h", "web")
    has(done("status", "web").out, "192.0.2.10/32 missing, as it should be\n", "Reason: demoted", "Master: unknown\n",
        "Advice: No other host has taken over: \"vipctl promote web\" takes the address back.\n")
    run("ip", "address", "add", "192.0.2.10/24", "dev", "lo")
    try:
        out = done("status", "web").out
        has(out, "192.0.2.10/24 present on lo, without being master\n", "Advice: This host has 192.0.2.10/24 on lo without being master")
        equal(as_json("status", "web")[0]["addresses_present"], [{"address": "192.0.2.10/24", "interface": "lo"}], "in JSON")
        equal(note("web"), "address without being master, no master heard", "the note")
    finally:
        run("ip", "address", "del", "192.0.2.10/24", "dev", "lo")


def test_status_gives_advice_for_what_is_wrong():
    done("disable", "web")
    has(done("status", "web").out, "State: init (disabled)", 'Advice: It takes no part because it is disabled: "vipctl enable web"')
    equal(note("web"), "the instance is disabled", "the note")
    done("enable", "web")
    run("ip", "link", "set", "eth0", "down")
    try:
        wait(lambda: state("web") == "init", "the link is down")
        has(done("status", "web").out, "Reason: link-down: the interface has no link\n", 'Advice: eth0 has no link', "ip link set eth0 up")
        equal(note("web"), "the interface has no link", "the note")
    finally:
        run("ip", "link", "set", "eth0", "up")
    bus.vip_file("web", 0, "192.0.2.10")
    r = code(vipctl("reload"), 1, "reload of a broken file")
    has(r.err, "Not every file is in force")
    wait(lambda: state("web") == "master", "web is master again")
    out = done("status", "web").out
    has(out, "Problem: ", "web.vip:6", "Advice: A newer configuration is not in force")
    equal(note("web"), "configuration not in force", "the note")
    equal(as_json("list")[0]["problem"].count("web.vip:6"), 1, "the problem in JSON")


def test_status_shows_peers_and_what_they_are():
    peer = second_host()
    try:
        wait(lambda: state("web") == "backup" and bus.value(bus.WEB, "Peers"), "web hears a better master")
        out = done("status", "web").out
        has(out, "Master: 192.0.2.2\n", "Peers: 192.0.2.2 master, AdvSkew 0, heard ", "192.0.2.10/32 missing, as it should be\n")
        found = as_json("status", "web")[0]
        equal((found["master"], [p["role"] for p in found["peers"]]), ("192.0.2.2", ["master"]), "in JSON")
        equal(manual.complaints(found, "An instance", "More of an instance, from status"), [], "an instance with peers")
        has(out, "Reason: preempted: a better master was heard\n")
        bus.append(f"{bus.CONFIG}/web.vip", "[Check uplink]\nType=link\nInterface=gone0\nFall=1\n")
        done("reload")
        wait(lambda: bus.value(bus.WEB, "Demotion") == 100, "web is demoted")
        has(done("status", "web").out, "Reason: preempted: a better master was heard, while check uplink fails here\n")
        peer.terminate()
        wait(lambda: bus.value(bus.WEB, "Master") != "192.0.2.2", "web hears the farewell")
        has(done("status", "web").out, "Peers: 192.0.2.2 bowed out, AdvSkew 0, heard ")
    finally:
        peer.kill()
        peer.wait()


def test_status_tells_of_another_passphrase_until_it_is_corrected():
    write("/run/another.key", "wrong horse\n", 0o600, bus.UIDS["vipd"])
    peer = second_host("/run/another.key")
    try:
        wait(lambda: "Advice: An advert with a wrong digest came " in done("status", "web").out, "the advice")
        has(note("web"), "wrong digest")
        equal(as_json("list")[0]["digest_mismatch_realtime_usec"] > as_json("list")[0]["since_realtime_usec"], True, "when the advert came")
    finally:
        peer.kill()
        peer.wait()
    wait(lambda: "wrong digest" not in done("status", "web").out, "no such advice any more", 60)
    equal(bus.statistics(bus.WEB)["rejected-hmac"] > 0, True, "the count goes on")


def lose_adverts(device, *where):
    """Whatever is sent there by protocol 112 goes nowhere, and its sender is not told, until the table is deleted."""
    run(*where, "nft", "add table netdev lost; add chain netdev lost out { type filter hook egress device " + device + " priority 0; }; "
        "add rule netdev lost out ip protocol 112 fwd to lo")


def test_status_tells_of_a_master_that_is_heard_no_more_and_may_be_master_still():
    peer = second_host()
    try:
        wait(lambda: state("web") == "backup", "web hears a better master")
        lose_adverts("peer0", *bus.on_other_host())
        wait(lambda: state("web") == "master", "web hears nobody")
        has(done("status", "web").out, "Advice: 192.0.2.2 was master until ", " ago, and has not been heard since: either it died, or its adverts ")
        equal(note("web"), "peer silent", "the note")
        run(*bus.on_other_host(), "nft", "delete table netdev lost")
        wait(lambda: state("web") == "backup", "web hears the better master again")
        peer.terminate()
        wait(lambda: state("web") == "master", "web hears the farewell")
        equal("Advice" in done("status", "web").out, False, "advice after a farewell")
    finally:
        peer.kill()
        peer.wait()


def test_status_tells_of_a_second_master_only_if_it_goes_on():
    peer = second_host()
    try:
        wait(lambda: state("web") == "backup", "web hears a better master")
        peer.kill()
        wait(lambda: state("web") == "master", "web hears nobody")
        has(done("status", "web").out, "Advice: 192.0.2.2 was master until ")
    finally:
        peer.kill()
        peer.wait()
    lose_adverts("eth0")
    peer = second_host(advskew=200)
    try:
        wait(lambda: "Advice: 192.0.2.2 says that it is master, too: " in done("status", "web").out, "a worse master that does not hear this one", 20)
        has(note("web"), "second master")
    finally:
        run("nft", "delete table netdev lost")
        peer.kill()
        peer.wait()


def test_status_tells_of_a_check_that_weighs_too_little():
    done("demote", "--for=1h", "web")
    peer = second_host(advskew=180, preempt="no")
    try:
        wait(lambda: bus.value(bus.WEB, "Master") == "192.0.2.2", "web hears the other")
        done("promote", "web")
        before = bus.value(bus.WEB, "State")
        for weight, advice in ((80, "fails, and this host stays master: it advertises AdvSkew 180 now, and 192.0.2.2, the best of the others, was heard with 180;"),
                               (81, "fails: mend what it looks at")):
            bus.default_files()
            bus.append(f"{bus.CONFIG}/web.vip", f"[Check uplink]\nType=link\nInterface=gone0\nFall=1\nWeight={weight}\n")
            done("reload")
            wait(lambda: bus.value(bus.WEB, "Demotion") == weight, "web is demoted")  # pylint: disable=cell-var-from-loop
            has(done("status", "web").out, f"Advice: The check uplink {advice}")
        equal((before, state("web")), ("master", "master"), "web, of which no other is better and preempts")
    finally:
        peer.kill()
        peer.wait()


def second_host(key=f"{bus.CONFIG}/key", advskew=0, preempt="yes"):
    """A better master of web's, on the other end of the link; or, with 200, a worse one."""
    directory = "/run/second"
    os.makedirs(directory, exist_ok=True)
    write(f"{directory}/web.vip", "[VIP]\nAddress=192.0.2.10\nInterface=peer0\nStartDelay=100ms\n[CARP]\nVHID=1\n"
          f"AdvSkew={advskew}\nPassphraseFile={key}\nPreempt={preempt}\n")
    return subprocess.Popen([*bus.on_other_host(), bus.VIPD, f"--config-dir={directory}", f"--state-dir={directory}", "--bus=none",
                             f"--runtime-dir={directory}"], stderr=subprocess.DEVNULL)


def test_status_tells_what_the_journal_last_said():
    """A real journald, and lines that another user writes in vipd's name, which do not count."""
    os.makedirs("/run/systemd/journal", exist_ok=True)
    os.makedirs("/run/log/journal", exist_ok=True)
    journald = subprocess.Popen(["/lib/systemd/systemd-journald"], stderr=subprocess.DEVNULL)
    try:
        wait(lambda: os.path.exists("/run/systemd/journal/socket"), "journald listens")
        has(done("status", "web").out, "The journal has nothing about this instance.")
        for n in range(12):
            log(f"line {n}", "vipd")
        log("a lie", "alice")
        wait(lambda: "line 11" in vipctl("status", "web").out, "the journal has the lines")
        out = done("status", "web").out
        equal(re.findall(r"line \d+|a lie", out), [f"line {n}" for n in range(2, 12)], "the last ten lines of vipd's")
        found = as_json("status", "web")[0]["journal"]
        equal([line["message"] for line in found], [f"line {n}" for n in range(2, 12)], "in JSON")
        equal((found[0]["priority"], as_json("status", "web2")[0]["journal"]), (4, []), "a priority, and web2's lines")
        the_daemon_says_it_itself()
        machine = read("/etc/machine-id").strip()
        for path in (f"/run/log/journal/{machine}", f"/run/log/journal/{machine}/system.journal"):
            os.chown(path, 0, 0)
            os.chmod(path, 0o700)
        has(done("status", "web", user="nobody").out, "You may not read the journal")
    finally:
        journald.terminate()
        journald.wait()


def the_daemon_says_it_itself():
    """A vipd whose standard error is the journal, as systemd makes it: of its own lines those about the instance are told, and no others."""
    write("/run/in-journal.py", "import os, socket, sys\n"
          "s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)\n"
          "s.connect('/run/systemd/journal/stdout')\n"
          "s.sendall(b'vipd\\n\\n6\\n0\\n0\\n0\\n0\\n')\n"
          "os.dup2(s.fileno(), 2)\n"
          "st = os.fstat(2)\n"
          "os.environ['JOURNAL_STREAM'] = f'{st.st_dev}:{st.st_ino}'\n"
          "os.execv(sys.argv[1], sys.argv[1:])\n")
    bus.stop_vipd()
    bus.Programs.vipd = subprocess.Popen(["setpriv", "--reuid=977", "--regid=977", "--clear-groups", "--inh-caps=-all,+net_admin,+net_raw",
                                          "--ambient-caps=-all,+net_admin,+net_raw", sys.executable, "/run/in-journal.py", bus.VIPD,
                                          f"--config-dir={bus.CONFIG}", f"--state-dir={bus.STATE}"])
    bus.masters()
    wait(lambda: " web: backup -> master (" in vipctl("status", "web").out, "the daemon's own lines")
    out = done("status", "web").out
    has(out, " web: init -> backup (startup)\n")
    equal("web2" in out, False, "lines of web2")
    bus.stop_vipd()
    bus.start_vipd()
    bus.masters()


def log(message, user):
    """A line about web in the journal, by the native protocol."""
    write("/run/line.py", "import socket, sys\n"
          "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
          "s.sendto(f'MESSAGE={sys.argv[1]}\\nPRIORITY=4\\nVIPD_INSTANCE=web\\n'.encode(), '/run/systemd/journal/socket')\n")
    run(*bus.as_user(user), sys.executable, "/run/line.py", message)


def test_statistics_are_those_of_the_daemon():
    told = bus.statistics(bus.WEB)
    families = {re.compile(name.replace("REASON", "[a-z-]+").replace("USEC", r"\d+")): name for name in manual.statistics()}
    equal([name for name in told if not any(f.fullmatch(name) for f in families)], [], "counters that are not in org.vipd1(5)")
    equal([name for f, name in families.items() if not any(f.fullmatch(c) for c in told)], [], "counters that are only there")
    out = done("statistics", "web").out
    equal(out.split("\n")[0].split(), ["COUNTER", "VALUE"], "the header")
    equal([line.split()[0] for line in out.split("\n")[1:] if line], list(told), "the counters")
    found = as_json("statistics", "web")
    equal((list(found), found["adverts-sent"] >= told["adverts-sent"] > 0), (list(told), True), "in JSON")
    equal("COUNTER" in done("statistics", "web", "--no-legend").out, False, "a header without a legend")


def metric_of(name, instance="web2"):
    """Which sample has a statistic: name and labels, sorted; None: none has."""
    for prefix, metric, label in (("rejected-", "vipd_adverts_rejected_total", "cause"), ("transitions-", "vipd_transitions_total", "reason"),
                                  ("diagnosed-", "vipd_diagnosed_total", "cause")):
        if name.startswith(prefix):
            return metric, tuple(sorted([("name", instance), (label, name[len(prefix):])]))
    if name == "transitions":
        return None
    if name.startswith("takeover-le-"):
        return "vipd_takeover_seconds_bucket", (("le", str(int(name.split("-")[2]) / 1e6)), ("name", instance))
    takeovers = {"takeover-count": "vipd_takeover_seconds_count", "takeover-sum-usec": "vipd_takeover_seconds_sum"}
    return takeovers.get(name, f"vipd_{name.replace('-', '_')}_total"), (("name", instance),)


def test_metrics_are_openmetrics_and_what_the_bus_says():
    out = done("metrics").out
    equal(out.endswith("# EOF\n"), True, "the end")
    families = {f.name: f for f in text_string_to_metric_families(out)}
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}
    equal(samples[("vipd_up", ())], 1, "vipd_up")
    for s in ("init", "backup", "master"):
        equal(samples[("vipd_state", (("name", "web"), ("state", s)))], s == "master", f"vipd_state {s}")
    told = bus.statistics(bus.WEB2)
    for name, value in told.items():
        key = metric_of(name)
        equal(key is None or key in samples, True, f"{name} in the metrics, as {key}")
        if name.startswith(("transitions-", "takeover-")):
            equal(samples[key], value / 1e6 if name.endswith("sum-usec") else value, name)
    reasons = [v for (name, _), v in samples.items() if name == "vipd_transitions_total"]
    equal(sum(reasons), told["transitions"] + bus.statistics(bus.WEB)["transitions"], "transitions, by reason")
    equal(samples[("vipd_adverts_sent_total", (("name", "web"),))] > 0, True, "adverts sent")
    documented = manual.metrics()
    equal(sorted(n for n, f in ((s.name, f) for f in families.values() for s in f.samples[:1] or [f]) if n in documented or not n.endswith("_total")),
          sorted(documented - {"vipd_takeover_seconds"} | {"vipd_takeover_seconds_bucket"}), "metrics in the manual, and here")
    done("disable", "web")
    has(done("metrics").out, 'vipd_state{name="web",state="init"} 1\n', 'vipd_enabled{name="web"} 0\n')


def test_a_takeover_is_counted_and_timed():
    before = bus.statistics(bus.WEB)
    done("demote", "--for=1h", "web")
    done("promote", "web")
    wait(lambda: state("web") == "master", "web is master again")
    after = bus.statistics(bus.WEB)
    rise = {name: after[name] - before[name] for name in after if name.startswith(("transitions", "takeover")) and after[name] != before[name]}
    usec = rise.pop("takeover-sum-usec")
    equal({name: n for name, n in rise.items() if not name.startswith("takeover-le-")},
          {"transitions": 2, "transitions-demoted": 1, "transitions-promoted": 1, "takeover-count": 1}, "what was counted")
    equal(0 < usec < 30_000_000, True, f"{usec} us")
    buckets = {int(name.split("-")[2]): n for name, n in rise.items() if name.startswith("takeover-le-")}
    bounds = [int(name.split("-")[2]) for name in after if name.startswith("takeover-le-")]
    equal((buckets, sorted(bounds)), ({bound: 1 for bound in bounds if usec <= bound}, bounds), f"the buckets of {usec} us")


def test_check_says_what_vipd_check_says():
    directory = "/run/check"
    os.makedirs(directory, exist_ok=True)
    write(f"{directory}/good.vip", "[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\nPassphrase=secret\nAdvSkw=1\n", 0o600)
    r = done("check", directory)
    has(r.out, "good.vip:7: warning: ", "AdvSkew")
    write(f"{directory}/bad.vip", "[VIP]\nAddress=192.0.2.300\nInterface=eth0\n[CARP]\nVHID=0\nPassphrase=secret\n", 0o600)
    r = code(vipctl("check", directory), 1, "check with a mistake")
    daemon = subprocess.run([bus.VIPD, "--check", directory], capture_output=True, text=True, check=False)
    equal((r.out, r.err), (daemon.stdout, ""), "what vipd --check says")
    found = json.loads(code(vipctl("check", directory, "--json=short"), 1, "check as JSON").out)
    equal([manual.complaints(d, "A finding of check") for d in found], [[]] * len(found), "findings")
    equal([(d["instance"], d["line"], d["severity"]) for d in found], [("bad", 2, "error"), ("bad", 5, "error"), ("bad", None, "error"), ("good", 7, "warning")], "findings")
    has(code(vipctl("check", "/run/nowhere"), 1, "check of no directory").err, '"/run/nowhere" is no directory')
    os.makedirs("/run/empty", exist_ok=True)
    empty = "/run/empty: warning: there is no instance; each is a file NAME.vip in this directory, see name.vip(5)\n"
    daemon = subprocess.run([bus.VIPD, "--check", "/run/empty"], capture_output=True, text=True, check=True)
    equal((done("check", "/run/empty").out, daemon.stdout), (empty, empty), "check of an empty directory")
    equal(done("check").out, empty.replace("/run/empty", "/etc/vipd").replace("directory,", "directory or /run/vipd or /usr/lib/vipd,"), "check of the system's")
    equal([manual.complaints(d, "A finding of check") for d in as_json("check", "/run/empty")], [[]], "as JSON")


# --- the verbs ----------------------------------------------------------------------------------------------------------------


def test_verbs_do_what_they_say_and_say_nothing():
    steps = (("demote", "--for=1h", "web"), "backup", "demoted"), (("promote", "web"), "master", "promoted"), \
        (("disable", "web"), "init", "disabled"), (("enable", "web"), None, None), (("promote", "web"), "master", None), \
        (("demote", "web", "web2"), "backup", "demoted"), (("reload",), None, None)
    for argv, to, reason in steps:
        r = done(*argv)
        equal((r.out, r.err), ("", ""), f"what {argv} prints")
        if to:
            equal(state("web"), to, f"web after {argv}")
        if reason:
            equal(bus.value(bus.WEB, "Reason"), reason, f"why, after {argv}")
    wait(lambda: state("web") == "master", "web is back after DemoteHold=")


def test_reload_applies_what_changed():
    bus.vip_file("web", 1, "192.0.2.10", "Description=Front \u2192 door\n")
    done("reload")
    has(done("status", "web").out, "web - Front \u2192 door\n")
    has(done("status", "web", env={"LC_ALL": "C"}).out, "* web - ")


def test_is_master_is_an_exit_code():
    equal((done("is-master", "web").out, done("is-master", "-q", "web").out), ("master\n", ""), "is-master")
    done("demote", "--for=1h", "web")
    equal(code(vipctl("is-master", "web"), 3, "is-master of a backup").out, "backup\n", "what it prints")
    code(vipctl("is-master", "nope"), 4, "is-master of no instance")


def test_wait_returns_when_the_state_comes():
    done("wait", "web", "master", "--timeout=0")
    done("demote", "--for=1h", "web")
    r = code(vipctl("wait", "web", "master", "--timeout=300ms"), 3, "wait in vain")
    equal(r.err, "vipctl: web is not master: backup\n", "what it says")
    equal(code(vipctl("wait", "web", "master", "--timeout=1ms", "--quiet"), 3, "wait in vain, quietly").err, "", "what it says")
    with bus.Monitor() as monitor, Stream("wait", "web", "master", "--timeout=60s") as waiting:
        it_looked(monitor)
        equal(waiting.process.poll(), None, "wait")
        done("promote", "web")
        equal(waiting.process.wait(20), 0, "wait once web is master")


def it_looked(monitor):
    """A vipctl that waits has been told of the state; it watched before it asked."""
    def told():
        asked = monitor.seen("ListInstances")
        return asked and [m for m in monitor.messages() if m.get("reply_cookie") == asked[0]["cookie"] and
                          m.get("destination") == asked[0]["sender"]]

    wait(told, "it looks")


def test_wait_goes_on_through_a_restart_of_the_daemon():
    done("disable", "web")
    with bus.Monitor() as monitor, Stream("wait", "web", "master", "--timeout=60s") as waiting:
        it_looked(monitor)
        bus.stop_vipd()
        bus.start_vipd()
        wait(lambda: bus.properties(bus.WEB), "vipd is back")
        equal(waiting.process.poll(), None, "wait while web is disabled")
        done("enable", "web")
        equal(waiting.process.wait(30), 0, "wait once web is master")


def test_wait_looks_again_when_the_daemon_is_back():
    """A state that an instance begins with is signalled by nobody."""
    with bus.Monitor() as monitor, Stream("wait", "web", "init", "--timeout=60s") as waiting:
        it_looked(monitor)
        # no farewell, which would be a change to init
        bus.Programs.vipd.kill()
        bus.Programs.vipd.wait()
        equal(waiting.process.poll(), None, "wait without a daemon")
        bus.vip_file("web", 1, "192.0.2.10", "Enabled=no\n")
        bus.start_vipd()
        equal(waiting.process.wait(30), 0, "wait once web is init")


def test_wait_ends_with_an_instance_that_goes():
    bus.vip_file("extra", 3, "192.0.2.12", "Enabled=no\n")
    done("reload")
    with bus.Monitor() as monitor, Stream("wait", "extra", "master", "--timeout=60s") as waiting:
        it_looked(monitor)
        os.unlink(f"{bus.CONFIG}/extra.vip")
        done("reload")
        equal(waiting.process.wait(30), 4, "wait for what is gone")
    code(vipctl("wait", "extra", "init"), 4, "wait for no instance")


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_wrong_usage_is_2_and_a_sentence():
    cases = (["nope"], ["--nope"], ["demote"], ["is-master"], ["is-master", "web", "web2"], ["list", "web"], ["wait", "web"],
             ["wait", "web", "slave"], ["list", "--json=xml"], ["demote", "--for=soon", "web"], ["demote", "--for=2d", "web"],
             ["demote", "--for=0", "web"], ["promote", "--for=1h", "web"], ["list", "--timeout=1s"], ["demote", "--json=short", "web"],
             ["check", "-H", "host"], ["list", "-H", "a", "-M", "b"], ["reload", "web"], ["metrics", "--json=pretty"],
             ["metrics", "--format=csv"], ["list", "--format=prometheus"], ["wait", "web", "master", "--timeout=x"])
    for argv in cases:
        r = code(vipctl(*argv), 2, f"vipctl {' '.join(argv)}")
        equal((r.out, r.err.startswith("vipctl: "), r.err.count("\n")), ("", True, 1), f"one line on standard error of {argv}: {r.err!r}")
    has(vipctl("demot", "web").err, 'Did you mean "demote"?')
    for verb, option in ((["list"], "--host"), (["list"], "--machine"), (["demote", "web"], "--for"), (["wait", "web", "master"], "--timeout"),
                         (["metrics"], "--format")):
        equal(code(vipctl(*verb, f"{option}="), 2, f"{option}=").err, f"vipctl: {option}= is empty\n", f"what {option}= says")
    equal((state("web"), state("web2")), ("master", "master"), "the instances after wrong usage")


def test_an_unknown_instance_is_4_with_the_nearest_name_and_changes_nothing():
    for argv in (["status", "wbe"], ["statistics", "wbe"], ["is-master", "wbe"], ["wait", "wbe", "master"], ["demote", "web2", "wbe"],
                 ["promote", "wbe"], ["enable", "wbe"], ["disable", "web2", "wbe"]):
        r = code(vipctl(*argv), 4, f"vipctl {' '.join(argv)}")
        equal(r.err, 'vipctl: There is no instance "wbe". Did you mean "web"?\n', f"what {argv} says")
    has(vipctl("status", "completely-else").err, '"vipctl list" shows those there are')
    r = code(vipctl("status", "web", "wbe"), 4, "status of one that is and one that is not")
    has(r.out, "192.0.2.10/32")
    equal((state("web"), state("web2")), ("master", "master"), "the instances")


def test_a_state_that_forbids_it_is_3_and_says_why():
    done("demote", "--for=1h", "web")
    equal(code(vipctl("demote", "web"), 3, "demote of a backup").err, 'vipctl: "web" is not master here\n', "why")
    done("disable", "web")
    equal(code(vipctl("promote", "web"), 3, "promote of a disabled one").err, 'vipctl: "web" is disabled\n', "why")
    code(vipctl("demote", "web", "web2"), 3, "demote of two")
    equal(state("web2"), "backup", "the second after the first was refused")


def test_others_than_root_are_denied_and_nothing_changes():
    for argv in (["demote", "web"], ["disable", "web"], ["promote", "web"], ["reload"]):
        r = code(vipctl(*argv, user="nobody"), 1, f"nobody: {argv}")
        has(r.err, "Access denied: polkit does not let you")
        r = code(vipctl(*argv, "--no-ask-password", user="nobody"), 1, f"nobody, unasked: {argv}")
        has(r.err, "Access denied: this needs a password, and nobody was asked for one")
    equal((state("web"), bus.value(bus.WEB, "Enabled")), ("master", True), "web")
    done("demote", "--for=1h", "web", user="alice")
    equal(state("web"), "backup", "web, which a rule lets alice demote")
    done("list", user="nobody")


def test_on_a_terminal_polkits_agent_is_there_before_the_question_and_gone_after_it():
    """The real pkttyagent. polkit asks an agent that is a fallback only for a caller who has a session, and there are none here."""
    register = "RegisterAuthenticationAgentWithOptions"
    bus.start_polkitd()
    with bus.Monitor() as monitor:
        def agents():
            monitor.signals("none")
            return len(monitor.seen(register))

        equal(on_terminal("demote", "web", user="nobody").code, 1, "nobody's exit code")
        equal(agents(), 1, "agents on a terminal")
        order = [m["member"] for m in monitor.messages() if m.get("member") in (register, "CheckAuthorization")]
        equal(order[:2], [register, "CheckAuthorization"], "the agent comes first")
        equal("fallback" in monitor.seen(register)[0]["payload"]["data"][3], True, "it leaves an agent of the desktop its right of way")
        agent = monitor.seen(register)[0]["sender"]
        wait(lambda: [m for m in monitor.seen("NameOwnerChanged") if m["payload"]["data"] == [agent, agent, ""]], "the agent's end")
        equal(on_terminal("demote", "web", "--no-ask-password", user="nobody").code, 1, "nobody's exit code, unasked")
        equal(vipctl("demote", "web", user="nobody").code, 1, "nobody's exit code in a pipe")
        equal(on_terminal("reload").code, 0, "root's exit code")
        equal(on_terminal("list", "--no-pager", user="nobody").code, 0, "nobody's list")
        equal(agents(), 1, "agents unasked, in a pipe, of root, and for a look")
    equal(state("web"), "master", "web")


def test_without_a_daemon_every_verb_says_so_and_starts_none():
    write("/usr/share/dbus-1/system-services/org.vipd1.service", "[D-BUS Service]\nName=org.vipd1\nExec=/bin/touch /run/activated\nUser=root\n")
    bus.Programs.bus.send_signal(signal.SIGHUP)
    bus.stop_vipd()
    try:
        for argv in (["list"], ["status"], ["demote", "web"], ["promote", "web"], ["reload"], ["is-master", "web"], ["wait", "web", "master"],
                     ["statistics", "web"]):
            r = code(vipctl(*argv), 1, f"vipctl {' '.join(argv)}")
            has(r.err, "vipd does not run: \"systemctl start vipd\" starts it")
        families = {f.name: f.samples[0].value for f in text_string_to_metric_families(done("metrics").out)}
        equal(families, {"vipd_up": 0}, "metrics")
        equal(os.path.exists("/run/activated"), False, "a daemon was started")
    finally:
        os.unlink("/usr/share/dbus-1/system-services/org.vipd1.service")
        bus.Programs.bus.send_signal(signal.SIGHUP)
        bus.start_vipd()


def test_without_a_bus_every_verb_says_so():
    for argv in (["list"], ["monitor"], ["demote", "web"], ["metrics"], ["wait", "web", "master"]):
        r = code(vipctl(*argv, env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/nowhere"}), 1, f"vipctl {' '.join(argv)}")
        has(r.err, "There is no system bus to reach vipd by: ")
    done("check", bus.CONFIG, env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/nowhere"})


def test_a_full_disk_is_an_error():
    for argv in (["list"], ["status", "--json=short"], ["metrics"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            r = subprocess.run([VIPCTL, *argv], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment())
        equal((r.returncode, "No space left" in r.stderr), (1, True), f"{argv} to a full disk")


# --- the terminal -------------------------------------------------------------------------------------------------------------


def visible(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", text)


def test_output_fits_the_terminal():
    bus.vip_file("web", 1, "192.0.2.10 198.51.100.10 203.0.113.10 2001:db8:1234:5678::10", "Description=A front door for everybody who comes\n")
    done("reload")
    wide = {}
    for columns in (40, 80, 200):
        for argv in (["list"], ["status"], ["statistics", "web"]):
            r = on_terminal(*argv, "--no-pager", columns=columns)
            equal(r.code, 0, f"{argv} at {columns} columns")
            lines = visible(r.out).split("\n")
            title = argv == ["status"]  # a description is not broken
            longest = max(len(line) for line in lines if not (title and " - " in line))
            equal(longest <= columns, True, f"{argv}: {longest} at {columns} columns:\n{visible(r.out)}")
        wide[columns] = visible(on_terminal("list", "--no-pager", columns=columns).out)
    for columns, text in wide.items():
        row = next(line for line in text.split("\n") if line.startswith("web "))
        has(row, "web ", " master")
        equal("\u2026" in row, columns < 200, f"an ellipsis at {columns} columns")
    has(wide[200], "2001:db8:1234:5678::10/128")
    equal("MASTER" in wide[40], False, "a column that matters less, at 40 columns")
    equal(max(map(len, visible(on_terminal("list", "--no-pager", columns=200, env={"COLUMNS": "50"}).out).split("\n"))) <= 50, True, "$COLUMNS")
    has(done("list").out, "2001:db8:1234:5678::10/128")


def test_colours_are_for_terminals_and_for_those_who_ask():
    def colours(env, terminal=True):
        return ESCAPE + "[0;1;32m" in (on_terminal("list", "--no-pager", env=env) if terminal else vipctl("list", env=env)).out

    equal(colours({}), True, "on a terminal")
    equal(colours({}, False), False, "in a pipe")
    for env, expected in (({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"SYSTEMD_COLORS": "0"}, False),
                          ({"SYSTEMD_COLORS": "1", "NO_COLOR": "1"}, True)):
        equal(colours(env), expected, f"on a terminal with {env}")
    equal(colours({"SYSTEMD_COLORS": "256"}, False), True, "in a pipe, when asked for")
    for argv in (["status"], ["list", "--json=pretty"], ["metrics"], ["statistics", "web"]):
        equal(ESCAPE in vipctl(*argv).out, False, f"{argv} in a pipe")
    equal(ESCAPE in on_terminal("list", "--json=pretty", "--no-pager").out, False, "JSON on a terminal")


def control_characters(text):
    return [c for c in text if ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160]


def test_nothing_that_others_say_reaches_the_terminal_as_a_command():
    with StandIn():
        out = on_terminal("status", "--no-pager", env={"NO_COLOR": "1"}).out
        equal(control_characters(out), [], "control characters")
        has(out, "disk failing: ?[2Jall gone?\n")
        text = vipctl("status", "--json=short").out
        equal(control_characters(text), [], "control characters in JSON")
        equal(json.loads(text)[0]["checks"], [{"name": "disk", "result": "failing", "output": "\x1b[2Jall gone\x9b"}], "the check in JSON")


def test_checks_hooks_conflicts_and_what_a_later_daemon_adds_are_shown():
    with StandIn():
        out = done("status").out
        has(out, "Reason: of-a-later-day\n", "Checks: disk failing", "Hooks: web-hook.service failed\n", "demoted by 100", "sync group front",
            "AdvSkew 0", "Advice: The check disk fails")
        found = as_json("status")[0]
        equal(manual.complaints(found, "An instance", "More of an instance, from status"), [], "an instance with everything")
        has(done("list").out, "check fails, unit failed, demoted by 100")
        out = done("metrics").out
        has(out, 'vipd_check{name="web",check="disk",result="failing"} 1\n', 'vipd_failed_units{name="web"} 1\n',
            'vipd_of_a_later_day_total{name="web"} 1\n')
        equal(len(list(text_string_to_metric_families(out))) > 10, True, "OpenMetrics")
    with StandIn("00:00:5e:00:53:01"):
        has(done("status").out, "Conflict: 00:00:5e:00:53:01\n", "Advice: Somebody else answers for an address of this instance (00:00:5e:00:53:01)")
        has(done("list").out, "address conflict, check fails")


def test_long_output_goes_through_a_pager_without_a_shell():
    log_file = "/run/pager.log"
    write("/run/mypager", f"#!/bin/sh\nprintf '%s|' \"$@\" \"$LESS\" \"$LESSSECURE\" >{log_file}\ncat >/dev/null\necho paged\n", 0o755)

    def pager(env, *argv):
        if os.path.exists(log_file):
            os.unlink(log_file)
        r = on_terminal("list", *argv, env=env)
        return r.out, read(log_file) if os.path.exists(log_file) else None

    trusted = {"SYSTEMD_PAGERSECURE": "0"}
    equal(pager({"PAGER": "/run/mypager 'a b' $HOME;true", **trusted}), ("paged\n", "a b|$HOME;true|FRSXMK||"), "$PAGER")
    equal(pager({"PAGER": "false", "SYSTEMD_PAGER": "/run/mypager", "SYSTEMD_LESS": "X", **trusted})[1], "X||", "$SYSTEMD_PAGER, $SYSTEMD_LESS")
    equal(pager({"SYSTEMD_PAGER": "/run/mypager", "SYSTEMD_PAGERSECURE": "1"})[1], "FRSXMK|1|", "the secure mode")
    for env, argv in (({"SYSTEMD_PAGER": "/run/mypager", **trusted}, ["--no-pager"]), ({"SYSTEMD_PAGER": "", **trusted}, []),
                      ({"SYSTEMD_PAGER": "cat", **trusted}, []), ({"SYSTEMD_PAGER": "/run/mypager", "TERM": "dumb", **trusted}, [])):
        out, called = pager(env, *argv)
        equal((called, "web2" in out), (None, True), f"no pager with {env} {argv}")
    # nobody's session is root's here
    out, called = pager({"SYSTEMD_PAGER": "/run/mypager"})
    equal((called, "web2" in out), (None, True), "less alone for whoever is not the session's user")
    equal(vipctl("list", env={"SYSTEMD_PAGER": "/run/mypager", **trusted}).out.count("paged"), 0, "a pager in a pipe")


# --- events -------------------------------------------------------------------------------------------------------------------


def events(stream):
    found = []
    for line in stream.lines():
        try:
            found.append(json.loads(line))
        except ValueError as e:
            raise AssertionError(f"{line!r} is no JSON") from e
    return found


def kinds(stream, kind, name=None):
    return [e for e in events(stream) if e["event"] == kind and name in (None, e.get("name"))]


def test_monitor_tells_events_in_order_one_a_line():
    with Stream("monitor", "--json=short") as s, Stream("monitor", name="text") as text:
        wait(lambda: len(kinds(s, "present")) == 2 and len(text.lines()) == 2, "the beginning")
        equal([(e["name"], e["state"]) for e in events(s)], [("web", "master"), ("web2", "master")], "what is")
        done("demote", "--for=1h", "web")
        done("promote", "web")
        done("disable", "web")
        done("enable", "web")
        wait(lambda: kinds(s, "state", "web")[-1:] and kinds(s, "state", "web")[-1]["state"] == "master" and
             len(kinds(s, "state", "web")) >= 5, "web is master again")
        equal([(e["old_state"], e["state"], e["reason"]) for e in kinds(s, "state", "web")][:4],
              [("master", "backup", "demoted"), ("backup", "master", "promoted"), ("master", "init", "disabled"),
               ("init", "backup", "enabled")], "the changes")
        equal([e["value"] for e in kinds(s, "property", "web") if e["property"] == "enabled"], [False, True], "enabled")
        bus.vip_file("web", 0, "192.0.2.10")
        vipctl("reload")
        wait(lambda: [e for e in kinds(s, "property", "web") if e["property"] == "problem"], "a problem")
        bus.default_files()
        bus.vip_file("extra", 3, "192.0.2.12")
        done("reload")
        os.unlink(f"{bus.CONFIG}/extra.vip")
        done("reload")
        wait(lambda: kinds(s, "removed", "extra") and "extra: removed" in "\n".join(text.lines()), "extra comes and goes")
        equal(len(kinds(s, "added", "extra")), 1, "extra is added")
        equal([manual.complaints(e, "An event") for e in events(s) if manual.complaints(e, "An event")], [], "events by the manual")
        told = "\n".join(text.lines())
        has(told, "web: is master (", "web: master -> backup (demoted: this host was told to give the address up)\n", "web: enabled is now false\n",
            "web: problem is now ", "extra: added, ")
        equal(ESCAPE in told, False, "colours in a pipe")


def test_monitor_outlives_the_daemon_and_the_bus():
    with Stream("monitor", "--json=short") as s:
        wait(lambda: len(kinds(s, "present")) == 2, "the beginning")
        bus.stop_vipd()
        wait(lambda: kinds(s, "vipd-stopped"), "the daemon's end")
        bus.start_vipd()
        wait(lambda: kinds(s, "vipd-started") and len(kinds(s, "present")) == 4, "the daemon's return")
        bus.stop_bus()
        wait(lambda: kinds(s, "bus-lost"), "the bus' end")
        bus.start_bus()
        wait(lambda: kinds(s, "bus-back"), "the bus' return")
        wait(lambda: len(kinds(s, "present")) >= 6, "the instances again", 40)
        bus.masters()
        before = len(kinds(s, "state", "web"))
        done("demote", "web")
        wait(lambda: len(kinds(s, "state", "web")) > before, "an event on the new bus")


def test_monitor_begins_without_a_daemon_and_ends_with_its_reader():
    bus.stop_vipd()
    with Stream("monitor", name="text") as s:
        wait(lambda: s.lines(), "a first line")
        has(s.lines()[0], "vipd does not run; waiting for it")
        bus.start_vipd()
        wait(lambda: any("web: is " in line for line in s.lines()), "the instances")
    bus.masters()
    reader, writer = os.pipe()
    process = subprocess.Popen([VIPCTL, "monitor"], stdout=writer, env=environment())
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    done("demote", "web")
    equal(process.wait(30) != 0, True, "monitor without a reader ends")


def test_the_manuals_examples_run():
    examples = [manual.plain(e) for e in re.findall(r"^\.EX\n(.*?)^\.EE", manual.text(), re.S | re.M)]
    loop = next(e for e in examples if "while read" in e)
    job = next(e for e in examples if "nightly" in e).replace("/usr/local/sbin/nightly", "echo ran")
    os.makedirs("/run/bin", exist_ok=True)
    write("/run/bin/vipctl", f'#!/bin/sh\nexec {VIPCTL} "$@"\n', 0o755)
    write("/run/bin/logger", "#!/bin/sh\necho \"$@\" >>/run/logger.log\n", 0o755)
    env = environment(PATH=f"/run/bin:{environment()['PATH']}")
    write("/run/logger.log", "")
    with bus.Monitor() as monitor, subprocess.Popen(["sh", "-c", loop], env=env, start_new_session=True) as shell:
        try:
            wait(lambda: monitor.seen("GetManagedObjects"), "monitor asks")
            monitor.signals("none")
            for verb in ("demote", "promote"):
                done(verb, "web")
            wait(lambda: read("/run/logger.log"), "a line of the loop")
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    has(read("/run/logger.log"), 'took over: {"event":"state"', '"name":"web"', '"reason":"promoted"')
    equal("demoted" in read("/run/logger.log"), False, "a demotion taken for a takeover")
    equal(subprocess.run(["sh", "-c", job], env=env, capture_output=True, text=True, check=False).stdout, "ran\n", "the job on the master")
    done("disable", "web")
    equal(subprocess.run(["sh", "-c", job], env=env, capture_output=True, text=True, check=False).stdout, "", "the job elsewhere")


def command_lines():
    """Of all manual pages and their examples: [(page, line without its prompt)] that call vipctl, vipd or busctl and end by themselves here."""
    for name in manual.names():
        for example in manual.Page(name).examples:
            for line in example.split("\n"):
                line = re.sub(r"^[#$] ", "", line)
                if re.match(r"(vipctl|vipd|vipd-ucarp|busctl)( |$)", line) and not re.search(r" monitor|pidof|--bus=none", line):
                    yield name, line


def test_every_command_line_of_the_manuals_is_understood():
    """By those who are asked here, where mail is called web2."""
    os.makedirs("/run/bin", exist_ok=True)
    write("/run/bin/vipctl", f'#!/bin/sh\nexec {VIPCTL} "$@"\n', 0o755)
    # the options before -h are read, and nothing is started
    write("/run/bin/vipd-ucarp", f'#!/bin/sh\nexec {os.path.dirname(bus.VIPD)}/vipd-ucarp "$@" -h\n', 0o755)
    write("/run/bin/vipd", f'#!/bin/sh\nexec {bus.VIPD} --config-dir={bus.CONFIG} "$@"\n', 0o755)
    for path in ("/etc/ucarp.key", "/etc/vip.key"):
        write(path, "secret\n", 0o600)
    env = environment(PATH=f"/run/bin:{environment()['PATH']}")
    lines = list(command_lines())
    equal({line.split()[0] for _, line in lines}, {"vipctl", "vipd", "vipd-ucarp", "busctl"}, "programs in the examples")
    for page, line in lines:
        bus.masters()
        r = subprocess.run(["sh", "-c", line.split(" && ")[0].replace("mail", "web2")], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60, env=env)
        equal(r.returncode, 0, f"{page}: {line}: {r.stdout}{r.stderr}")


def test_the_match_of_the_bus_page_hears_takeovers_alone():
    line = next(line for example in manual.Page("org.vipd1.5").examples for line in example.split("\n") if line.startswith("busctl monitor"))
    path = "/run/match.log"
    with open(path, "w", encoding="utf-8") as out:
        process = subprocess.Popen(["sh", "-c", f"exec {line}"], stdout=out, stderr=subprocess.STDOUT, env=environment())
    try:
        wait(lambda: "Monitoring bus" in read(path), "busctl listens")
        for verb in ("demote", "promote"):
            done(verb, "web")
        wait(lambda: "promoted" in read(path), "the takeover")
        equal("demoted" in read(path), False, "a release")
    finally:
        process.terminate()
        process.wait(10)


def test_without_a_bus_it_does_what_the_manual_says():
    """An election of its own, on a device of its own: held, logged, reloaded, cleaned up after a crash, stopped."""
    page = manual.Page("vipd.8")
    prepare, start = next(e for e in page.examples if "--bus=none" in e).replace("# ", "").splitlines()
    run("ip", "link", "add", "lonely0", "type", "veth", "peer", "name", "lonely1")
    run("ip", "address", "add", "198.51.100.1/24", "dev", "lonely0")
    for end in ("lonely0", "lonely1"):
        run("ip", "link", "set", end, "up")
    os.makedirs("/etc/vipd", exist_ok=True)
    text = "[VIP]\nAddress=198.51.100.10\nInterface=lonely0\nLease=60s\nStartDelay=1ms\n[CARP]\nVHID=9\nPassphrase=secret\n"
    write("/etc/vipd/lonely.vip", text, 0o600, bus.UIDS["vipd"])
    env = environment(PATH=f"{os.path.dirname(bus.VIPD)}:{environment()['PATH']}")
    # or it takes the directory that it missed until now, sooner or later
    bus.stop_vipd()
    run("sh", "-c", prepare)

    def is_held():
        return "198.51.100.10" in subprocess.run(["ip", "address", "show", "dev", "lonely0"], capture_output=True, text=True, check=True).stdout

    def begin():
        with open("/run/lonely.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(["sh", "-c", f"exec {start}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        wait(is_held, "the address")
        return process

    def is_said(line):
        return wait(lambda: line in read("/run/lonely.log"), line)

    process = begin()
    try:
        equal(os.stat(f"/proc/{process.pid}").st_uid == 0, False, "it is still root")
        equal(sorted(os.listdir("/run/vipd")), ["lock", "lonely.held"], "/run/vipd")
        process.kill()
        process.wait(10)
        equal(is_held(), True, "the lease holds it")
        subprocess.run(["vipd", "--cleanup"], check=True, env=env)
        equal(is_held(), False, "cleaned up")
        process = begin()
        process.send_signal(signal.SIGUSR1)
        is_said("lonely: master on lonely0 vhid 9")
        write("/etc/vipd/lonely.vip", text.replace("Lease=60s", "Enabled=no"), 0o600, bus.UIDS["vipd"])
        process.send_signal(signal.SIGHUP)
        is_said("lonely: master -> init (disabled)")
        wait(lambda: not is_held(), "disabled by the file")
        process.terminate()
        equal(process.wait(30), 0, "the exit status of a stop")
    finally:
        process.kill()
        process.wait(10)
        run("ip", "link", "del", "lonely0")
        bus.start_vipd()


# --- elsewhere ----------------------------------------------------------------------------------------------------------------


def test_host_goes_through_ssh_and_leaves_out_what_is_local():
    """ssh itself is stood in for by what it would start at the other end: the real systemd-stdio-bridge."""
    os.makedirs("/run/bin", exist_ok=True)
    write("/run/bin/ssh", "#!/bin/sh\necho \"$@\" >/run/ssh.log\nexec systemd-stdio-bridge\n", 0o755)
    env = {"PATH": f"/run/bin:{environment()['PATH']}"}
    has(done("-H", "admin@other", "list", env=env).out, "web2")
    has(read("/run/ssh.log"), "admin", "other", "systemd-stdio-bridge")
    out = done("--host=other", "status", "web", env=env).out
    has(out, "192.0.2.10/32\n")
    equal(("present" in out, "ournal" in out), (False, False), "what is local")
    found = json.loads(done("--host=other", "status", "web", "--json=short", env=env).out)[0]
    equal((found["addresses_present"], found["journal"]), (None, None), "in JSON")
    done("-H", "other", "demote", "web", env=env)
    equal(state("web"), "backup", "web")
    write("/run/bin/ssh", "#!/bin/sh\nexit 255\n", 0o755)
    has(code(vipctl("-H", "other", "list", env=env), 1, "a host that is not there").err, "The bus of other cannot be reached over ssh: ")


def test_machine_goes_into_the_container():
    """A container as machined describes it to sd-bus: this lab seen from outside, from another mount namespace."""
    os.makedirs("/run/systemd/machines", exist_ok=True)
    sleeper = subprocess.Popen(["unshare", "--mount", "sleep", "infinity"])
    try:
        write("/run/systemd/machines/box", f"NAME=box\nCLASS=container\nLEADER={sleeper.pid}\n")
        wait(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"), "the container")
        nowhere = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/nowhere"}
        out = done("-M", "box", "status", "web", env=nowhere).out
        has(out, "192.0.2.10/32\n")
        equal("present" in out, False, "what is local")
        has(code(vipctl("-M", "none", "list"), 1, "a container that is not there").err, "The bus of the container none cannot be reached: ")
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_daemon_that_hangs_is_not_waited_for_for_ever():
    begun = time.monotonic()
    bus.Programs.vipd.send_signal(signal.SIGSTOP)
    try:
        with Stream("metrics", name="metrics") as up:
            r = code(vipctl("list"), 1, "list of a daemon that hangs")
            equal(up.process.wait(25), 0, "metrics of a daemon that hangs")
    finally:
        bus.Programs.vipd.send_signal(signal.SIGCONT)
    has(r.err, "vipd does not answer")
    equal(sorted(up.lines()), ["# EOF", "# HELP vipd_up Whether vipd runs and answers.", "# TYPE vipd_up gauge", "vipctl: vipd does not answer", "vipd_up 0"],
          "metrics")
    equal(time.monotonic() - begun < 25, True, "less than 25 s")


if __name__ == "__main__":
    if not text_string_to_metric_families:
        print("1..0 # SKIP this test needs python3-prometheus-client")
        sys.exit(77)
    sys.exit(main(globals(), __file__, ("nft",)))
