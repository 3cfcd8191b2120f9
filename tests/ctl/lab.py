# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl as people and programs run it: in a pipe, on a terminal of a given width, as another user. The bus, polkit and vipd are those of
tests/bus: this module is that lab and what belongs to vipctl."""

import fcntl
import importlib.util
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
STAND_IN = os.environ.get("VIPCTL_STAND_IN", os.path.join(TREE, "build/tests/ctl/stand-in"))
VIPCTL = os.environ.get("VIPCTL", os.path.join(TREE, "build/ctl/vipctl"))


def _load(path):
    spec = importlib.util.spec_from_file_location("bus_lab", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bus = _load(f"{TREE}/tests/bus/test-bus.py")
wait, equal, run, write, read = bus.wait, bus.equal, bus.run, bus.write, bus.read


def has(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def environment(**more):
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    env.update(more)
    return env


class Result:
    def __init__(self, code, out, err=""):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n{self.out}{self.err}"


def vipctl(*argv, user="root", env=None, timeout=60):
    """In pipes."""
    r = subprocess.run([*bus.as_user(user), VIPCTL, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                       timeout=timeout, env=environment(**(env or {})))
    return Result(r.returncode, r.stdout, r.stderr)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, columns=80, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                # before the program runs, and its first look at the width
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
                os.execvpe(argv[0], argv, environment(**(env or {})))
            finally:
                os._exit(127)
        self.text = ""
        self.code = None

    def take(self, seconds):
        """What came, after at most that long; None: it is over."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return ""
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if not data:
            return None
        text = data.decode(errors="replace").replace("\r\n", "\n")
        self.text += text
        return text

    def until(self, condition, what, timeout=60.0):
        deadline = time.monotonic() + timeout
        while not condition(self.text):
            if self.take(0.2) is None or time.monotonic() > deadline:
                raise AssertionError(f"not on the terminal: {what}; there is {self.text!r}")
        return self.text

    def send(self, text):
        os.write(self.fd, text.encode())

    def finish(self, timeout=60.0):
        deadline = time.monotonic() + timeout
        while self.take(0.2) is not None:
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"does not end: {self.text!r}")
        return self.reap()

    def reap(self):
        os.close(self.fd)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Result(self.code, self.text)

    def kill(self):
        os.kill(self.pid, 9)
        self.reap()


def on_terminal(*argv, columns=80, env=None, user="root"):
    return Terminal([*bus.as_user(user), VIPCTL, *argv], columns, env).finish()


class StandIn:
    """A service by the daemon's contract whose instance has what no vipd has at will: a check of any name, a conflict, a group; and a property that
    no vipctl knows, and one of another type than promised."""

    def __init__(self, conflict="", check="disk"):
        self.environment = dict(os.environ, CONFLICT=conflict, CHECK=check)

    def __enter__(self):
        bus.stop_vipd()
        self.process = subprocess.Popen([STAND_IN], env=self.environment)
        wait(lambda: bus.has_owner(bus.NAME), "the stand-in owns the name")

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        bus.start_vipd()
        wait(lambda: bus.properties(bus.WEB), "vipd is back")


class Stream:
    """A vipctl that goes on, in a pipe."""

    def __init__(self, *argv, name="stream", env=None):
        self.path = f"/run/{name}-{time.monotonic_ns()}"
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen([VIPCTL, *argv], stdout=out, stderr=subprocess.STDOUT, env=environment(**(env or {})))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(30)

    def lines(self):
        return [line for line in read(self.path).split("\n")[:-1] if line]


def main(namespace, script, programs=()):
    """Runs the functions test_... of a script in namespaces of their own and prints TAP; each begins with web and web2 master."""
    missing = [p for p in ("busctl", "dbus-daemon", "dbus-send", "ip", "nsenter", "setpriv", "unshare", *programs) if not shutil.which(p)]
    if os.geteuid() != 0 or missing or not os.path.exists(bus.POLKIT_SERVICE):
        print(f"1..0 # SKIP this test needs root, polkitd, and {' '.join(missing)}")
        return 77
    if "--inside" not in sys.argv:
        os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private",
                              sys.executable, "-B", os.path.abspath(script), "--inside", *sys.argv[1:]])
    only = [a for a in sys.argv[1:] if a != "--inside"]
    tests = [(n[5:].replace("_", " "), f) for n, f in namespace.items() if n.startswith("test_") and (not only or n in only)]
    print(f"1..{len(tests)}", flush=True)
    bus.furnish()
    bus.start_bus()
    bus.start_vipd()
    failed = 0
    for n, (name, test) in enumerate(tests, 1):
        begun = time.monotonic()
        try:
            bus.masters()
            test()
            result = "ok"
        except Exception:  # pylint: disable=broad-except
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="")
            result = "not ok"
            failed += 1
        print(f"{result} {n} - {name}\n# {time.monotonic() - begun:.2f} s", flush=True)
    return 1 if failed else 0
