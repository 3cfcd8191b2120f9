# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under the benchmark, each by its own means: how it is started, made to hand over or restarted, and what its protocol
promises. They know nothing of what is measured; the addresses are the lab's, so that one witness serves all."""

import contextlib
import os
import re
import shutil
import signal

import lab as L
from lab import VIP, Process, now, wait

DROP_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/real-time.conf")


class Election:
    """One election: a number on an interface, with one address. `source`: the address of a host there, by the host's number."""

    def __init__(self, interface="eth0", number=7, address=VIP, source="192.0.2.{}"):
        self.interface, self.number, self.address, self.source = interface, number, address, source

    def name(self):
        return f"{self.interface}-{self.number}"


class Program:
    """One program on every host of a lab, with the same settings on each unless `advskews` says otherwise. `elections`: those of
    each host."""

    systemd = False  # whether it is a service of booted hosts
    prefix = ()  # of its command line
    # when it has begun to take part in one election, as it says so itself
    PART = "(?i)backup|local advertised ethernet address"

    def __init__(self, lab, hosts, elections=None):
        self.lab, self.hosts = lab, hosts
        self.elections = elections or [Election()]
        self.running = {}  # by the host's name, the processes that were started there
        self.ready_usec = 0  # from here on every backup may take over

    def start(self, host):
        """Starts it, and notes when it may take over: a dead interval after it takes part."""
        processes = self.running[host.name] = self.launch(host)
        for process in processes:
            process.may_fail = True
        self.await_part(processes)
        self.ready_usec = max(self.ready_usec, now() + self.dead_usec(host) + 300_000)

    def launch(self, host):
        """Returns its processes."""
        raise NotImplementedError

    def await_part(self, processes):
        """Returns when the program has said of every election that it takes part."""
        wait(lambda: sum(len(p.grep(self.PART)) for p in processes) >= len(self.elections), f"{self.name} takes part", 60,
             every=0.005 if len(self.elections) == 1 else 0.1)

    def family(self, host):
        """Its processes, parents first."""
        def descend(pid):
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    return [pid] + [p for child in f.read().split() for p in descend(int(child))]
            except FileNotFoundError:
                return []
        return [pid for process in self.running[host.name] for pid in descend(process.pid)]

    def send(self, host, number):
        for process in self.running[host.name]:
            process.signal(number)

    def kill(self, host):
        for pid in self.family(host):
            os.kill(pid, signal.SIGKILL)
        for process in self.running.pop(host.name):
            process.kill()

    def freeze(self, host):
        for pid in self.family(host):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, host):
        for pid in self.family(host):
            os.kill(pid, signal.SIGCONT)

    def stop(self, host):
        self.send(host, signal.SIGTERM)
        for process in self.running.pop(host.name):
            process.end()

    def restart(self, host):
        """As whoever upgrades it does."""
        self.stop(host)
        self.start(host)

    def settle(self, host):
        """Returns when it runs again, after whatever happened to it, where somebody starts it again."""

    def dead_usec(self, host):
        """How long this host, as a backup, waits after the last advert."""
        raise NotImplementedError

    def interval_usec(self, host):
        raise NotImplementedError

    def hand_over(self, host):
        """The master gives the address up, on purpose."""
        raise NotImplementedError

    def after_handover(self, host):
        """It is a backup again; ready_usec says from when on."""
        raise NotImplementedError


class Vipd(Program):
    name = "vipd"
    PART = r"\binit -> "

    def __init__(self, lab, hosts, elections=None, advbase=1, advskews=(0, 0), on_bus=False, lease=None, realtime=False):
        super().__init__(lab, hosts, elections)
        self.advbase, self.on_bus, self.lease = advbase, on_bus, lease
        self.advskews = {host.name: advskew for host, advskew in zip(hosts, advskews)}
        self.prefix = real_time() if realtime else ()

    def files(self, host):
        """Its .vip files: {name: text}."""
        # the hold is shortened only so that the next handover can follow soon; it ends before that
        more = {"Takeover_DemoteHold": "100ms", **({"VIP_Lease": self.lease} if self.lease else {})}
        return {e.name(): L.instance([e.address], e.number, self.advbase, self.advskews[host.name], e.interface, **more)
                for e in self.elections}

    def launch(self, host):
        return [host.vipd(self.files(host), bus=host.bus() if self.on_bus else "none", prefix=self.prefix)]

    def dead_usec(self, host):
        return L.dead_usec(self.advbase, self.advskews[host.name])

    def interval_usec(self, host):
        return self.advbase * 1_000_000 + max(self.advskews[host.name], 0 if self.advbase else 1) * 1_000_000 // 256

    def hand_over(self, host):
        self.send(host, signal.SIGUSR2)  # Demote, for every instance

    def after_handover(self, host):
        self.ready_usec = now() + 500_000


class Ucarp(Program):
    """One process for each address."""

    name = "ucarp"

    def __init__(self, lab, hosts, elections=None, realtime=False):
        super().__init__(lab, hosts, elections)
        self.prefix = real_time() if realtime else ()

    def command(self, host, e):
        return [*self.prefix, *host.ucarp_command(L.ucarp_path(), e.address, e.number, options=("-z",), interface=e.interface,
                                                  source=e.source.format(host.number))]

    def launch(self, host):
        return [Process(self.lab, f"ucarp on {host.name}", host.inside(*self.command(host, e))) for e in self.elections]

    def dead_usec(self, host):
        return 3_000_000

    def interval_usec(self, host):
        return 1_000_000

    def hand_over(self, host):
        self.send(host, signal.SIGUSR2)

    def after_handover(self, host):
        # it sleeps three seconds, then listens as after a start
        self.ready_usec = now() + 3_000_000 + self.dead_usec(host) + 1_000_000


class Keepalived(Program):
    """VRRPv3. hand_over: `stop`, or `track`, by a tracked file that lowers the priority below the other's."""

    name = "keepalived"
    PART = "Entering BACKUP STATE"

    def __init__(self, lab, hosts, elections=None, priority=100, interval=1.0, by="stop", realtime=False, down_timer_adverts=3):
        super().__init__(lab, hosts, elections)
        self.priority, self.interval, self.by = priority, interval, by
        self.realtime, self.down_timer_adverts = realtime, down_timer_adverts

    def tracked(self, host, value):
        with open(f"{host.room}/give-up", "w") as f:
            f.write(f"{value}\n")

    def text(self, host):
        """Its configuration."""
        track, tracks, preempt = "", "", " nopreempt\n"
        if self.by == "track":
            track = f'vrrp_track_file give_up {{\n file "{host.room}/give-up"\n}}\n'
            tracks, preempt = " track_file {\n  give_up weight -10\n }\n", ""
        realtime = f" vrrp_rt_priority {drop_in()['CPUSchedulingPriority']}\n" if self.realtime else ""
        return f"global_defs {{\n vrrp_version 3\n{realtime}}}\n{track}" + "".join(
            f"vrrp_instance {e.name()} {{\n state BACKUP\n{preempt} interface {e.interface}\n virtual_router_id {e.number}\n"
            f" priority {self.priority}\n advert_int {self.interval}\n down_timer_adverts {self.down_timer_adverts}\n{tracks}"
            f" virtual_ipaddress {{\n  {e.address}/32\n }}\n}}\n" for e in self.elections)

    def launch(self, host):
        config = f"{host.room}/keepalived.conf"
        if self.by == "track":
            self.tracked(host, 0)
        with open(config, "w") as f:
            f.write(self.text(host))
        pid_files = [f"{host.room}/{name}.pid" for name in ("parent", "vrrp")]
        for path in pid_files:
            # of one that was killed: that number may be another process's by now, and keepalived would believe that it runs already
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return [Process(self.lab, f"keepalived on {host.name}",
                        host.inside(keepalived_path(), "-n", "-l", "-f", config, "-p", pid_files[0], "-r", pid_files[1]))]

    def interval_usec(self, host):
        return int(self.interval * 1_000_000)

    def dead_usec(self, host):
        return self.down_timer_adverts * self.interval_usec(host) + (256 - self.priority) * self.interval_usec(host) // 256

    def hand_over(self, host):
        if self.by == "track":
            self.tracked(host, 1)
        else:
            self.send(host, signal.SIGTERM)

    def after_handover(self, host):
        if self.by == "track":
            self.tracked(host, 0)
            self.ready_usec = now() + 1_500_000
        else:
            for process in self.running.pop(host.name):
                process.end()
            wait(lambda: not host.holds(), "dropped at its end")
            self.start(host)


def keepalived_path():
    path = shutil.which("keepalived", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin")
    if not path:
        raise L.Skip("keepalived is not installed")
    return path


def drop_in():
    """The settings of the drop-in for real time that vipd comes with."""
    with open(DROP_IN) as f:
        return dict(re.findall(r"^(\w+)=(.*)$", f.read(), re.M))


def real_time():
    """What starts a program with the scheduling that this drop-in gives vipd.service."""
    settings = drop_in()
    return ("chrt", f"--{settings['CPUSchedulingPolicy']}", *(["--reset-on-fork"] if settings["CPUSchedulingResetOnFork"] == "yes" else []),
            settings["CPUSchedulingPriority"])
