# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image that the container tests run: made by container/build once per state of the tree, and kept in the build directory with the
Debian root that it was compiled in. Several tests may come at once: the first one makes what is missing, the others wait.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# what `meson setup` reads, and what is compiled
SOURCES = ["checker", "container", "daemon", "dbus", "meson.build"]


@contextlib.contextmanager
def locked(path):
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def files_of(path):
    if os.path.isfile(path):
        return [path]
    return [os.path.join(where, name) for where, _, names in os.walk(path) for name in names if not where.endswith("__pycache__")]


def digest(paths):
    state = hashlib.sha256()
    for path in sorted(file for p in paths for file in files_of(os.path.join(TREE, p))):
        with open(path, "rb") as f:
            state.update(path.encode() + b"\0" + f.read())
    return state.hexdigest()[:16]


def prepare(directory):
    """Returns the paths of the Debian root and of the archive. directory: where to keep them."""
    os.makedirs(directory, exist_ok=True)
    debian = f"{directory}/debian-{digest(['container/packages', 'container/build'])}"
    archive = f"{directory}/vipd-{digest(SOURCES)}.tar"
    with locked(f"{directory}/lock"):
        for name in os.listdir(directory):
            path = f"{directory}/{name}"
            if name.startswith("debian-") and path != debian:
                shutil.rmtree(path, ignore_errors=True)
            elif name.startswith("vipd-") and path != archive:
                os.unlink(path)
        if not os.path.exists(archive):
            result = subprocess.run([f"{TREE}/container/build", "--base", debian, archive], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
            if result.returncode != 0:
                raise RuntimeError(f"container/build: {result.returncode}:\n{result.stdout}")
    return debian, archive
