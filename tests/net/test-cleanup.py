# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a vipd that was killed has left: who cleans up drops it, and nothing else."""

import fcntl
import os

import lab as L
from lab import VIP, VIP6, check, instance, now, wait

ADDRESSES = (VIP, VIP6)
POLL = 7  # the system call


def clean_up(host, **environment):
    """vipd --cleanup, as the daemon's own user."""
    return L.run(*host.vipd_command(), "--cleanup", f"--runtime-dir={host.room}/runtime", env={**os.environ, **environment})


def killed_master(host, **keys):
    """A master that died, with its addresses still there: without a lease they would stay for ever."""
    a = host.vipd(addresses=ADDRESSES, VIP_Lease="no", **keys)
    a.wait_state("master")
    wait(lambda: all(host.holds(x) for x in ADDRESSES), "held")
    a.kill()
    check(all(host.holds(x) for x in ADDRESSES), "left behind")


def test_drops_what_is_left(lab):
    (n1,) = lab.nodes(1)
    killed_master(n1)
    said = clean_up(n1, SERVICE_RESULT="signal").stderr
    check(not any(n1.holds(x) for x in ADDRESSES), "dropped")
    check(VIP in said and VIP6 in said, said)
    check(clean_up(n1).stderr == "", "nothing is left to be said")


def test_drops_what_is_left_where_somebody_removed_the_lock(lab):
    """And looks into nothing there that is not its own: a pipe would hold it up for ever."""
    (n1,) = lab.nodes(1)
    killed_master(n1)
    os.unlink(f"{n1.room}/runtime/lock")
    os.mkfifo(f"{n1.room}/runtime/pipe", 0o666)
    os.chown(f"{n1.room}/runtime/pipe", L.UID, L.UID)
    clean_up(n1, SERVICE_RESULT="signal")
    check(not any(n1.holds(x) for x in ADDRESSES), "dropped")


def test_a_clean_end_has_left_nothing(lab):
    """After a restart the addresses are the next process's, so nothing is touched."""
    (n1,) = lab.nodes(1)
    killed_master(n1)
    clean_up(n1, SERVICE_RESULT="success", EXIT_CODE="exited")
    check(all(n1.holds(x) for x in ADDRESSES), "untouched")


def test_what_somebody_configured_is_left_alone(lab):
    (n1,) = lab.nodes(1)
    killed_master(n1)
    n1.ip("addr", "del", f"{VIP}/32", "dev", "eth0")
    n1.ip("addr", "add", f"{VIP}/32", "dev", "eth0")
    clean_up(n1)
    check(n1.holds(VIP), "the operator's")
    check(not n1.holds(VIP6), "ours is gone")


def test_the_next_daemon_drops_what_is_no_longer_configured(lab):
    (n1,) = lab.nodes(1)
    killed_master(n1)
    os.unlink(f"{n1.room}/config/web.vip")
    b = n1.vipd({"other": instance(("192.0.2.60",), vhid=9)})
    wait(lambda: not any(n1.holds(x) for x in ADDRESSES), "dropped")
    b.wait_state("master", "other")
    check(records(n1) == ["other.held"], "noted is what may be held now")


def records(host):
    return [name for name in os.listdir(f"{host.room}/runtime") if name.endswith(".held")]


def living_master(host):
    a = host.vipd(addresses=ADDRESSES, VIP_Lease="no")
    a.wait_state("master")
    wait(lambda: all(host.holds(x) for x in ADDRESSES), "held")
    return a


def check_untouched(lab, host, daemon, since):
    lab.observer.sync()
    for address in ADDRESSES:
        check(lab.observer.changes(address, since) == [], f"{address} was touched: {lab.observer.changes(address, since)}")
    check(records(host) == ["web.held"], "and what may be held is still noted")
    check(daemon.state() == "master", daemon.text())


def test_a_daemon_that_lives_is_left_alone(lab):
    (n1,) = lab.nodes(1)
    a = living_master(n1)
    at = now()
    clean_up(n1, SERVICE_RESULT="signal")
    check_untouched(lab, n1, a, at)


def test_a_second_daemon_does_not_start(lab):
    """Somebody runs vipd by hand, and the service runs already."""
    (n1,) = lab.nodes(1)
    a = living_master(n1)
    at = now()
    b = n1.vipd(addresses=ADDRESSES, VIP_Lease="no")
    b.wait_line("error: Another vipd runs, and .*/runtime is its directory")
    check(b.end() == 1, "and that is its exit status")
    check_untouched(lab, n1, a, at)


def test_a_second_daemon_beside_the_first(lab):
    """One that somebody starts by hand, to try a configuration: told so, in directories of its own."""
    (n1,) = lab.nodes(1)
    a = living_master(n1)
    at = now()
    options = []
    for kind in ("config", "runtime", "state"):
        path = f"{n1.room}/trial-{kind}"
        os.mkdir(path)
        os.chown(path, L.UID, L.UID)
        options.append(f"--{kind}-dir={path}")
    n1.write_config(f"{n1.room}/trial-config", {"trial": instance(("192.0.2.60",), vhid=9)})
    b = n1.vipd({"web": instance(ADDRESSES, VIP_Lease="no")}, *options)
    b.wait_state("master", "trial")
    check_untouched(lab, n1, a, at)
    b.stop()
    check_untouched(lab, n1, a, at)


def test_a_daemon_waits_for_a_cleanup(lab):
    """Which is over soon."""
    (n1,) = lab.nodes(1)
    os.makedirs(f"{n1.room}/runtime")
    lock = os.open(f"{n1.room}/runtime/lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.chown(lock, L.UID, L.UID)
    fcntl.flock(lock, fcntl.LOCK_EX)
    a = n1.vipd()

    def waits():
        with open(f"/proc/{a.pid}/comm") as comm, open(f"/proc/{a.pid}/syscall") as call:
            return comm.read() == "vipd\n" and call.read().startswith(f"{POLL} ")

    wait(waits, "it waits")
    os.close(lock)
    a.wait_state("master")


if __name__ == "__main__":
    L.main()
