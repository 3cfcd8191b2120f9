# SPDX-License-Identifier: LGPL-2.1-or-later
"""The running daemon: its configuration, signals, scripts and clock."""

import os
import re
import signal

import lab as L
from lab import PREEMPTION_USEC, VIP, check, elect, hold, instance, now, run, wait

FAST = {"advbase": 0, "advskew": 32}


def vipd_check(host, files, mode=0o600):
    directory = f"{host.room}/check"
    run("rm", "-rf", directory)
    os.makedirs(directory)
    os.chmod(host.key_file(), mode)
    host.write_config(directory, files)
    return host.run(host.lab.program("vipd"), "--check", directory, fail=False)


def test_check(lab):
    (n1,) = lab.nodes(1)
    result = vipd_check(n1, {"web": instance()})
    check(result.returncode == 0 and not result.stdout, f"{result}")
    # name: (text, what the line about it must say)
    broken = {
        "vhid": (instance(vhid=256), ("256", "255")),
        "base": (instance(vhid=10, advbase="often"), ("often",)),
        "address": (instance(vhid=11, addresses=("192.0.2.300",)), ("192.0.2.300",)),
        "interface": (instance(vhid=12, interface="much-too-long-a-name"), ("much-too-long-a-name",)),
        "lease": (instance(vhid=13, addresses=("192.0.2.53",), VIP_Lease="forever"), ("forever",)),
        "section": (instance(vhid=14, addresses=("192.0.2.54",)) + "[Check a]\nType=tcp\n", ("Check",)),
    }
    result = vipd_check(n1, {"web": instance(), **{name: text for name, (text, _) in broken.items()}})
    check(result.returncode == 1, f"{result}")
    for name, (_, words) in broken.items():
        lines = [line for line in result.stdout.splitlines() if f"/{name}.vip:" in line and "error" in line]
        check(lines, f"no line about {name}:\n{result.stdout}")
        check(re.search(r"\.vip:\d+", lines[0]), f"no line number: {lines[0]}")
        check(all(word in lines[0] for word in words), f"{words} not in: {lines[0]}")
    check("/web.vip" not in result.stdout, f"nothing about the good one:\n{result.stdout}")


def test_check_warns_about_unknown_keys(lab):
    (n1,) = lab.nodes(1)
    result = vipd_check(n1, {"web": instance(CARP_AdvSkwe=3)})
    check(result.returncode == 0, f"{result}")
    check("AdvSkwe" in result.stdout and "AdvSkew" in result.stdout.replace("AdvSkwe", ""), f"{result}")


def test_key_file_of_others_is_refused(lab):
    (n1,) = lab.nodes(1)
    result = vipd_check(n1, {"web": instance()}, mode=0o644)
    check(result.returncode == 1 and "key" in result.stdout, f"{result}")


def test_passphrase_is_nowhere(lab):
    """Not in the log at its most talkative, not in the process title or environment."""
    (n1,) = lab.nodes(1)
    a = n1.vipd(None, "--log-level=debug", **FAST)
    a.wait_state("master")
    a.signal(signal.SIGUSR1)
    a.wait_line("web: master")
    for name in ("cmdline", "environ"):
        with open(f"/proc/{a.pid}/{name}", "rb") as f:
            check(L.KEY.encode() not in f.read(), name)
    check(L.KEY not in a.text(), "the log")


def test_wrong_options(lab):
    (n1,) = lab.nodes(1)
    for options in (("--log-level=loud",), ("--no-such-option",), ("stray",)):
        result = n1.run(lab.program("vipd"), *options, fail=False)
        check(result.returncode == 2 and result.stderr, f"{options}: {result}")
    for option in ("--config-dir", "--runtime-dir", "--state-dir", "--bus", "--log-level"):
        result = n1.run(lab.program("vipd"), f"{option}=", "--check", fail=False)
        check((result.returncode, result.stdout, result.stderr) == (2, "", f"vipd: {option}= is empty\n"), f"{option}=: {result}")
    result = n1.run(lab.program("vipd"), "--version")
    check(re.fullmatch(r"vipd \d+\.\d+\.\d+\n", result.stdout), f"{result}")


def test_broken_file_does_not_stop_the_others(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd({"bad": instance(vhid=0), "web": instance(**FAST)})
    a.wait_state("master")
    check(a.grep(r"bad\.vip:\d+"), a.text())


def test_reload_on_the_way_out_starts_nothing(lab):
    """Who would be told by nobody to leave."""
    (n1,) = lab.nodes(1)
    os.mkfifo(f"{n1.room}/end", 0o644)
    a = n1.vipd({"web": instance(**FAST, Takeover_DownScript=n1.script("down", f"cat {n1.room}/end"))})
    a.wait_state("master")
    at = now()
    a.signal(signal.SIGTERM)
    a.wait_state("init")
    a.write({"new": instance(addresses=("192.0.2.53",), vhid=9, **FAST)})
    a.reload()
    a.signal(signal.SIGUSR1)
    a.wait_line("web: init on eth0", since=at)
    check(not a.grep("^vipd: .*new"), a.text())
    with open(f"{n1.room}/end", "w"):
        check(a.end() == 0, a.text())
    check(not n1.holds("192.0.2.53"), "nothing is left")


def events_of(lab, address, since):
    lab.observer.sync()
    return [present for _, _, present in lab.observer.changes(address, since)]


def test_reload_keeps_a_master(lab):
    (n1,) = lab.nodes(1)
    files = {"web": instance(**FAST), "mail": instance(addresses=("192.0.2.51",), vhid=8, **FAST)}
    a = n1.vipd(files)
    a.wait_state("master")
    a.wait_state("master", "mail")
    at = now()
    # nothing changed: nothing happens
    a.reload()
    a.wait_line("[Rr]eload", since=at)
    # a new priority, an added address, an added instance
    files = {"web": instance(**{**FAST, "advskew": 40}), "mail": instance(addresses=("192.0.2.51", "192.0.2.52"), vhid=8, **FAST),
             "new": instance(addresses=("192.0.2.53",), vhid=9, **FAST)}
    a.write(files)
    a.reload()
    wait(lambda: lab.observer.carp(n1, vhid=7, advskew=40), "adverts with the new priority")
    wait(lambda: n1.holds("192.0.2.52"), "the added address")
    a.wait_state("master", "new")
    check(not a.transitions("web", at) and not a.transitions("mail", at), a.text())
    check(not events_of(lab, VIP, at) and not events_of(lab, "192.0.2.51", at), "no address of a master was touched")
    # and away again
    a.write({"new": None, "mail": instance(addresses=("192.0.2.51",), vhid=8, **FAST)})
    a.reload()
    wait(lambda: not n1.holds("192.0.2.52") and not n1.holds("192.0.2.53"), "what was removed is gone")
    wait(lambda: lab.observer.carp(n1, vhid=9, advbase=255, advskew=255), "with a bow-out")
    check(not a.transitions("web", at) and not a.transitions("mail", at), a.text())
    check(n1.holds(VIP) and n1.holds("192.0.2.51"), "still held")


def test_reload_with_a_broken_file_keeps_the_running_instance(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd({"web": instance(**FAST), "mail": instance(addresses=("192.0.2.51",), vhid=8, **FAST)})
    a.wait_state("master")
    a.wait_state("master", "mail")
    at = now()
    a.write({"web": instance(advskew="many"), "mail": instance(addresses=("192.0.2.51",), vhid=8, advbase=0, advskew=50)})
    a.reload()
    a.wait_line(r"web\.vip:\d+.*many", since=at)
    wait(lambda: lab.observer.carp(n1, vhid=8, advskew=50), "the other file is in force")
    check(not a.transitions("web", at) and not a.transitions("mail", at), a.text())
    check(not events_of(lab, VIP, at), "the address stays")
    wait(lambda t=now(): lab.observer.carp(n1, vhid=7, advskew=32, since=t), "the old one goes on")


def test_reload_never_runs_two_of_one_vhid(lab):
    """What keeps running by its old configuration is in the way of a file that is right by itself, and of one that changes to it."""
    (n1,) = lab.nodes(1)
    other = instance(addresses=("192.0.2.51",), vhid=8, **FAST)
    a = n1.vipd({"web": instance(**FAST), "other": other})
    a.wait_state("master")
    a.wait_state("master", "other")
    at = now()
    # each of the two takes what `web` has, and comes before it by name
    a.write({"another": instance(addresses=("192.0.2.52",), **FAST), "other": instance(addresses=("192.0.2.51", VIP), vhid=8, **FAST)})
    a.reload()
    a.wait_line(r"error: .*web\.vip:\d+: error: VHID=7 on eth0 is taken by .*another\.vip:\d+", since=at)
    a.wait_line(r"error: .*another\.vip: not in force, as web still runs", since=at)
    a.wait_line(r"error: .*other\.vip: not in force, as web still runs", since=at)
    hold(lambda: not n1.holds("192.0.2.52") and n1.holds(VIP), "what runs goes on", 0.5)
    check(not a.transitions("another") and not a.transitions("web", at) and not a.transitions("other", at), a.text())
    # once it makes room, they come
    a.write({"web": None})
    a.reload()
    a.wait_state("master", "another")
    wait(lambda: n1.holds(VIP), "the other's address")


def test_reload_of_a_backup(lab):
    n1, n2 = lab.nodes(2)
    a, b = elect(n1, n2)
    at = now()
    b.write({"web": instance(advskew=0, CARP_Preempt="yes", VIP_Description="better now")})
    b.reload()
    hold(lambda: b.state() == "backup" and a.state() == "master", "equal is not better", 2)
    a.write({"web": instance(advskew=10)})
    a.reload()
    b.wait_state("master")
    check([x.reason for x in b.transitions(since=at)] == ["preempting"], b.text())
    lab.observer.check_never_two(allowed_usec=PREEMPTION_USEC)


def test_sigusr1_tells_the_state(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(**FAST)
    a.wait_state("master")
    a.signal(signal.SIGUSR1)
    line = a.wait_line("web: master on eth0 vhid 7")
    check("master-timeout" in line, line)


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return ""


def scripts(host, body='echo "$0 $#" "$@" >>@LOG@'):
    """Up and down scripts that write what they were called with into a file that vipd's user may write."""
    log = f"{host.room}/script.log"
    with open(log, "w"):
        os.chmod(log, 0o666)
    for name in ("up", "down"):
        host.script(name, body.replace("@LOG@", log))
    keys = {"Takeover_UpScript": f"{host.room}/up", "Takeover_DownScript": f"{host.room}/down"}
    return keys, lambda: [line.replace(f"{host.room}/", "") for line in read(log).splitlines()]


def test_scripts_are_called_as_ucarp_calls_them(lab):
    (n1,) = lab.nodes(1)
    keys, calls = scripts(n1)
    a = n1.vipd(**FAST, **keys, Takeover_ScriptParameter="two words", Takeover_DemoteHold="200ms")
    a.wait_state("master")
    down, up = "down 3 eth0 192.0.2.50 two words", "up 3 eth0 192.0.2.50 two words"
    wait(lambda: calls() == [down, up], lambda: f"calls {calls()}")
    a.signal(signal.SIGUSR2)
    wait(lambda: calls() == [down, up, down, up], lambda: f"calls {calls()}")
    a.stop()
    wait(lambda: calls() == [down, up, down, up, down], lambda: f"calls {calls()}")


def test_hanging_script_delays_nothing(lab):
    n1, n2 = lab.nodes(2)
    keys, _ = scripts(n1, "exec sleep 1000")
    a, b = elect(n1, n2, **keys)
    a.wait_state("master")
    at = now()
    wait(lambda: now() > at + 3_000_000, "three adverts", 4)
    adverts = lab.observer.carp(n1, at - 3_000_000)
    late = [second.t - first.t for first, second in zip(adverts, adverts[1:])]
    # the script would hold them up for ever
    check(late and max(late) < 2_000_000, f"spacing {late}")
    a.signal(signal.SIGUSR2)
    b.wait_bow_out()
    check(not n1.holds(), "dropped")
    # at the end it is not waited for without bound
    a.signal(signal.SIGTERM)
    check(a.end(timeout=30) == 0, a.text())


def test_missing_script_is_told(lab):
    (n1,) = lab.nodes(1)
    a = n1.vipd(**FAST, Takeover_UpScript="/run/lab/no-such-script")
    a.wait_state("master")
    a.wait_line("no-such-script")
    check(n1.holds(), "held all the same")


def test_a_root_who_may_become_nobody_else_keeps_two_capabilities(lab):
    """As a container has it that was given these two and no others."""
    (n1,) = lab.nodes(1)
    directories = {kind: f"{n1.room}/{kind}" for kind in ("config", "runtime", "state")}
    for path in directories.values():
        os.makedirs(path)
    os.chown(n1.key_file(), 0, 0)
    n1.write_config(directories["config"], {"web": L.instance()})
    two = "+net_admin,+net_raw"
    argv = n1.inside("setpriv", f"--bounding-set=-all,{two}", f"--inh-caps=-all,{two}", lab.program("vipd"), "--bus=none",
                     *(f"--{kind}-dir={path}" for kind, path in directories.items()))
    a = L.Vipd(n1, argv, directories)
    a.wait_state("master")
    with open(f"/proc/{a.pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
    check((status["CapEff"], status["CapPrm"], status["NoNewPrivs"]) == ("0" * 12 + "3000", "0" * 12 + "3000", "1"), f"{status}")


def test_no_timer_on_the_wall_clock(lab):
    """What the kernel says about the daemon's timers: CLOCK_BOOTTIME, all that are ever due; so setting the wall clock moves none. On the wall clock
    is one that never is, whose cancellation tells that the machine has slept."""
    (n1,) = lab.nodes(1)
    a = n1.vipd(**FAST)
    a.wait_state("master")
    clocks = []
    for name in os.listdir(f"/proc/{a.pid}/fdinfo"):
        timer = dict(re.findall(r"^(clockid|settime flags|it_value): (.*)$", read(f"/proc/{a.pid}/fdinfo/{name}"), re.M))
        never = timer and int(timer["settime flags"], 8) == 3 and int(re.match(r"\((\d+)", timer["it_value"])[1]) > 1 << 32
        clocks += [timer["clockid"]] if timer and not never else []
    check(clocks and set(clocks) == {"7"}, f"clocks {clocks}")


def test_full_stderr_blocks_nothing(lab):
    """Nobody reads the daemon's log, and the pipe is full."""
    (n1,) = lab.nodes(1)
    a = n1.vipd(None, "--log-level=debug", **FAST)
    a.wait_state("master")
    # stop reading after one more line, and fill the pipe through the daemon's own descriptor
    fd = os.open(f"/proc/{a.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    a.pause()
    os.write(fd, b"the last line\n")
    a.wait_line("the last line")
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except BlockingIOError:
        pass
    at = now()
    for _ in range(50):
        a.signal(signal.SIGUSR1)
        wait(lambda t=now(): now() > t + 20_000, "a moment")
    wait(lambda: len(lab.observer.carp(n1, at)) > 5, "adverts go on")
    adverts = lab.observer.carp(n1, at)
    late = [second.t - first.t for first, second in zip(adverts, adverts[1:])]
    a.pause(False)
    check(max(late) < 1_500_000, f"spacing {late}")


def test_without_a_bus_nobody_tells_of_units(lab):
    """A check that can never pass is said so."""
    (n1,) = lab.nodes(1)
    a = n1.vipd(**{"Check thing_Type": "unit", "Check thing_Unit": "thing.service"})
    a.wait_line("web: check thing asks for a unit, .* --bus=none leaves out; it counts as failed")
    a.wait_state("master")


def test_directories_that_are_missing_or_closed_are_told(lab):
    """With the error that the kernel gave. Elections go on."""
    (n1,) = lab.nodes(1)
    missing = f"{n1.room}/missing"
    a = n1.vipd(None, f"--runtime-dir={missing}")
    a.wait_line(f"{missing} does not exist: what is held is not noted there")
    a.wait_state("master")
    check(len(a.grep("not noted|could not be noted")) == 1, f"once: {a.text()}")
    a.stop()
    a = n1.vipd(None, f"--config-dir={missing}")
    a.wait_line(f"--config-dir={missing}: there is no such directory")
    a.stop()
    closed = f"{n1.room}/closed"
    os.mkdir(closed, 0o755)
    a = n1.vipd(None, f"--runtime-dir={closed}")
    a.wait_line(f"What is held could not be noted in {closed}, .*: Permission denied")
    a.wait_state("master")
    os.chown(closed, L.UID, L.UID)
    a.wait_line(f"What is held is noted in {closed} now")
    check(sorted(os.listdir(closed)) == ["lock", "web.held"], os.listdir(closed))
    a.stop()


if __name__ == "__main__":
    L.main()
