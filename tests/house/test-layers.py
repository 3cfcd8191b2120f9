#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lower floor never knows a higher one: what each room may include, what it may call, and what the linker saw.

The table below is the map in HACKING.md. A file that no row names fails, so that a new room gets a row, and its place, first.
"""

import fnmatch
import os
import re
import subprocess

import tap

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("VIPD_BUILD", os.path.join(TREE, "build"))

ISO_C = "assert errno float inttypes iso646 limits math stdalign stdarg stdbool stddef stdint stdlib string".split()
ISO_C = [f"<{name}.h>" for name in ISO_C]
GLIB = ["<glib.h>"]
# the C library and the kernel's headers: everything that is not one of our libraries
POSIX = [f"<{name}>" for name in ("*.h", "arpa/*", "linux/*", "net/*", "netinet/*", "netpacket/*", "sys/*")]
LOOP = ["<systemd/sd-event.h>"]

CORE, PROTO, UTIL, IO, DBUS = (f'"{room}/*"' for room in ("core", "proto", "util", "io", "dbus"))
CONFIG = '"config*.h"'
LINE, STATUS, PROBE_CONFIG, CHILDREN, TRANSFER = (f'"checker/{name}.h"' for name in ("line", "status-ranges", "probe-config", "children", "transfer"))
CHECKER_PROTOCOL = '"checker/checker-protocol.h"'
INSTANCE = '"instance.h"'
CHECK = '"check/*"'

# files (the first row that fits counts): what they may include
ROOMS = [
    ("daemon/core/*", [CORE] + ISO_C),
    # numbers of address families, and addresses as text: values that only those two headers have
    ("daemon/proto/*", [PROTO, "<sys/socket.h>", "<arpa/inet.h>", "<stdio.h>", "<nettle/*>"] + ISO_C + GLIB),
    ("daemon/util/*", [UTIL] + GLIB + POSIX + LOOP),
    ("daemon/io/*", [IO, PROTO, UTIL, "<netlink/*>", "<netlink/*/*>"] + GLIB + POSIX + LOOP),
    ("daemon/config*", [CONFIG, PROTO] + GLIB + POSIX),
    ("daemon/conflict-watch.?", ['"conflict-watch.h"', '"conflict.h"', '"config.h"', IO, PROTO, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/conflict.?", ['"conflict.h"', PROTO] + ISO_C),
    ("daemon/diagnosis.?", ['"diagnosis.h"', '"config.h"', CORE, PROTO, "<sys/socket.h>"] + ISO_C + GLIB),
    ("daemon/peers.?", ['"peers.h"', PROTO] + ISO_C),
    ("daemon/latency.?", ['"latency.h"'] + ISO_C),
    ("daemon/instance.?", [INSTANCE, '"check/check-state.h"', '"config.h"', '"latency.h"', '"peers.h"', CORE, PROTO, "<sys/socket.h>"] + ISO_C + GLIB),
    ("daemon/instance-ops.?", ['"instance-ops.h"', '"conflict.h"', '"conflict-watch.h"', '"diagnosis.h"', INSTANCE, IO, PROTO, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/check/judge.?", [CHECK] + ISO_C),
    ("daemon/check/*", [CHECK, CONFIG, UTIL, '"checker/checker-protocol.h"'] + GLIB + POSIX + LOOP),
    ("daemon/instance-log.?", ['"instance-log.h"', '"diagnosis.h"', INSTANCE, UTIL] + ISO_C + GLIB),
    ("daemon/sync-group.?", ['"sync-group.h"', INSTANCE, CORE] + ISO_C + GLIB),
    ("daemon/persist-writer.?", ['"persist-writer.h"', UTIL] + GLIB + POSIX + LOOP),
    ("daemon/replay-state.?", ['"replay-state.h"', CORE, PROTO, "<sys/socket.h>"] + ISO_C + GLIB),
    ("daemon/persist.?", ['"persist*.h"', '"replay-state.h"', CORE, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/privileges.?", ['"privileges.h"', UTIL] + GLIB + POSIX),
    ("daemon/real-time.?", ['"real-time.h"', UTIL] + POSIX + ISO_C),
    ("daemon/unit-ops.h", GLIB),
    ("daemon/handover.?", ['"handover.h"', '"unit-ops.h"', INSTANCE, UTIL, "<systemd/sd-daemon.h>"] + GLIB + POSIX),
    ("daemon/notes.?", ['"notes.h"', UTIL, "<glib/gstdio.h>"] + GLIB + POSIX + LOOP),
    ("daemon/record.?", ['"record.h"', '"notes.h"', '"config.h"', IO, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/takeover.?", ['"takeover.h"', INSTANCE, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/manager.?", ['"manager.h"', '"check/checks.h"', '"persist.h"', '"record.h"', '"sync-group.h"', '"handover.h"', '"instance-log.h"', '"instance-ops.h"', INSTANCE, CONFIG, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/service.?", ['"service.h"', '"manager.h"', UTIL, "<systemd/sd-daemon.h>"] + GLIB + POSIX + LOOP),
    ("daemon/targets.?", ['"targets.h"', '"unit-ops.h"', '"manager.h"', UTIL] + GLIB + POSIX + LOOP),
    ("daemon/ucarp-options.?", ['"ucarp-options.h"', CONFIG, UTIL] + GLIB + POSIX),
    ("daemon/ucarp-main.c", ['"manager.h"', '"takeover.h"', '"ucarp-options.h"', CONFIG, UTIL] + GLIB + POSIX + LOOP),
    ("daemon/main.c", ['"*.h"', '"dbus/bus.h"', UTIL, "<systemd/sd-daemon.h>"] + GLIB + POSIX + LOOP),
    # vipd takes this one header alone; the rest of checker/ is a process of its own, and takes nothing from vipd but util
    ("checker/checker-protocol.h", ISO_C),
    ("checker/line.?", [LINE, CHECKER_PROTOCOL, UTIL, "<stdio.h>"] + ISO_C + GLIB),
    ("checker/status-ranges.?", [STATUS, "<stdio.h>"] + ISO_C + GLIB),
    ("checker/probe-config.?", [PROBE_CONFIG, STATUS, CHECKER_PROTOCOL, UTIL] + ISO_C + GLIB),
    ("checker/children.?", [CHILDREN, UTIL] + GLIB + POSIX + LOOP),
    ("checker/transfer.?", [TRANSFER, LINE, UTIL, "<curl/curl.h>"] + GLIB + POSIX + LOOP),
    ("checker/probe.?", ['"checker/probe.h"', CHILDREN, LINE, PROBE_CONFIG, TRANSFER, CHECKER_PROTOCOL, UTIL] + ISO_C + GLIB + LOOP),
    # the kinds take from the others what probe.h has of them
    ("checker/probe-command.c", ['"checker/probe.h"', UTIL] + GLIB + POSIX),
    ("checker/probe-http.c", ['"checker/probe.h"'] + GLIB + POSIX),
    ("checker/probe-tcp.c", ['"checker/probe.h"'] + ISO_C),
    ("checker/confine.?", ['"checker/confine.h"', UTIL] + POSIX),
    ("checker/main.c", ['"checker/confine.h"', '"checker/probe.h"', UTIL] + GLIB + POSIX + LOOP),
    # a client: waits, forks a pager and polkit's agent, and shares with the daemon the strings of the bus and the reader of configuration
    # what of it reads foreign files is text in, text out; only the part that takes ucarp's command line knows the daemon's parser of it
    ("ctl/import.?", ['"ctl/import.h"', '"config.h"'] + ISO_C + GLIB),
    ("ctl/*-syntax.?", ['"ctl/*-syntax.h"', '"ctl/import.h"'] + ISO_C + GLIB),
    ("ctl/import-keepalived*.?", ['"ctl/import-keepalived.h"', '"ctl/keepalived-syntax.h"', CONFIG, "<net/if.h>", "<sys/socket.h>"] + ISO_C + GLIB),
    ("ctl/import-ucarp.?", ['"ctl/import*.h"', '"ctl/client.h"', '"config-address.h"', '"ucarp-options.h"', '"util/log.h"'] + GLIB + POSIX),
    ("ctl/*", ['"ctl/*"', CONFIG, '"dbus/names.h"', "<systemd/sd-*.h>"] + GLIB + POSIX),
    ("container/settings.?", ['"settings.h"', CONFIG, PROTO] + GLIB + POSIX),
    ("container/default-interface.?", ['"default-interface.h"', PROTO] + GLIB + POSIX),
    ("container/init.?", ['"init.h"'] + POSIX),
    ("container/main.c", ['"*.h"'] + GLIB + POSIX),
    ("dbus/*", [DBUS, '"manager.h"', '"unit-ops.h"', UTIL, "<systemd/sd-bus.h>"] + GLIB + POSIX + LOOP),
]

# libsystemd owns everything that waits or talks, and nothing waits: not another loop, not a thread, not a shell, not an answer.
FOREIGN = (r"g_main_\w+|g_timeout_\w+|g_idle_\w+|g_thread_\w+|g_spawn_\w+|g_log|g_(?:error|warning|critical|message|debug)"
           r"|system|popen|sleep|usleep|nanosleep|getaddrinfo|gethostbyname")
FORBIDDEN = re.compile(rf"\b(?:{FOREIGN}|sd_bus_call|sd_journal_\w+|wait|waitpid)\s*\(")
# vipctl has nothing to do but to wait
FORBIDDEN_TO_CLIENT = re.compile(rf"\b(?:{FOREIGN})\s*\(")
# names in util/ speak of time, lines and descriptors
DOMAIN_WORDS = re.compile(r"carp|vhid|advert|advbase|advskew|election|instance|master|backup|demot|preempt|announce|lease|\bvip", re.I)

# what the compiler itself may ask for, with or without a sanitizer or coverage
COMPILER_SYMBOLS = re.compile(r"mem(?:cpy|move|set|cmp)(?:_chk)?|__mem(?:cpy|move|set)_chk|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
                              r"|__(?:asan|ubsan|tsan|sanitizer|gcov|llvm|sancov)_\w+|_?_?bcmp")


def sources():
    found = []
    for top in ("checker", "container", "ctl", "daemon", "dbus"):
        for directory, _, names in os.walk(os.path.join(TREE, top)):
            found += [os.path.relpath(os.path.join(directory, n), TREE) for n in names if n.endswith((".c", ".h"))]
    return sorted(found)


def read(path):
    with open(os.path.join(TREE, path), encoding="utf-8") as f:
        return f.read()


def code_of(text):
    """Without comments and the insides of strings; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", "", match[0]) if match[0].startswith("/") else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def fits(path, pattern):
    """A star stays in its folder."""
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def row_of(path):
    return next((allowed for pattern, allowed in ROOMS if fits(path, pattern)), None)


def test_every_include_stays_on_its_floor_or_goes_down():
    for path in sources():
        allowed = row_of(path)
        if allowed is None:
            yield f"{path}: no row in {os.path.relpath(__file__, TREE)} says what it may know"
            continue
        for number, line in enumerate(read(path).split("\n"), 1):
            include = re.match(r'\s*#\s*include\s+(<[^>]+>|"[^"]+")', line)
            if include and not any(fits(include[1], pattern) for pattern in allowed):
                yield f"{path}:{number}: may not include {include[1]}"


def test_every_row_has_a_file():
    for pattern, _ in ROOMS:
        if not any(fits(path, pattern) for path in sources()):
            yield f"{pattern}: there is none"


def test_nothing_waits_and_there_is_one_loop():
    for path in sources():
        for number, line in enumerate(code_of(read(path)).split("\n"), 1):
            for call in (FORBIDDEN_TO_CLIENT if path.startswith("ctl/") else FORBIDDEN).findall(line):
                yield f"{path}:{number}: {call.rstrip('( ')} is not for this house"


def test_util_has_no_word_of_the_domain():
    for path in sources():
        # the list of events is where util's log meets the domain, by its purpose
        if not path.startswith("daemon/util/") or path.endswith("/message-ids.h"):
            continue
        for number, line in enumerate(code_of(read(path)).split("\n"), 1):
            for word in DOMAIN_WORDS.findall(line):
                yield f"{path}:{number}: \"{word}\" belongs higher up"


def test_the_core_needs_nothing_but_the_compiler():
    archive = os.path.join(BUILD, "daemon/core/libcore.a")
    listing = subprocess.run(["nm", archive], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listing.splitlines() if re.search(r" [A-Za-z] \S+$", line)]
    own = {name for kind, name in symbols if kind != "U"}
    if "election_step" not in own:
        yield f"{archive} is not the core"
    for kind, name in symbols:
        if kind == "U" and name not in own and not COMPILER_SYMBOLS.fullmatch(name):
            yield f"libcore.a needs {name}"


def test_programs_link_what_their_rooms_may_know():
    base = r"libc\.so|libm\.so|ld-linux|libglib-2\.0\.so|lib(?:a|ub)san\.so|libgcc_s\.so"
    for program, more in (("tests/sim/sim", r"|libnettle\.so"), ("ctl/vipctl", r"|libsystemd\.so"),
                          ("vipd", r"|libsystemd\.so|libnl-3\.so|libnl-route-3\.so|libnettle\.so"),
                          ("vipd-ucarp", r"|libsystemd\.so|libnl-3\.so|libnl-route-3\.so|libnettle\.so"),
                          ("checker/vipd-checker", r"|libsystemd\.so|libcurl(-gnutls)?\.so"), ("container/vipd-container", "")):
        dynamic = subprocess.run(["readelf", "-d", os.path.join(BUILD, program)], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        if not needed:
            yield f"{program} needs nothing: is it a program?"
        for library in needed:
            if not re.match(base + more, library):
                yield f"{program} links {library}"


def test_the_checks_see_what_they_look_for():
    """Each rule against a line that breaks it."""
    def may(path, include):
        return any(fits(include, pattern) for pattern in row_of(path))

    for path, include in (("daemon/core/election.c", "<glib.h>"), ("daemon/core/skew.c", '"util/time-util.h"'),
                          ("daemon/core/skew.c", "<time.h>"), ("daemon/proto/carp.c", '"core/election.h"'),
                          ("daemon/instance.c", '"io/link.h"'), ("daemon/instance.c", "<systemd/sd-event.h>"),
                          ("daemon/config-load.c", '"instance.h"'), ("daemon/manager.c", "<systemd/sd-bus.h>"),
                          ("daemon/manager.c", '"dbus/bus.h"'), ("daemon/main.c", "<systemd/sd-bus.h>"),
                          ("daemon/takeover.c", '"manager.h"'), ("daemon/instance-ops.c", "<netlink/netlink.h>"),
                          ("daemon/util/log.c", '"config.h"'), ("dbus/bus.c", "<gio/gio.h>"), ("daemon/ucarp-main.c", '"dbus/bus.h"'), ("daemon/main.c", "<curl/curl.h>"),
                          ("daemon/manager.c", '"checker/probe.h"'), ("checker/main.c", '"config.h"'), ("checker/probe-http.c", "<systemd/sd-event.h>"),
                          ("checker/probe.c", "<sys/wait.h>"), ("checker/children.c", '"checker/probe.h"'),
                          ("ctl/client.c", '"dbus/bus.h"'), ("ctl/client.c", '"util/log.h"'), ("ctl/kernel.c", "<netlink/netlink.h>")):
        if may(path, include):
            yield f"{path} may include {include}"
    for line in ("system(x)", "g_main_loop_new (c)", "x = g_timeout_add(1)", "sd_bus_call(b)", "g_spawn_async (", "popen(c, d)"):
        if not FORBIDDEN.search(code_of(line)):
            yield f"{line} would pass"
    for line in ("/* system(x) */", '"popen(c)"', "sd_bus_call_async(b)", "file_system(x)"):
        if FORBIDDEN.search(code_of(line)):
            yield f"{line} would not pass"


if __name__ == "__main__":
    tap.main(globals())
