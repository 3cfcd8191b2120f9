# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipd-ucarp as a drop-in for ucarp: command line, exit status, signals, scripts, and an election with the real one."""

import os
import re
import signal

import lab as L
from lab import KEY, VIP, Process, check, hold, now, ucarp_path, wait


def drop_in(host, **keys):
    """vipd-ucarp, as root like ucarp."""
    program = host.lab.program("vipd-ucarp")
    return Process(host.lab, f"vipd-ucarp on {host.name}", host.inside(*host.ucarp_command(program, **keys)))


def calls(host):
    path = f"{host.room}/calls"
    return open(path).read().splitlines() if os.path.exists(path) else []


def telling(host):
    """Scripts that write down their arguments, as options; later options win."""
    for name in ("up", "down"):
        host.script(f"tell-{name}", f'echo {name} $# "$@" >>{host.room}/calls')
    return ("-u", f"{host.room}/tell-up", "-d", f"{host.room}/tell-down")


def test_becomes_master_and_runs_the_scripts(lab):
    (n1,), client = lab.nodes(1), lab.client()
    a = drop_in(n1, options=("-z", "-x", "two words", *telling(n1)))
    down, up = (f"{word} 3 eth0 {VIP} two words" for word in ("down", "up"))
    wait(lambda: calls(n1) == [down, up], lambda: f"calls {calls(n1)}")
    wait(lambda: n1.holds(), "held, although the script does nothing")
    check(client.ping(), "answers")
    a.stop()
    wait(lambda: calls(n1) == [down, up, down], lambda: f"calls {calls(n1)}")
    check(not n1.holds(), "dropped")


def test_without_parameter_and_neutral(lab):
    (n1,) = lab.nodes(1)
    drop_in(n1, options=("-n", *telling(n1)))
    wait(lambda: calls(n1) == [f"up 2 eth0 {VIP}"], lambda: f"calls {calls(n1)}")


def test_no_down_script_at_exit_without_z(lab):
    (n1,) = lab.nodes(1)
    a = drop_in(n1, options=("-n", *telling(n1)))
    wait(lambda: calls(n1), "master")
    a.signal(signal.SIGTERM)
    a.end()
    check(calls(n1) == [f"up 2 eth0 {VIP}"], f"calls {calls(n1)}")
    check(not n1.holds(), "but the address is dropped, unlike ucarp's")


def test_scripts_that_set_the_address_themselves(lab):
    """As every ucarp installation has them."""
    (n1,) = lab.nodes(1)
    a = drop_in(n1, options=("-z",))
    wait(lambda: n1.holds(), "held")
    a.stop()
    check(not n1.holds(), "dropped")


def test_signals(lab):
    (n1,) = lab.nodes(1)
    a = drop_in(n1, options=telling(n1))
    wait(lambda: lab.observer.holders(VIP) == {1}, "master")
    a.signal(signal.SIGUSR1)
    a.wait_line("MASTER on eth0 id 7")
    at = now()
    a.signal(signal.SIGUSR2)
    wait(lambda: lab.observer.holders(VIP) == set(), "given up", 2.5)
    a.signal(signal.SIGUSR1)
    a.wait_line("BACKUP on eth0 id 7")
    wait(lambda: lab.observer.holders(VIP) == {1}, "back again")
    check(now() - at > 2_900_000, "not before three seconds")
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        a.signal(number)
        check(a.end() == 0, f"signal {number}: {a.text()}")
        a = drop_in(n1, options=telling(n1))
        a.wait_line("backup")


def test_with_the_real_one(lab):
    """Both roles, by the same command line."""
    n1, n2 = lab.nodes(2)
    a = drop_in(n1)
    wait(lambda: lab.observer.holders(VIP) == {1}, "vipd-ucarp is master")
    u = n2.ucarp(advskew=100)
    hold(lambda: lab.observer.holders(VIP) == {1}, "ucarp is backup", 6)
    a.stop()
    wait(lambda: lab.observer.holders(VIP) == {2}, "ucarp follows", 2.5)
    a = drop_in(n1, options=("-P",))
    wait(lambda: lab.observer.holders(VIP) == {1}, "preempted")
    u.signal(signal.SIGKILL)


def test_broadcast_and_group(lab):
    n1, n2 = lab.nodes(2)
    drop_in(n1, options=("-M",))
    e = wait(lambda: lab.observer.carp(n1), "adverts")[0]
    check((e.destination_mac, e.destination) == ("ff:ff:ff:ff:ff:ff", "224.0.0.18"), f"{vars(e)}")
    drop_in(n2, vhid=8, address="192.0.2.51", options=("-m", "239.1.2.3"))
    e = wait(lambda: lab.observer.carp(n2), "adverts")[0]
    check((e.destination_mac, e.destination) == ("01:00:5e:01:02:03", "239.1.2.3"), f"{vars(e)}")


def test_background(lab):
    """-B returns 0 once it runs, and the process lives on; a failure is told before."""
    (n1,) = lab.nodes(1)
    program = lab.program("vipd-ucarp")
    result = n1.run(*n1.ucarp_command(program, options=("-B", "-z")), fail=False)
    check(result.returncode == 0, f"{result}")
    wait(lambda: n1.holds(), "master in the background")
    # a script of the role is the program itself until it is executed
    pids = wait(lambda: len(found := processes(program)) == 1 and found, lambda: f"one process, not {processes(program)}")
    os.kill(pids[0], signal.SIGTERM)
    wait(lambda: not n1.holds(), "ended")
    result = n1.run(*n1.ucarp_command(program, options=("-B", "-i", "nosuch0")), fail=False)
    check(result.returncode == 2 and result.stderr, f"{result}")


def running(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def processes(program):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and running(int(p)) == program]


def test_passphrase_file_and_process_list(lab):
    (n1,) = lab.nodes(1)
    a = drop_in(n1, key="visible secret")
    wait(lambda: lab.observer.carp(n1), "adverts")
    with open(f"/proc/{a.pid}/cmdline", "rb") as f:
        check(b"visible secret" not in f.read(), "wiped from the process list")
    a.stop()
    a = drop_in(n1, key="wrong", options=("-o", n1.key_file("correct horse")))
    n2 = lab.host("n2", 2)
    wait(lambda: lab.observer.holders(VIP) == {1}, "master")
    b = n2.vipd(advskew=100)
    b.wait_state("backup")
    hold(lambda: b.state() == "backup", "the later option is in force", 5)
    check(KEY not in a.text(), "not in the log")


# (what differs from a working command line, ucarp's exit status)
MISTAKES = (
    (("-s", "junk"), 1),
    (("-s", "2001:db8::1"), 1),
    (("-s", "0.0.0.0"), 1),
    (("-s", "192.0.2.99"), 2),
    (("-m", "192.0.2.1"), None),  # ucarp's short form is broken: usage, 0
    (("--mcastip=192.0.2.1",), 2),
    (("-v", "0"), 1),
    (("-v", "256"), 1),
    (("-p", ""), 1),
    (("-p", "x" * 20), 2),
    (("-o", "/no/such/file"), 1),
    (("-o", ""), 1),
    (("-b", "0", "-k", "0"), 1),
    (("-r", "0"), 1),
    (("-r", "x"), 1),
    (("-i", "nosuch0"), 2),
)


def short_run(host, program, options):
    """The exit status, or None if it went on to run."""
    argv = host.inside("timeout", "-s", "KILL", "15", *host.ucarp_command(program, options=options))
    result = L.run(*argv, fail=False)
    return (None if result.returncode in (137, -9) else result.returncode), result


def test_exit_status_of_mistakes(lab):
    """The same as the real one's, mistake by mistake, and a sentence for each."""
    (n1,) = lab.nodes(1)
    real, ours = ucarp_path(), lab.program("vipd-ucarp")
    for options, status in MISTAKES:
        if status is not None:
            found, result = short_run(n1, real, options)
            check(found == status, f"ucarp {options}: {result}")
        found, result = short_run(n1, ours, options)
        check(found == (status or 2), f"vipd-ucarp {options}: {found}: {result}")
        check(re.search(r"vipd-ucarp: .*\S", result.stderr), f"{options}: says nothing")


def test_odd_values_are_taken_as_ucarp_takes_them(lab):
    """C notation, modulo 256, ignored operands, abbreviated options."""
    (n1,) = lab.nodes(1)
    seen = {}
    for name, program in (("ucarp", ucarp_path()), ("vipd-ucarp", lab.program("vipd-ucarp"))):
        at = now()
        options = ("--advsk=300", "-v", "0x10", "--dead=1", "ignored")
        p = Process(lab, name, n1.inside(*n1.ucarp_command(program, options=options)))
        p.may_fail = True
        e = wait(lambda: lab.observer.carp(n1, at), f"{name} advertises")[0]
        seen[name] = (e.vhid, e.advbase, e.advskew)
        p.kill()
    check(seen["ucarp"] == seen["vipd-ucarp"] == (16, 1, 44), f"{seen}")


def test_help(lab):
    (n1,) = lab.nodes(1)
    result = n1.run(lab.program("vipd-ucarp"), "--help")
    check(result.returncode == 0 and "--upscript" in result.stdout, f"{result}")


if __name__ == "__main__":
    L.main()
