# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a run was made, and with what."""

import os
import platform
import re
import subprocess
import time

import lab as L

HERE = os.path.dirname(os.path.abspath(__file__))


def first_line(*argv):
    try:
        result = subprocess.run(argv, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return ((result.stdout + result.stderr).splitlines() or [""])[0]


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M)
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": model[1] if model else None,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": memory,
        "virtualization": first_line("systemd-detect-virt"),
        "load": list(os.getloadavg()),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def versions():
    package = "dpkg-query -W -f=${Version}".split()
    return {
        "vipd": first_line(L.VIPD, "--version"),
        "commit": first_line("git", "-C", HERE, "describe", "--always", "--dirty"),
        "ucarp": first_line(*package, "ucarp"),
        "keepalived": first_line(*package, "keepalived"),
    }
