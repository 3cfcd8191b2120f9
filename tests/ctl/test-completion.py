#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The completions in the real shells, on a terminal, with keys pressed, loaded from where they are installed. See lab.py."""

import os
import re
import shutil
import subprocess
import sys

from lab import Terminal, TREE, VIPCTL, bus, environment, equal, main

PROMPT = "VIPCTL-PROMPT> "
END = "VIPCTL-END"
VERBS = {"list", "status", "monitor", "demote", "promote", "enable", "disable", "reload", "is-master", "wait", "statistics", "metrics", "import", "check"}
# what is typed, what is offered, and what is not
CASES = (
    ("vipctl ", VERBS, {"web", "web2"}),
    ("vipctl is", {"is-master"}, VERBS - {"is-master"}),
    ("vipctl demote w", {"web", "web2"}, {"list"}),
    ("vipctl demote web2 w", {"web"}, {"list"}),
    ("vipctl status ", {"web", "web2"}, {"list"}),
    ("vipctl --no-pager -H other enable we", {"web", "web2"}, {"list"}),
    ("vipctl --json short statistics we", {"web", "web2"}, {"list"}),
    ("vipctl --json=short statistics we", {"web", "web2"}, {"list"}),
    ("vipctl is-master we", {"web", "web2"}, {"list"}),
    ("vipctl is-master web2 ", set(), {"web", "list"}),
    ("vipctl wait we", {"web", "web2"}, {"backup"}),
    ("vipctl wait web2 ", {"init", "backup", "master"}, {"web", "list"}),
    ("vipctl reload ", set(), {"web", "web2", "list"}),
    ("vipctl metrics --format=", {"openmetrics", "prometheus"}, {"web", "list"}),
    ("vipctl --json=", {"pretty", "short", "off"}, {"web", "list"}),
    ("vipctl --no-", {"--no-pager", "--no-legend", "--no-ask-password"}, {"--json", "list"}),
    ("vipctl import ", {"ucarp", "ifupdown", "keepalived"}, {"web", "list"}),
    ("vipctl import keepalived /run/conf", {"config"}, {"list", "ucarp"}),
    ("vipctl import ucarp /run/conf", set(), {"config"}),
    ("vipctl import --", {"--output", "--force", "--pid", "--help"}, {"--json", "--host", "--no-pager", "list"}),
    ("vipctl import ifupdown --", {"--output", "--force", "--pid", "--help"}, {"--json", "--host", "--no-pager", "list"}),
    ("vipctl import --output=/run/conf", {"config"}, {"list", "ucarp"}),
    ("vipctl import -o /run/conf", {"config"}, {"list", "ucarp"}),
    ("vipctl import -o /run ", {"ucarp", "ifupdown", "keepalived"}, {"web", "list"}),
    ("vipctl import --force --output=/run keepalived /run/conf", {"config"}, {"list", "ucarp"}),
    ("vipctl import ucarp --pid=1 ", set(), {"config", "list"}),
    ("vipctl import ucarp -- ", set(), {"--output", "ucarp", "web"}),
    ("vipctl import ucarp -- --", set(), {"--output", "--json"}),
    ("vipctl --json=short import k", {"keepalived"}, {"list"}),
    ("vipctl demote --f", {"--for"}, {"--force"}),
    ("vipctl check /run/conf", {"config"}, {"list"}),
)


def visible(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\b\x07]", " ", text)


class Shell:
    """A shell that waits for keys."""

    def __init__(self, argv, setup):
        os.makedirs("/run/home", exist_ok=True)
        self.terminal = Terminal(argv, 200, {"HOME": "/run/home", "PATH": f"/run/bin:{environment()['PATH']}", "HISTFILE": "/dev/null"})
        for line in setup:
            self.terminal.send(line + "\n")
        self.end()

    def end(self):
        """All that was asked has been answered; the shell answers in the order of the keys."""
        self.terminal.send("\x15echo VIPCTL-''END\n")
        text = self.terminal.until(lambda t: END in t and visible(t).rstrip().endswith(PROMPT.rstrip()), "the end")
        self.terminal.text = ""
        return visible(text)

    def offers(self, typed):
        self.terminal.send(typed)
        self.terminal.until(lambda t: typed in t, "the echo")
        self.terminal.text = ""
        self.terminal.send("\t\t")
        # a list that does not come is told from one that is late by what comes behind it
        self.terminal.send("\x05")
        return self.end().replace(END, "")


def words(text, typed):
    last = typed.split(" ")[-1].split("=")[-1]
    found = set(re.findall(r"(?<![\w/-])[\w-]+(?:(?=/)|(?![\w/-]))", text))
    # what is unambiguous is put behind what was typed
    rest = re.match(r"[\w/-]+", text)
    return found | ({(last + rest[0]).rsplit("/")[-1], last.rsplit("/")[-1] + rest[0].rstrip("/")} if rest else set())


def check(name, offers):
    for typed, offered, refused in CASES:
        found = offers(typed)
        equal(sorted(offered - found), [], f"{name}: not offered after {typed!r}, but {sorted(found)}")
        equal(sorted(refused & found), [], f"{name}: offered after {typed!r}")


def install():
    """As meson does: into the directories in which the shells look."""
    os.makedirs("/run/bin", exist_ok=True)
    if not os.path.exists("/run/bin/vipctl"):
        os.symlink(VIPCTL, "/run/bin/vipctl")
    for source, to in (("vipctl.bash", "/usr/share/bash-completion/completions/vipctl"), ("_vipctl", "/usr/share/zsh/vendor-completions/_vipctl"),
                       ("vipctl.fish", "/usr/share/fish/vendor_completions.d/vipctl.fish")):
        shutil.copy(f"{TREE}/ctl/completion/{source}", to)


def test_bash_completes_verbs_options_names_and_states():
    install()
    shell = Shell(["bash", "--norc", "--noprofile", "-i"], [
        "bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items 0'",
        "bind 'set enable-bracketed-paste off'; bind 'set completion-display-width 0'", f"PS1='{PROMPT}'", ". /usr/share/bash-completion/bash_completion"])
    try:
        check("bash", lambda typed: words(shell.offers(typed), typed))
    finally:
        shell.terminal.kill()


def test_zsh_completes_verbs_options_names_and_states():
    install()
    shell = Shell(["zsh", "-f", "-i"], [
        "unsetopt PROMPT_SP PROMPT_CR; TERM=dumb; setopt NO_BEEP NO_ALWAYS_LAST_PROMPT NO_AUTO_MENU NO_LIST_AMBIGUOUS; LISTMAX=10000",
        "autoload -Uz compinit && compinit -u -D", f"PS1='{PROMPT}'"])
    try:
        check("zsh", lambda typed: words(shell.offers(typed), typed))
    finally:
        shell.terminal.kill()


def test_fish_completes_verbs_options_names_and_states():
    """fish answers what a key would be answered with."""
    install()
    os.makedirs("/run/home", exist_ok=True)

    def offers(typed):
        r = subprocess.run(["fish", "--command", f"complete --do-complete {typed!r}"], capture_output=True, text=True, check=True, timeout=60,
                           env=environment(HOME="/run/home", PATH=f"/run/bin:{environment()['PATH']}"))
        return {line.split("\t")[0].split("=")[-1].rstrip("/").split("/")[-1] for line in r.stdout.split("\n") if line}

    check("fish", offers)


def test_without_a_daemon_there_are_no_names_and_no_noise():
    install()
    bus.stop_vipd()
    try:
        for argv in (["bash", "-c", ". /usr/share/bash-completion/completions/vipctl; COMP_WORDS=(vipctl demote ''); COMP_CWORD=2; _vipctl; "
                      "echo \"${COMPREPLY[@]}\""], ["fish", "--command", "complete --do-complete 'vipctl demote '"]):
            r = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60,
                               env=environment(HOME="/run/home", PATH=f"/run/bin:{environment()['PATH']}"))
            equal((r.stdout.strip(), r.stderr), ("", ""), f"what {argv[0]} says")
    finally:
        bus.start_vipd()


if __name__ == "__main__":
    sys.exit(main(globals(), __file__, ("bash", "fish", "zsh")))
