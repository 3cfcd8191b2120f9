# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two things at once: roles that share a unit, a restart while the bus starts anew."""

import os
import signal

import hosts
from hosts import VIP, check, now, wait

WEB2 = "192.0.2.51"
# nobody waits for it where all is well
NEVER = "60s"


def test_roles_that_share_a_unit(lab):
    """A server behind two addresses is started once, and both roles hear of it."""
    def prepare(node):
        node.write("/etc/systemd/system/server.service", """[Unit]
PartOf=vipd-master@web.target vipd-master@web2.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sleep 1
[Install]
WantedBy=vipd-master@web.target vipd-master@web2.target
""")
        node.enable("server.service")
        more = {"Takeover_UnitsBeforeAddress": "yes", "Takeover_UnitTimeout": NEVER}
        node.configure({"web": hosts.instance(**more), "web2": hosts.instance((WEB2,), vhid=8, **more)})
    n1, _ = lab.booted(1, prepare)
    wait(lambda: n1.active("server.service") == "active", "the server runs", 15)
    wait(lambda: n1.holds(VIP) and n1.holds(WEB2), "both addresses are held", 15)
    check(n1.get("FailedUnits") == n1.get("FailedUnits", "web2") == [], "nothing is thought to hang")


def test_restart_of_the_bus_and_then_of_vipd(lab):
    """As after an upgrade of both: who stops vipd is asked as soon as the bus is back, and nothing is lost."""
    n1, n2, _ = lab.elected(2)
    began, main = now(), n1.process_id()
    # one shell: vipd is told to stop before it has found the new bus
    n1.run("sh", "-c", "systemctl restart dbus.service && systemctl restart vipd.service")
    wait(lambda: n1.state() == "master", "n1 is master on the new bus")
    check(n1.process_id() != main, "another process")
    check(lab.bow_outs(n1, began) == [] and lab.changes(began) == [], f"bow-out, or {lab.changes(began)}")
    check(n2.transitions(since=began) == [], "the other host has seen nothing")


def test_a_stop_that_replaces_a_restart(lab):
    """Nobody goes on, so the address goes, and the others are told."""
    def prepare(node):
        os.mkfifo(f"{node.root}/run-script", 0o644)
        node.write("/etc/vipd/up", "#!/bin/sh\ntrap '' TERM\ncat /run-script\n", mode=0o755)
    n1, n2, _ = lab.elected(2, prepare, Takeover_UpScript="/etc/vipd/up")
    began = now()
    n1.systemctl("restart", "--no-block", "vipd.service")
    wait(lambda: n1.active("vipd.service") == "deactivating", "the restart has begun, and waits for the script")
    for _ in range(5):
        check(n1.state() == "master", "master still, and what vipd asked before is answered before")
    n1.systemctl("stop", "--no-block", "vipd.service")
    n1.run("sh", "-c", "echo end >/run-script")
    wait(lambda: n1.active("vipd.service") == "inactive", "stopped")
    check(len(lab.bow_outs(n1, began)) == 1 and not n1.holds(), f"bow-outs {lab.bow_outs(n1, began)}")
    n2.wait_state("master")


def test_a_stop_that_replaces_a_restart_waits_for_units(lab):
    """It was a restart when it began to wait for a script, and a stop when that ended: the address is held until the units behind it are down."""
    def prepare(node):
        node.script, node.stop = hosts.Gate(node, "/run-script"), hosts.Gate(node, "/stop")
        node.write("/etc/vipd/up", "#!/bin/sh\ntrap '' TERM\ncat /run-script\n", mode=0o755)
        node.hook("app.service", "Type=oneshot\nRemainAfterExit=yes\nTimeoutStopSec=60\nExecStart=true\nExecStop=cat /stop")
    n1, _, _ = lab.elected(2, prepare, Takeover_UpScript="/etc/vipd/up", Takeover_UnitsBeforeAddress="yes", Takeover_UnitTimeout=NEVER)
    wait(n1.script.reached, "the script runs", 30)
    began = now()
    n1.systemctl("restart", "--no-block", "vipd.service")
    wait(lambda: n1.active("vipd.service") == "deactivating", "the restart has begun, and waits for the script")
    n1.systemctl("stop", "--no-block", "vipd.service")
    os.kill(n1.process_id(), signal.SIGTERM)
    wait(n1.stop.reached, "its units go down", 30)
    n1.script.open()
    hosts.hold(lambda: n1.holds(VIP) and n1.active("vipd.service") == "deactivating", "the address is held while they do", 2)
    n1.stop.open()
    wait(lambda: n1.active("vipd.service") == "inactive", "stopped")
    check(len(lab.bow_outs(n1, began)) == 1 and not n1.holds(), f"bow-outs {lab.bow_outs(n1, began)}")


if __name__ == "__main__":
    hosts.main()
