# SPDX-License-Identifier: LGPL-2.1-or-later
"""The laboratory of the container tests: the hosts of tests/net/lab.py, each of which runs containers on its network as a user would, by
podman. The store of images and everything that runs lies in the lab's own namespaces and dies with it.

A test file defines functions `test_...(lab)` and ends with `containers.main()`, with the arguments that tests/net/lab.py knows.
"""

import contextlib
import functools
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../net"))
import lab as net  # noqa: E402
import image  # noqa: E402
from lab import check, run, wait  # noqa: E402

BUILD = os.environ.get("VIPD_BUILD", os.path.join(HERE, "../../build"))
CACHE = os.environ.get("VIPD_TEST_CONTAINER", os.path.join(BUILD, "tests/container"))
IMAGE = "localhost/vipd"
CAPABILITIES = ["--cap-add=NET_ADMIN", "--cap-add=NET_RAW"]
GROUPS = "/sys/fs/cgroup"
PARENT = f"vipd-container-test-{os.environ.setdefault('VIPD_TEST_GROUP', str(os.getpid()))}"

# runc, because crun refuses machines whose control groups are of both versions
CONFIGURATION = {
    "containers.conf": f"""[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
tmp_dir = "{net.ROOM}/podman"
[containers]
log_driver = "none"
[network]
network_config_dir = "{net.ROOM}/networks"
""",
    "storage.conf": f"""[storage]
driver = "overlay"
graphroot = "{net.ROOM}/store"
runroot = "{net.ROOM}/run"
""",
}


class Container(net.Vipd):
    """`podman run` in the foreground, and what vipd's log says."""

    def __init__(self, host, name, argv):
        super().__init__(host, argv, None)
        self.label = f"container {name} on {host.name}"
        self.name = name
        self.may_fail = True

    def state(self, name="vip"):
        return super().state(name)

    def reason(self, name="vip"):
        return super().reason(name)

    def wait_state(self, state, name="vip", timeout=40.0):
        super().wait_state(state, name, timeout)

    def wait_line(self, pattern, timeout=40.0, since=0):
        return super().wait_line(pattern, timeout, since)

    def wait_reason(self, reason):
        """What the log says comes through podman, a moment later."""
        wait(lambda: self.reason() == reason, lambda: f"{self.label}: {reason}: {self.text()}")

    def end(self, timeout=40.0):
        return super().end(timeout)

    def transitions(self, name="vip", since=0):
        return super().transitions(name, since)

    def kill(self, number):
        self.host.podman("kill", f"--signal={number}", self.name)

    def halt(self):
        """As users stop it; it ends well and soon."""
        self.host.podman("stop", "--time=9", self.name)
        status = self.end()
        check(status == 0, f"{self.label} ended with {status}:\n{self.text()}")

    @functools.cached_property
    def init(self):
        """The process number, here, of its process 1."""
        return int(self.host.podman("inspect", "--format={{.State.Pid}}", self.name))

    def processes(self):
        """All in its process namespace: {pid: status as a dictionary}."""
        home = os.readlink(f"/proc/{self.init}/ns/pid")
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == home:
                    with open(f"/proc/{pid}/status") as f:
                        found[int(pid)] = dict(line.rstrip("\n").split(":\t", 1) for line in f)
        return found


class Host(net.Host):
    def podman(self, *argv, fail=True):
        result = self.run("podman", *argv, fail=fail)
        return result.stdout.strip() if fail else result

    def container(self, *arguments, options=(), name=None, capabilities=CAPABILITIES, **environment):
        """Starts one as README says, with the arguments and variables of the image."""
        name = name or f"vip-{self.name}"
        argv = self.inside("podman", "run", "--rm", f"--name={name}", f"--cgroup-parent=/{PARENT}", "--network=host", *capabilities,
                           *options, *(f"--env={k}={v}" for k, v in environment.items()), IMAGE, *arguments)
        return Container(self, name, argv)


class Lab(net.Lab):
    def __init__(self):
        super().__init__()
        self.debian, self.archive = os.environ["VIPD_TEST_IMAGE"].split(":")
        for name, text in CONFIGURATION.items():
            with open(f"{net.ROOM}/{name}", "w") as f:
                f.write(text)
        os.environ.update(CONTAINERS_CONF=f"{net.ROOM}/containers.conf", CONTAINERS_STORAGE_CONF=f"{net.ROOM}/storage.conf", TMPDIR=net.ROOM)
        run("podman", "load", "--quiet", f"--input={self.archive}")

    def host(self, name, number):
        self.hosts[name] = Host(self, name, number)
        return self.hosts[name]

    def finish(self):
        super().finish()
        for p in self.processes:
            if p.running():
                p.end()
        run("podman", "stop", "--all", "--time=9")
        # podman's own processes leave theirs a moment later
        wait(lambda: not remove_groups({PARENT}), "control groups empty", 20)


def remove_groups(names):
    """Control groups, which outlive the processes and the lab. Returns those that are not empty yet."""
    left = []
    for top, directories, _ in os.walk(GROUPS, topdown=False):
        for path in (os.path.join(top, name) for name in directories):
            if names & set(path.split("/")):
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    pass
                except OSError:
                    left.append(path)
    return left


def sweep():
    """Those of labs that could not remove them."""
    found = {name for group in os.scandir(GROUPS) if group.is_dir() for name in os.listdir(group)} | set(os.listdir(GROUPS))
    numbers = {name: re.fullmatch(r"vipd-container-test-(\d+)", name) for name in found}
    remove_groups({name for name, m in numbers.items() if m and not os.path.exists(f"/proc/{m[1]}")})


def main():
    if os.geteuid() == 0 and not {"--list", "--inside"} & set(sys.argv):
        sweep()
        # here, where there is a network to fetch packages from
        os.environ["VIPD_TEST_IMAGE"] = ":".join(image.prepare(CACHE))
    net.main(Lab)
