# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes what a user of Debian gets, from the tree as it is: the tarball of `meson dist`, and from that alone, without a network, the
packages. Once with the tree's version, and once more as an earlier one, from the same binaries, to upgrade from.

Made once and kept in the build directory, until a file of the tree changes. Several tests may come at once: the first one makes what is
missing, the others wait.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import image  # noqa: E402

BUILD = os.environ.get("VIPD_BUILD", os.path.join(TREE, "build"))
BOOT = os.environ.get("VIPD_TEST_BOOT", os.path.join(BUILD, "tests/boot"))
CACHE = os.environ.get("VIPD_TEST_PACKAGE", os.path.join(BUILD, "tests/package"))

NAMES = ["vipd", "vipd-ucarp"]
# sorts before every version that was released
PREVIOUS = "0.0~previous"
NOBODY = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main"]


def run(*argv, cwd=TREE, network=False):
    """Returns its output. Without a network, and in an environment that says nothing of this machine."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null",
                   "GIT_CONFIG_SYSTEM": "/dev/null"}
    result = subprocess.run([*([] if network else ["unshare", "--net"]), *argv], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {result.returncode}:\n{result.stdout[-20000:]}")
    return result.stdout


def files():
    """What belongs to the tree: what git knows or would add; without git, as in an unpacked tarball, everything but builds."""
    if os.path.exists(f"{TREE}/.git"):
        listed = run("git", "-c", f"safe.directory={TREE}", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        return sorted(path for path in listed if path and os.path.lexists(f"{TREE}/{path}"))
    found = []
    for where, directories, names in os.walk(TREE):
        directories[:] = [d for d in directories if not (where == TREE and re.match(r"build|obj-", d)) and d != "__pycache__"]
        found += [os.path.relpath(f"{where}/{name}", TREE) for name in names]
    return sorted(found)


def copy(paths, where):
    for path in paths:
        os.makedirs(os.path.dirname(f"{where}/{path}"), exist_ok=True)
        shutil.copy2(f"{TREE}/{path}", f"{where}/{path}", follow_symlinks=False)


def tarball(where):
    """meson dist in a repository that has one commit."""
    copy(files(), f"{where}/git")
    run("git", *NOBODY, "init", "--quiet", cwd=f"{where}/git")
    run("git", "add", "--all", cwd=f"{where}/git")
    run("git", *NOBODY, "commit", "--quiet", "--message=all", cwd=f"{where}/git")
    run("meson", "setup", "build", cwd=f"{where}/git")
    run("meson", "dist", "-C", "build", "--no-tests", "--formats=gztar", cwd=f"{where}/git")
    made = glob.glob(f"{where}/git/build/meson-dist/*.tar.gz")[0]
    shutil.move(made, where)
    shutil.rmtree(f"{where}/git")
    return os.path.join(where, os.path.basename(made))


def as_previous(package, where):
    """The same files under an earlier version."""
    run("dpkg-deb", "--raw-extract", package, f"{where}/files")
    with open(f"{where}/files/DEBIAN/control") as f:
        control = f.read()
    with open(f"{where}/files/DEBIAN/control", "w") as f:
        f.write(re.sub(r"(?m)^Version: .*$", f"Version: {PREVIOUS}", control))
    run("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", f"{where}/files", where)
    shutil.rmtree(f"{where}/files")


def build(path):
    os.umask(0o022)
    os.makedirs(f"{path}/source")
    os.makedirs(f"{path}/previous")
    release = tarball(path)
    run("tar", "--extract", f"--file={release}", "--strip-components=1", cwd=f"{path}/source")
    run("dpkg-buildpackage", "--unsigned-source", "--unsigned-changes", "--build=binary", cwd=f"{path}/source")
    for name in NAMES:
        as_previous(glob.glob(f"{path}/{name}_*.deb")[0], f"{path}/previous")
    shutil.rmtree(f"{path}/source")


def prepare():
    """Returns the directory that has the tarball, .deb and .changes files, and below previous/ the earlier packages."""
    content = []
    for path in files():
        what = os.lstat(f"{TREE}/{path}")
        content.append((path, what.st_mtime_ns, what.st_size, what.st_mode))
    os.makedirs(CACHE, exist_ok=True)
    with image.locked(f"{CACHE}/lock"):
        return image.make(f"{CACHE}/made-{image.digest(content)}", build)
