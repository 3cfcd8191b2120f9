# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel counts of processes, without stopping them: time on a processor, wake-ups, memory, system calls, and calls of the
functions that allocate. The last two by perf_event_open(2): a tracepoint, and breakpoints in the library (uprobes); a program needs
neither to be started nor to be built in another way. Reads nothing of what the processes do."""

import contextlib
import ctypes
import glob
import os
import platform
import re
import struct
import subprocess

PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}.get(platform.machine(), -1)
PERF_TYPE_SOFTWARE, PERF_TYPE_TRACEPOINT = 1, 2
PERF_COUNT_SW_TASK_CLOCK = 1
PERF_FLAG_FD_CLOEXEC = 8
ATTRIBUTE_BYTES = 128

UPROBE_TYPE = "/sys/bus/event_source/devices/uprobe/type"
# of the C library, and of GLib's own allocator
ALLOCATORS = {"libc": ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"), "libglib-2": ("g_slice_alloc",)}
# which are told apart: those that a daemon of this kind makes
CALLS = ("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect6", "read", "write", "recvfrom", "recvmsg", "recvmmsg",
         "sendto", "sendmsg", "sendmmsg", "timerfd_settime", "io_uring_enter", "clock_nanosleep", "ioctl", "wait4")

libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This kernel does not count that, or not for us."""


class Counter:
    """One event of one thread."""

    def __init__(self, kind, config, thread, name=None, offset=0):
        self.name = ctypes.create_string_buffer(name.encode()) if name else None
        attribute = bytearray(ATTRIBUTE_BYTES)
        # type, size, config, sample_period, sample_type, read_format, flags, wakeup_events, bp_type, config1, config2
        struct.pack_into("=IIQQQQQIIQQ", attribute, 0, kind, ATTRIBUTE_BYTES, config, 0, 0, 0, 0, 0, 0,
                         ctypes.addressof(self.name) if name else 0, offset)
        self.fd = libc.syscall(PERF_EVENT_OPEN, (ctypes.c_char * ATTRIBUTE_BYTES).from_buffer(attribute), thread, -1, -1,
                               PERF_FLAG_FD_CLOEXEC)
        if self.fd < 0:
            raise Unavailable(os.strerror(ctypes.get_errno()))

    def read(self):
        return struct.unpack("Q", os.read(self.fd, 8))[0]

    def close(self):
        os.close(self.fd)


class Counters:
    """One event of several processes, all their threads; or several events that are one to us."""

    def __init__(self, make, processes):
        self.counters = []
        try:
            for process in processes:
                for thread in threads(process):
                    self.counters += make(process, thread)
        except BaseException:
            self.close()
            raise

    def read(self):
        return sum(c.read() for c in self.counters)

    def close(self):
        for c in self.counters:
            c.close()


class Several:
    """Several counters by name, each made by makes[name](processes); of those that this kernel has."""

    def __init__(self, makes, processes):
        self.counters = {}
        for name, make in makes.items():
            with contextlib.suppress(Unavailable):
                self.counters[name] = make(processes)

    def read(self):
        return {name: c.read() for name, c in self.counters.items()}

    def close(self):
        for c in self.counters.values():
            c.close()


def threads(process):
    return [int(name) for name in os.listdir(f"/proc/{process}/task")]


def cpu(processes):
    """Nanoseconds on a processor."""
    return Counters(lambda _, thread: [Counter(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, thread)], processes)


class Tracing:
    """The kernel's tracepoints; `directory`: where they may be mounted."""

    def __init__(self, directory):
        self.events = f"{directory}/events"
        if not os.path.exists(self.events):
            os.makedirs(directory, exist_ok=True)
            subprocess.run(["mount", "-t", "tracefs", "none", directory], stderr=subprocess.DEVNULL)

    def number(self, event):
        try:
            with open(f"{self.events}/{event}/id") as f:
                return int(f.read())
        except OSError as error:
            raise Unavailable(f"no tracepoint {event}") from error

    def calls(self, processes, name=None):
        """System calls; name: only this one."""
        number = self.number(f"syscalls/sys_enter_{name}" if name else "raw_syscalls/sys_enter")
        return Counters(lambda _, thread: [Counter(PERF_TYPE_TRACEPOINT, number, thread)], processes)

    def kinds(self):
        """What makes counters of system calls, those of CALLS by name."""
        return {name: lambda processes, name=name: self.calls(processes, name) for name in CALLS}


def functions(path, names):
    """Offsets, in a library's file, of those of the functions that it has."""
    with open(path, "rb") as f:
        elf = f.read()
    e_phoff, e_shoff = struct.unpack_from("<QQ", elf, 32)
    e_phentsize, e_phnum, e_shentsize, e_shnum = struct.unpack_from("<HHHH", elf, 54)
    loads = [struct.unpack_from("<IIQQQQ", elf, e_phoff + k * e_phentsize) for k in range(e_phnum)]
    sections = [struct.unpack_from("<IIQQQQII", elf, e_shoff + k * e_shentsize) for k in range(e_shnum)]
    found = set()
    for _, kind, _, _, offset, size, link, _ in sections:
        if kind != 11:  # SHT_DYNSYM
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, 24):
            name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", elf, at)
            text = elf[strings + name:elf.index(b"\0", strings + name)].decode()
            if section and text in names:
                found |= {value - p[3] + p[2] for p in loads if p[0] == 1 and p[3] <= value < p[3] + p[5]}
    return found


def allocations(processes):
    """Calls of malloc() and its like, GLib's slices included."""
    try:
        with open(UPROBE_TYPE) as f:
            kind = int(f.read())
    except OSError as error:
        raise Unavailable("no uprobes") from error
    known = {}

    def make(process, thread):
        with open(f"/proc/{process}/maps") as f:
            paths = {line.split()[-1] for line in f if ".so" in line}
        found = []
        for path in paths:
            names = next((names for stem, names in ALLOCATORS.items() if re.match(rf"{stem}[.\-]", os.path.basename(path))), ())
            if names and path not in known:
                known[path] = functions(path, names)
            found += [Counter(kind, 0, thread, path, offset) for offset in known.get(path, ())]
        return found
    return Counters(make, processes)


class WakeUps:
    """How often processes have slept."""

    def __init__(self, processes):
        self.processes = processes

    def read(self):
        total = 0
        for process in self.processes:
            for path in glob.glob(f"/proc/{process}/task/*/status"):
                with open(path) as f:
                    total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])
        return total

    def close(self):
        pass


def pss_kib(processes):
    """Proportional set size: what they share with each other and with everything else on the machine is divided."""
    total = 0
    for process in processes:
        with open(f"/proc/{process}/smaps_rollup") as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1])
    return total
