#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl on a host as a package installs it: the real journal, a real session with polkit's agent in it, and a daemon that systemd stopped."""

import os
import pty
import re
import select
import subprocess
import termios

import hosts
from hosts import check, wait


def test_status_tells_the_journal_of_the_service(lab):
    n1, _ = lab.booted(1)
    n1.run("useradd", "alice")
    n1.wait_state("master")
    wait(lambda: "web: backup -> master (master-timeout)\n" in n1.run("vipctl", "status", "web").stdout, "the journal has the change")
    out = n1.run("vipctl", "status", "web").stdout
    check(" web: init -> backup (startup)\n" in out and "present on eth0\n" in out, out)
    out = n1.run("vipctl", "status", "web", user="alice").stdout
    check("You may not read the journal" in out and "State: master" in out, out)


def test_units_ask_for_the_role_and_nothing_starts_a_daemon_that_was_stopped(lab):
    """The unit of docs/bus.md that asks before it does something."""
    n1, _ = lab.booted(1)
    with open(f"{hosts.HERE}/../../docs/bus.md", encoding="utf-8") as f:
        n1.write("/etc/systemd/system/report.service", re.search(r"`/etc/systemd/system/report.service`:\n\n```ini\n(.*?)```", f.read(), re.S)[1])
    n1.write("/usr/local/sbin/report", "#!/bin/sh\necho done >>/run/reports\n", 0o755)
    n1.systemctl("daemon-reload")
    n1.wait_state("master")

    def reports():
        """How many there are after one more start, which never fails."""
        n1.systemctl("start", "report.service")
        check(n1.show("report.service", "Result") in ("success", "exec-condition"), n1.show("report.service", "Result"))
        return n1.run("cat", "/run/reports").stdout.count("done")

    check(reports() == 1 and reports() == 2, "the master reports")
    n1.run("vipctl", "demote", "--for=1h", "web")
    check(reports() == 2, "a backup does not")
    n1.systemctl("stop", "vipd")
    check(reports() == 2, "nor who cannot know")
    for verb in (["list"], ["status", "web"], ["reload"], ["promote", "web"]):
        result = n1.run("vipctl", *verb, fail=False)
        check(result.returncode == 1 and "vipd does not run" in result.stderr, f"{verb}: {result.returncode} {result.stderr}")
    check(n1.run("vipctl", "metrics").stdout.endswith("vipd_up 0\n# EOF\n"), "metrics")
    check(n1.active("vipd.service") == "inactive", "vipd is as it was left")


def test_a_person_in_a_session_is_asked_for_the_password(lab):
    def with_sessions(node):
        """logind is masked on all hosts; by the name that the bus starts it under it is not."""
        with open(f"{node.root}/usr/lib/systemd/system/systemd-logind.service", encoding="utf-8") as f:
            text = f.read()
        path = "/etc/systemd/system/dbus-org.freedesktop.login1.service"
        if os.path.lexists(node.root + path):
            os.unlink(node.root + path)
        node.write(path, text.split("[Install]")[0])

    n1, _ = lab.booted(1, with_sessions)
    n1.run("useradd", "alice")
    n1.run("chpasswd", input="root:correct horse\n")
    n1.wait_state("master")

    def demote(password):
        """On a terminal of a session of alice's. The agent forgets what was typed before it switched the echo off, which it does after it asked."""
        terminal, end = pty.openpty()
        command = n1.inside("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--uid=alice", "-p", "PAMName=login",
                            "sh", "-c", "vipctl demote web; echo CODE $?")
        with subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=hosts.ENVIRONMENT, cwd="/") as p:
            text = ""

            def has(pattern):
                nonlocal text
                if select.select([terminal], [], [], 0)[0]:
                    text += os.read(terminal, 4096).decode()
                return re.search(pattern, text)

            try:
                wait(lambda: has("Password: "), lambda: f"alice is asked: {text}")
                wait(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "the agent listens")
                os.write(terminal, f"{password}\n".encode())
                code = wait(lambda: has(r"CODE (\d+)"), lambda: f"an answer: {text}", 40)[1]
            finally:
                p.kill()
                os.close(terminal)
                os.close(end)
            return int(code), text

    code, text = demote("wrong")
    check(code == 1 and 'Authentication is required to make this host give up "web"' in text, f"{code} {text}")
    check(n1.state() == "master" and n1.transitions()[-1][2] == "master-timeout", "a wrong password demoted")
    code, text = demote("correct horse")
    check(code == 0 and "AUTHENTICATION COMPLETE" in text, f"{code} {text}")
    check("demoted" in [reason for _, _, reason in n1.transitions()], "the right one did not")


if __name__ == "__main__":
    hosts.main()
