#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl on a host as a package installs it: the real journal, a real session with polkit's agent in it, and a daemon that systemd stopped."""

import os
import pty
import re
import select
import subprocess
import sys
import termios

import hosts
from hosts import check, run, wait

sys.path.insert(0, os.path.join(hosts.HERE, "../house"))
import pages  # noqa: E402

# of 10 for no protection at all
METRICS_EXPOSURE_CEILING = 0.5


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


def test_metrics_are_written_for_node_exporter(lab):
    """By vipd-metrics.timer, which nobody but an administrator starts, into a directory of root's, and, with the drop-in of docs/metrics.md, into
    one that is not."""
    directory = "/var/lib/prometheus/node-exporter"
    service = "vipd-metrics.service"
    n1, _ = lab.booted(1)
    n1.wait_state("master")

    def text(where=directory):
        path = f"{n1.root}{where}/vipd.prom"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as f:
            return f.read()

    def write(expected=0):
        result = n1.systemctl("start", service, fail=False)
        check(result.returncode == expected, f"{result.returncode}: {result.stderr}{n1.run('journalctl', '-u', service).stdout}")

    check(n1.systemctl("is-enabled", "vipd-metrics.timer", fail=False).stdout.strip() == "disabled", "it is not enabled")
    write()
    check(n1.show(service, "ConditionResult") == "no", "without the directory it is skipped")
    n1.run("mkdir", "-p", directory)
    n1.systemctl("enable", "--now", "vipd-metrics.timer")
    wait(lambda: 'vipd_state{name="web",state="master"} 1\n' in text(), lambda: f"the first file: {text()}", 60)
    check("# TYPE vipd_adverts_sent_total counter\n" in text() and text().startswith("# HELP vipd_up "), text())
    written = os.stat(f"{n1.root}{directory}/vipd.prom")
    check((written.st_mode & 0o777, written.st_uid) == (0o644, os.stat(f"{n1.root}{directory}").st_uid), f"mode and owner {written}")
    wait(lambda: os.stat(f"{n1.root}{directory}/vipd.prom").st_ino != written.st_ino, "and a second one", 60)
    n1.systemctl("stop", "vipd-metrics.timer")
    wait(lambda: n1.active(service) == "inactive", "it is through")
    check(os.listdir(f"{n1.root}{directory}") == ["vipd.prom"], os.listdir(f"{n1.root}{directory}"))
    n1.sync_journal()
    check(n1.run("journalctl", "-q", "-o", "cat", "-u", service).stdout == "", "what went well is not told")

    # as nobody in particular: the same command line, but for what it prints
    n1.drop_in("who", "[Service]\nExecStart=sh -c 'id -u; grep -h Cap /proc/self/status'\n", service)
    write()
    who = text().split("\n")
    uid, capabilities = next(line for line in who if line.isdigit()), [line.split()[1] for line in who if line.startswith(("CapPrm", "CapEff", "CapAmb"))]
    check(uid != "0" and capabilities == ["0" * 16] * 3, who)
    n1.drop_in("who", "[Service]\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/nowhere\n", service)
    write(1)
    check(text().split("\n") == who, "a file that could not be made anew stays as it is")
    n1.sync_journal()
    check("There is no system bus" in n1.run("journalctl", "-q", "-o", "cat", "-u", service).stdout, "why is in the journal")
    n1.drop_in("who", "", service)

    n1.systemctl("stop", "vipd")
    n1.write(f"{directory}/.vipd.prom.new", "what was left by one that was killed\n" * 100)
    write()
    check(text() == "# HELP vipd_up Whether vipd runs and answers.\n# TYPE vipd_up gauge\nvipd_up 0\n", text())

    with open(os.path.join(hosts.HERE, "../../docs/metrics.md"), encoding="utf-8") as f:
        drop_in = re.search(r"```ini\n(\[Unit\]\n.*?)```", f.read(), re.S)[1]
    other = re.search(r"WorkingDirectory=(.*)", drop_in)[1]
    n1.run("mkdir", "-p", other)
    n1.run("chown", "nobody:", other)
    n1.run("rm", "-r", directory)
    n1.drop_in("who", drop_in, service)
    write()
    check(text(other).endswith("vipd_up 0\n"), "the other directory")
    report = n1.run("systemd-analyze", "security", "--no-pager", service).stdout
    exposure = float(re.search(rf"exposure level for {service}: ([\d.]+)", report)[1])
    check(exposure <= METRICS_EXPOSURE_CEILING, f"exposure {exposure}, the ceiling is {METRICS_EXPOSURE_CEILING}:\n{report}")


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
                wait(lambda: has("Password: "), lambda: f"alice is asked: {text}", 40)
                wait(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "the agent listens", 40)
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


def commands(page, section):
    """The examples of a section, in order: lines for a shell, or (path, content) of a file."""
    text = re.search(rf"^\.SH {section}\n(.*?)^\.SH ", page.source, re.M | re.S)[1]
    for example in (pages.plain(e) for e in re.findall(r"^\.EX\n(.*?)^\.EE$", text, re.M | re.S)):
        if re.match(r"# (/etc/\S+)\n\[", example):
            yield re.match(r"# (/etc/\S+)\n", example)[1], example
        else:
            yield from (line[2:] for line in example.splitlines() if line[:2] in ("# ", "$ "))


def test_the_manual_alone_sets_up_two_hosts_and_says_why_the_master_changed(lab):
    """Every command of these sections of vipd(8), as it stands there; and the timer and the template of vipd.units(7)."""
    page, units = pages.Page("vipd.8"), pages.Page("vipd.units.7")
    follow = ["nightly.timer", "tell@web.service"]

    def as_packaged(node):
        for name in ("nightly.timer", "tell@.service"):
            node.write(f"/etc/systemd/system/{name}", next(e for e in units.examples if e.startswith(f"# /etc/systemd/system/{name}\n")))
        node.write("/etc/systemd/system/nightly.service", "[Service]\nExecStart=true\n")
        node.enable(*follow)
        run("systemd-sysusers", f"--root={node.root}")
        run("journalctl", f"--root={node.root}", "--update-catalog")
        os.mkdir(f"{node.root}/etc/vipd")

    n1, n2, client = lab.booted(2, as_packaged, vipd=False)
    check([n1.address, n2.address] == ["192.0.2.1", "192.0.2.2"], "hosts as the manual has them")
    said = {}
    for step in commands(page, "TWO HOSTS"):
        if isinstance(step, tuple):
            for node, text in ((n1, step[1]), (n2, step[1].replace("AdvSkew=0", "AdvSkew=50"))):
                node.write(step[0], text)
            continue
        if "demote" in step:
            n1.wait_state("master")
            n2.listened(advskew=50)
        for node in (n1,) if "demote" in step else (n1, n2):
            said[step] = node.run("sh", "-c", step).stdout
        if "demote" in step:
            n2.wait_state("master")
    check(n2.get("Master") == n2.address and n1.get("Master") == n2.address, "both know who it is")
    wait(lambda: lab.holder("192.0.2.10") == 2, "and it has the address")
    wait(lambda: n1.transitions()[-1:] == [("master", "backup", "demoted")], "the journal has the change")
    wait(lambda: client.ping("192.0.2.10"), "a client reaches it")
    n2.wait_role("master", follow)
    n1.wait_role("backup", follow)
    for text in ("this host is master of web", "this host gives up web"):
        # not by the name of the program, which the journal cannot know when it has ended by then
        wait(lambda: [e["MESSAGE"] for e in n1.journal("_TRANSPORT=syslog") if e["MESSAGE"] == text] == [text], text)
    seen = "".join(n2.run("sh", "-c", step).stdout for step in commands(units, "SEE WHAT HANGS ON A ROLE"))
    check(all(name in seen for name in follow) and "vipd-master@web.target" in seen, seen)
    check(n1.show("vipd.service", "UnitFileState") == "enabled", "it is there after the next boot")

    said = [(step, n1.run("sh", "-c", step).stdout) for step in commands(page, "WHY THE MASTER CHANGED")]
    everything, changes, status = (text for _, text in said)
    line = "web: master -> backup (demoted)"
    check(line in everything and line in changes and line in status, said)
    check("The reason is demoted." in changes and "The reason is" not in everything, changes)


if __name__ == "__main__":
    hosts.main()
