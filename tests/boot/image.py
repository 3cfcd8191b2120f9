# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the hosts of the boot tests boot from: a Debian root made by mmdebstrap, and a layer on top of it that `meson install`
fills as a packager would. Both lie in the build directory, are made once, and are only read afterwards: every host has an overlay
of its own.

Knows nothing of hosts or tests. Several tests may come at once: the first one makes what is missing, the others wait.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess

SUITE = "bookworm"
PACKAGES = ["systemd", "systemd-sysv", "libpam-systemd", "dbus", "polkitd", "iproute2", "procps", "passwd", "nginx-light", "python3",
            # what vipd and vipd-checker link
            "libsystemd0", "libglib2.0-0", "libnl-3-200", "libnl-route-3-200", "libnettle8", "libcurl4", "ca-certificates",
            # what DOWNLOADED needs
            "ifupdown", "net-tools", "libpcap0.8"]
# packages that lie in /srv, for a test to install
DOWNLOADED = ["ucarp", "apt-utils"]

# Nothing here ever reads a manual, and nothing but what a test starts should run. Of the generators, which take half of the time of a boot and run
# again with each daemon-reload, hosts need the one that reads systemd.mask=.
TIDY = r"""set -eu
cd "$1"
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info var/cache/apt var/lib/apt/lists
rm -f etc/hostname etc/machine-id etc/systemd/system/multi-user.target.wants/* etc/systemd/system/timers.target.wants/*
: >etc/machine-id
find usr/lib/systemd/system-generators -type f ! -name systemd-debug-generator -delete
mkdir -p var/log/journal
"""


class Unfit(Exception):
    """This build cannot be installed as a package is."""


@contextlib.contextmanager
def locked(path):
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def quiet(*argv):
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {result.returncode}:\n{result.stdout}")


def make(path, fill):
    """A directory that is either complete or not there; what an earlier build left is removed."""
    parent, name = os.path.split(path)
    if os.path.exists(path):
        return path
    new = f"{path}.new"
    shutil.rmtree(new, ignore_errors=True)
    fill(new)
    os.rename(new, path)
    for other in os.listdir(parent):
        if other != name and other.split("-")[0] == name.split("-")[0]:
            shutil.rmtree(os.path.join(parent, other), ignore_errors=True)
    return path


def bootstrap(path):
    download = f'cd "$1/srv" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --quiet --quiet download {" ".join(DOWNLOADED)}'
    quiet("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
          "--aptopt=Apt::Install-Recommends false", f"--customize-hook={download}", SUITE, path)
    quiet("sh", "-c", TIDY, "sh", path)


def install(build, path):
    os.umask(0o022)
    quiet("meson", "install", "-C", build, "--no-rebuild", "--destdir", path)


def digest(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def debian(directory):
    """Returns the Debian root alone. `directory`: where to keep it."""
    os.makedirs(directory, exist_ok=True)
    with locked(f"{directory}/lock"):
        return make(f"{directory}/debian-{digest(SUITE, PACKAGES, DOWNLOADED, TIDY)}", bootstrap)


def prepare(build, directory):
    """Returns the layers of a host, the topmost first. `build`: meson's build directory; `directory`: where to keep them."""
    with open(f"{build}/meson-info/intro-installed.json") as f:
        installed = json.load(f)
    if not any(where == "/usr/sbin/vipd" for where in installed.values()):
        raise Unfit("vipd is not installed below /usr: configure the build with --prefix=/usr, as a package does")
    content = sorted((source, where, os.stat(source).st_mtime_ns, os.stat(source).st_size) for source, where in installed.items())
    root = debian(directory)
    with locked(f"{directory}/lock"):
        return [make(f"{directory}/package-{digest(content)}", lambda path: install(build, path)), root]
