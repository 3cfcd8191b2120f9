# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under the benchmark, each by its own means: how it is started, made to hand over, and what its protocol promises. They know
nothing of what is measured; the address is the lab's, so that one witness serves all."""

import contextlib
import os
import shutil
import signal

import lab as L
from lab import VIP, Process, now, wait


class Program:
    """One program on every host of a lab, with the same settings on each unless `advskews` says otherwise."""

    def __init__(self, lab, hosts):
        self.lab, self.hosts = lab, hosts
        self.running = {}
        self.ready_usec = 0  # from here on every backup may take over

    def start(self, host):
        """Starts it, and notes when it may take over: a dead interval after it takes part."""
        process = self.running[host.name] = self.launch(host)
        process.may_fail = True
        self.await_part(process)
        self.ready_usec = max(self.ready_usec, now() + self.dead_usec(host) + 300_000)

    def await_part(self, process):
        """Returns when the program has said that it takes part."""
        process.wait_line("(?i)backup|local advertised ethernet address")

    def family(self, host):
        """Its processes, parents first."""
        def descend(pid):
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    return [pid] + [p for child in f.read().split() for p in descend(int(child))]
            except FileNotFoundError:
                return []
        return descend(self.running[host.name].pid)

    def kill(self, host):
        for pid in self.family(host):
            os.kill(pid, signal.SIGKILL)
        self.running.pop(host.name).kill()

    def stop(self, host):
        process = self.running.pop(host.name)
        process.signal(signal.SIGTERM)
        process.end()

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

    def __init__(self, lab, hosts, advbase=1, advskews=(0, 0), on_bus=False):
        super().__init__(lab, hosts)
        self.advbase, self.on_bus = advbase, on_bus
        self.advskews = {host.name: advskew for host, advskew in zip(hosts, advskews)}

    def launch(self, host):
        # the hold is shortened only so that the next handover can follow soon; it ends before that
        return host.vipd(bus=host.bus() if self.on_bus else "none", advbase=self.advbase, advskew=self.advskews[host.name],
                         Takeover_DemoteHold="100ms")

    def dead_usec(self, host):
        return L.dead_usec(self.advbase, self.advskews[host.name])

    def interval_usec(self, host):
        return self.advbase * 1_000_000 + max(self.advskews[host.name], 0 if self.advbase else 1) * 1_000_000 // 256

    def hand_over(self, host):
        self.running[host.name].signal(signal.SIGUSR2)  # Demote, for every instance

    def after_handover(self, host):
        self.ready_usec = now() + 500_000


class Ucarp(Program):
    name = "ucarp"

    def launch(self, host):
        return host.ucarp()

    def dead_usec(self, host):
        return 3_000_000

    def interval_usec(self, host):
        return 1_000_000

    def hand_over(self, host):
        self.running[host.name].signal(signal.SIGUSR2)

    def after_handover(self, host):
        # it sleeps three seconds, then listens as after a start
        self.ready_usec = now() + 3_000_000 + self.dead_usec(host) + 1_000_000


class Keepalived(Program):
    """VRRPv3. hand_over: `stop`, or `track`, by a tracked file that lowers the priority below the other's."""

    name = "keepalived"

    def __init__(self, lab, hosts, priority=100, interval=1.0, by="stop", realtime=False, down_timer_adverts=3):
        super().__init__(lab, hosts)
        self.priority, self.interval, self.by = priority, interval, by
        self.realtime, self.down_timer_adverts = realtime, down_timer_adverts

    def tracked(self, host, value):
        with open(f"{host.room}/give-up", "w") as f:
            f.write(f"{value}\n")

    def launch(self, host):
        config = f"{host.room}/keepalived.conf"
        track, tracks, preempt = "", "", " nopreempt\n"
        if self.by == "track":
            self.tracked(host, 0)
            track = f'vrrp_track_file give_up {{\n file "{host.room}/give-up"\n}}\n'
            tracks, preempt = " track_file {\n  give_up weight -10\n }\n", ""
        realtime = " vrrp_rt_priority 50\n" if self.realtime else ""
        with open(config, "w") as f:
            f.write(f"global_defs {{\n vrrp_version 3\n{realtime}}}\n{track}vrrp_instance web {{\n state BACKUP\n{preempt}"
                    f" interface eth0\n virtual_router_id 7\n priority {self.priority}\n advert_int {self.interval}\n"
                    f" down_timer_adverts {self.down_timer_adverts}\n{tracks} virtual_ipaddress {{\n  {VIP}/32\n }}\n}}\n")
        pid_files = [f"{host.room}/{name}.pid" for name in ("parent", "vrrp")]
        for path in pid_files:
            # of one that was killed: that number may be another process's by now, and keepalived would believe that it runs already
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return Process(self.lab, f"keepalived on {host.name}",
                       host.inside(keepalived_path(), "-n", "-l", "-f", config, "-p", pid_files[0], "-r", pid_files[1]))

    def await_part(self, process):
        process.wait_line("Entering BACKUP STATE", 15)

    def interval_usec(self, host):
        return int(self.interval * 1_000_000)

    def dead_usec(self, host):
        return self.down_timer_adverts * self.interval_usec(host) + (256 - self.priority) * self.interval_usec(host) // 256

    def hand_over(self, host):
        if self.by == "track":
            self.tracked(host, 1)
        else:
            self.running[host.name].signal(signal.SIGTERM)

    def after_handover(self, host):
        if self.by == "track":
            self.tracked(host, 0)
            self.ready_usec = now() + 1_500_000
        else:
            self.running.pop(host.name).end()
            wait(lambda: not host.holds(), "dropped at its end")
            self.start(host)


def keepalived_path():
    path = shutil.which("keepalived", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin")
    if not path:
        raise L.Skip("keepalived is not installed")
    return path
