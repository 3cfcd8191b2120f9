# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipd --check as a command: what it prints where, and its exit status."""

import os
import pathlib
import subprocess
import sys
import tempfile

GOOD = "[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\nPassphrase=secret\n"


def vipd(*arguments, stdout=subprocess.PIPE):
    return subprocess.run([os.environ["VIPD"], *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=30,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})


def put(directory, text):
    path = directory / "web.vip"
    directory.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def equal(a, b):
    if a != b:
        raise AssertionError(f"{a!r} is not {b!r}")


def test_what_is_right_is_0_and_silent(root):
    put(root / "d", GOOD)
    r = vipd("--check", str(root / "d"))
    equal((r.returncode, r.stdout, r.stderr), (0, "", ""))


def test_a_warning_is_printed_and_0(root):
    path = put(root / "d", GOOD + "AdvSkw=1\n")
    r = vipd("--check", str(root / "d"))
    equal((r.returncode, r.stderr), (0, ""))
    equal(r.stdout, f"{path}:7: warning: unknown key AdvSkw= in [CARP], ignored; did you mean AdvSkew= in [CARP]?\n")


def test_every_error_is_printed_and_1(root):
    path = put(root / "d", GOOD + "AdvSkew=255\nAdvBase=-1\n")
    r = vipd("--check", str(root / "d"))
    equal((r.returncode, r.stderr), (1, ""))
    equal(r.stdout, f"{path}:7: error: AdvSkew=255: allowed is a whole number from 0 to 254\n"
                    f"{path}:8: error: AdvBase=-1: allowed is a whole number from 0 to 254\n")


def test_the_systems_directories_can_be_others(root):
    path = put(root / "etc", GOOD + "VHID=x\n")
    r = vipd("--check", f"--config-dir={root / 'etc'}", f"--runtime-dir={root / 'none'}")
    equal((r.returncode, r.stdout.splitlines()[-1]), (1, f"{path}:7: error: VHID=x: allowed is a whole number from 1 to 255"))


def test_a_directory_that_is_not_there_is_not_one_without_mistakes(root):
    for arguments in (["--check", str(root / "none")], ["--check", f"--config-dir={root / 'none'}"]):
        r = vipd(*arguments)
        equal((r.returncode, r.stdout, str(root / "none") in r.stderr), (1, "", True))


def test_a_file_is_not_a_directory(root):
    path = put(root / "d", GOOD)
    r = vipd("--check", str(path))
    equal((r.returncode, r.stdout, str(path) in r.stderr), (1, "", True))


def test_what_could_not_be_printed_is_not_0(root):
    put(root / "d", GOOD + "AdvSkw=1\n")
    with open("/dev/full", "w") as full:
        r = vipd("--check", str(root / "d"), stdout=full)
    equal((r.returncode, r.stderr), (1, "vipd: standard output: No space left on device\n"))


def test_wrong_options_are_2(root):
    for arguments in (["--chekc"], ["--check", "a", "b"], ["a"], ["--log-level=loud"]):
        r = vipd(*arguments)
        equal((r.returncode, r.stdout, r.stderr.startswith("vipd: ")), (2, "", True))


def main():
    tests = [f for name, f in globals().items() if name.startswith("test_")]
    failed = 0
    print(f"TAP version 13\n1..{len(tests)}")
    for k, test in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as root:
            try:
                test(pathlib.Path(root))
                print(f"ok {k} - {test.__name__}")
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {k} - {test.__name__}\n# {e}")
    sys.exit(failed > 0)


main()
