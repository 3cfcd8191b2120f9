#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the documentation, manual pages included, shows as a .vip file, or as part of one, is what vipd accepts without a word; and what it quotes of a
shipped file, that file has."""

import os
import re
import subprocess
import tempfile

import pages
import tap

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VIPD = os.path.join(os.environ.get("VIPD_BUILD", os.path.join(TREE, "build")), "vipd")
SECTIONS = re.compile(r"^\[(.*?)[\] ]", re.M)
# for a part, when there is nothing whole before it
WHOLE = "[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\nPassphraseFile=/etc/vipd/web.key\n"


def read(path):
    with open(os.path.join(TREE, path), encoding="utf-8") as f:
        return f.read()


def documents():
    return ["README.md"] + sorted(f"docs/{name}" for name in os.listdir(os.path.join(TREE, "docs")) if name.endswith(".md"))


def is_instance(text):
    """And no unit of systemd's."""
    found = set(SECTIONS.findall(text))
    return bool(found) and found <= {"VIP", "CARP", "Announce", "Takeover", "Check"}


def blocks(path):
    """[(number of its line, text)] of what is marked as an ini file."""
    text = read(path)
    for m in re.finditer(r"^```ini\n(.*?)^```$", text, re.M | re.S):
        if is_instance(m[1]):
            yield text[:m.start()].count("\n") + 1, m[1]


def complaints(where, text, part=None, conf=None):
    """text: a whole file; part: a drop-in for it; conf: vipd.conf."""
    with tempfile.TemporaryDirectory() as directory:
        for key in re.findall(r"^PassphraseFile=/etc/vipd/(.*)$", text, re.M):
            with open(os.open(f"{directory}/{key}", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write("secret\n")
        text = text.replace("/etc/vipd/", f"{directory}/")
        os.mkdir(f"{directory}/web.vip.d")
        for name, content in (("web.vip", text), ("web.vip.d/part.conf", part), ("vipd.conf", conf)):
            if content is not None:
                with open(f"{directory}/{name}", "w", encoding="utf-8") as f:
                    f.write(content)
        r = subprocess.run([VIPD, "--check", directory], capture_output=True, text=True, timeout=30)
        for line in (r.stdout + r.stderr).splitlines():
            yield f"{where}: {line.replace(directory, '')}"
        if r.returncode != 0:
            yield f"{where}: exit status {r.returncode}"


def test_every_example_in_the_documents_is_accepted():
    n = 0
    for path in documents():
        whole = WHOLE
        for line, text in blocks(path):
            n += 1
            if "[VIP]" in text:
                whole = text
                yield from complaints(f"{path}:{line}", text)
            else:
                yield from complaints(f"{path}:{line}", whole, text)
    if n < 5:
        yield f"only {n} examples were found"


def test_every_example_in_the_manual_is_accepted():
    n = 0
    for name in pages.names():
        whole = WHOLE
        for text in pages.Page(name).examples:
            if text.startswith("[Daemon]"):
                n += 1
                yield from complaints(f"man/{name}, [Daemon]", WHOLE, conf=text)
            if is_instance(text):
                n += 1
                whole = text if "[VIP]" in text else whole
                yield from complaints(f"man/{name}, {text.splitlines()[0]}", whole, None if "[VIP]" in text else text)
    if n < 5:
        yield f"only {n} examples were found"


def test_every_shipped_example_is_accepted():
    names = sorted(name for name in os.listdir(os.path.join(TREE, "examples")) if name.endswith(".vip"))
    if not names:
        yield "there is none"
    for name in names:
        yield from complaints(f"examples/{name}", read(f"examples/{name}"))


def settings(text):
    """Without comments and empty lines."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_the_haproxy_example_is_the_one_that_is_shipped():
    text = read("docs/health.md")
    shown = re.search(r"^```\n(defaults\n.*?)^```$", text, re.M | re.S)
    shipped = read("examples/haproxy.cfg")
    if not shown or settings(shown[1]) != settings(shipped[shipped.index("defaults\n"):]):
        yield "examples/haproxy.cfg is another one"
    if settings(read("examples/haproxy.vip")) not in [settings(block) for _, block in blocks("docs/health.md")]:
        yield "examples/haproxy.vip is another one"


def test_every_link_between_documents_leads_somewhere():
    for path in documents():
        for target in re.findall(r"\]\(([^)#:]+)\)", read(path)):
            if not os.path.exists(os.path.join(TREE, os.path.dirname(path), target)):
                yield f"{path}: {target} does not exist"


if __name__ == "__main__":
    tap.main(globals())
