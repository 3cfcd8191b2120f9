# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real vipd-checker over a real socketpair and a real memory file, in a network, mount and process namespace of its own that dies with the
test. A test file defines functions `test_...()` and ends with `room.main(globals())`; without arguments it runs all of them, with names only
those. Facts are awaited, never slept for.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../house"))
from facts import Skip, check, wait  # noqa: E402
CHECKER = os.environ.get("VIPD_CHECKER", os.path.join(HERE, "../../build/checker/vipd-checker"))
GOOD, BAD = 0, 1
NOBODY = 65534
TEXT_MAX = 240

tmp = None  # a directory of this test's own


def escape(text):
    return text.replace("\\", "\\\\").replace(";", "\\;").replace("\n", "\\n").replace("\t", "\\t").replace(" ", "\\s")


def value(v):
    if isinstance(v, bool):
        return str(v).lower()
    if isinstance(v, (list, tuple)):
        return "".join(escape(str(x)) + ";" for x in v)
    return str(v).replace("\\", "\\\\").replace("\n", "\\n")


def key_file(probes):
    return "".join(f"[{n}]\n" + "".join(f"{k}={value(v)}\n" for k, v in probe.items()) for n, probe in enumerate(probes))


def probe(kind, interval=60, timeout=20, **more):
    """Times in seconds. Unless a test says otherwise the interval is long, for one report alone, and the timeout as a busy machine needs it."""
    return {"Type": kind, "IntervalUSec": int(interval * 1e6), "TimeoutUSec": int(timeout * 1e6), **more}


def command(*argv, **more):
    return probe("command", Argv=[str(a) for a in argv], **more)


def shell(script, **more):
    return command("/bin/sh", "-c", script, **more)


def http(url, **more):
    return probe("http", URL=url, **more)


def tcp(address, **more):
    return probe("tcp", Address=address, **more)


class Report:
    def __init__(self, when, datagram):
        self.when = when
        check(8 <= len(datagram) <= 8 + TEXT_MAX, f"a report of {len(datagram)} bytes")
        self.number, self.outcome = struct.unpack("=II", datagram[:8])
        check(self.outcome in (GOOD, BAD), f"outcome {self.outcome}")
        self.text = datagram[8:].decode("utf-8")  # strict
        check(self.text.isprintable(), f"not one printable line: {self.text!r}")

    def __repr__(self):
        return f"{self.number} {'good' if self.outcome == GOOD else 'bad'} {self.text!r}"


class Checker:
    """One process. `wrapper`: words before its path, of programs that execute their arguments."""

    def __init__(self, probes, wrapper=(), env=None, text=None, ignore_sigchld=False):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memfd = os.memfd_create("probes")
        os.write(memfd, (key_file(probes) if text is None else text).encode())
        # out of the way of the numbers they are to have
        socket_fd, probes_fd = (os.dup2(fd, number) for fd, number in ((theirs.fileno(), 50), (memfd, 51)))
        theirs.close()
        os.close(memfd)
        self.stderr, stdin = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        stdin.write(b"not for commands\n")
        stdin.seek(0)
        environment = {"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",
                       "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1", **(env or {})}
        argv = [*wrapper, CHECKER]
        self.started = time.monotonic()
        if ignore_sigchld:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.pid = os.posix_spawnp(argv[0], argv, environment, setsigdef=[signal.SIGPIPE], file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin.fileno(), 0), (os.POSIX_SPAWN_DUP2, self.stderr.fileno(), 2),
            (os.POSIX_SPAWN_DUP2, socket_fd, 3), (os.POSIX_SPAWN_DUP2, probes_fd, 4),
            (os.POSIX_SPAWN_CLOSE, socket_fd), (os.POSIX_SPAWN_CLOSE, probes_fd)])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        stdin.close()
        os.close(socket_fd)
        os.close(probes_fd)
        self.status = None
        self.reports = []

    def report(self, timeout=60.0, number=None):
        """The next report, of this probe."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise AssertionError(f"no report within {timeout} s; there were {self.reports[-5:]}; {self.said()}")
            datagram = self.ours.recv(4096)
            if not datagram:
                raise AssertionError(f"vipd-checker is gone: {self.end()} {self.said()}")
            report = Report(time.monotonic(), datagram)
            self.reports.append(report)
            if number in (None, report.number):
                return report

    def said(self):
        return os.pread(self.stderr.fileno(), 10000, 0).decode(errors="replace")

    def end(self, timeout=30.0):
        """Awaits the end; its exit status, or minus a signal."""
        def ended():
            if self.status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
            return self.status is not None
        wait(ended, "the end of vipd-checker", timeout)
        return self.status

    def close(self):
        self.ours.close()
        try:
            status = self.end()
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        finally:
            said = self.said()
        check(status == 0, f"exit status {status}: {said}")
        check(not said, f"it should not say anything: {said}")


@contextlib.contextmanager
def checker(*probes, **more):
    c = Checker(probes, **more)
    try:
        yield c
    except BaseException:
        print("# " + c.said().replace("\n", "\n# "))
        with contextlib.suppress(ProcessLookupError):
            if c.status is None:
                os.kill(c.pid, signal.SIGKILL)
                os.waitpid(c.pid, 0)
        raise
    c.close()


def one(p, **more):
    """The first report of one probe."""
    with checker(p, **more) as c:
        return c.report()


def expect(report, outcome, text):
    """The text is what the report says, or part of it after a `...`."""
    same = text[3:] in report.text if text.startswith("...") else text == report.text
    check(report.outcome == outcome and same, f"{report}, not {'good' if outcome == GOOD else 'bad'} {text!r}")


def path(name, content=None, mode=0o644):
    """A file of this test's own."""
    p = os.path.join(tmp, name)
    if content is not None:
        with open(p, "w", encoding="utf-8") as f:
            f.write(content)
        os.chmod(p, mode)
    return p


def processes():
    """{pid: command line} of everybody in this room."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    found[int(entry)] = f.read().replace(b"\0", b" ").decode(errors="replace")
    return found


def running(mark):
    return [pid for pid, line in processes().items() if mark in line and pid != os.getpid()]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1])


def silent(connection):
    """Takes whatever comes and says nothing, until the other side hangs up."""
    while connection.recv(65536):
        pass


class Server:
    """Listens, and lets `serve(connection)` do as it likes with each connection, in a thread. Errors are the probe's business."""

    def __init__(self, serve, host="127.0.0.1", family=socket.AF_INET, wrap=None, address=None):
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address or (host, 0))
        self.socket.listen(64)
        self.serve, self.wrap = serve, wrap
        self.port = self.socket.getsockname()[1] if address is None else None
        self.n_connections = 0
        self.peers = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, peer = self.socket.accept()
            except OSError:
                return
            self.n_connections += 1
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.wrap:
                connection = self.wrap(connection)
            self.serve(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_request(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        more = connection.recv(65536)
        if not more:
            break
        request += more
    return request.decode(errors="replace")


def answer(body=b"", status="200 OK", headers=(), requests=None):
    """A server that answers every request with this, and notes the requests."""
    def serve(connection):
        request = read_request(connection)
        if requests is not None:
            requests.append(request)
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(head).encode() + (b"" if request.startswith("HEAD") else body))
    return serve


def enter():
    """Into namespaces of our own, as process 1."""
    if os.environ.get("VIPD_CHECKER_ROOM") == "1":
        return
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root, to make namespaces")
        sys.exit(77)
    os.environ["VIPD_CHECKER_ROOM"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", sys.executable, "-B",
                          *sys.argv])


def main(namespace):
    global tmp
    tests = {name[5:].replace("_", "-"): f for name, f in namespace.items() if name.startswith("test_")}
    names = sys.argv[1:] or list(tests)
    enter()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    failed = 0
    print(f"TAP version 13\n1..{len(names)}", flush=True)
    for number, name in enumerate(names, 1):
        with tempfile.TemporaryDirectory(prefix="vipd-checker-") as tmp:
            os.chmod(tmp, 0o755)
            started = time.monotonic()
            try:
                tests[name]()
                print(f"ok {number} - {name}", flush=True)
            except Skip as e:
                print(f"ok {number} - {name} # SKIP {e}", flush=True)
            except Exception:
                failed += 1
                print(f"not ok {number} - {name}\n# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
            print(f"# {time.monotonic() - started:.2f} s", flush=True)
    sys.exit(1 if failed else 0)
