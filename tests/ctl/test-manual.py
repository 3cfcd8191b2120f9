# SPDX-License-Identifier: LGPL-2.1-or-later
"""vipctl --help, vipctl(1) and the completions tell of the same verbs and options; every reason of the interface has words."""

import os
import re
import subprocess
import sys

import manual

sys.path.insert(0, os.path.join(manual.TREE, "tests/house"))
import tap  # pylint: disable=wrong-import-position

VIPCTL = os.environ.get("VIPCTL", os.path.join(manual.TREE, "build/ctl/vipctl"))


def read(path):
    with open(os.path.join(manual.TREE, path), encoding="utf-8") as f:
        return f.read()


def help_text(*verb):
    return subprocess.run([VIPCTL, *verb, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout


def verbs_of_help():
    return set(re.findall(r"^  ([a-z-]+)", help_text().split("Verbs:")[1], re.M))


def options_of_help(*verb):
    lines = re.findall(r"^  (-.*?)  ", help_text(*verb), re.M)
    return {o for line in lines for o in re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*=?", line)}


def differences(what, a, b):
    for name in sorted(a ^ b):
        yield f"{what}: {name} is {'missing' if name in a else 'too much'}"


def test_the_manual_has_every_verb_and_option_of_help():
    yield from differences("verbs of vipctl(1)", verbs_of_help(), manual.verbs())
    yield from differences("options of vipctl(1)", options_of_help(), manual.options())


def test_the_bash_completion_has_every_verb_and_option():
    text = read("ctl/completion/vipctl.bash")
    yield from differences("verbs", verbs_of_help(), set(re.search(r"verbs='(.*)'", text)[1].split()))
    for what, verb in (("", []), ("import_", ["import"])):
        options = re.search(rf"local {what}options='(.*)'$", text, re.M)[1] + " " + re.search(rf"local {what}short='(.*)'$", text, re.M)[1]
        yield from differences(f"{what}options", options_of_help(*verb), set(options.split()))


def test_the_zsh_completion_has_every_verb_and_option():
    text = read("ctl/completion/_vipctl")
    yield from differences("verbs", verbs_of_help(), set(re.findall(r"^ +'([a-z-]+):", text, re.M)))
    for what, verb in (("", []), ("import_", ["import"])):
        options = re.search(rf"^ *local -a {what}options=\($(.*?)^ *\)$", text, re.M | re.S)[1]
        found = set(re.findall(r"(?<=[{,' )])(--?[A-Za-z][a-z-]*)[=+]?(?=[\[,}])", options))
        yield from differences(f"{what}options", {o.rstrip("=") for o in options_of_help(*verb)}, found)


def test_the_fish_completion_has_every_verb_and_option():
    text = read("ctl/completion/vipctl.fish")
    yield from differences("verbs", verbs_of_help(), set(re.findall(r"= -1' -a ([a-z-]+) ", text)))
    for verb in ([], ["import"]):
        lines = [line for line in re.findall(r"^complete .*", text, re.M)
                 if " -l help " in line or bool(verb) == ("__vipctl_verb import" in line and "not __vipctl_verb import" not in line)]
        found = {f"--{o}" for o in re.findall(r" -l ([a-z-]+)", "\n".join(lines))} | {f"-{o}" for o in re.findall(r" -s (\w)", "\n".join(lines))}
        yield from differences(f"options {verb}", {o.rstrip("=") for o in options_of_help(*verb)}, found)


def test_the_manual_has_every_exit_code():
    codes = set(re.findall(r"^        CTL_\w+ = (\d+),", read("ctl/ctl.h"), re.M))
    yield from differences("exit codes of vipctl(1)", codes, {re.sub(r"^\.B ", "", t) for t in manual.tags("EXIT STATUS")})
    yield from differences("exit codes of --help", codes, set(re.findall(r"(\d) ", help_text().split("Exit codes:")[1])))


def test_every_reason_has_words():
    comment = re.search(r"<!-- Why the state is what it is:(.*?)-->", read("dbus/org.vipd1.Instance.xml"), re.S)[1]
    table = re.search(r"reasons\[\] = \{(.*?)\n\};", read("ctl/words.c"), re.S)[1]
    yield from differences("reasons", set(re.findall(r'"([a-z-]+)"', comment)), set(re.findall(r'\{ "([a-z-]+)",', table)))


if __name__ == "__main__":
    tap.main(globals())
