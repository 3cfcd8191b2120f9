# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can happen to a world: each kind is a generator that brings something about, yields what it was and for how many seconds it is to last,
and puts it right when it goes on. What it draws, it draws from the world's own source of chance.
"""

import contextlib
import errno
import os
import signal
import socket
import struct
import threading
import time

import lab as L
import world as W
from lab import now, run, wait

KINDS = {}  # name -> (group, function, what the world must have)


def kind(group, *needs):
    def note(function):
        KINDS[function.__name__.replace("_", "-")] = (group, function, set(needs))
        return function
    return note


# the segment

@kind("wire")
def loss(w):
    percent = w.random.randint(1, 50)
    w.split = True
    w.everywhere(lost=10 * percent)
    yield f"{percent} % lost", 1.0
    w.heal()


@kind("wire")
def duplication(w):
    percent = w.random.randint(10, 100)
    w.everywhere(doubled=10 * percent)
    yield f"{percent} % doubled", 0.8
    w.heal()


@kind("wire")
def reordering(w):
    usec = w.random.choice([5_000, 50_000, 150_000])
    w.split = usec > 100_000
    w.everywhere(delayed=500, delay_usec=usec)
    yield f"half of all up to {usec} us late", 1.0
    w.heal()


@kind("wire")
def corruption(w):
    percent = w.random.randint(5, 50)
    w.split = True
    w.everywhere(spoiled=10 * percent)
    yield f"{percent} % spoiled", 1.0
    w.heal()


@kind("wire")
def everything_at_once(w):
    w.split = True
    w.everywhere(lost=200, doubled=200, spoiled=200, delayed=300, delay_usec=100_000)
    yield "lost, doubled, spoiled and late", 1.0
    w.heal()


@kind("wire")
def one_way(w):
    """Somebody is not heard, or hears nobody."""
    node, mute = w.some(), w.random.random() < 0.5
    w.split = True
    for other in w.hosts:
        if other is not node.host:
            w.way(*((node.host, other) if mute else (other, node.host)), lost=1000)
    yield f"{node.name} is {'mute' if mute else 'deaf'}", 1.0
    w.heal()


@kind("wire")
def one_way_pair(w):
    a, b = w.random.sample(w.hosts, 2)
    w.split = True
    w.way(a, b, lost=1000)
    yield f"{b.name} does not hear {a.name}", 1.0
    w.heal()


def part(w, n_parts):
    hosts = list(w.hosts)
    w.random.shuffle(hosts)
    parts = [hosts[k::n_parts] for k in range(n_parts)]
    w.split = True
    for a in hosts:
        for b in hosts:
            if not any(a in p and b in p for p in parts):
                w.way(a, b, lost=1000)
    return " | ".join(" ".join(h.name for h in p) for p in parts)


@kind("wire")
def partition(w):
    yield part(w, 2), 1.0
    w.heal()


@kind("wire", "three")
def three_way_partition(w):
    yield part(w, 3), 1.0
    # and in two steps together again
    w.heal(w.hosts[:2])
    yield "two parts of it", 0.5
    w.heal()


# links and addresses

def some_side(w, node):
    return w.random.choice(node.host.sides)


@kind("link")
def flapping_link(w):
    node, n = w.some(), w.random.randint(3, 15)
    side = some_side(w, node)
    for _ in range(n):
        side.carrier(False)
        w.watch(w.random.uniform(0, 0.1))
        side.carrier(True)
        w.watch(w.random.uniform(0, 0.1))
    yield f"{node.name}, {side.interface}, {n} times", 0.1


@kind("link")
def cable_pulled(w):
    node = w.some()
    side = some_side(w, node)
    side.carrier(False)
    yield f"{node.name}, {side.interface}", 1.0
    side.carrier(True)


@kind("link")
def link_down(w):
    node = w.some()
    side = some_side(w, node)
    side.set("down")
    yield f"{node.name}, {side.interface}", 0.7
    side.set("up")
    side.configure()


@kind("link")
def interface_replaced(w):
    node = w.some()
    side = some_side(w, node)
    side.unplug()
    yield f"{node.name}, {side.interface}", 0.4
    side.plug()


@kind("link")
def interface_renamed(w):
    node = w.some()
    side = some_side(w, node)
    side.set("down")
    side.set("name", "lan0")
    node.host.link("up", "lan0")
    yield f"{node.name}, {side.interface}", 0.5
    node.host.link("down", "lan0")
    node.host.ip("link", "set", "lan0", "name", side.interface)
    side.set("up")
    side.configure()


def remove_address(w, node):
    """One of those that it may hold."""
    election = w.random.choice(w.elections)
    address = w.random.choice(election.addresses)
    node.host.ip("addr", "del", f"{address}/{128 if ':' in address else 32}", "dev", election.device, fail=False)
    return address


@kind("link")
def address_removed(w):
    node = w.some()
    yield f"{remove_address(w, node)} of {node.name}", 0.2


@kind("link")
def source_removed(w):
    node = w.some()
    side = some_side(w, node)
    node.host.ip("addr", "flush", "dev", side.interface, "scope", "global", fail=False)
    side.configure()
    yield f"{node.name}, {side.interface}", 0.2


@kind("link")
def mac_changed(w):
    node = w.some()
    side = some_side(w, node)
    octets = ":".join(f"{w.random.randrange(256):02x}" for _ in range(4))
    side.set("address", f"02:00:{octets}")
    yield f"{node.name}, {side.interface}", 0.3


@kind("link", "virtual")
def device_taken(w):
    """The device of a virtual MAC, by somebody else."""
    node, election = w.some(), w.random.choice(w.elections)
    what = w.random.choice([("set", "{}", "down"), ("set", "{}", "up"), ("del", "{}"), ("set", "{}", "address", "02:00:00:00:00:01"),
                            ("set", "{}", "down", "name", "stolen")])
    node.host.ip("link", *(word.format(election.device) for word in what), fail=False)
    yield f"{node.name}: {' '.join(what).format(election.device)}", 0.3


# the process

@kind("process")
def killed_and_cleaned_up(w):
    node = w.some(ends=True)
    node.kill()
    node.clean_up()
    yield node.name, w.random.uniform(0, 1.2)
    node.start()


@kind("process")
def killed(w):
    """Without a service manager: the lease takes the address."""
    long = w.random.random() < 0.5
    node = w.some(ends=True, master=long)
    node.kill()
    yield node.name, w.long_seconds if long else 0
    node.start()


@kind("process")
def restarted(w):
    node = w.some(ends=True)
    node.vipd.stop()
    yield node.name, w.random.uniform(0, 0.8)
    node.start()


@kind("process")
def everybody_restarted(w):
    """But the one who is never ended."""
    for node in w.nodes:
        if node is not w.veteran:
            node.vipd.signal(signal.SIGTERM)
    for node in w.nodes:
        if node is not w.veteran:
            node.vipd.stop()
    yield "all but one", 0.2
    for node in w.nodes:
        if node is not w.veteran:
            node.start()


@kind("process")
def stopped(w):
    seconds = w.random.choice([0.1, 0.5, w.long_seconds])
    node = w.some(master=seconds == w.long_seconds)
    node.freeze()
    yield node.name, seconds
    node.freeze(False)


@kind("process")
def suspended(w):
    """By the freezer of its control group, as a suspended machine is."""
    seconds = w.random.choice([0.3, w.long_seconds])
    node = w.some(master=seconds == w.long_seconds)
    group = W.own_group("freezer", f"vipd-faults-{os.getpid()}-{node.name}")
    W.write_first(group, ["cgroup.procs"], str(node.vipd.pid))
    W.write_first(group, ["freezer.state", "cgroup.freeze"], "FROZEN" if os.path.exists(f"{group}/freezer.state") else "1")
    node.set_frozen(True)
    yield node.name, seconds
    W.write_first(group, ["freezer.state", "cgroup.freeze"], "THAWED" if os.path.exists(f"{group}/freezer.state") else "0")
    node.set_frozen(False)
    W.write_first(os.path.dirname(group), ["cgroup.procs"], str(node.vipd.pid))
    W.sweep_groups()


@kind("process")
def clock_step(w):
    node, seconds = w.some(), w.random.choice([-10**9, -3600, -1, 1, 3600, 10**9])
    node.step_clock(seconds)
    yield f"{node.name} by {seconds} s", 0.5


@kind("process", "helpers")
def checker_killed(w):
    node = w.some()
    for pid in node.children("vipd-checker"):
        os.kill(pid, signal.SIGKILL)
    yield node.name, 0.3


@kind("process")
def demoted(w):
    node = w.some()
    node.vipd.signal(signal.SIGUSR2)
    yield node.name, 0.3


@kind("process")
def reloaded(w):
    """A configuration that changes, one that is broken, and the one from before."""
    node = w.some()
    node.reload(VIP_Description="another", Announce_Count=w.random.randint(1, 9))
    w.watch(0.1)
    node.host.write_config(f"{node.host.room}/config", {"web": "[VIP]\nAddress=nonsense\n"})
    node.vipd.signal(signal.SIGHUP)
    w.watch(0.1)
    node.reload()
    yield node.name, 0.1


# system calls that fail

# Python knows names of few; these are x86-64's, of those that vipd makes. Without clock_gettime(), which is none but here: the clock that
# somebody else sets makes it one (tests/net/clocks.c), and libsystemd asserts that it cannot fail; without close(), which closes
# whatever it returns; and without brk(), exit_group() and rt_sigreturn(), which have no errors to return.
NEVER_FAIL = {"close": 3, "brk": 12, "clock-gettime": 228, "exit-group": 231, "rt-sigreturn": 15}
CALLS = {
    "read": 0, "write": 1, "poll": 7, "mmap": 9, "munmap": 11, "ioctl": 16, "sendto": 44, "recvfrom": 45,
    "sendmsg": 46, "recvmsg": 47, "socket": 41, "bind": 49, "getsockname": 51, "setsockopt": 54, "getsockopt": 55, "fcntl": 72,
    "fsync": 74, "rename": 82, "unlink": 87, "epoll-wait": 232, "epoll-ctl": 233, "waitid": 247, "openat": 257,
    "newfstatat": 262, "timerfd-settime": 286, "pipe2": 293, "recvmmsg": 299, "prlimit": 302, "sendmmsg": 307, "getrandom": 318,
    "clone": 56, "getdents": 217, "flock": 73, "rt-sigprocmask": 14, "rt-sigaction": 13, "getpid": 39, "getppid": 110, "timerfd-create": 283,
    "socketpair": 53, "execve": 59, "futex": 202, "access": 21, "connect": 42, "readlink": 89, "prctl": 157, "set-robust-list": 273,
    "fallocate": 285, "signalfd4": 289, "epoll-create1": 291, "memfd-create": 319, "pidfd-open": 434, "close-range": 436,
    "inotify-init1": 294, "inotify-add-watch": 254, "inotify-rm-watch": 255, "readlinkat": 267, "ppoll": 271,
    "clock-nanosleep": 230, "kill": 62,
}
ERRORS = ("ENOMEM", "EPERM", "ENOBUFS", "EIO", "EINTR", "EAGAIN")
# What can only end a vipd: it cannot wait, or it got no memory.
FATAL = {"mmap", "epoll-wait", "epoll-ctl", "timerfd-settime", "poll", "munmap"}
# What a backup does not do.
SENDS = {"sendto", "sendmmsg"}
PAIRS = [(c, e) for c in CALLS for e in ("ENOMEM", "EPERM")]


def check_calls(w):
    """That of all the calls that were made, each is one that can be failed. Scripts and what the checker runs make others."""
    if not w.shape.helpers:
        others = {n for node in w.nodes for n in node.calls()} - {*CALLS.values(), *NEVER_FAIL.values()}
        L.check(not others, f"vipd makes system calls that nobody fails: {sorted(others)}")


def provoke(w, node, action=None):
    """Something for which the victim has to act; returns what."""
    other = w.random.choice([n for n in w.nodes if n is not node])
    action = action or w.random.choice(["nothing", "flap", "reload", "demote", "rival", "removed", "replaced", "taken"])
    side = some_side(w, node)
    if action == "flap":
        side.carrier(False)
        w.watch(0.15)
        side.carrier(True)
    elif action == "reload":
        node.reload(Announce_Count=w.random.randint(1, 9))
    elif action == "demote":
        node.vipd.signal(signal.SIGUSR2)
    elif action == "rival":
        other.vipd.signal(signal.SIGUSR2)
    elif action == "removed":
        remove_address(w, node)
    elif action == "replaced":
        side.unplug()
        side.plug()
    elif action == "taken" and w.shape.virtual:
        node.host.ip("link", "del", w.random.choice(w.elections).device, fail=False)
    return action


@contextlib.contextmanager
def disturbed(w, node):
    """What this host says may be wrong, what it does may fail, and it may end."""
    w.split = True
    node.trusted = node.obeyed = False
    node.may_end = node.may_hear_routers = True
    yield
    node.obey()
    node.configure()
    began = now()

    def settled():
        # who ends by it may still be about to; and who could not read what it shall do has to be told to read it again
        w.look()
        node.revive()
        node.vipd.signal(signal.SIGHUP)
        node.refresh()
        w.watch(0.1)
        return node.vipd.told(began)

    # which goes on watching
    wait(settled, f"{node.name} answers again", 20, every=0.005)
    # what it could not open, it tries again: what is missing only now is not what it needs at rest
    if node.lowest_fds:
        with contextlib.suppress(AssertionError):
            wait(lambda: len(node.fds()) >= len(node.lowest_fds), "", 0.6)
    node.may_end = False
    if node.n_failed(CALLS["pidfd-open"]):
        # libsystemd makes do with one more signalfd from then on
        node.lowest_fds = None
    if node.bus:
        found_again(node)


@kind("calls", "helpers", "bus")
def failing_call(w):
    """One call, with one error; while it runs, or if it is not made then, from its start. Each pair in its turn, and of a vipd that does all that
    one can do."""
    call, error = next(w.pairs)
    number, value = CALLS[call], getattr(errno, error)
    # by somebody who makes it
    node = w.some(ends=True, among=[n for n in w.nodes if number in n.calls()], master=call in SENDS)
    permille, when = w.random.choice([1000, 1000, 300]), "while it runs"
    with disturbed(w, node):
        before = node.n_failed(number)
        node.fail(number, value, permille)
        # each makes it make other calls
        for action in ("replaced", "taken", "reload", "demote", "removed"):
            provoke(w, node, action)
            w.watch(0.1)
        if node.n_failed(number) == before:
            # those that wait for a bus to come back
            permille = 1000
            node.fail(number, value, permille)
            replace_bus(w, node)
        if node.n_failed(number) == before:
            node.obey()
            if node.alive():
                node.vipd.stop()
            before, permille, when = 0, 1000, "from its start"
            node.start((number, value, permille))
        yield "", 0.3
        times = node.n_failed(number) - before
        if times:
            w.failed_pairs.add(f"{call}/{error}")
        yield f"{call} says {error} to {node.name}, {permille / 10:.0f} %, {when}: {times} times", 0


@kind("calls")
def any_call_fails(w):
    """Each call now and then, in every way."""
    node = w.some(ends=True)
    with disturbed(w, node):
        for number in node.calls():
            if number not in [*NEVER_FAIL.values(), *(CALLS[c] for c in FATAL)]:
                node.fail(number, getattr(errno, w.random.choice(ERRORS)), 30)
        action = provoke(w, node)
        yield f"{node.name} ({action})", 0.7


# what a host has too little of

# protocol 112 with a bad checksum
JUNK = b"\x01\x00\x5e\x00\x00\x12" + b"\x02" * 6 + b"\x08\x00" + b"\x45\x00\x00\x38\x00\x00\x40\x00\xff\x70" + b"\x00" * 46


class Buffers:
    """The send buffers of the packet sockets of a vipd, which are open files as ours are."""

    SYS_PIDFD_GETFD = 438

    def __init__(self, node):
        self.sockets = []
        pidfd = os.pidfd_open(node.vipd.pid)
        for fd in map(int, os.listdir(f"/proc/{node.vipd.pid}/fd")):
            # a file may be closed meanwhile, and is none of those
            ours = L.libc.syscall(self.SYS_PIDFD_GETFD, pidfd, fd, 0)
            if ours < 0:
                continue
            try:
                sock = socket.socket(fileno=ours)
            except OSError:
                os.close(ours)
                continue
            if sock.family == socket.AF_PACKET:
                self.sockets.append((sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)))
            else:
                sock.close()
        os.close(pidfd)

    def shrink(self):
        for sock, _ in self.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)

    def restore(self):
        for sock, n_bytes in self.sockets:
            # the kernel counts twice what it is asked for
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, n_bytes // 2)
            sock.close()


@kind("scarce")
def full_send_buffer(w):
    """A device that sends next to nothing: the socket's buffer is full, or the device's queue."""
    node, small = w.some(), w.random.random() < 0.5
    side = some_side(w, node)
    w.split = True
    buffers = Buffers(node) if small else None
    if buffers:
        buffers.shrink()
    node.host.run("tc", "qdisc", "add", "dev", side.interface, "root", "tbf", "rate", "8bit", "burst", "1540", "limit", 10**6 if small else 100)
    yield f"{node.name}, {side.interface}: {'EAGAIN' if small else 'ENOBUFS'}", 0.8
    node.host.run("tc", "qdisc", "del", "dev", side.interface, "root")
    if buffers:
        buffers.restore()


@kind("scarce")
def full_receive_buffer(w):
    node = w.some()
    sock = w.lab.injector(some_side(w, node))
    node.freeze()
    for _ in range(2000):
        with contextlib.suppress(OSError):
            sock.send(JUNK)
    node.freeze(False)
    sock.close()
    yield node.name, 0.2


@kind("scarce")
def netlink_overrun(w):
    """More news than the socket takes, and the one that matters among the lost."""
    node = w.some()
    verbs = "".join(f"address {verb} 198.51.100.9/32 dev lo\n" for _ in range(7000) for verb in ("add", "del"))
    path = f"{node.host.room}/batch"
    with open(path, "w") as f:
        f.write(verbs)
    node.freeze()
    node.host.ip("-batch", path)
    remove_address(w, node)
    side = some_side(w, node)
    election = w.elections[node.host.sides.index(side)]
    side.carrier(False)
    node.freeze(False)
    wait(lambda: node.vipd.states[election.name] == "init", f"{node.name} knows that {side.interface} is down")
    side.carrier(True)
    yield node.name, 0.2


@kind("scarce")
def no_descriptors(w):
    node, spare = w.some(ends=True), w.random.choice([0, 1, 2])
    with disturbed(w, node):
        node.limit("nofile", len(node.fds()) + spare)
        action = provoke(w, node)
        yield f"{node.name} has {spare} left ({action})", 0.5
        if node.alive():
            node.limit("nofile", 1024)


@kind("scarce")
def no_address_space(w):
    node = w.some(ends=True)
    with disturbed(w, node):
        node.limit("as", 1 << 20)
        action = provoke(w, node)
        yield f"{node.name} ({action})", 0.5
        if node.alive():
            node.limit("as", "unlimited")


@kind("scarce")
def out_of_memory(w):
    """A control group with no page to spare, and the kernel's killer in it."""
    node = w.some(ends=True)
    group = W.own_group("memory", f"vipd-faults-{os.getpid()}-{node.name}")
    with disturbed(w, node):
        W.write_first(group, ["memory.limit_in_bytes", "memory.max"], "65536")
        W.write_first(group, ["cgroup.procs"], str(node.vipd.pid))
        action = provoke(w, node)
        yield f"{node.name} ({action})", 0.5
        if node.alive():
            W.write_first(os.path.dirname(group), ["cgroup.procs"], str(node.vipd.pid))
    W.sweep_groups()


@kind("scarce")
def full_disk(w):
    node = w.some()
    fillers = [f"{node.host.room}/{kind}/filler" for kind in ("runtime", "state")]
    for path in fillers:
        with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 512)
    action = provoke(w, node)
    yield f"{node.name} ({action})", 0.5
    for path in fillers:
        os.unlink(path)
    node.reload()
    await_notes(node)


@kind("scarce")
def read_only_run(w):
    """While it runs, or from its start."""
    node, restart = w.some(ends=True), w.random.random() < 0.5
    paths = [f"{node.host.room}/{kind}" for kind in ("runtime", "state")]
    if restart:
        node.vipd.stop()
    for path in paths:
        run("mount", "-t", "tmpfs", "-o", "ro", "none", path)
    if restart:
        node.start()
    action = provoke(w, node) if not restart else "started so"
    yield f"{node.name} ({action})", 0.5
    for path in paths:
        run("umount", path)
    node.reload()
    await_notes(node)


def await_notes(node):
    """What could not be noted is, within a second. Until then who cleans up after a kill knows nothing of it, as vipd has said. Its line may be lost, with
    the journal."""
    def last(words):
        return max((t for t, text in node.vipd.lines if words in text), default=0)
    with contextlib.suppress(AssertionError):
        wait(lambda: not node.alive() or last("is noted in") >= last("could not be noted"), "what is held is noted", 3)


# who else runs on a host

def bus_of(w, node):
    return next(p for p in w.lab.processes if p.label == f"dbus-daemon of {node.name}" and p.running())


def replace_bus(w, node):
    """Killed, and for longer than it takes until it is looked for again there is none."""
    bus_of(w, node).kill()
    w.watch(0.5)
    os.unlink(f"{node.host.room}/bus")
    node.host.bus()
    w.watch(0.5)


def found_again(node):
    wait(lambda: L.statistics(node.bus), f"vipd on {node.name} on its bus", 20)


@kind("services", "bus")
def bus_killed(w):
    node = w.some()
    replace_bus(w, node)
    yield node.name, 0
    found_again(node)


@kind("services", "bus")
def bus_frozen(w):
    node = w.some()
    bus = bus_of(w, node)
    bus.signal(signal.SIGSTOP)
    action = provoke(w, node)
    yield f"{node.name} ({action})", 1.0
    bus.signal(signal.SIGCONT)
    found_again(node)
    node.reload()


def bus_message(serial, path, interface, member, destination):
    """A method call without arguments."""
    fields = b""
    for code, signature, value in ((1, b"o", path), (2, b"s", interface), (3, b"s", member), (6, b"s", destination)):
        fields += b"\0" * (-len(fields) % 8)
        fields += struct.pack("<BB2sI", code, 1, signature + b"\0", len(value)) + value.encode() + b"\0"
    return struct.pack("<cBBBIII", b"l", 1, 0, 1, 0, serial, len(fields)) + fields + b"\0" * (-len(fields) % 8)


@kind("services", "bus")
def bus_flooded(w):
    """By several who ask and do not read the answers, and by some who come and go."""
    node = w.some()
    socks = []
    done = threading.Event()

    def ask():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(0.2)
        socks.append(sock)
        with contextlib.suppress(OSError):
            sock.connect(f"{node.host.room}/bus")
            sock.sendall(b"\0AUTH EXTERNAL 30\r\n")
            sock.recv(256)
            sock.sendall(b"BEGIN\r\n" + bus_message(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "org.freedesktop.DBus"))
            serial = 2
            while not done.wait(0.005):
                batch = b"".join(bus_message(serial + k, "/org/vipd1/instance/web", "org.vipd1.Instance", "GetStatistics", "org.vipd1")
                                 for k in range(20))
                serial += 20
                sock.sendall(batch)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for t in threads:
        t.start()
    yield node.name, 0.8
    done.set()
    for t in threads:
        t.join(2)
    for sock in socks:
        sock.close()
    found_again(node)


@contextlib.contextmanager
def unheard(w):
    """Nobody takes what the hosts say."""
    for n in w.nodes:
        n.trusted = False
    yield


@kind("services", "journal")
def journal_killed(w):
    with unheard(w):
        w.journald.process.kill()
        action = provoke(w, w.some())
        yield action, 0.8
        w.journald.start()
        for n in w.nodes:
            n.configure()


@kind("services", "journal")
def journal_frozen(w):
    """And its queue is full."""
    with unheard(w):
        w.journald.process.signal(signal.SIGSTOP)
        for n in w.nodes:
            n.vipd.signal(signal.SIGUSR1)
            n.vipd.signal(signal.SIGHUP)
        action = provoke(w, w.some())
        yield action, 1.0
        w.journald.process.signal(signal.SIGCONT)


@kind("services", "journal")
def journal_flooded(w):
    done = threading.Event()

    def flood():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        while not done.wait(0.0005):
            with contextlib.suppress(OSError):
                sock.sendto(b"MESSAGE=x\n", socket.MSG_DONTWAIT, W.JOURNAL)

    with unheard(w):
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        action = provoke(w, w.some())
        yield action, 0.8
        done.set()
        thread.join()


@kind("services", "pipe")
def nobody_reads_stderr(w):
    with unheard(w):
        for n in w.nodes:
            n.vipd.pause()
            for _ in range(20):
                n.vipd.signal(signal.SIGHUP)
        action = provoke(w, w.some())
        yield action, 0.8
        for n in w.nodes:
            n.vipd.pause(False)
