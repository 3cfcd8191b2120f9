# SPDX-License-Identifier: LGPL-2.1-or-later
"""The PostgreSQL example of docs/health.md: a primary and its standby, and the address is where the primary is."""

import glob
import os
import pwd
import re
import shutil
import signal

import lab as L
from lab import VIP, check, hold, run, wait

PORT = 5432


def program(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    if not found:
        raise L.Skip("PostgreSQL is not installed")
    return found[-1]


def example():
    """The .vip file as the page has it, its address replaced by the lab's."""
    with open(os.path.join(L.HERE, "../../docs/health.md"), encoding="utf-8") as f:
        page = f.read()
    text = re.search(r"^```ini\n(\[VIP\]\nDescription=PostgreSQL primary\n.*?)^```$", page, re.M | re.S)[1]
    return text.replace("Address=192.0.2.20\n", f"Address={VIP}\n").replace("/etc/vipd/db.key", "@KEYFILE@")


class Server:
    """One PostgreSQL on a host, whose socket and data are in directories of its own."""

    def __init__(self, host):
        self.host = host
        self.data = f"{host.room}/data"
        self.sockets = f"{host.room}/postgresql"
        for path in (self.data, self.sockets):
            os.makedirs(path, mode=0o700)
            os.chmod(path, 0o755 if path == self.sockets else 0o700)
            os.chown(path, L.UID, L.UID)
        self.process = None

    def as_user(self, *argv):
        return self.host.inside("setpriv", f"--reuid={L.UID}", f"--regid={L.UID}", "--clear-groups", *argv)

    def run(self, *argv):
        run(*self.as_user(*argv), env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, cwd="/")

    def create(self):
        self.run(program("initdb"), "-D", self.data, "-U", "admin", "-A", "trust", "-N")
        # beside what the lab needs, as Debian has it
        with open(f"{self.data}/pg_hba.conf", "w") as f:
            f.write("local all admin trust\nhost replication admin 192.0.2.0/24 trust\nlocal all all peer\n")

    def copy_of(self, primary):
        self.run(program("pg_basebackup"), "-D", self.data, "-R", "-c", "fast", "-U", "admin", "-h", primary.host.address, "-p", str(PORT))

    def start(self):
        self.process = L.Process(self.host.lab, f"PostgreSQL of {self.host.name}", self.as_user(
            program("postgres"), "-D", self.data, "-p", str(PORT), "-c", "listen_addresses=*", "-k", self.sockets, "-c", "fsync=off",
            "-c", "shared_buffers=16MB", "-c", "wal_level=replica"))
        self.process.may_fail = True
        self.process.wait_line("database system is ready to accept", timeout=30)

    def create_role(self):
        """For the user of the daemon, without any right."""
        self.run(program("createuser"), "-h", self.sockets, "-U", "admin", pwd.getpwuid(L.UID).pw_name)

    def stop(self):
        self.process.signal(signal.SIGINT)
        self.process.end()

    def promote(self):
        self.run(program("pg_ctl"), "-D", self.data, "promote")


def vipd(host, server):
    # as patient as a busy machine needs it
    return host.vipd({"web": example().replace("/run/postgresql", server.sockets), "web.vip.d/patient.conf": "[Check primary]\nTimeout=10s\n"})


def test_the_address_follows_the_primary(lab):
    if not shutil.which("psql"):
        raise L.Skip("psql is not installed")
    n1, n2 = lab.nodes(2)
    first, second = Server(n1), Server(n2)
    first.create()
    first.start()
    first.create_role()
    second.copy_of(first)
    second.start()
    b = vipd(n2, second)
    b.wait_line("web: check primary fails: .*standby", timeout=20)
    a = vipd(n1, first)
    a.wait_state("master", timeout=20)
    first.stop()
    a.wait_state("backup", timeout=20)
    check(a.reason() == "health", a.text())
    hold(lambda: not n1.holds() and not n2.holds(), "nobody is primary", 4)
    second.promote()
    b.wait_state("master", timeout=20)
    wait(n2.holds, "the address is with the new primary")
    lab.observer.check_never_two(VIP)


if __name__ == "__main__":
    L.main()
