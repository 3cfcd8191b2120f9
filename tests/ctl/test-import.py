# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl import: configurations as people publish them, on which ucarp, ifupdown and keepalived run, become what stands beside them in import/*.expected,
and vipd accepts it. `--update` writes the expectations; read what changed."""

import glob
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
CORPUS = os.path.join(HERE, "import")
VIPCTL = os.environ.get("VIPCTL", os.path.join(TREE, "build/ctl/vipctl"))
VIPD = os.environ.get("VIPD", os.path.join(TREE, "build/vipd"))
KINDS = {".command": "ucarp", ".interfaces": "ifupdown", ".conf": "keepalived"}

sys.path.insert(0, os.path.join(TREE, "tests/house"))
import tap  # pylint: disable=wrong-import-position


def environment():
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}


def vipctl(*argv, cwd=CORPUS):
    return subprocess.run([VIPCTL, "import", *argv], capture_output=True, text=True, check=False, timeout=30, cwd=cwd, env=environment())


def check(directory):
    """What vipd --check finds wrong."""
    r = subprocess.run([VIPD, "--check", directory], capture_output=True, text=True, check=False, timeout=30, env=environment())
    return [] if r.returncode == 0 else [f"exit code {r.returncode}: {r.stdout}{r.stderr}"]


def cases():
    return sorted(name for name in os.listdir(CORPUS) if os.path.splitext(name)[1] in KINDS)


def arguments(name):
    kind = KINDS[os.path.splitext(name)[1]]
    if kind != "ucarp":
        return [kind, name]
    with open(os.path.join(CORPUS, name), encoding="utf-8") as f:
        return [kind, "--", *shlex.split(f.read())[1:]]


def told(name):
    r = vipctl(*arguments(name))
    return f"{r.stdout}\n==== standard error\n{r.stderr}\n==== exit code\n{r.returncode}\n"


def expected(name):
    try:
        with open(os.path.join(CORPUS, name + ".expected"), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def into(directory, name, *more):
    """Options before the words of ucarp."""
    kind, *rest = arguments(name)
    return vipctl(kind, f"--output={directory}", *more, *rest)


def test_there_are_more_than_twenty_configurations_of_each_kind_some():
    if len(cases()) < 20:
        yield f"only {len(cases())}"
    for suffix in KINDS:
        if sum(name.endswith(suffix) for name in cases()) < 5:
            yield f"fewer than five of *{suffix}"


def test_every_configuration_becomes_what_is_expected():
    for name in cases():
        if told(name) != expected(name):
            diff = subprocess.run(["diff", "-u", os.path.join(CORPUS, name + ".expected"), "-"], input=told(name), capture_output=True, text=True, check=False)
            yield f"{name}:\n{diff.stdout}{diff.stderr}"


def test_vipd_accepts_what_is_written():
    for name in cases():
        with tempfile.TemporaryDirectory() as directory:
            r = into(directory, name)
            written = glob.glob(f"{directory}/*.vip")
            if bool(written) != ("# ====" in expected(name)):
                yield f"{name}: {len(written)} files: {r.stderr}"
            yield from (f"{name}: {e}" for e in check(directory))


def test_passphrases_are_in_files_that_nobody_else_can_read_and_nowhere_else():
    for name, secret in (("ucarp-readme.command", "mypassword"), ("ifupdown-package.interfaces", "sixteen-chars"),
                         ("keepalived-load-balancer-image.conf", "TESTPASS")):
        with tempfile.TemporaryDirectory() as directory:
            r = into(directory, name)
            (key,) = glob.glob(f"{directory}/*.key")
            if stat.S_IMODE(os.stat(key).st_mode) != 0o600:
                yield f"{key}: {os.stat(key).st_mode:o}"
            with open(key, encoding="utf-8") as f:
                if f.read() != secret + "\n":
                    yield f"{name}: another passphrase"
            (vip,) = glob.glob(f"{directory}/*.vip")
            with open(vip, encoding="utf-8") as f:
                if secret in f.read() + r.stdout + r.stderr + told(name):
                    yield f"{name}: the passphrase is shown"


def test_a_passphrase_is_made_up_where_there_was_none():
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        keys = []
        for directory in (one, two):
            into(directory, "keepalived-unit-check.conf")
            with open(f"{directory}/LB_VIP.key", encoding="utf-8") as f:
                keys.append(f.read())
        if not all(re.fullmatch(r"[A-Za-z0-9]{18}\n", key) for key in keys) or keys[0] == keys[1]:
            yield f"{len(keys[0])} bytes, and twice the same: {keys[0] == keys[1]}"


def test_nothing_is_overwritten_without_force():
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/VI_2.key", "w", encoding="utf-8") as f:
            f.write("mine\n")
        r = into(directory, "keepalived-nat-director.conf")
        if r.returncode != 1 or os.listdir(directory) != ["VI_2.key"] or "exists; --force" not in r.stderr:
            yield f"{r.returncode}: {os.listdir(directory)}: {r.stderr}"
        into(directory, "keepalived-nat-director.conf", "--force")
        with open(f"{directory}/VI_2.key", encoding="utf-8") as f:
            if f.read() == "mine\n" or len(os.listdir(directory)) != 4:
                yield f"--force: {os.listdir(directory)}"


def test_scripts_are_written_and_run_what_was_configured():
    with tempfile.TemporaryDirectory() as directory:
        config = f"{directory}/keepalived.conf"
        tell = f"{directory}/tell"
        with open(tell, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\nfor a in "$@"; do echo "$a"; done >>{directory}/told\n')
        os.chmod(tell, 0o755)
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"vrrp_instance web {{\ninterface eth0\nvirtual_router_id 1\npriority 90\nvirtual_ipaddress {{\n192.0.2.9\n}}\n"
                    f"notify_master \"{tell} master 'two words'\"\nnotify {tell}\n}}\n")
        vipctl("keepalived", f"--output={directory}/out", config)
        subprocess.run([f"{directory}/out/web.up", "eth0", "192.0.2.9"], check=True, timeout=10)
        subprocess.run([f"{directory}/out/web.down", "eth0", "192.0.2.9"], check=True, timeout=10)
        with open(f"{directory}/told", encoding="utf-8") as f:
            said = f.read().split("\n")[:-1]
        if said != ["master", "two words", "INSTANCE", "web", "MASTER", "90", "INSTANCE", "web", "BACKUP", "90"]:
            yield f"{said}"


def test_a_passphrase_file_of_ucarp_is_read():
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/pass", "w", encoding="utf-8") as f:
            f.write("from a file\nnot this\n")
        vipctl("ucarp", "-o", "out", "--", "-i", "eth0", "-s", "192.0.2.1", "-v", "1", "-o", "pass", "-a", "192.0.2.10", "-p", "x", "-o", "pass", cwd=directory)
        with open(f"{directory}/out/eth0-1.key", encoding="utf-8") as f:
            if f.read() != "from a file\n":
                yield "another passphrase"


def test_a_script_that_only_sets_the_address_is_left_out():
    with tempfile.TemporaryDirectory() as directory:
        for name, body in (("up", '#!/bin/sh\nexec 2>/dev/null\n/sbin/ip addr add "$2"/24 dev "$1"\n'), ("down", "#!/bin/sh\nip addr del $2/24 dev $1; reboot\n")):
            with open(f"{directory}/{name}", "w", encoding="utf-8") as f:
                f.write(body)
            os.chmod(f"{directory}/{name}", 0o755)
        r = vipctl("ucarp", "--", "-i", "eth0", "-s", "192.0.2.1", "-v", "1", "-p", "x", "-a", "192.0.2.10", "-u", "./up", "-d", "down", cwd=directory)
        if "UpScript=" in r.stdout or f"DownScript={directory}/down\n" not in r.stdout or r.returncode != 1:
            yield f"{r.stdout}{r.stderr}"


def test_wrong_usage():
    for argv in ((), ("ucarp",), ("ucarp", "--pid=1", "--", "-i", "eth0"), ("keepalived", "--pid=1"), ("ifupdown", "a", "b"), ("nagios",),
                 ("keepalived", "--force"), ("keepalived", "--colour"), ("ucarp", "x", "--", "-h"),
                 ("keepalived", ""), ("ucarp", "--output=", "--", "-v", "1")):
        r = vipctl(*argv)
        if r.returncode != 2 or not r.stderr.startswith("vipctl: "):
            yield f"{argv}: {r.returncode}: {r.stderr}"
    for argv in (("keepalived", "/nonexistent"), ("ucarp", "--pid=0x1"), ("ucarp", f"--pid={os.getpid()}"), ("ucarp", "--", "--help")):
        r = vipctl(*argv)
        if r.returncode != 1 or not r.stderr.startswith("vipctl: "):
            yield f"{argv}: {r.returncode}: {r.stderr}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        for case in cases():
            with open(os.path.join(CORPUS, case + ".expected"), "w", encoding="utf-8") as out:
                out.write(told(case))
    else:
        tap.main(globals())
