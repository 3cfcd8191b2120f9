# SPDX-License-Identifier: LGPL-2.1-or-later
"""The release build that the demo and the benchmark run, made or brought up to date before. Where VIPD= is set, that program is run instead, with
the laboratory's tools from the build directory, and nothing is built."""

import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("VIPD_BUILD_DIR", os.path.join(HERE, "../build-release")))


def build():
    """Call it before the laboratory is imported, which reads from the environment what it is to run."""
    if "VIPD" not in os.environ:
        subprocess.run([f"{HERE}/install-dependencies"], check=True)
        if not os.path.exists(f"{BUILD}/build.ninja"):
            subprocess.run(["meson", "setup", BUILD, f"{HERE}/..", "-Dbuildtype=release", "--prefix=/usr"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", BUILD], check=True, stdout=subprocess.DEVNULL)
    os.environ.setdefault("VIPD", f"{BUILD}/vipd")
    os.environ.setdefault("VIPD_BUILD", BUILD)
