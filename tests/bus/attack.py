#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""attack.py KIND SECONDS: what a local user without rights can do to vipd by way of the bus, at full speed, by bytes of its own: a library would not
send half of it. Calls the members that it reads, one per line as PATH INTERFACE MEMBER, from standard input. Says how much it did."""

import os
import select
import socket
import struct
import sys
import time

SOCKET = "/run/dbus/system_bus_socket"
NAME = "org.vipd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY = 1


def aligned(data, n):
    return data + b"\0" * (-len(data) % n)


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(raw)) + raw + b"\0"


def message(serial, kind=CALL, path="/", interface="", member="", signature="", body=b"", flags=0, destination=NAME, reply=None):
    """A message in little endian, as the specification has it."""
    fields = b""
    for code, sign, value in ((1, b"o", path), (2, b"s", interface), (3, b"s", member), (6, b"s", destination), (8, b"g", signature), (5, b"u", reply)):
        if value in ("", None):
            continue
        fields = aligned(fields, 8) + bytes([code, 1]) + sign + b"\0"
        if sign == b"g":
            fields += bytes([len(value)]) + value.encode() + b"\0"
        else:
            fields = aligned(fields, 4) + (struct.pack("<I", value) if sign == b"u" else text(value))
    head = b"l" + bytes([kind, flags, 1]) + struct.pack("<III", len(body), serial, len(fields)) + fields
    return aligned(head, 8) + body


def connect(hello=True):
    """A connection that is ours, or None: the bus has enough of us."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    try:
        s.connect(SOCKET)
        s.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        if not s.recv(256).startswith(b"OK"):
            raise OSError("not taken")
        s.sendall(b"BEGIN\r\n")
        if hello:
            s.sendall(message(1, path="/org/freedesktop/DBus", interface="org.freedesktop.DBus", member="Hello", destination="org.freedesktop.DBus"))
            if not s.recv(4096):
                raise OSError("not taken")
    except OSError:
        s.close()
        return None
    return s


def arguments():
    """Bodies that fit to few members: (signature, bytes)"""
    deep = b""
    for _ in range(60):
        deep += b"\1v\0"
    return [("", b""), ("t", struct.pack("<Q", 1)), ("t", struct.pack("<Q", 2**64 - 1)), ("s", text("web")), ("s", text("../../etc\x1b[31m" * 8)),
            ("ss", aligned(text("org.vipd1.Instance"), 4) + text("State")), ("s", text("")), ("b", struct.pack("<I", 1)),
            ("as", struct.pack("<I", 0)), ("v", deep + b"\1y\0\7"), ("h", struct.pack("<I", 0)), ("o", text("/")),
            ("a{sv}", struct.pack("<II", 0, 0)), ("u", struct.pack("<I", 7))]


class Sender:
    """Sends as fast as it is taken, and reads its answers or does not."""

    def __init__(self, reads):
        self.reads, self.socket = reads, None
        self.pending, self.serial = b"", 1

    def push(self, batch):
        if not self.socket:
            self.socket = connect()
            self.pending = b""
            if not self.socket:
                return 0
            self.socket.setblocking(False)
        try:
            if self.reads and select.select([self.socket], [], [], 0)[0]:
                self.socket.recv(1 << 20)
            if len(self.pending) < 1 << 20:
                self.pending += batch(self)
            self.pending = self.pending[self.socket.send(self.pending):]
        except BlockingIOError:
            select.select([], [self.socket], [], 0.01)
        except OSError:
            self.socket.close()
            self.socket = None
        return 1

    def next(self):
        self.serial = self.serial % 0x7FFFFFFF + 1
        return self.serial


def flood(until, batch, n=6):
    senders, n_done = [Sender(k % 2 == 0) for k in range(n)], 0
    while time.monotonic() < until:
        for s in senders:
            n_done += s.push(batch)
    return n_done


def calls(until, members):
    """Every member with all kinds of arguments, with answers and without."""
    ways = [(path, interface, member, signature, body) for path, interface, member in members for signature, body in arguments()]

    def batch(s):
        found = b""
        for k in range(50):
            path, interface, member, signature, body = ways[(s.serial * 7 + k) % len(ways)]
            found += message(s.next(), path=path, interface=interface, member=member, signature=signature, body=body, flags=NO_REPLY * (k % 5 == 0))
        return found

    return flood(until, batch)


def oversize(until, members):
    """Whatever fits through the bus: strings of megabytes, as arguments and as properties' names."""
    long = text(b"a" * (4 << 20))

    def batch(s):
        path, interface, member = members[s.serial % len(members)]
        return message(s.next(), path=path, interface=interface, member=member, signature="s", body=long)

    return flood(until, batch, 2)


def malformed(until, members):
    """What is no message, or none that the bus passes on."""
    path, interface, member = members[0]
    good = message(2, path=path, interface=interface, member=member)
    bad = [b"\0" * 4096, os.urandom(4096), b"l\1\0\1" + b"\xff" * 12, good[:20], good[:4] + struct.pack("<I", 1 << 27) + good[8:],
           good[:12] + struct.pack("<I", 1 << 26) + good[16:], b"x" + good[1:], good[:3] + b"\2" + good[4:], good[:1] + b"\0" + good[2:],
           message(3, path=path, interface=interface, member=member, signature="s", body=text(b"\xff\xfe")),
           message(4, path=path, interface=interface, member=member, signature="s" * 200, body=b""),
           message(5, path="no path", interface=interface, member=member), message(6, path=path, interface="..", member="0"), message(0, path=path, member=member)]
    n_done = 0
    while time.monotonic() < until:
        s = connect(hello=n_done % 2 == 0)
        if s:
            try:
                s.sendall(bad[n_done // 2 % len(bad)])
            except OSError:
                pass
            s.close()
        n_done += 1
    return n_done


def signals(until, members):
    """In the name of systemd, polkit and the bus, straight to vipd; and answers to questions that it asked others."""
    forged = [("org.freedesktop.DBus", "NameOwnerChanged", "sss", aligned(aligned(text(NAME), 4) + text(":1.1"), 4) + text("")),
              ("org.freedesktop.DBus.Local", "Disconnected", "", b""),
              ("org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", struct.pack("<I", 1) + b"".join(aligned(text(t), 4) for t in (
                  "/org/freedesktop/systemd1/job/1", "vipd-master@web.target", "failed"))),
              ("org.freedesktop.PolicyKit1.Authority", "Changed", "", b""), ("org.freedesktop.DBus", "NameLost", "s", text(NAME))]

    def batch(s):
        found = b""
        for interface, member, signature, body in forged * 5:
            found += message(s.next(), kind=SIGNAL, path="/org/freedesktop/DBus", interface=interface, member=member, signature=signature, body=body)
        for k in range(20):
            found += message(s.next(), kind=RETURN, reply=s.serial % 500 + k, signature="(bba{ss})", body=struct.pack("<IIII", 1, 0, 0, 0), path="")
        return found

    return flood(until, batch, 4)


def matches(until, members):
    """As many rules as a connection may have, on as many connections as a user may have, each of which the bus compares with what vipd tells."""
    held, n_done = [], 0
    while time.monotonic() < until:
        s = connect()
        if not s:  # all that a user may have
            time.sleep(0.05)
            if held:
                held.pop(0).close()
            continue
        held.append(s)
        rules = b""
        for k in range(512):
            rule = f"type='signal',sender='{NAME}',interface='{PROPERTIES}',arg0='{n_done + k}'"
            rules += message(k + 2, path="/org/freedesktop/DBus", interface="org.freedesktop.DBus", member="AddMatch", signature="s", body=text(rule),
                             destination="org.freedesktop.DBus", flags=NO_REPLY)
        try:
            s.sendall(rules)
        except OSError:
            pass
        n_done += 512
    return n_done


def connections(until, members):
    """Thousands that come, ask once and go without listening."""
    path, interface, member = members[0]
    n_done = 0
    while time.monotonic() < until:
        s = connect()
        if s:
            s.sendall(message(2, path=path, interface=interface, member=member))
            s.close()
        n_done += 1
    return n_done


def main():
    kind, seconds = sys.argv[1], float(sys.argv[2])
    members = [line.split() for line in sys.stdin.read().splitlines()]
    print(globals()[kind](time.monotonic() + seconds, members))


if __name__ == "__main__":
    main()
