# SPDX-License-Identifier: LGPL-2.1-or-later
"""CARP for the network tests: frames built and read independently of the daemon's own code, and a peer by the BSDs' rules.

The peer is what no Linux machine has at hand: a master that hears an equal advert steps down and says nothing, a backup listens
for 3 * advbase + advskew/256 seconds. It holds no address; only its adverts count.
"""

import hashlib
import hmac
import ipaddress
import random
import select
import struct
import threading
import time

ETH_P_ALL = 3
PACKET_IGNORE_OUTGOING = 23


def boottime_usec():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def digest(passphrase, vhid, addresses, counter):
    """HMAC-SHA1 over version, type, VHID, the IPv4 addresses ascending, then the IPv6 ones, and the counter."""
    parsed = {ipaddress.ip_interface(a).ip for a in addresses}
    ordered = sorted(parsed, key=lambda a: (a.version, a.packed))
    message = bytes([2, 1, vhid]) + b"".join(a.packed for a in ordered) + struct.pack("!Q", counter)
    return hmac.new(passphrase.encode().ljust(20, b"\0"), message, hashlib.sha1).digest()


def payload(passphrase, vhid, addresses, advbase, advskew, counter=None, byte4=0, first=0x21, authlen=7):
    counter = random.getrandbits(64) if counter is None else counter
    head = struct.pack("!BBBBBB", first, vhid, advskew, authlen, byte4, advbase)
    tail = struct.pack("!Q", counter) + digest(passphrase, vhid, addresses, counter)
    return head + struct.pack("!H", checksum(head + b"\0\0" + tail)) + tail


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(source_mac, source, body, destination=None, destination_mac=None, ttl=255, protocol=112):
    """A whole Ethernet frame around a CARP payload; the family is that of the source address."""
    src = ipaddress.ip_address(source)
    if src.version == 4:
        dst = ipaddress.ip_address(destination or "224.0.0.18")
        mac = destination_mac or "01:00:5e:00:00:12"
        head = struct.pack("!BBHHHBBH", 0x45, 0x10, 20 + len(body), 0, 0x4000, ttl, protocol, 0) + src.packed + dst.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        kind = 0x0800
    else:
        dst = ipaddress.ip_address(destination or "ff02::12")
        mac = destination_mac or "33:33:00:00:00:12"
        head = struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + src.packed + dst.packed
        kind = 0x86DD
    return mac_bytes(mac) + mac_bytes(source_mac) + struct.pack("!H", kind) + head + body


def gratuitous_arp(source_mac, address):
    """A broadcast request for the sender's own address."""
    mac, ip = mac_bytes(source_mac), ipaddress.ip_address(address).packed
    return b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ip + b"\0" * 6 + ip


class BsdPeer(threading.Thread):
    """A CARP host by OpenBSD's and FreeBSD's rules, IPv4, preempt off, from a packet socket in its own namespace."""

    def __init__(self, sock, mac, source, passphrase, vhid, addresses, advbase=1, advskew=0):
        super().__init__(daemon=True)
        self.sock, self.mac, self.source = sock, mac, source
        self.passphrase, self.vhid, self.addresses = passphrase, vhid, addresses
        self.advbase, self.advskew = advbase, advskew
        self.state = "backup"
        self.transitions = []  # (time, state)
        self.cookie = random.getrandbits(64)  # OpenBSD: one value for ever
        self._ending = threading.Event()
        self._deadline = boottime_usec() + self._dead_usec()

    def _interval_usec(self):
        return self.advbase * 1000000 + self.advskew * 1000000 // 256

    def _dead_usec(self):
        return 3 * self.advbase * 1000000 + self.advskew * 1000000 // 256

    def _enter(self, state):
        self.state = state
        self.transitions.append((boottime_usec(), state))

    def _advertise(self):
        body = payload(self.passphrase, self.vhid, self.addresses, self.advbase, self.advskew, self.cookie)
        self.sock.send(frame(self.mac, self.source, body))
        self._deadline = boottime_usec() + self._interval_usec()

    def _hear(self, data):
        if len(data) < 70 or data[12:14] != b"\x08\x00" or data[23] != 112 or data[22] != 255:
            return
        body = data[34:70]
        counter = struct.unpack("!Q", body[8:16])[0]
        if body[0] != 0x21 or body[1] != self.vhid or counter == self.cookie:
            return
        if body[16:36] != digest(self.passphrase, self.vhid, self.addresses, counter):
            return
        own, heard = (self.advbase, self.advskew), (body[5], body[2])
        if self.state == "master":
            if heard <= own:
                self._enter("backup")
                self._deadline = boottime_usec() + self._dead_usec()
        elif (3 * self.advbase, self.advskew) < heard:
            self._enter("master")
            self._advertise()
        else:
            self._deadline = boottime_usec() + self._dead_usec()

    def run(self):
        while not self._ending.is_set():
            wait = max(0, self._deadline - boottime_usec()) / 1e6
            if select.select([self.sock], [], [], min(wait, 0.05))[0]:
                self._hear(self.sock.recv(2048))
            elif boottime_usec() >= self._deadline:
                if self.state == "backup":
                    self._enter("master")
                self._advertise()

    def stop(self):
        self._ending.set()
        self.join()
