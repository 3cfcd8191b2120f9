#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of docs/bus.md do what the document shows: run from its own text, on a real bus, and the notification by a real
notification daemon (dunst, on an X server without a screen). The unit is tested by tests/boot. See lab.py."""

import os
import re
import subprocess
import sys

from lab import Terminal, TREE, VIPCTL, bus, environment, equal, has, main, read, wait, write

DOCUMENT = read(f"{TREE}/docs/bus.md")
BIN = "/run/bin"
DESKTOP = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/desktop/bus"}


def section(heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)[1]


def blocks(heading, language):
    found = re.findall(rf"^```{language}\n(.*?)^```$", section(heading), re.M | re.S)
    equal(bool(found), True, f"there is an example in {language} below {heading}")
    return found


def transcript(text):
    """[(command, what it says)]"""
    return [(part.split("\n")[0], part.partition("\n")[2]) for part in re.split(r"^\$ ", text, flags=re.M)[1:]]


def install(heading, language):
    """The program, with the name that the text before it gives it. Returns its path."""
    name = re.search(rf"`(/usr/local/\S+)`[^`]*```{language}\n", section(heading))[1]
    path = f"{BIN}/{os.path.basename(name)}"
    write(path, blocks(heading, language)[0], 0o755)
    return path


def env(**more):
    if not os.path.exists(f"{BIN}/vipctl"):
        os.makedirs(BIN, exist_ok=True)
        os.symlink(VIPCTL, f"{BIN}/vipctl")
    return environment(PATH=f"{BIN}:{environment()['PATH']}", **more)


def shell(command):
    return subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          env=env(), check=False).stdout


def follow(commands):
    """Each says what the document shows below it."""
    for command, expected in commands:
        equal(shell(command), expected, command)


def connections():
    """Those that listen for signals, by their match rules."""
    found = bus.ask("/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats", "GetAllMatchRules", destination="org.freedesktop.DBus")
    return {name for name, rules in found[0].items() if any("org.vipd1" in rule for rule in rules)}


def there_and_back():
    """web gives its address up, and takes it back."""
    equal(bus.verb("root", bus.WEB, bus.INSTANCE, "DemoteFor", "uint64:600000000"), None, "demoted")
    equal(bus.verb("root", bus.WEB, bus.INSTANCE, "Promote"), None, "promoted")


def test_busctl():
    for text in blocks("busctl", "console"):
        follow(transcript(text))
    wait(lambda: bus.state(bus.WEB) == "master", "the last command took the address back")


def test_gdbus():
    *calls, (command, expected) = transcript(blocks("gdbus", "console")[0])
    follow(calls)
    before = connections()
    terminal = Terminal(["sh", "-c", command], 200, env())
    try:
        wait(lambda: connections() - before, "it listens")
        there_and_back()
        terminal.until(lambda text: text.count("\n") >= expected.count("\n"), "what the document shows")
        equal(terminal.text, expected, command)
    finally:
        terminal.kill()


def test_shell_loop():
    env()
    with open("/run/loop", "w", encoding="utf-8") as out:
        before = connections()
        loop = subprocess.Popen([install("A shell loop", "sh")], stdout=out, env=env(), start_new_session=True)
    pair = "web: from master to backup, because of demoted\nweb: from backup to master, because of promoted\n"

    def follows():
        """What comes before it knows how things stand is in its first picture, of which the loop says nothing."""
        there_and_back()
        try:
            return wait(lambda: read("/run/loop").endswith(pair), "", 1)
        except AssertionError:
            return False

    try:
        wait(lambda: connections() - before, "it listens")
        wait(follows, lambda: f"both changes; there is {read('/run/loop')!r}", 20)
    finally:
        os.killpg(loop.pid, 15)
        loop.wait(30)


def test_python_with_dasbus():
    env()
    program = install("Python", "python")
    follow(transcript(blocks("Python", "console")[0]))
    equal([bus.state(path) for path in (bus.WEB, bus.WEB2)], ["backup", "backup"], "states")
    equal(shell(program), "", "of a host that has nothing left")
    bus.masters()
    # somebody who may demote web alone, by a rule
    r = subprocess.run([*bus.as_user("alice"), program], capture_output=True, text=True, timeout=60, env=env(), check=False)
    equal((r.returncode, r.stdout), (1, "web: given up, 192.0.2.10/32\n"), "alice's exit code, and what she sees")
    has(r.stderr, "web2: ")
    equal(bus.state(bus.WEB2), "master", "web2")


class Desktop:
    """Of a person who may do nothing: a session bus, and a notification daemon on an X server."""

    def __enter__(self):
        os.makedirs("/run/desktop", exist_ok=True)
        os.chown("/run/desktop", bus.UIDS["alice"], bus.UIDS["alice"])
        self.processes = []
        read_end, write_end = os.pipe()
        self.start(["Xvfb", "-displayfd", str(write_end), "-screen", "0", "640x480x24", "-nolisten", "unix", "-nolisten", "tcp", "-listen", "local"],
                   user="root", pass_fds=[write_end])
        os.close(write_end)
        with os.fdopen(read_end) as f:
            self.display = f":{f.readline().strip()}"
        self.start(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={DESKTOP['DBUS_SESSION_BUS_ADDRESS']}"])
        wait(lambda: os.path.exists("/run/desktop/bus"), "the session bus")
        self.start(["dunst", "-print"], DISPLAY=self.display, out="/run/desktop/shown")
        wait(lambda: self.ask("call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner", "s",
                              "org.freedesktop.Notifications") == "b true", "dunst is there", 30)
        return self

    def start(self, argv, user="alice", out="/dev/null", pass_fds=(), **more):
        with open(out, "w", encoding="utf-8") as f:
            self.processes.append(subprocess.Popen([*bus.as_user(user), *argv], stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.DEVNULL,
                                                   pass_fds=pass_fds, env=env(HOME="/run/desktop", XDG_RUNTIME_DIR="/run/desktop", **DESKTOP, **more)))

    def ask(self, *argv):
        r = subprocess.run([*bus.as_user("alice"), "busctl", f"--address={DESKTOP['DBUS_SESSION_BUS_ADDRESS']}", *argv], capture_output=True,
                           text=True, check=False)
        return r.stdout.strip()

    def n_shown(self):
        return self.ask("get-property", "org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.dunstproject.cmd0", "displayedLength")

    def __exit__(self, *unused):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)


def test_desktop_notification():
    env()
    program = install("A notification on the desktop", "python")
    with Desktop() as desktop:
        before = connections()
        desktop.start([program])
        wait(lambda: connections() - before, "it listens")
        there_and_back()
        try:
            last = "web is here", "192.0.2.10/32: promoted"
            wait(lambda: all(text in read("/run/desktop/shown") for text in last), "both changes are shown", 20)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {read('/run/desktop/shown')!r}") from None
        shown = read("/run/desktop/shown")
        equal(re.findall(r"summary: '(.*)'", shown), ["web is elsewhere", "web is here"], "what dunst shows")
        equal(re.findall(r"body: '(.*)'", shown), ["192.0.2.10/32: demoted", "192.0.2.10/32: promoted"], "and below it")
        wait(lambda: desktop.n_shown() == "u 1", "one on the screen, as the second replaces the first")


if __name__ == "__main__":
    sys.exit(main(globals(), __file__, ("Xvfb", "dunst", "gdbus", "jq")))
