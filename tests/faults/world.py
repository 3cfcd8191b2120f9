# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small world for the faults: 2 to 5 hosts of tests/net/lab.py on one or two segments that behave as badly as they are told, each with a vipd whose
system calls fail on demand, and an eye on what must hold whatever happens.

What happens to a world is decided by kinds.py; when, and how often, by `faults`. This file knows how to look:

- A host whose vipd is not master, is frozen or is dead does not hold an address: at once, or where vipd cannot act, by the lease.
- Who hears each other are not two holders for longer than a lease lives.
- A vipd ends only where a fault may end it, and never by a signal of its own making, but for memory that it did not get.
- Afterwards exactly one host is master, of both elections where there are two, and alone holds the addresses; nothing else is left on any host: no
  address, route, link, process or descriptor, and of a virtual MAC what a backup has: its device, down, and the settings of the interface.
- In a soak, the vipd that nothing ended does not grow.
"""

import contextlib
import dataclasses
import glob
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../net"))
import lab as L  # noqa: E402
from lab import check, now, run, wait  # noqa: E402

BUILD = L.BUILD
INJECT = os.environ.get("VIPD_TEST_INJECT", os.path.join(BUILD, "tests/faults/faults-inject"))
SEGMENT = os.environ.get("VIPD_TEST_SEGMENT", os.path.join(BUILD, "tests/faults/faults-segment"))
CLOCKS = os.environ.get("VIPD_TEST_CLOCKS", os.path.join(BUILD, "tests/net/clocks.so"))
JOURNALD = "/lib/systemd/systemd-journald"
JOURNAL = "/run/systemd/journal/socket"
GROUPS = "/sys/fs/cgroup"

# How long a vipd that can act may take, on such a machine, for what it does at once; less than the shortest lease, which would hide that it does not.
PROMPT_USEC = 700_000
CONVERGE_SECONDS = 20.0
N_CALLS = 512
N_PORTS = 8


class Violation(AssertionError):
    """Something that must hold did not."""


@dataclasses.dataclass
class Shape:
    """What a world is like."""
    n_hosts: int = 2
    journal: bool = False
    bus: bool = False
    strict: bool = False
    families: tuple = (4, 6)
    preempt: bool = False
    helpers: bool = False
    virtual: bool = False  # MACAddress=virtual
    group: bool = False    # a second interface with an election of its own, in a sync group with the first
    slow: bool = False     # AdvBase=1

    @classmethod
    def draw(cls, rng):
        def coin():
            return rng.random() < 0.5
        return cls(rng.randint(2, 5), journal=coin(), bus=coin(), strict=coin(), families=rng.choice([(4,), (4, 6), (4, 6), (6,)]), preempt=coin(),
                   helpers=coin(), virtual=coin(), group=rng.random() < 0.4, slow=rng.random() < 0.12)

    def __str__(self):
        words = [f"{self.n_hosts} hosts", *(f"IPv{f}" for f in self.families)]
        return ", ".join(words + [f.name for f in dataclasses.fields(self) if getattr(self, f.name) is True])

    def lease_usec(self):
        """The lease lives one second, or two; the kernel ends it up to one later, and the rest is a machine with other things to do."""
        return 4_500_000 if self.slow else 3_500_000


class Election:
    """What each host has an instance of: `web` on eth0, and where there is a group `out` on eth1."""

    NAMES = ("web", "out")
    NETWORKS = (("192.0.2", "2001:db8:"), ("203.0.113", "2001:db8:1:"))

    def __init__(self, k, shape):
        self.name, self.interface = self.NAMES[k], f"eth{k}"
        self.vhid = 7 + k
        self.addresses = [f"{network}{':' if family == 6 else '.'}50" for family, network in zip((4, 6), self.NETWORKS[k]) if family in shape.families]
        # where they are
        self.device = f"vip-{self.name}" if shape.virtual else self.interface

    def names_vip(self, text):
        return any(a in text or (":" in a and socket.inet_pton(socket.AF_INET6, a).hex() in text) for a in self.addresses)


class Table:
    """A file in memory that a program of ours reads while it runs."""

    def __init__(self, path, n_words):
        with open(path, "wb") as f:
            f.truncate(4 * n_words)
        self.path = path
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 4 * n_words)

    def put(self, word, *values):
        struct.pack_into(f"<{len(values)}I", self.memory, 4 * word, *values)

    def get(self, word):
        return struct.unpack_from("<I", self.memory, 4 * word)[0]


class Segment:
    """See segment.c."""

    FIELDS = {"lost": 0, "doubled": 1, "spoiled": 2, "delayed": 3, "delay_usec": 4}

    def __init__(self, hosts, k):
        self.names = [h.name for h in hosts]
        self.table = Table(f"/run/segment{k}", N_PORTS * N_PORTS * len(self.FIELDS))
        self.popen = subprocess.Popen([SEGMENT, self.table.path, *[h.sides[k].port for h in hosts]], stdin=subprocess.DEVNULL, cwd="/")

    def way(self, source, target, **fields):
        """From one host to another, of a thousand frames."""
        cell = (self.names.index(source.name) * N_PORTS + self.names.index(target.name)) * len(self.FIELDS)
        for name, value in fields.items():
            self.table.put(cell + self.FIELDS[name], value)

class Side:
    """One cable of a host, to a segment instead of the lab's bridge."""

    carrier = L.Host.carrier

    def __init__(self, host, k):
        self.host = host
        self.interface, self.port = f"eth{k}", f"v{'pq'[k]}-{host.name}"
        network4, network6 = Election.NETWORKS[k]
        self.address, self.address6 = f"{network4}.{host.number}", f"{network6}:{host.number}"

    def plug(self):
        """Creates the interface (again)."""
        run("ip", "link", "add", self.port, "type", "veth", "peer", "name", self.interface, "netns", self.host.name)
        run("ip", "link", "set", self.port, "up")
        self.configure()
        self.set("up")

    def unplug(self):
        self.host.ip("link", "del", self.interface)

    def set(self, *what):
        self.host.ip("link", "set", self.interface, *what)

    def configure(self):
        """As whoever configures the network does, once the link is up again too."""
        self.host.ip("addr", "replace", f"{self.address}/24", "dev", self.interface)
        self.host.ip("addr", "replace", f"{self.address6}/64", "dev", self.interface, "nodad")


class Host(L.Host):
    """A host with so many sides."""

    def __init__(self, lab, name, number, n_sides):
        self.n_sides, self.sides = n_sides, []
        super().__init__(lab, name, number)

    def plug(self, configure=True):
        self.ip("link", "set", "lo", "up")
        self.sides = [Side(self, k) for k in range(self.n_sides)]
        for side in self.sides:
            side.plug()


class Journal:
    """The real journald, of all hosts: it hands on what it takes at once, as to a syslogd, and so each line reaches the vipd that wrote it."""

    CONFIG = """[Journal]
Storage=volatile
RuntimeMaxUse=8M
RateLimitIntervalSec=0
ForwardToSyslog=yes
ForwardToWall=no
MaxLevelSyslog=debug
ReadKMsg=no
Audit=no
"""

    def __init__(self, world):
        self.world = world
        for path in (os.path.dirname(JOURNAL), "/run/systemd/journald.conf.d"):
            os.makedirs(path, exist_ok=True)
        with open("/run/systemd/journald.conf.d/faults.conf", "w") as f:
            f.write(self.CONFIG)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(f"{os.path.dirname(JOURNAL)}/syslog")
        self.process = None
        self.start()
        threading.Thread(target=self._read, daemon=True).start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(JOURNAL)
        self.process = L.Process(self.world.lab, "journald", [JOURNALD])
        self.process.may_fail = True
        wait(lambda: os.path.exists(JOURNAL) or not self.process.running(), "journald's socket")
        check(self.process.running(), f"journald: {self.process.text()}")
        # on a busy machine what it hands on would be news of long ago
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{self.process.pid}/autogroup", "w") as f:
            f.write("-20")
        os.setpriority(os.PRIO_PROCESS, self.process.pid, -20)

    def _read(self):
        while True:
            data, control, _, _ = self.socket.recvmsg(65536, 256)
            pid = next((struct.unpack("iII", c[2])[0] for c in control if c[1] == socket.SCM_CREDENTIALS), 0)
            for node in self.world.nodes:
                if node.vipd and node.vipd.pid == pid:
                    node.vipd.take(data.decode(errors="replace"))


class Daemon(L.Process):
    """A vipd, and its state by what it says, line by line."""

    CHANGE = re.compile(r"\b(web|out): (?:init|backup|master) -> (init|backup|master) \(")
    TOLD = re.compile(r"\b(web|out): (init|backup|master) on ")

    def __init__(self, node, argv, env):
        names = [e.name for e in node.world.elections]
        self.states = dict.fromkeys(names, "init")
        self.told_usec = dict.fromkeys(names, 0)
        super().__init__(node.world.lab, f"vipd on {node.host.name}", argv, env=env)

    def take(self, text):
        t = now()
        self.lines.append((t, text))
        if len(self.lines) > 2000:
            del self.lines[:1000]
        change = self.CHANGE.search(text)
        told = self.TOLD.search(text)
        if told:
            self.told_usec[told[1]] = t
        if change or told:
            name, state = (change or told).groups()
            self.states[name] = state

    def told(self, since):
        return min(self.told_usec.values()) > since

    def is_master(self):
        return set(self.states.values()) == {"master"}

    def _read(self):
        for raw in self.popen.stdout:
            self.readable.wait()
            self.take(raw.decode(errors="replace").rstrip("\n"))


def own_group(controller, name):
    """A control group of ours, by version 1 or 2."""
    for path in (f"{GROUPS}/{controller}", f"{GROUPS}/unified", GROUPS):
        group = f"{path}/{name}"
        file = {"freezer": ("freezer.state", "cgroup.freeze"), "memory": ("memory.limit_in_bytes", "memory.max")}[controller]
        try:
            os.makedirs(group, exist_ok=True)
        except OSError:
            continue
        if any(os.path.exists(f"{group}/{f}") for f in file):
            return group
        with contextlib.suppress(OSError):
            os.rmdir(group)
    raise AssertionError(f"no control group with a {controller} controller can be made below {GROUPS}")


def write_first(group, files, text):
    for name in files:
        if os.path.exists(f"{group}/{name}"):
            with open(f"{group}/{name}", "w") as f:
                f.write(text)
            return
    raise FileNotFoundError(f"{group}: none of {files}")


class Node:
    """A host and its vipd."""

    def __init__(self, world, host, advskew):
        self.world, self.host = world, host
        self.advskew = advskew
        self.vipd = None
        self.frozen = False    # by us, now
        self.trusted = True    # what it says reaches us
        self.may_end = False   # by what we do to it
        self.obeyed = True     # its system calls do what they say
        # the device of its virtual MAC listens to routers: it could not be told not to when it was made, of which vipd warns
        self.may_hear_routers = False
        self.table = None
        self.bus = None
        self.offence_usec = {}  # election -> since when
        self.lowest_fds = None
        self.n_ends = 0
        self.moved_usec = 0
        for kind in ("runtime", "state"):
            path = f"{host.room}/{kind}"
            os.makedirs(path)
            run("mount", "-t", "tmpfs", "-o", f"size=64k,mode=0755,uid={L.UID},gid={L.UID}", "none", path)
        self.clock = f"{host.room}/clock"
        self.step_clock(0)

    @property
    def name(self):
        return self.host.name

    def step_clock(self, seconds):
        with open(self.clock, "w") as f:
            f.write(str(seconds))

    def configure(self, **more):
        """Writes its instances, with more keys than they have."""
        keys = {"advbase": int(self.world.shape.slow), "advskew": self.advskew, "Announce_Count": 2, **self.world.keys, **more}
        self.host.write_config(f"{self.host.room}/config", {
            e.name: L.instance(addresses=e.addresses, vhid=e.vhid, interface=e.interface, **keys) for e in self.world.elections})

    def reload(self, **more):
        self.configure(**more)
        self.vipd.signal(signal.SIGHUP)

    def start(self, failing=None):
        """failing: a call, its error and how often of a thousand, from the first on."""
        w, host = self.world, self.host
        host.key_file()
        self.configure()
        self.table = Table(f"{host.room}/calls", 4 * N_CALLS)
        argv = [INJECT, self.table.path]
        if w.journald:
            argv += ["sh", "-c", 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) && export JOURNAL_STREAM && exec "$0" "$@"']
        argv += host.vipd_command() + [f"--{kind}-dir={host.room}/{kind}" for kind in ("config", "runtime", "state")]
        argv += [f"--bus={self.bus or 'none'}"]
        preload = f"{L.ROOM}/bin/clocks.so"
        env = {"VIPD_CHECKER": w.lab.program("vipd-checker"), "LD_PRELOAD": preload, "WALL_CLOCK": self.clock}
        self.frozen, self.trusted, self.obeyed = False, True, True
        self.moved_usec = now()
        self.lowest_fds = None
        self.may_hear_routers = False
        if failing:
            self.fail(*failing)
        self.vipd = Daemon(self, argv, env)
        wait(lambda: self.hears_signals() or not self.alive(), f"vipd on {self.name} begins")

    def hears_signals(self):
        """Before it does, one would end it."""
        with contextlib.suppress(OSError), open(f"/proc/{self.vipd.pid}/status") as f:
            text = f.read()
            # who becomes it may block them as well
            return text.startswith("Name:\tvipd\n") and int(re.search(r"^SigBlk:\s*(\w+)", text, re.M)[1], 16) >> (signal.SIGUSR1 - 1) & 1
        return False

    def alive(self):
        return self.vipd is not None and self.vipd.running()

    def clean_up(self):
        """As its unit does after a crash."""
        command = self.host.vipd_command() + [f"--{kind}-dir={self.host.room}/{kind}" for kind in ("config", "runtime", "state")]
        run(*command, "--cleanup")

    def kill(self):
        self.vipd.kill()
        self.moved_usec = now()

    def revive(self):
        """As the service manager does: whoever has ended is started again."""
        if not self.alive():
            self.world.look()
            self.clean_up()
            self.start()

    def freeze(self, on=True):
        self.vipd.signal(signal.SIGSTOP if on else signal.SIGCONT)
        self.set_frozen(on)

    def set_frozen(self, on):
        self.frozen = on
        self.moved_usec = now()

    def fail(self, number, error, permille=1000):
        self.trusted = self.obeyed = False
        self.table.put(number, error)
        self.table.put(N_CALLS + number, permille)

    def obey(self):
        self.table.put(N_CALLS, *([0] * N_CALLS))

    def calls(self):
        """The numbers of those that it has made, and its children."""
        return [n for n in range(N_CALLS) if self.table.get(2 * N_CALLS + n)]

    def n_failed(self, number):
        """How often this one has failed since it was started."""
        return self.table.get(3 * N_CALLS + number)

    def children(self, name):
        """Processes of this name that its vipd has started, and that have not ended: to reap one may have been refused."""
        found = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(OSError), open(path) as f:
                pid, comm, state, parent = re.match(r"(\d+) \((.*)\) (.) (\d+)", f.read()).groups()
                if comm == name and state != "Z" and int(parent) == self.vipd.pid:
                    found.append(int(pid))
        return found

    def limit(self, what, value):
        """A soft resource limit of the running vipd, by prlimit(1) and as its own user, who may always do it."""
        with contextlib.suppress(AssertionError):
            run("setpriv", f"--reuid={L.UID}", f"--regid={L.UID}", "--clear-groups", "prlimit", f"--pid={self.vipd.pid}",
                f"--{what}={value}:")
            return
        check(not self.alive(), f"no limit for {self.name}")

    def fds(self):
        """What its descriptors are, sorted."""
        path = f"/proc/{self.vipd.pid}/fd"
        with contextlib.suppress(OSError):
            return sorted(os.readlink(f"{path}/{fd}") for fd in os.listdir(path))
        return []

    def watched(self):
        """The processes whose end it awaits: what stat(5) says of each."""
        path, found = f"/proc/{self.vipd.pid}", []
        for fd in self.fd_numbers("anon_inode:[pidfd]"):
            with contextlib.suppress(OSError), open(f"{path}/fdinfo/{fd}") as f:
                (pid,) = (line.split()[1] for line in f if line.startswith("Pid:"))
                found.append(f"{pid} is gone")
                with open(f"/proc/{pid}/stat") as g:
                    found[-1] = g.read().strip()
        return found

    def fd_numbers(self, what):
        path = f"/proc/{self.vipd.pid}/fd"
        return [fd for fd in os.listdir(path) if os.readlink(f"{path}/{fd}") == what]

    def memory(self):
        """Resident bytes: all, and those of no file, as its pages come and go by what code was run last and what others need."""
        with contextlib.suppress(OSError), open(f"/proc/{self.vipd.pid}/smaps_rollup") as f:
            values = {line.split(":")[0]: int(line.split()[1]) for line in f if line.endswith("kB\n")}
            return (values["Rss"] << 10, values["Anonymous"] << 10)
        return (0, 0)

    def refresh(self):
        """Asks what it is."""
        with contextlib.suppress(ProcessLookupError):
            self.vipd.signal(signal.SIGUSR1)

    def heavens(self):
        """What the host's kernel has: addresses, routes, interfaces, as text."""
        found = set()
        with self.host.namespace():
            base = "/proc/thread-self/net"
            with open(f"{base}/dev") as f:
                links = {line.split(":")[0].strip() for line in f if ":" in line}
                found |= {f"interface {name}" for name in links}
            with open(f"{base}/route") as f:
                found |= {"route " + " ".join(line.split()[k] for k in (0, 1, 2, 7)) for line in list(f)[1:]}
            with open(f"{base}/fib_trie") as f:
                found |= {f"address {a}" for a in re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", f.read())}
            with open(f"{base}/if_inet6") as f:
                found |= {f"address {w[0]}/{w[2]} {w[5]}" for w in map(str.split, f) if not w[0].startswith("fe80")}
            with open(f"{base}/ipv6_route") as f:
                found |= {f"route {w[0]}/{w[1]} {w[9]}" for w in map(str.split, f)
                          if not w[0].startswith(("fe80", "ff00")) and w[1] != "00"}
            if self.world.shape.virtual:
                found |= self._settings(links)
        return found

    def _settings(self, links):
        """What a virtual MAC needs of the host, and whether its device is up; in the host's namespace."""
        found = set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            for e in self.world.elections:
                for setting in ("arp_ignore", "arp_announce"):
                    found.add(self._setting(f"ipv4/conf/{e.interface}/{setting}"))
                if e.device in links:
                    found |= {self._setting(f"ipv6/conf/{e.device}/{setting}") for setting in ("accept_ra", "addr_gen_mode")}
                    found.add(f"{e.device} is {'up' if L.link_flags(sock, e.device) & L.IFF_UP else 'down'}")
        return found

    @staticmethod
    def _setting(path):
        with open(f"/proc/sys/net/{path}") as f:
            return f"{path}={f.read().strip()}"

    def belongs(self, role):
        """What its kernel has besides our addresses while its vipd is "master" or "backup", or if there is none: None."""
        found = set(self.world.before[self.name])
        if not role or not self.world.shape.virtual:
            return found
        for e in self.world.elections:
            found |= {f"interface {e.device}", f"{e.device} is {'up' if role == 'master' else 'down'}", f"ipv6/conf/{e.device}/accept_ra=0",
                      f"ipv6/conf/{e.device}/addr_gen_mode=1"}
            if 4 in self.world.shape.families:
                arp = f"ipv4/conf/{e.interface}/arp_"
                found -= {f"{arp}ignore=0", f"{arp}announce=0"}
                found |= {f"{arp}ignore=1", f"{arp}announce=2"}
        return found


# The names of what helpers() lets it run.
RUN_BY_VIPD = ("script", "sleep", "true")


def helpers():
    """Keys for a vipd that has other processes: scripts, and vipd-checker with what it runs."""
    script = f"{L.ROOM}/script"
    with open(script, "w") as f:
        f.write("#!/bin/sh\nsleep 0.05\n")
    os.chmod(script, 0o755)
    return {"Takeover_UpScript": script, "Takeover_DownScript": script, "Check alive_Type": "command", "Check alive_Command": "/bin/true",
            "Check alive_Interval": "300ms", "Check alive_Timeout": "5s"}


class World:
    """See the top of this file."""

    def __init__(self, lab, rng, shape, **keys):
        self.lab, self.random, self.shape = lab, rng, shape
        self.elections = [Election(k, shape) for k in range(1 + shape.group)]
        self.keys = {"CARP_ReplayProtection": "strict" if shape.strict else "no", "CARP_Preempt": "yes" if shape.preempt else "no", **keys}
        if shape.virtual:
            self.keys["VIP_MACAddress"] = "virtual"
        if shape.group:
            self.keys["VIP_SyncGroup"] = "both"
        if shape.helpers:
            self.keys.update(helpers())
        self.lease_usec = shape.lease_usec()
        # longer than an address may outlive who held it
        self.long_seconds = self.lease_usec / 1e6 + 0.3
        self.nodes = []
        self.split = False    # some do not hear each other, by what we do
        self.two_usec = {}    # election -> since when it has two holders
        self.held = {}        # (host number, address) -> interfaces
        self.position = 0
        run("install", "-m", "0755", CLOCKS, f"{L.ROOM}/bin/clocks.so")
        sweep_groups()
        for k in range(1, shape.n_hosts + 1):
            lab.hosts[f"n{k}"] = Host(lab, f"n{k}", k, len(self.elections))
            # dead intervals of about a quarter to half a second, and no interval longer than another's patience
            self.nodes.append(Node(self, lab.hosts[f"n{k}"], 16 + 4 * k))
        self.hosts = [n.host for n in self.nodes]
        self.segments = [Segment(self.hosts, k) for k in range(len(self.elections))]
        self.struck = self.segments
        for side in (s for h in self.hosts for s in h.sides):
            # which the kernel adds a moment after the address
            route = f"route {socket.inet_pton(socket.AF_INET6, side.address6).hex()}/80 {side.interface}"
            node = self.nodes[side.host.number - 1]
            wait(lambda node=node, route=route: route in node.heavens(), f"{node.name} has the route to its address")
        self.before = {n.name: n.heavens() for n in self.nodes}
        self.journald = Journal(self) if shape.journal else None
        # who is never ended by us, so that growth can be seen; not the best, so that masters end
        self.veteran = rng.choice(self.nodes[1:])
        for n in self.nodes:
            n.bus = n.host.bus() if shape.bus else None
            n.start()
        self.converge()
        self.processes = self._expected_processes()

    def _expected_processes(self):
        """name -> how many there are whenever vipd runs nothing: its own, exactly, as one of its children has its name until it has executed its
        program; and of ours those that stay."""
        samples = []
        for _ in range(20):
            samples.append(self.count_processes())
            time.sleep(0.02)
        stay = {name: n for name in samples[0] if (n := min(s.get(name, 0) for s in samples)) and name not in RUN_BY_VIPD}
        return {**stay, "vipd": len(self.nodes), **({"vipd-checker": len(self.nodes)} if self.shape.helpers else {})}

    # the segments

    def strike(self):
        """Chooses which of the segments the next fault is about: one, or both."""
        self.struck = [s for s in self.segments if self.random.random() < 0.5] or self.segments

    def way(self, source, target, **fields):
        for segment in self.struck:
            segment.way(source, target, **fields)

    def everywhere(self, **fields):
        for a in self.hosts:
            for b in self.hosts:
                if a is not b:
                    self.way(a, b, **fields)

    def heal(self, hosts=None):
        """Between these, or all."""
        for a in hosts or self.hosts:
            for b in hosts or self.hosts:
                if a is not b:
                    self.way(a, b, lost=0, doubled=0, spoiled=0, delayed=0, delay_usec=0)

    # what can be seen

    def masters(self):
        return [n for n in self.nodes if n.alive() and not n.frozen and n.vipd.is_master()]

    def holds(self, n, election):
        return any(self.held.get((n.host.number, a)) for a in election.addresses)

    def holders(self, election):
        return [n for n in self.nodes if self.holds(n, election)]

    def some(self, ends=False, master=False, among=()):
        """A host to whom something happens: the master if asked, or else more often than not; among these, if any of them may be. ends: it may not
        survive it."""
        nodes = [n for n in self.nodes if not ends or n is not self.veteran]
        nodes = [n for n in nodes if n in among] or nodes
        masters = [n for n in self.masters() if n in nodes]
        return self.random.choice(masters) if masters and (self.random.random() < 0.6 or master) else self.random.choice(nodes)

    def _follow(self):
        events = self.lab.observer.events
        n = len(events)
        for e in events[self.position:n]:
            if e.kind == "address" and e.nsid > 0 and any(e.address in election.addresses for election in self.elections):
                links = self.held.setdefault((e.nsid, e.address), set())
                links.add(e.ifindex) if e.present else links.discard(e.ifindex)
            elif e.kind == "link" and not e.present:
                # an interface that goes takes all with it, whatever is told of it
                for (number, _), links in self.held.items():
                    if number == e.nsid:
                        links.discard(e.ifindex)
        self.position = n
        if n > 20000:
            del events[:n - 1000]
            self.position -= n - 1000

    def _look_at(self, n, election, t):
        acts = n.alive() and not n.frozen
        if not self.holds(n, election) or (acts and (n.vipd.states[election.name] == "master" or not n.trusted)):
            n.offence_usec.pop(election, None)
            return
        since = max(n.offence_usec.setdefault(election, t), n.moved_usec)
        allowed = PROMPT_USEC if acts and n.obeyed else self.lease_usec
        if t - since > allowed:
            raise Violation(f"{n.name} has held an address of {election.name} for {t - since} us while its vipd was "
                            f"{n.vipd.states[election.name] if acts else 'frozen' if n.alive() else 'dead'}")

    def _look_for_two(self, election, t):
        holders = self.holders(election)
        if len(holders) < 2 or self.split:
            self.two_usec.pop(election, None)
        elif t - self.two_usec.setdefault(election, t) > self.lease_usec:
            raise Violation(f"{[n.name for n in holders]} hear each other and both have held an address of {election.name} for "
                            f"{t - self.two_usec[election]} us")

    def look(self):
        """What must hold at any time."""
        check(self.lab.observer.popen.poll() is None, "the observer died")
        check(all(s.popen.poll() is None for s in self.segments), "a segment died")
        t = now()
        self._follow()
        for n in self.nodes:
            if n.vipd and not n.vipd.running() and not n.vipd.may_fail:
                self._ended(n)
            for e in self.elections:
                self._look_at(n, e, t)
        for e in self.elections:
            self._look_for_two(e, t)

    def _ended(self, n):
        status = n.vipd.end()
        n.n_ends += 1
        n.moved_usec = now()
        text = n.vipd.text()
        check(not re.search("Assertion|Sanitizer|runtime error", text) and status not in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE),
              f"vipd on {n.name} crashed with {status}")
        if not n.may_end:
            raise Violation(f"vipd on {n.name} ended by itself with {status}")

    def watch(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(0.02)

    # what must be true afterwards

    def _disorder(self, since):
        """What is not yet as it should be, or None."""
        for n in self.nodes:
            if not n.alive():
                return f"{n.name} is dead"
            if not n.vipd.told(since):
                return f"{n.name} does not answer"
        states = {n.name: "/".join(n.vipd.states.values()) for n in self.nodes}
        (master, *more) = self.masters() or [None]
        if more or not master or any(s != "backup" for n in self.nodes if n is not master for s in n.vipd.states.values()):
            return f"states {states}"
        for e in self.elections:
            if self.holders(e) != [master]:
                return f"{master.name} is master, and {[n.name for n in self.holders(e)]} hold {e.name}'s addresses"
        return next((f"{n.name} has {sorted(wrong)}" for n in self.nodes
                     if (wrong := self._wrong(n, "master" if n is master else "backup"))), None)

    def _wrong(self, n, role):
        """What its kernel has and should not have in this role, or the other way round."""
        found = n.heavens()
        ours = {x for x in found if any(e.names_vip(x) for e in self.elections)}
        wrong = (found - ours) ^ n.belongs(role)
        if n.may_hear_routers:
            wrong = {x for x in wrong if "/accept_ra=" not in x}
        if role != "master":
            return wrong | ours
        return wrong | {f"not {a}" for e in self.elections for a in e.addresses if not self._has(ours, e, a)}

    @staticmethod
    def _has(ours, election, address):
        if ":" in address:
            return f"address {socket.inet_pton(socket.AF_INET6, address).hex()}/80 {election.device}" in ours
        return f"address {address}" in ours

    def count_processes(self):
        found = {}
        for path in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(OSError), open(path) as f:
                name, state = re.match(r"\d+ \((.*)\) (.)", f.read()).groups()
                if state != "Z":
                    found[name] = found.get(name, 0) + 1
        return found

    def converge(self):
        """Exactly one master, who alone holds, and nothing else is left; thrice in a row. Returns the seconds that took, and what was the
        last that was wrong."""
        began = now()
        asked = good = 0
        last = "nothing"
        for n in self.nodes:
            n.trusted = n.obeyed = True
            n.moved_usec = began
        self.split = False
        while True:
            if now() - asked > 500_000:
                asked = now()
                for n in self.nodes:
                    n.refresh()
            self.look()
            wrong = self._disorder(began)
            last = wrong or last
            good = 0 if wrong else good + 1
            if good >= 3:
                return (now() - began) / 1e6, last
            if now() - began > CONVERGE_SECONDS * 1e6:
                raise Violation(f"{CONVERGE_SECONDS:.0f} s after it was over: {wrong}")
            time.sleep(0.02)

    def settle(self):
        """The rest of what must be true afterwards: what takes a moment by its nature."""
        wait(lambda: self.count_processes() == self.processes, lambda: f"processes {self.count_processes()}, and not {self.processes}", 10)
        for n in self.nodes:
            if self.shape.helpers:
                # and not the one of a vipd before it, which is just ending
                wait(lambda n=n: n.children("vipd-checker"), f"vipd on {n.name} has a vipd-checker", 10)
            if n.bus and n.lowest_fds is None:
                wait(lambda n=n: L.statistics(n.bus), f"vipd on {n.name} on its bus", 20)
            wait(lambda n=n: self._no_more_descriptors(n),
                 lambda n=n: f"vipd on {n.name} has {n.fds()}, and not {n.lowest_fds}; watches {n.watched()}", 10)

    def _no_more_descriptors(self, n):
        """Than it ever had afterwards: one for a file that was just being written may have been among the first that were counted. A moment in
        which something is closed and opened again does not count; nor does the lock of its notes, which it may get later."""
        def seen():
            return [text for text in n.fds() if text != f"{n.host.room}/runtime/lock"]

        found = seen()
        for _ in range(2):
            time.sleep(0.02)
            if seen() != found:
                return False
        if n.lowest_fds is None or len(found) < len(n.lowest_fds):
            n.lowest_fds = found
        return len(found) == len(n.lowest_fds)

    def end(self):
        """Every vipd ends cleanly, and with the last of them everything that was ever theirs."""
        self.lab.finish()
        gone = {name: n for name, n in self.processes.items() if name not in ("vipd", "vipd-checker", "faults-inject", "dbus-daemon", "systemd-journal")}
        for n in self.nodes:
            wait(lambda n=n: not self._wrong(n, None), lambda n=n: f"{n.name} has {sorted(self._wrong(n, None))} after the end", 5)
        wait(lambda: self.count_processes() == gone, lambda: f"processes {self.count_processes()} after the end, and not {gone}", 10)

    def stop(self):
        sweep_groups()


def sweep_groups():
    for path in glob.glob(f"{GROUPS}/*/vipd-faults-*") + glob.glob(f"{GROUPS}/vipd-faults-*"):
        with contextlib.suppress(OSError):
            os.rmdir(path)
