# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipd as a service of hosts that boot systemd, installed as a package has it: see tests/boot/hosts.py."""

import os
import signal

import lab as L
from hosts import now, run, wait
from programs import Vipd


class VipdService(Vipd):
    systemd = True

    def start(self, host):
        host.configure({"web": L.instance(advbase=self.advbase, advskew=self.advskews[host.name])})
        # the build under test may be another one than the installed
        run("install", "-m", "0755", L.VIPD, f"{host.root}/usr/sbin/vipd")
        host.enable("vipd.service")
        host.boot()
        host.wait_up()
        wait(lambda: host.transitions(), f"{host.name} takes part", 20)
        self.running[host.name] = []
        self.ready_usec = max(self.ready_usec, now() + self.dead_usec(host) + 300_000)

    def family(self, host):
        return [host.process_id()]

    def kill(self, host):
        """systemd starts it again."""
        os.kill(host.process_id(), signal.SIGKILL)

    def settle(self, host):
        host.wait_state("backup" if self.lab.holder() != host.number else "master")

    def restart(self, host):
        host.systemctl("restart", "vipd")
