# SPDX-License-Identifier: LGPL-2.1-or-later
"""The laboratory of the network tests: hosts as network namespaces on one bridge, everything inside a private mount, network and
process namespace that dies with the test, however the test ends.

    bridge br0 ─ vp-n1 ─ n1:eth0 192.0.2.1/24 2001:db8::1/64
               ─ vp-n2 ─ n2:eth0 192.0.2.2/24 2001:db8::2/64
               ─ vp-cl ─ cl:eth0 192.0.2.100/24 2001:db8::100/64

A test file defines functions `test_...(lab)` and ends with `lab.main()`. Run without arguments it runs all of them, with names
only those; `--list` names them. Each runs in a lab of its own. Facts are awaited, never slept for: `wait()`.
"""

import contextlib
import ctypes
import fcntl
import inspect
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import types

import carp

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../house"))
from facts import Skip, check, wait  # noqa: E402
BUILD = os.environ.get("VIPD_BUILD", os.path.join(HERE, "../../build"))
VIPD = os.environ.get("VIPD", os.path.join(BUILD, "vipd"))
VIPD_CHECKER = os.environ.get("VIPD_CHECKER", os.path.join(BUILD, "checker/vipd-checker"))
VIPD_UCARP = os.environ.get("VIPD_UCARP", os.path.join(BUILD, "vipd-ucarp"))
FLOOD = os.environ.get("VIPD_TEST_FLOOD", os.path.join(BUILD, "tests/net/net-flood"))
OBSERVE = os.environ.get("VIPD_TEST_OBSERVE", os.path.join(BUILD, "tests/net/net-observe"))
PROBE = os.environ.get("VIPD_TEST_PROBE", os.path.join(BUILD, "tests/net/net-probe"))

UID = 65534  # the daemon runs as nobody, with two capabilities, as its unit runs it
ROOM = "/run/lab"
VIP = "192.0.2.50"
VIP6 = "2001:db8::50"
KEY = "correct horse"

# who preempts holds before the other hears of it: how long a busy machine may leave both with the address
PREEMPTION_USEC = 500_000

CLONE_NEWNET = 0x40000000
IFF_UP = 1
libc = ctypes.CDLL(None, use_errno=True)

now = carp.boottime_usec


def hold(condition, what, seconds):
    """The opposite: condition() must stay true for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"did not last {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.01)


def settle(condition, what, seconds, timeout):
    """condition() must become true for so long, and not later than after `timeout` seconds; until then it may come and go."""
    deadline, since = time.monotonic() + timeout, None
    while since is None or time.monotonic() - since < seconds:
        since = (since or time.monotonic()) if condition() else None
        assert since or time.monotonic() < deadline, f"not for good within {timeout} s: {what() if callable(what) else what}"
        time.sleep(0.01)


def run(*argv, fail=True, **more):
    result = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **more)
    if fail and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: {result.returncode}: {result.stdout}{result.stderr}")
    return result


class Process:
    """A daemon under test: its lines with the time they came, and its end."""

    def __init__(self, lab, label, argv, log_pattern=None, env=None):
        self.lab, self.label = lab, label
        self.lines = []  # (time, text)
        self.pattern = log_pattern
        environment = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "RUNTIME_DIRECTORY",
                                                                          "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")}
        environment.update(env or {})
        environment.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_leaks=1")
        environment.setdefault("UBSAN_OPTIONS", "halt_on_error=1:exitcode=99:print_stacktrace=1")
        self.began = now()
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      env=environment, cwd="/", start_new_session=True)
        self.readable = threading.Event()
        self.readable.set()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.may_fail = False
        lab.processes.append(self)

    def _read(self):
        for raw in self.popen.stdout:
            self._hear(now(), raw.decode(errors="replace").rstrip("\n"))
            self.readable.wait()

    def _hear(self, t, text):
        self.lines.append((t, text))

    def pause(self, on=True):
        """Lets the daemon's lines lie in the pipe."""
        self.readable.clear() if on else self.readable.set()

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.may_fail = True
        self.popen.kill()
        self.popen.wait()

    def end(self, timeout=30.0):
        """Awaits the end; returns the exit status."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.label} did not end within {timeout} s") from None
        self.reader.join(1)
        self.may_fail = True
        return status

    def stop(self, timeout=30.0):
        """SIGTERM, and a clean end."""
        self.signal(signal.SIGTERM)
        status = self.end(timeout)
        check(status == 0, f"{self.label} ended with {status}:\n{self.text()}")

    def text(self):
        return "\n".join(text for _, text in self.lines)

    def grep(self, pattern, since=0):
        return [text for t, text in self.lines if t >= since and re.search(pattern, text)]

    def wait_line(self, pattern, timeout=10.0, since=0):
        return wait(lambda: self.grep(pattern, since), f"{self.label} says /{pattern}/", timeout)[0]


class Vipd(Process):
    """A running vipd, and what its log says about its instances."""

    LINE = re.compile(r"\b(?P<name>[\w.-]+): (?P<from>init|backup|master) -> (?P<to>init|backup|master) \((?P<reason>[\w-]+)")

    def __init__(self, host, argv, directories, env=None):
        # by instance; known when a line comes, as who looks for one all the time would be the one that the machine is busy with
        self.moves = {}
        super().__init__(host.lab, f"vipd on {host.name}", argv, env=env)
        self.host = host
        self.directories = directories

    def _hear(self, t, text):
        super()._hear(t, text)
        m = self.LINE.search(text)
        if m:
            self.moves.setdefault(m["name"], []).append(types.SimpleNamespace(t=t, old=m["from"], new=m["to"], reason=m["reason"]))

    def transitions(self, name="web", since=0):
        return [m for m in list(self.moves.get(name, ())) if m.t >= since]

    def state(self, name="web"):
        found = self.transitions(name)
        return found[-1].new if found else "init"

    def reason(self, name="web"):
        found = self.transitions(name)
        return found[-1].reason if found else None

    def wait_state(self, state, name="web", timeout=10.0):
        wait(lambda: self.state(name) == state or not self.running(), f"{self.label}: {name} is {state}", timeout)
        check(self.running(), f"{self.label} ended early:\n{self.text()}")

    def wait_bow_out(self, name="web"):
        """Master as the other one left, however long a busy machine takes for that, and not as it was silent."""
        self.wait_state("master", name)
        check(self.reason(name) == "bow-out", self.text())

    def write(self, files):
        self.host.write_config(self.directories["config"], files)

    def reload(self):
        self.signal(signal.SIGHUP)


def link_flags(sock, name):
    """Of an interface in the namespace of the socket."""
    SIOCGIFFLAGS = 0x8913
    return struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0)))[1]


class Host:
    """One network namespace with eth0 on the bridge."""

    def __init__(self, lab, name, number):
        self.lab, self.name, self.number = lab, name, number
        self.address = f"192.0.2.{number}"
        self.address6 = f"2001:db8::{number}"
        self.port = f"vp-{name}"
        self.room = f"{ROOM}/{name}"
        os.makedirs(self.room, mode=0o755)
        run("ip", "netns", "add", name)
        run("ip", "netns", "set", name, number)
        # or the link-local address is tentative for a second
        self.sysctl("ipv6/conf/default/accept_dad", 0)
        self.plug()

    def plug(self, configure=True):
        """Creates eth0 (again)."""
        run("ip", "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", self.port, "master", "br0", "up")
        self.ip("link", "set", "lo", "up")
        if configure:
            self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
            self.ip("addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")
        self.ip("link", "set", "eth0", "up")

    def ip(self, *argv, fail=True):
        return run("ip", "-n", self.name, *argv, fail=fail).stdout

    def inside(self, *argv):
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *map(str, argv)]

    def run(self, *argv, **more):
        return run(*self.inside(*argv), **more)

    @contextlib.contextmanager
    def namespace(self):
        """This thread inside the host: for the sockets that it opens there."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            check(libc.setns(there.fileno(), CLONE_NEWNET) == 0, "setns")
            try:
                yield
            finally:
                check(libc.setns(home.fileno(), CLONE_NEWNET) == 0, "setns back")

    def socket(self, *args):
        with self.namespace():
            return socket.socket(*args)

    def packet_socket(self, protocol=carp.ETH_P_ALL):
        with self.namespace():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_PACKET if hasattr(socket, "SOL_PACKET") else 263, carp.PACKET_IGNORE_OUTGOING, 1)
            sock.bind(("eth0", protocol))
            return sock

    def mac(self):
        return json.loads(self.ip("-j", "link", "show", "dev", "eth0"))[0]["address"]

    def sysctl(self, path, value):
        with self.namespace(), open(f"/proc/sys/net/{path}", "w") as f:
            f.write(str(value))

    def addresses(self, interface="eth0"):
        """What the kernel says now: {address/prefix: its JSON}."""
        output = self.ip("-j", "addr", "show", "dev", interface, fail=False)
        found = json.loads(output or "[]")
        return {f"{a['local']}/{a['prefixlen']}": a for link in found for a in link.get("addr_info", [])}

    def holds(self, address=VIP):
        return any(key.split("/")[0] == address for key in self.addresses())

    # what happens to hosts

    def link(self, state, interface="eth0"):
        self.ip("link", "set", interface, state)

    def carrier(self, on, port=None):
        """The cable, by ioctl: sooner done than a process is started. port: the switch's side of another cable than eth0's."""
        SIOCSIFFLAGS = 0x8914
        port = port or self.port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            flags = link_flags(sock, port)
            flags = flags | IFF_UP if on else flags & ~IFF_UP
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", port.encode(), flags))

    def cut(self, on=True):
        """A silent cut: the host sees no carrier change."""
        run("bridge", "link", "set", "dev", self.port, "state", 0 if on else 3)

    def isolate(self, on=True):
        """From other isolated hosts; the client sees all."""
        run("bridge", "link", "set", "dev", self.port, "isolated", "on" if on else "off")

    # what runs on hosts

    def key_file(self, key=KEY, name="key"):
        path = f"{self.room}/{name}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(key + "\n")
        os.chown(path, UID, UID)
        return path

    def write_config(self, directory, files):
        """files: {name: text}; None removes. @KEYFILE@ stands for the host's passphrase file."""
        for name, text in files.items():
            path = f"{directory}/{name}" if "." in name else f"{directory}/{name}.vip"
            if text is None:
                os.unlink(path)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text.replace("@KEYFILE@", f"{self.room}/key"))

    def vipd_command(self, binary="vipd", prefix=()):
        """The daemon as its unit starts it: another user, two capabilities, no way to more."""
        capabilities = "+net_admin,+net_raw"
        return self.inside(*prefix, "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", f"--inh-caps=-all,{capabilities}",
                           f"--ambient-caps=-all,{capabilities}", f"--bounding-set=-all,{capabilities}", "--no-new-privs",
                           self.lab.program(binary))

    def vipd(self, files=None, *options, bus="none", env=None, key=KEY, prefix=(), **keys):
        """Starts vipd. files: {name: text}, or None for one instance `web` of instance(**keys); prefix: of its command line."""
        directories = {kind: f"{self.room}/{kind}" for kind in ("config", "runtime", "state")}
        for kind, path in directories.items():
            os.makedirs(path, exist_ok=True)
            if kind != "config":
                os.chown(path, UID, UID)
        self.key_file(key)
        self.write_config(directories["config"], files if files is not None else {"web": instance(**keys)})
        argv = self.vipd_command(prefix=prefix) + [f"--{kind}-dir={path}" for kind, path in directories.items()]
        env = {"VIPD_CHECKER": self.lab.program("vipd-checker"), **(env or {})}
        return Vipd(self, argv + [f"--bus={bus}", *options], directories, env)

    def ucarp_command(self, program="ucarp", address=VIP, vhid=7, advbase=1, advskew=0, key=KEY, options=(), interface="eth0", source=None):
        for name, verb in (("up", "add"), ("down", "del")):
            self.script(f"ucarp-{name}", f'exec ip addr {verb} "$2/32" dev "$1"')
        return [program, "-i", interface, "-s", source or self.address, "-v", str(vhid), "-p", key, "-a", address, "-b", str(advbase), "-k",
                str(advskew), "-u", f"{self.room}/ucarp-up", "-d", f"{self.room}/ucarp-down", "-f", "none", *options]

    def ucarp(self, **keys):
        """Starts the real ucarp; -z, so that it drops its address at the end."""
        keys.setdefault("options", ("-z",))
        process = Process(self.lab, f"ucarp on {self.name}", self.inside(*self.ucarp_command(ucarp_path(), **keys)))
        process.may_fail = True
        return process

    def script(self, name, body):
        path = f"{self.room}/{name}"
        # somebody may be running the one that it replaces
        with open(f"{path}.new", "w") as f:
            f.write(f"#!/bin/sh\n{body}\n")
        os.chmod(f"{path}.new", 0o755)
        os.rename(f"{path}.new", path)
        return path

    def bsd_peer(self, addresses=(VIP,), vhid=7, advbase=1, advskew=0):
        peer = carp.BsdPeer(self.packet_socket(), self.mac(), self.address, KEY, vhid, addresses, advbase, advskew)
        peer.start()
        return peer

    def probe(self, address=VIP, interval_us=200, seconds=120):
        argv = self.inside(PROBE, f"--interval-us={interval_us}", f"--seconds={seconds}", address)
        return Probe(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/"))

    def ping(self, address=VIP, timeout=1):
        return self.run("ping", "-n", "-q", "-c1", f"-W{timeout}", address, fail=False).returncode == 0

    def neighbour(self, address):
        """The MAC in the cache of this host, or None."""
        found = json.loads(self.ip("-j", "neigh", "show", "to", address) or "[]")
        return found[0].get("lladdr") if found else None

    def bus(self):
        """A private message bus of this host, everything allowed; returns its address."""
        path = f"{self.room}/bus"
        config = f"{self.room}/bus.conf"
        with open(config, "w") as f:
            f.write(f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>""")
        process = Process(self.lab, f"dbus-daemon of {self.name}",
                          self.inside("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog"))
        process.may_fail = True
        wait(lambda: os.path.exists(path), "bus socket")
        os.chmod(path, 0o666)
        return f"unix:path={path}"


def bus_call(address, name, member, *arguments, interface="org.vipd1.Instance"):
    """A method of instance `name` by busctl; returns the finished process."""
    return run("busctl", "--json=short", f"--address={address}", "call", "org.vipd1", f"/org/vipd1/instance/{name}", interface,
               member, *arguments, fail=False)


def statistics(address, name="web"):
    result = bus_call(address, name, "GetStatistics")
    return json.loads(result.stdout)["data"][0] if result.returncode == 0 else {}


def rejected(counters):
    return {k[len("rejected-"):]: v for k, v in counters.items() if k.startswith("rejected-")}


def delta(before, after):
    return {k: after[k] - before[k] for k in after if after[k] != before.get(k, 0)}


def record(host, n):
    """n of the host's adverts as they were on the wire, as another host hears them."""
    sock = host.packet_socket()
    sock.settimeout(10)
    found = []
    while len(found) < n:
        data = sock.recv(2048)
        if data[12:14] == b"\x08\x00" and data[23] == 112:
            found.append(data)
    return found


class Probe:
    """A running probe; finish() ends it and returns its report."""

    def __init__(self, popen):
        self.popen = popen

    def finish(self):
        self.popen.send_signal(signal.SIGTERM)
        output, _ = self.popen.communicate(timeout=30)
        check(self.popen.returncode == 0, f"probe ended with {self.popen.returncode}")
        return json.loads(output, object_hook=lambda d: types.SimpleNamespace(**d))


class Observer:
    """The witness: see observe.c. Its address events are in the kernel's order across all hosts."""

    def __init__(self):
        self.events = []
        self.n_marks = 0
        self.popen = subprocess.Popen([OBSERVE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/")
        threading.Thread(target=self._read, daemon=True).start()
        wait(lambda: self.events, "observer")

    def _read(self):
        for line in self.popen.stdout:
            self.events.append(json.loads(line, object_hook=lambda d: types.SimpleNamespace(**d)))

    def sync(self):
        """After this, everything that happened before is in events."""
        check(self.popen.poll() is None, "the observer died")
        self.n_marks += 1
        mark = f"198.51.100.{self.n_marks}"
        run("ip", "addr", "add", f"{mark}/32", "dev", "lo")
        wait(lambda: any(e.kind == "address" and e.address == mark for e in reversed(self.events[-2000:])), "observer in step")

    def of(self, kind, since=0, **match):
        return [e for e in list(self.events)
                if e.kind == kind and e.t >= since and all(getattr(e, k, None) == v for k, v in match.items())]

    def carp(self, host=None, since=0, **match):
        return self.of("carp", since, **({"port": host.name} if host else {}), **match)

    def changes(self, address, since=0):
        """Each time a host got or lost the address: (time, host number, present). Renewals are left out."""
        held, found = set(), []
        for e in list(self.events):
            if e.kind != "address" or e.address != address or e.nsid < 0:
                continue
            key = (e.nsid, e.ifindex, e.prefix)
            before = any(k[0] == e.nsid for k in held)
            held.add(key) if e.present else held.discard(key)
            after = any(k[0] == e.nsid for k in held)
            if before != after and e.t >= since:
                found.append((e.t, e.nsid, after))
        return found

    def holders(self, address):
        holders = set()
        for _, nsid, present in self.changes(address):
            holders.add(nsid) if present else holders.discard(nsid)
        return holders

    def intervals(self, address, until=None):
        """Stretches of time with their holders: [(start, end, frozenset)]."""
        found, holders, start = [], frozenset(), 0
        for t, nsid, present in self.changes(address):
            found.append((start, t, holders))
            holders, start = (holders | {nsid} if present else holders - {nsid}), t
        found.append((start, until or now(), holders))
        return found

    def check_never_two(self, address=VIP, allowed_usec=0):
        """No instant with two holders; with allowed_usec, none that lasts longer."""
        self.sync()
        for start, end, holders in self.intervals(address):
            check(len(holders) < 2 or (allowed_usec and end - start <= allowed_usec),
                  f"{address} held by {sorted(holders)} at once for {end - start} us")

    def longest_vacancy(self, address, since, until=None):
        self.sync()
        return max([end - max(start, since) for start, end, holders in self.intervals(address, until)
                    if not holders and end > since], default=0)


class Lab:
    """See the top of this file."""

    def __init__(self):
        self.processes = []
        self.hosts = {}
        os.umask(0o022)
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", "/run")
        for path in ("/run/netns", f"{ROOM}/bin"):
            os.makedirs(path)
        run("ip", "link", "set", "lo", "up")
        # the switch itself has no address and says nothing
        with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as f:
            f.write("1")
        run("ip", "link", "add", "br0", "type", "bridge", "stp_state", 0, "forward_delay", 0, "mcast_snooping", 0)
        # where br_netfilter is loaded, it would judge what only the hosts should judge
        for family in ("ip", "ip6", "arp"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables", "w") as f:
                f.write("0")
        run("ip", "link", "set", "br0", "up")
        self.observer = Observer()

    def host(self, name, number):
        self.hosts[name] = Host(self, name, number)
        return self.hosts[name]

    def nodes(self, n):
        return [self.host(f"n{k}", k) for k in range(1, n + 1)]

    def client(self):
        return self.host("cl", 100)

    def program(self, name):
        """A copy that every user may reach, wherever the build lies."""
        path = f"{ROOM}/bin/{name}"
        if not os.path.exists(path):
            source = {"vipd": VIPD, "vipd-ucarp": VIPD_UCARP, "vipd-checker": VIPD_CHECKER}[name]
            run("install", "-m", "0755", source, path)
        return path

    def injector(self, host):
        """A packet socket at the switch's side of the host's cable: what is sent there arrives, whatever it is."""
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind((host.port, 0))
        return sock

    def flood(self, frames, *hosts, rate=100_000, seconds=3):
        """Frames as an injector's, so many a second to each of these hosts: see flood.c. Returns the process; flooded() awaits its end."""
        argv = [FLOOD, f"--rate={rate}", f"--seconds={seconds}", *(host.port for host in hosts)]
        popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        popen.stdin.write("".join(frame.hex() + "\n" for frame in frames))
        popen.stdin.close()
        return popen

    def filter(self, rules):
        """nft rules of the bridge's forward hook, e.g. 'iifname "vp-n1" ip protocol 112 drop'; '' lets all pass again."""
        text = "table bridge lab\ndelete table bridge lab\n"
        if rules:
            text += "table bridge lab { chain f { type filter hook forward priority 0; policy accept;\n" + rules + "\n}\n}\n"
        run("nft", "-f", "-", input=text)

    def finish(self):
        """Every vipd still running must end cleanly: a sanitizer speaks at the end."""
        for p in self.processes:
            if p.running():
                p.signal(signal.SIGCONT)
                p.signal(signal.SIGTERM)
        for p in self.processes:
            if not p.may_fail:
                status = p.end()
                check(status == 0, f"{p.label} ended with {status}:\n{p.text()}")

    def story(self):
        """What happened, for whoever reads a failure."""
        events = [(e.t, json.dumps(vars(e))) for e in self.observer.events[-300:] if e.kind != "link"]
        for p in self.processes:
            events += [(t, f"{p.label}: {text}") for t, text in p.lines[-200:]]
        return "\n".join(f"{t / 1e6:.6f} {text}" for t, text in sorted(events))


def instance(addresses=(VIP,), vhid=7, advbase=1, advskew=0, interface="eth0", **more):
    """The text of a .vip file. Further keys by name: VIP_Lease="1s", CARP_Preempt="yes", Announce_Count=3, ..."""
    sections = {
        "VIP": {"Address": " ".join(addresses), "Interface": interface},
        "CARP": {"VHID": vhid, "AdvBase": advbase, "AdvSkew": advskew, "PassphraseFile": "@KEYFILE@"},
    }
    for name, value in more.items():
        section, _, option = name.partition("_")
        sections.setdefault(section, {})[option] = value
    return "".join(f"[{s}]\n" + "".join(f"{k}={v}\n" for k, v in options.items()) + "\n" for s, options in sections.items())


def elect(first, second, second_advskew=100, first_bus="none", **keys):
    """Two vipd: the first starts alone and is master; the second has listened for its start delay, so it may follow."""
    a = first.vipd(bus=first_bus, **keys)
    a.wait_state("master")
    b = second.vipd(**{**keys, "advskew": second_advskew})
    b.wait_state("backup")
    began = b.transitions()[0].t
    wait(lambda: now() > began + dead_usec(keys.get("advbase", 1), second_advskew), "the start delay")
    return a, b


def dead_usec(advbase, advskew):
    return 3_000_000 * advbase + advskew * 1_000_000 // 256 if advbase else 3_000_000 * max(advskew, 1) // 256


def ucarp_path():
    for path in ("/usr/sbin/ucarp", "/usr/local/sbin/ucarp"):
        if os.path.exists(path):
            return path
    raise Skip("ucarp is not installed")


def flooded(popen):
    """How many frames have left when the flood is over."""
    report = json.loads(popen.stdout.read())
    check(popen.wait() == 0, "the flood ended in an error")
    return report["sent"]


def median(values):
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def cases(namespace):
    return {name[5:].replace("_", "-"): f for name, f in namespace.items() if name.startswith("test_") and inspect.isfunction(f)}


def run_inside(function, make_lab=Lab):
    """In the private namespaces, as their process 1's child: one test."""
    lab = None
    try:
        lab = make_lab()
        function(lab)
        lab.finish()
    except Skip as reason:
        print(f"skipped: {reason}")
        return 77
    except BaseException:
        if lab:
            print(lab.story(), file=sys.stderr)
        # last, as whoever prints it may keep the end only
        traceback.print_exc()
        return 1
    return 0


def enter(script, name):
    """Becomes the lab: it dies with us, and with whoever started us."""
    argv = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
            "--mount-proc", "--propagation", "private", "/usr/bin/python3", script, "--inside", name]
    return argv


def main(make_lab=Lab):
    module = sys.modules["__main__"]
    script = os.path.abspath(module.__file__)
    found = cases(vars(module))
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        print("\n".join(found))
        return
    if arguments[:1] == ["--inside"]:
        # process 1 of a namespace ignores signals without a handler
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(1))
        status = run_inside(found[arguments[1]], make_lab)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    if os.geteuid() != 0:
        print("skipped: network namespaces with several users need root")
        sys.exit(77)
    if len(arguments) == 1:
        argv = enter(script, arguments[0])
        os.execvp(argv[0], argv)
    worst = 0
    for name in arguments or found:
        began = time.monotonic()
        status = subprocess.run(enter(script, name)).returncode
        word = {0: "ok", 77: "skipped"}.get(status, "FAILED")
        print(f"{word:8} {time.monotonic() - began:5.1f} s  {name}", flush=True)
        worst = max(worst, 0 if status in (0, 77) else 1)
    sys.exit(worst)
