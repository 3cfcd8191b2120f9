# SPDX-License-Identifier: LGPL-2.1-or-later
"""The laboratory of the boot tests: hosts that boot a real systemd, with dbus-daemon, polkitd and vipd as a package installs it.
Network, observer, probe and all waiting are those of tests/net/lab.py: the same bridge, and hosts n1, n2, ... that have an init.

A host is systemd-nspawn in a control group of its own, on an overlay of its own, in the network namespace that it would have as
a plain host of tests/net. Everything lives in private mount, network and process namespaces and dies with the test, however it ends;
only the emptied control groups are left then, and the next test removes them.

A test file defines functions `test_...(lab)` and ends with `hosts.main()`, with the arguments that tests/net/lab.py knows.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../net"))
import image  # noqa: E402
import lab as net  # noqa: E402
from lab import KEY, VIP, VIP6, Skip, check, hold, instance, now, run, wait  # noqa: E402,F401

BUILD = os.environ.get("VIPD_BUILD", os.path.join(HERE, "../../build"))
CACHE = os.environ.get("VIPD_TEST_BOOT", os.path.join(BUILD, "tests/boot"))

README = os.path.join(HERE, "../../README.md")
CLOCKS = os.environ.get("VIPD_TEST_CLOCKS", os.path.join(BUILD, "tests/net/clocks.so"))
INSTANCE = "org.vipd1.Instance"
DENIED = ("Access denied", "Interactive authentication", "AccessDenied", "InteractiveAuthorizationRequired")
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"  # SD_MESSAGE_UNIT_STARTED
GROUPS = "/sys/fs/cgroup"
BOOT_TIMEOUT = 60.0
READ_USEC = 20_000  # how late the event of an address may be read where the machine has time
# what a container has no use for, and what would only make noise or cost time at each boot
MASKED = ["networking.service", "console-getty.service", "getty@tty1.service", "systemd-logind.service", "e2scrub_reap.service",
          "systemd-pstore.service", "dev-hugepages.mount", "dev-mqueue.mount", "systemd-remount-fs.service", "systemd-tmpfiles-setup-dev.service",
          "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"]
SYSTEM_CALLS = ["bpf", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "cat", "SYSTEMD_COLORS": "0"}


# README's drop-in for whatever has its own role, written as a whole unit
HOOK = """[Unit]
PartOf=vipd-{role}@{instance}.target
Requisite=vipd-{role}@{instance}.target
After=vipd-{role}@{instance}.target
StartLimitIntervalSec=0
[Service]
{service}
[Install]
WantedBy=vipd-{role}@{instance}.target
"""
RUNS = "Type=exec\nExecStart=sleep infinity"


def message_id(name):
    """MESSAGE_ID of a kind of event, as a match for journal()."""
    with open(os.path.join(HERE, "../../daemon/util/message-ids.h")) as f:
        return "MESSAGE_ID=" + re.search(rf'MESSAGE_ID_{name}_STR "(\w+)"', f.read())[1]


class Gate:
    """A place where `cat PATH`, as a command of a unit or in a script, waits until the test lets it pass."""

    def __init__(self, node, path):
        self.path, self.fd = f"{node.root}{path}", None
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)

    def reached(self):
        """True once somebody waits."""
        with contextlib.suppress(OSError):
            if self.fd is None:
                self.fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return self.fd is not None

    def open(self):
        """Awaits somebody who waits, and lets him pass. Closed again afterwards."""
        wait(self.reached, f"somebody waits at {self.path}", 30)
        os.close(self.fd)
        self.fd = None


class Node(net.Host):
    """A host with an init. `root` is its file system, from outside, running or not."""

    def __init__(self, lab, name, number):
        super().__init__(lab, name, number)
        self.root = f"{self.room}/root"
        self.group = f"{GROUPS}/{lab.identity}-{name}"
        self.console = f"{self.room}/console"
        self.ready = None  # where its init says that it is up
        self.nspawn = None
        self.n_boots = 0
        self.has_networkd = False
        self.has_journald = True  # False: it stands still, and nobody can wait for it
        for path in ("layer", "layer/up", "layer/work", "root"):
            os.mkdir(f"{self.room}/{path}")
            if path == "layer":
                run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", f"{self.room}/layer")
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={':'.join(lab.layers)},upperdir={self.room}/layer/up,"
            f"workdir={self.room}/layer/work", self.root)
        self.write("/etc/hostname", f"{name}\n")

    def plug(self, configure=True):
        super().plug(configure)
        # a host keeps its card when it boots again
        self.ip("link", "set", "eth0", "address", f"02:00:00:00:00:{self.number:02x}")

    # its files

    def write(self, path, text, mode=0o644, group=None):
        """A file of the host, running or not. group: a name that /etc/group of the host knows."""
        where = f"{self.root}{path}"
        os.makedirs(os.path.dirname(where), exist_ok=True)
        with open(where, "w") as f:
            f.write(text)
        os.chmod(where, mode)
        if group:
            with open(f"{self.root}/etc/group") as f:
                os.chown(where, 0, next(int(line.split(":")[2]) for line in f if line.startswith(f"{group}:")))

    def configure(self, files=None, **keys):
        """The .vip files: {name: text}, or None for one instance `web` of net.instance(**keys). The passphrase is a file that only
        root and vipd may read."""
        run("systemd-sysusers", f"--root={self.root}")
        self.write("/etc/vipd/key", f"{net.KEY}\n", mode=0o640, group="vipd")
        for name, text in (files if files is not None else {"web": net.instance(**keys)}).items():
            self.write(f"/etc/vipd/{name if '.' in name else name + '.vip'}", text.replace("@KEYFILE@", "/etc/vipd/key"))

    def enable(self, *units):
        """Before the host boots; afterwards systemctl() does it."""
        run("systemctl", f"--root={self.root}", "enable", *units)

    def hook(self, name, service=RUNS, role="master", instance="web"):
        """A unit that hangs itself on a role, before the host boots or afterwards. service: its section [Service]."""
        self.write(f"/etc/systemd/system/{name}", HOOK.format(role=role, instance=instance, service=service))
        self.enable(name)
        if self.leader():
            self.systemctl("daemon-reload")

    def drop_in(self, name, text, unit="vipd.service"):
        """For a unit, as systemctl edit writes it; takes effect at once if the host runs. text: None removes."""
        path = f"/etc/systemd/system/{unit}.d/{name}.conf"
        if text is None:
            os.unlink(f"{self.root}{path}")
        else:
            self.write(path, text)
        if self.leader():
            self.systemctl("daemon-reload")

    def leave_to_networkd(self):
        """Before the host boots: eth0 is systemd-networkd's, and without addresses until that gives it some."""
        self.has_networkd = True
        self.write("/etc/systemd/network/10-eth0.network", f"[Match]\nName=eth0\n[Network]\nAddress={self.address}/24\n"
                   f"Address={self.address6}/64\nIPv6AcceptRA=no\n")
        self.enable("systemd-networkd.service")
        self.ip("addr", "flush", "dev", "eth0", "scope", "global")

    # its life

    def boot(self):
        """Starts the host's init; returns at once. See wait_up()."""
        check(self.nspawn is None or self.nspawn.poll() is not None, f"{self.name} runs already")
        if self.n_boots:
            # a host that lost its power has also lost what its kernel knew
            with contextlib.suppress(AssertionError):
                run("ip", "link", "del", self.port)
            self.plug(configure=not self.has_networkd)
        self.n_boots += 1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.room}/ready")
        self.ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.ready.bind(f"{self.room}/ready")
        os.makedirs(self.group, exist_ok=True)
        argv = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}",
                f"--network-namespace-path=/run/netns/{self.name}", "--register=no", "--keep-unit", "--notify-ready=yes",
                "--console=read-only", "--boot",
                # as on a real host: units may raise their limits, IPAddressDeny= is enforced, and a process may deny itself files
                "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_SYS_RESOURCE", f"--system-call-filter={' '.join(SYSTEM_CALLS)}",
                *(f"systemd.mask={unit}" for unit in MASKED)]
        environment = {**ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
                       "NOTIFY_SOCKET": f"{self.room}/ready"}
        group = self.group

        def enter_group():
            with open(f"{group}/cgroup.procs", "w") as f:
                f.write("0")

        with open(self.console, "a") as console:
            self.nspawn = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                           preexec_fn=enter_group, cwd="/")

    def leader(self):
        """The process id of the host's init, None while there is none."""
        with contextlib.suppress(OSError, IndexError):
            with open(f"{self.group}/payload/init.scope/cgroup.procs") as f:
                return int(f.read().split()[0])
        return None

    def wait_up(self):
        def up():
            check(self.nspawn.poll() is None, f"{self.name} ended while it booted")
            with contextlib.suppress(BlockingIOError):
                while b"READY=1" not in self.ready.recv(4096):
                    pass
                return True
            return False
        wait(up, f"{self.name} is up", BOOT_TIMEOUT)
        # it would wait for us with all that it says of its jobs from now on
        self.ready.close()

    def wait_down(self, timeout=30.0):
        """Awaits the end; returns the exit status of nspawn, 133 for a reboot."""
        return self.nspawn.wait(timeout)

    def shut_down(self, verb):
        """systemctl reboot or poweroff, as an administrator says it; returns when the last process has ended."""
        self.run("systemctl", verb)
        status = self.wait_down()
        check(status == {"reboot": 133, "poweroff": 0}[verb], f"{self.name} ended with {status} on {verb}")

    def reboot(self):
        self.shut_down("reboot")
        self.boot()
        self.wait_up()

    def lose_power(self):
        """Every process of the host dies at once, and the cable with it."""
        self.carrier(False)
        self.kill_all()

    def kill_all(self):
        """Every process of the host dies at once; its kernel lives on, with all addresses."""
        with open(f"{self.group}/cgroup.kill", "w") as f:
            f.write("1")
        self.nspawn.wait(10)

    def freeze(self, on=True):
        """The host's processes stand still; its kernel does not. Returns when the last one does."""
        with open(f"{self.group}/cgroup.freeze", "w") as f:
            f.write("1" if on else "0")
        wait(lambda: f"frozen {int(on)}" in open(f"{self.group}/cgroup.events").read(), f"{self.name} frozen: {on}")

    def thaw(self):
        self.freeze(False)

    # what is done on it

    def inside(self, *argv, user=None):
        """argv, run in the host as root or `user`. It is in no unit of the host: a frozen host does not stop it."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        leader = wait(self.leader, f"{self.name} has an init")
        return ["nsenter", f"--target={leader}", "--all", "--", *become, *map(str, argv)]

    def run(self, *argv, user=None, fail=True, **more):
        return run(*self.inside(*argv, user=user), fail=fail, env=ENVIRONMENT, cwd="/", **more)

    def systemctl(self, *argv, fail=True, user=None):
        return self.run("systemctl", *argv, fail=fail, user=user)

    def show(self, unit, name):
        """One property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def active(self, unit):
        return self.show(unit, "ActiveState")

    def actives(self, *units):
        """ActiveState of each, as of one moment."""
        return self.systemctl("show", "--value", "--property=ActiveState", *units).stdout.split()

    def wait_active(self, *units, state="active", timeout=20.0):
        wait(lambda: set(self.actives(*units)) == {state},
             lambda: f"{units} on {self.name} are {state}, not {self.actives(*units)}", timeout)

    def wait_role(self, role, master_hooks=(), backup_hooks=(), instance="web", timeout=20.0):
        """Awaits that targets and hooks are those of the role: "master", "backup", or None for neither."""
        units = {f"vipd-master@{instance}.target": "master", **dict.fromkeys(master_hooks, "master"),
                 f"vipd-backup@{instance}.target": "backup", **dict.fromkeys(backup_hooks, "backup")}

        def right():
            # one that was told to stop while it started has failed, which is stopped as well
            return all(state == "active" if of == role else state in ("inactive", "failed")
                       for of, state in zip(units.values(), self.actives(*units)))
        wait(right, lambda: f"units of {role}: {dict(zip(units, self.actives(*units)))}", timeout)

    def process_id(self, unit="vipd.service"):
        """The main process of a unit, as this side of the process namespace numbers it."""
        group = self.show(unit, "ControlGroup")
        check(group, f"{unit} on {self.name} does not run")
        with open(f"{self.group}/payload{group}/cgroup.procs") as f:
            return next(iter(map(int, f.read().split())), None)

    def call(self, member, *arguments, instance="web", interface=INSTANCE, user=None):
        """A method of an instance; returns the finished busctl."""
        return self.run("busctl", "--json=short", "call", "org.vipd1", f"/org/vipd1/instance/{instance}", interface, member,
                        *arguments, user=user, fail=False)

    def get(self, name, instance="web", user=None):
        """A property of an instance; None while nobody answers. Does not start vipd. From outside, unless a user asks: what is asked this often is
        not worth to enter the host for."""
        argv = ["--json=short", "--auto-start=no", "get-property", "org.vipd1", f"/org/vipd1/instance/{instance}", INSTANCE, name]
        if user:
            result = self.run("busctl", *argv, user=user, fail=False)
        else:
            bus = f"/proc/{wait(self.leader, f'{self.name} has an init')}/root/run/dbus/system_bus_socket"
            result = run("busctl", f"--address=unix:path={bus}", *argv, fail=False, env=ENVIRONMENT, cwd="/")
        return json.loads(result.stdout)["data"] if result.returncode == 0 else None

    def state(self, instance="web"):
        return self.get("State", instance)

    def wait_state(self, state, instance="web", timeout=15.0):
        wait(lambda: self.state(instance) == state, lambda: f"{instance} on {self.name} is {state}, not {self.state(instance)}",
             timeout)

    def sync_journal(self):
        """Returns when journald has written all that was sent to it before, however late it comes to that."""
        leader = self.leader()
        if leader and self.has_journald:
            run("nsenter", f"--target={leader}", "--all", "--", "journalctl", "--sync", fail=False, env=ENVIRONMENT, cwd="/")

    def journal(self, *matches, since=0):
        """Entries as dictionaries of their fields, in order, over all boots. Read from the files, so it needs no running host; one that runs has
        written all that was said by now. since: CLOCK_BOOTTIME in microseconds, as now() says it, of when it was said; journald may have taken it
        later."""
        self.sync_journal()
        argv = ["journalctl", f"--directory={self.root}/var/log/journal", "--output=json", "--quiet", "--no-pager", *matches]
        began = time.time() - (now() - since) / 1e6
        if since:
            argv.append(f"--since=@{began:.6f}")
        found = [json.loads(line) for line in run(*argv).stdout.splitlines()]
        return [e for e in found if not since or int(e.get("_SOURCE_REALTIME_TIMESTAMP", e["__REALTIME_TIMESTAMP"])) >= began * 1e6]

    def transitions(self, instance="web", since=0):
        """What the journal says of an instance's states: (old, new, reason)."""
        return [(e["VIPD_PREVIOUS_STATE"], e["VIPD_STATE"], e["VIPD_REASON"])
                for e in self.journal(f"VIPD_INSTANCE={instance}", since=since) if "VIPD_PREVIOUS_STATE" in e]

    def listened(self, instance="web", advbase=1, advskew=0):
        """Awaits the end of the start delay: from now on it may take over."""
        began = wait(lambda: self.get("StateChangeTimestampMonotonic", instance), f"{self.name} has begun to listen")
        wait(lambda: now() > began + net.dead_usec(advbase, advskew), "the start delay")


class BootLab(net.Lab):
    """See the top of this file."""

    def __init__(self):
        super().__init__()
        self.layers = json.loads(os.environ["VIPD_TEST_LAYERS"])
        self.identity = os.environ["VIPD_TEST_IDENTITY"]
        os.makedirs("/run/lock", exist_ok=True)
        # one view on every machine, whatever hierarchy it has itself
        run("mount", "-t", "cgroup2", "none", GROUPS)

    def host(self, name, number):
        if not name.startswith("n"):
            return super().host(name, number)
        self.hosts[name] = Node(self, name, number)
        return self.hosts[name]

    def booted(self, n, prepare=None, vipd=True, **keys):
        """n hosts and a client, up, with one instance `web`: n1 is the best, and the first to listen. vipd=False: with
        vipd installed, but not configured or enabled. prepare(node): what else is to be done before they boot."""
        nodes = self.nodes(n)
        for node in nodes:
            if vipd:
                node.configure(**{"advskew": 50 * (node.number - 1), **keys})
                node.enable("vipd.service")
            if prepare:
                prepare(node)
        client = self.client()
        nodes[0].boot()
        nodes[0].wait_up()
        for node in nodes[1:]:
            node.boot()
        for node in nodes[1:]:
            node.wait_up()
        return [*nodes, client]

    def elected(self, n, prepare=None, **keys):
        """The same with n1 as master, and the others ready to follow."""
        *nodes, client = self.booted(n, prepare, **keys)
        for node in nodes:
            node.wait_state("master" if node.number == 1 else "backup")
            if node.number > 1:
                node.listened(advbase=keys.get("advbase", 1), advskew=50 * (node.number - 1))
        wait(lambda: self.holder() == 1, "n1 holds the address")
        return [*nodes, client]

    def holder(self, address=VIP):
        """The number of the host that holds the address, None if that is not exactly one; as far as the observer has read."""
        holders = self.observer.holders(address)
        return next(iter(holders)) if len(holders) == 1 else None

    def changes(self, since, address=VIP):
        """Who got or lost the address: [(time, host number, present)], complete up to now."""
        self.observer.sync()
        return self.observer.changes(address, since)

    def check_bow_out(self, node, since):
        """The node dropped the address, then said so. The event of an address has the time of its reading, which on a busy machine is a later one;
        but the witness reads those first, so one that it had read before the packet came before it."""
        self.observer.sync()
        events = list(self.observer.events)
        said = next((k for k, e in enumerate(events) if e.kind == "carp" and e.port == node.name and e.t >= since and
                     (e.advbase, e.advskew) == (255, 255)), None)
        check(said is not None, f"no bow-out of {node.name}")
        of_node = [(k, e) for k, e in enumerate(events) if e.kind == "address" and e.address == VIP and e.nsid == node.number]
        held = [e.present for k, e in of_node if k < said]
        lost = next(e.t for k, e in of_node if e.t >= since and not e.present)
        check(held[-1:] == [False] or events[said].t > lost - READ_USEC, f"dropped {lost}, bow-out {events[said].t}")

    def handed_over(self, heir):
        """Awaits it: at once by a bow-out, not by the silence after it."""
        wait(lambda: self.holder() == heir.number, f"{heir.name} holds the address")
        check(heir.get("Reason") == "bow-out", heir.get("Reason"))

    def check_never_together(self, number, address=VIP):
        """No instant in which this host and another one held the address."""
        self.observer.sync()
        for start, end, holders in self.observer.intervals(address):
            check(number not in holders or len(holders) == 1, f"held by {sorted(holders)} at once for {end - start} us")

    def bow_outs(self, node, since=0):
        """The last words of a master: the time of each."""
        self.observer.sync()
        return [e.t for e in self.observer.carp(node, since, advbase=255, advskew=255)]

    @contextlib.contextmanager
    def lossless(self, node, client, vip=VIP):
        """What is done inside costs the master's clients nothing: no packet, no event of the address, no change of state on any
        host, no bow-out."""
        wait(lambda: client.ping(vip), "the client reaches the address")
        began, probe = now(), client.probe(vip, interval_us=1000)
        yield
        report = probe.finish()
        check(report.lost == 0, f"lost {report.lost} of {report.sent}, for {report.longest_us} us")
        self.observer.sync()
        check(not self.observer.of("address", began, address=vip, present=False), "the address was removed for a moment")
        check(self.holder(vip) == node.number, "the address stayed")
        for each in self.booted_nodes():
            check(each.transitions(since=began) == [], f"{each.name}: {each.transitions(since=began)}")
            check(not self.bow_outs(each, began), "no bow-out")

    def booted_nodes(self):
        return [h for h in self.hosts.values() if isinstance(h, Node) and h.n_boots]

    def finish(self):
        super().finish()
        for node in self.booted_nodes():
            if node.leader() and node.nspawn.poll() is None:
                check(node.active("vipd.service") != "failed", f"vipd failed on {node.name}")

    def story(self):
        parts = [super().story()]
        for node in self.booted_nodes():
            with contextlib.suppress(OSError), open(node.console, errors="replace") as f:
                parts.append(f"--- console of {node.name}\n" + f.read()[-2000:])
            journal = run("journalctl", f"--directory={node.root}/var/log/journal", "--output=short-monotonic", "--quiet",
                          "--no-pager", "--lines=120", fail=False).stdout
            parts.append(f"--- journal of {node.name}\n{journal}")
        return "\n".join(parts)


def groups_of(identity="*"):
    """The control groups that labs left, the deepest first."""
    with open("/proc/self/mounts") as f:
        mounts = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
    tops = [top for mount in mounts for top in glob.glob(f"{mount}/vipd-boot-{identity}-n*")]
    return [path for top in tops for path, _, _ in os.walk(top, topdown=False)]


def sweep(identity="*"):
    """Removes the control groups of labs that have ended."""
    for path in groups_of(identity):
        lab = re.search(r"/vipd-boot-(\d+)-", path)
        if identity != "*" or not os.path.exists(f"/proc/{lab[1]}"):
            with contextlib.suppress(OSError):
                os.rmdir(path)


def run_lab(script, name):
    """Runs one test in a lab of its own; returns its exit status."""
    process = subprocess.Popen(net.enter(script, name), env={**os.environ, "VIPD_TEST_IDENTITY": f"vipd-boot-{os.getpid()}"})
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.kill())
    status = process.wait()
    # its processes are gone within moments, then so can be the groups
    with contextlib.suppress(AssertionError):
        wait(lambda: sweep(os.getpid()) or not groups_of(os.getpid()), "emptied control groups")
    return status


def main(prepare=lambda: image.prepare(BUILD, CACHE)):
    """prepare: makes the layers of the hosts, and returns them."""
    script = os.path.abspath(sys.modules["__main__"].__file__)
    found = net.cases(vars(sys.modules["__main__"]))
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        print("\n".join(found))
        return
    if arguments[:1] == ["--inside"]:
        # process 1 of a namespace ignores signals without a handler
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        status = net.run_inside(found[arguments[1]], BootLab)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("mmdebstrap"):
        print("skipped: booting hosts needs root, systemd-nspawn and mmdebstrap")
        sys.exit(77)
    sweep()
    try:
        os.environ["VIPD_TEST_LAYERS"] = json.dumps(prepare())
    except image.Unfit as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    worst = 0
    for name in arguments or found:
        began = time.monotonic()
        status = run_lab(script, name)
        word = {0: "ok", 77: "skipped"}.get(status, "FAILED")
        print(f"{word:8} {time.monotonic() - began:5.1f} s  {name}", flush=True)
        worst = max(worst, status if len(arguments) == 1 or status not in (0, 77) else 0)
    sys.exit(worst)
