#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Command probes: what is run, with what, what is made of how it ends, and that nothing of it stays."""

import os

import room
from room import BAD, GOOD, check, checker, command, expect, one, shell, wait


def test_exit_status_0_is_good_and_the_first_line_is_told():
    expect(one(command("/bin/true")), GOOD, "exit status 0")
    expect(one(shell("echo; echo all is well; echo not this")), GOOD, "exit status 0: all is well")


def test_any_other_exit_status_is_bad_and_the_first_line_is_told():
    expect(one(shell("echo database is down >&2; echo more; exit 2")), BAD, "exit status 2: database is down")
    expect(one(shell("exit 127")), BAD, "exit status 127")


def test_a_signal_is_bad_and_named():
    expect(one(shell("echo oops; kill -SEGV $$")), BAD, "died by signal 11 (Segmentation fault): oops")


def test_a_command_that_cannot_be_executed_is_bad_and_says_why():
    expect(one(command("/nonexistent/program")), BAD, "cannot be executed: no such file or directory")
    expect(one(command("/etc/passwd")), BAD, "cannot be executed: permission denied")
    expect(one(command(room.path("no-interpreter", "#!/nonexistent\n", 0o755))), BAD, "cannot be executed: no such file or directory")


def test_arguments_arrive_as_they_are_without_a_shell():
    words = ["", "two words", "a;b", "$HOME `id` *", "back\\slash", "ünïcode", " leading", "x\ty"]
    out = room.path("out")
    expect(one(command("/usr/bin/python3", "-c", "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))", out, *words)),
           GOOD, "exit status 0")
    with open(out, encoding="utf-8") as f:
        check(f.read() == repr(words), "arguments changed on their way")


def test_the_environment_is_the_documented_one():
    secrets = {"NOTIFY_SOCKET": "/run/x", "CREDENTIALS_DIRECTORY": "/run/y", "WATCHDOG_USEC": "1", "VIPD_SECRET": "s", "HOME": "/root",
               "http_proxy": "http://127.0.0.1:1"}
    out = room.path("out")
    with checker(command("/bin/sh", "-c", f"exec /usr/bin/env -0 > {out}"), env=secrets) as c:
        expect(c.report(), GOOD, "exit status 0")
    with open(out, encoding="utf-8") as f:
        found = dict(line.split("=", 1) for line in f.read().split("\0") if line)
    for ignored in ("PWD", "_", "SHLVL", "OLDPWD"):  # the shell's own
        found.pop(ignored, None)
    check(found == {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}, found)


def test_a_command_has_no_open_file_but_the_standard_streams_and_reads_nothing():
    r = one(command("/usr/bin/python3", "-c", "import os, sys; os.chdir('/proc/self/fd'); "
                    "print(sorted(f for f in os.listdir() if os.path.lexists(f)), os.readlink('0'), os.readlink('1')[:4], os.readlink('2')[:4], "
                    "repr(sys.stdin.read()), os.readlink('/proc/self/cwd'))"))
    expect(r, GOOD, "exit status 0: ['0', '1', '2'] /dev/null pipe pipe '' /proc/%s/fd" % r.text.split("/proc/")[-1].split("/")[0])


def test_a_command_starts_in_the_root_directory_with_a_session_of_its_own_and_default_signals():
    r = one(command("/usr/bin/python3", "-c", "import os; s = open('/proc/self/status').read(); "
                    "print(os.getcwd(), os.getpid() == os.getpgrp() == os.getsid(0), "
                    "[int(l.split()[1], 16) for l in s.splitlines() if l.startswith('SigBlk')])"))
    expect(r, GOOD, "exit status 0: / True [0]")
    # but for two signals that the C library keeps to itself
    r = one(shell("grep SigIgn /proc/self/status"))
    check(r.outcome == GOOD and int(r.text.split()[-1], 16) & ~(3 << 31) == 0, r)


def test_a_command_has_no_capabilities_and_cannot_get_any():
    look = shell("grep -E '^(Cap(Eff|Prm|Amb|Inh)|NoNewPrivs)' /proc/self/status | tr -d '\\t' | tr '\\n' ' '")
    nothing = "exit status 0: CapInh:%s CapPrm:%s CapEff:%s CapAmb:%s NoNewPrivs:1" % (("0" * 16,) * 4)
    expect(one(look), GOOD, nothing)
    as_daemon = ["setpriv", f"--reuid={room.NOBODY}", f"--regid={room.NOBODY}", "--clear-groups",
                 "--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw"]
    expect(one(look, wrapper=as_daemon), GOOD, nothing)


# A filter of system calls as vipd.service has it, in which capset() fails.
WITHOUT_CAPSET = """
import ctypes, os, struct, sys
code = b''.join(struct.pack('=HBBI', *i) for i in (
    (0x20, 0, 0, 0),                # the number of the call
    (0x15, 0, 1, 126),              # capset?
    (0x06, 0, 0, 0x00050001),       # EPERM
    (0x06, 0, 0, 0x7fff0000)))      # allowed
buffer = ctypes.create_string_buffer(code)
program = struct.pack('=HxxxxxxQ', 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_where_capset_is_forbidden_capabilities_are_gone_all_the_same():
    look = shell("grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status /proc/$PPID/status | cut -d: -f2,3 | tr -d '\\t' | tr '\\n' ' '")
    filtered = ["setpriv", f"--reuid={room.NOBODY}", f"--regid={room.NOBODY}", "--clear-groups",
                "--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw", "/usr/bin/python3", "-c", WITHOUT_CAPSET]
    three = "CapPrm:{0} CapEff:{0} CapAmb:{0}".format("0" * 16)
    expect(one(look, wrapper=filtered), GOOD, f"exit status 0: {three} {three}")


def test_a_command_that_hangs_is_killed_with_its_group_at_the_timeout():
    mark = "31536001"
    # the first one is older: were it not for the group, what the second leaves might be its daemon
    with checker(shell("sleep 3600", timeout=3600), shell(f"echo waiting for a lock; sleep {mark} & sleep {mark}; :", timeout=3)) as c:
        r = c.report()
        expect(r, BAD, "killed after 3s: waiting for a lock")
        check(2.9 < r.when - c.started < 10, f"after {r.when - c.started} s")
        wait(lambda: not room.running(mark), "the end of the group")


def test_a_command_that_is_deaf_to_signals_is_killed():
    expect(one(shell("trap '' TERM INT HUP; while :; do sleep 1; done", timeout=0.3)), BAD, "killed after 300ms")


def test_a_command_that_stops_itself_is_killed():
    expect(one(shell("kill -STOP $$", timeout=0.3)), BAD, "killed after 300ms")


def test_a_child_that_holds_the_pipe_does_not_delay_the_result():
    mark = "31536002"
    with checker(shell("sleep 3600", timeout=3600), shell(f"echo done; sleep {mark} & exit 3", timeout=30)) as c:
        r = c.report()
        expect(r, BAD, "exit status 3: done")
        check(r.when - c.started < 10, f"after {r.when - c.started} s")
        wait(lambda: not room.running(mark), "the end of the child")


DAEMONIZE = """
import os, sys, time
for generation in range(int(sys.argv[2])):
    if os.fork():
        os._exit(0) if generation else os.wait()
        break
    os.setsid()
    if os.fork():
        os._exit(0)
else:
    [os.close(fd) for fd in (0, 1, 2)]
    open(sys.argv[3], 'a').close()
    time.sleep(3600)
"""


def daemonizing(mark, out, then):
    program = room.path(f"daemonize-{mark}", DAEMONIZE)
    return shell(f"/usr/bin/python3 {program} {mark} 3 {out}; while ! [ -e {out} ]; do sleep 0.01; done; {then}", timeout=20)


def test_daemons_that_a_command_forks_away_are_killed_when_it_ends():
    mark, out = "31536003", room.path("born")
    with checker(daemonizing(mark, out, "exit 0")) as c:
        expect(c.report(), GOOD, "exit status 0")
        wait(lambda: not room.running(mark), lambda: f"the end of the daemons: {room.running(mark)}")
        wait(lambda: not children_of(c.pid), "that they are reaped")


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return f.read().split()


def test_daemons_of_a_command_that_is_killed_are_killed_too():
    mark, out = "31536004", room.path("born")
    p = daemonizing(mark, out, "sleep 3600")
    p["TimeoutUSec"] = 6000000
    with checker(p) as c:
        expect(c.report(), BAD, "killed after 6s")
        check(os.path.exists(out), "there was no daemon")
        wait(lambda: not room.running(mark), "the end of the daemons")


def test_what_a_running_command_has_forked_away_is_not_killed_by_the_end_of_another():
    mark, out = "31536005", room.path("born")
    waits = daemonizing(mark, out, f"while ! [ -e {room.path('go')} ]; do sleep 0.01; done")
    with checker(waits, shell(":", interval=0.05)) as c:
        wait(lambda: os.path.exists(out), "the daemon")
        for _ in range(5):
            expect(c.report(number=1), GOOD, "exit status 0")
        def daemon():
            return [line for line in room.processes().values() if line.startswith("/usr/bin/python3") and mark in line]
        check(daemon(), "the daemon of a command that still runs was killed")
        room.path("go", "")
        expect(c.report(number=0), GOOD, "exit status 0")
        wait(lambda: not daemon(), "the end of the daemon")


def test_megabytes_of_output_are_read_and_the_result_is_the_exit_status():
    expect(one(shell("echo first; head -c 8000000 /dev/zero; exit 4")), BAD, "exit status 4: first")


def test_a_line_without_end_is_cut():
    r = one(shell("head -c 2000000 /dev/zero | tr '\\0' x"))
    expect(r, GOOD, "exit status 0: " + "x" * (room.TEXT_MAX - len("exit status 0: ")))


def test_endless_output_does_not_slow_the_other_probes_nor_burn_a_processor():
    noise = [command("/usr/bin/yes", "no end", timeout=6, interval=3600) for _ in range(4)]
    with checker(*noise, shell("echo quick", interval=0.1)) as c:
        times = []
        while True:
            r = c.report()
            if r.number < 4:
                break
            times.append(r.when)
        expect(r, BAD, "killed after 6s: no end")
        check(len(times) >= 10, f"only {len(times)} other reports in 6 s")
        check(room.cpu_seconds(c.pid) < 1.4, f"{room.cpu_seconds(c.pid)} s of processor time")
        check(room.resident_kib(c.pid) < 200000, f"{room.resident_kib(c.pid)} KiB")


def test_garbage_becomes_one_line_of_valid_text():
    r = one(command("/usr/bin/python3", "-c", "import sys; "
                    r"sys.stdout.buffer.write(b'\0\x1b[31m\xff\xc3 \xe2\x80\xae\xe2\x80\xa8\x7f\xc2\x85 \xc3\xa4\r\nsecond')"))
    expect(r, GOOD, "exit status 0: ??[31m?? ? ?? ä")


def test_an_interval_that_is_over_while_the_command_runs_starts_no_second_one():
    log = room.path("log")
    with checker(shell(f"echo + >> {log}; sleep 0.3; echo - >> {log}", interval=0.05, timeout=5)) as c:
        for _ in range(5):
            expect(c.report(), GOOD, "exit status 0")
    with open(log, encoding="ascii") as f:
        marks = f.read().split()
    check(marks[:10] == ["+", "-"] * 5, marks)


def remove(cgroup):
    try:
        os.rmdir(cgroup)
        return True
    except OSError:  # somebody is still in it
        return False


def started(path):
    """The processes that a command has been, by their numbers; nothing until there is one."""
    try:
        with open(path, encoding="ascii") as f:
            text = f.read()
    except FileNotFoundError:
        return ""
    return text if text.endswith("\n") else ""


def test_a_command_that_cannot_be_killed_is_reported_and_not_started_again():
    # what a cgroup of the first version has frozen does not die from SIGKILL, as what hangs in the kernel does not
    freezer = "/sys/fs/cgroup/freezer"
    if not os.path.exists(freezer):
        raise room.Skip("no freezer to make a process that cannot be killed")
    group, starts, thawed = f"{freezer}/vipd-{os.path.basename(room.tmp)}", room.path("starts"), room.path("thawed")
    os.mkdir(group)
    try:
        with checker(shell(f"echo $$ >> {starts}; [ -e {thawed} ] || exec sleep 1000", interval=0.1, timeout=6)) as c:
            # by us: no command may write there
            for name, text in (("cgroup.procs", wait(lambda: started(starts), "that it runs")), ("freezer.state", "FROZEN")):
                with open(f"{group}/{name}", "w", encoding="ascii") as f:
                    f.write(text)
            expect(c.report(), BAD, "killed after 6s")
            for _ in range(3):
                expect(c.report(), BAD, "the last run was killed, and is still there")
            check(len(started(starts).split()) == 1, "it was started again")
            room.path("thawed", "")
            with open(f"{group}/freezer.state", "w", encoding="ascii") as f:
                f.write("THAWED")
            wait(lambda: c.report().outcome == GOOD, "that it runs again")
    finally:
        with open(f"{group}/freezer.state", "w", encoding="ascii") as f:
            f.write("THAWED")
        wait(lambda: remove(group), "that the group is empty")


if __name__ == "__main__":
    room.main(globals())
