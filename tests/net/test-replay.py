# SPDX-License-Identifier: LGPL-2.1-or-later
"""ReplayProtection=strict: nothing is believed twice, not after a restart, and no disk is waited for."""

import concurrent.futures
import ctypes
import os
import socket
import struct

import carp
import lab as L
from lab import check, delta, hold, instance, now, record, rejected, run, statistics, wait

STRICT = {"CARP_ReplayProtection": "strict"}
SAVE_SECONDS = 10  # what a crash may cost of memory, by the manual
BUSY_SECONDS = 3   # and what a busy machine adds


def forge(data, source=None, advskew=None):
    """A recorded IPv4 advert with another source address or advskew, and right checksums."""
    data = bytearray(data[:70])
    if source:
        data[26:30] = socket.inet_aton(source)
    data[24:26] = b"\0\0"
    data[24:26] = struct.pack("!H", carp.checksum(bytes(data[14:34])))
    if advskew is not None:
        data[34 + 2] = advskew
    data[34 + 6 : 34 + 8] = b"\0\0"
    data[34 + 6 : 34 + 8] = struct.pack("!H", carp.checksum(bytes(data[34:70])))
    return bytes(data)


def replay(lab, strict):
    """Records a master's advert, lets its host die, and plays the advert again and again to the backup."""
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    keys = {"CARP_ReplayProtection": "strict"} if strict else {}
    a = n1.vipd(**keys)
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, **keys)
    b.wait_state("backup")
    old = record(n2, 2)
    n1.cut()
    a.kill()
    sock = lab.injector(n2)
    at = now()
    while b.state() != "master" and now() < at + 7_000_000:
        sock.send(old[0])
        wait(lambda t=now(): now() > t + 200_000, "a moment")
    return b, bus, old, sock


def test_replay_keeps_a_lenient_backup_asleep(lab):
    """CARP's own weakness, which the strict mode cures: shows that the next test can fail."""
    b, _, _, _ = replay(lab, strict=False)
    check(b.state() == "backup", b.text())


def test_replay_is_refused_when_strict(lab):
    b, bus, old, sock = replay(lab, strict=True)
    check(b.state() == "master", b.text())
    for data in old:
        sock.send(data)
    hold(lambda: b.state() == "master", "nor does it yield to one", 1)
    check(rejected(statistics(bus))["replay"] > 5, f"{statistics(bus)}")


def test_replay_under_another_address_is_refused_when_strict(lab):
    """CARP's digest does not cover the source address; with it any host that nobody has heard could say what a master once said."""
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    a = n1.vipd(CARP_ReplayProtection="strict")
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, CARP_ReplayProtection="strict")
    b.wait_state("backup")
    old = record(n2, 2)[0]
    n1.cut()
    a.kill()
    sock, at, k = lab.injector(n2), now(), 0
    while b.state() != "master" and now() < at + 7_000_000:
        sock.send(forge(old, source=f"192.0.2.{100 + (k := k + 1)}"))
        wait(lambda t=now(): now() > t + 200_000, "a moment")
    check(b.state() == "master", b.text())
    check(rejected(statistics(bus))["hmac"] > 5, f"{statistics(bus)}")


def test_forged_priority_is_refused_when_strict(lab):
    """advbase and advskew are outside CARP's digest; strict binds them into the counter."""
    n1, n2 = lab.nodes(2)
    client = lab.client()
    bus = n2.bus()
    a = n1.vipd(advskew=50, CARP_ReplayProtection="strict")
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, CARP_ReplayProtection="strict")
    b.wait_state("backup")
    wait(lambda: statistics(bus), "statistics")
    # one that the backup has not heard, so that its number alone would be right
    lab.filter(f'iifname "{n1.port}" oifname "{n2.port}" ip protocol 112 drop')
    data = record(client, 2)[1]
    before = statistics(bus)
    sock = lab.injector(n2)
    sock.send(forge(data, advskew=0))
    wait(lambda: delta(rejected(before), rejected(statistics(bus))) == {"replay": 1}, "refused as a replay")
    sock.send(forge(data))
    wait(lambda: statistics(bus)["adverts-received"] == before["adverts-received"] + 1, "believed as it was")
    check(a.state() == "master", a.text())


def test_own_numbers_survive_restarts(lab):
    """A host that began again at its old numbers would be refused by all that remember them."""
    n1, n2 = lab.nodes(2)
    a = n1.vipd(**STRICT)
    a.wait_state("master")
    b = n2.vipd(advskew=100, **STRICT)
    b.wait_state("backup")
    for end in (L.Process.kill, L.Process.stop):
        end(a)
        a = n1.vipd(CARP_Preempt="yes", **STRICT)
        a.wait_state("master", timeout=20)
        b.wait_state("backup")
        hold(lambda: b.state() == "backup" and a.state() == "master", "b believes what it says", 4)


def test_a_reload_makes_a_group_strict(lab):
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    a = n1.vipd()
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100)
    b.wait_state("backup")
    at = now()
    a.write({"web": instance(**STRICT)})
    b.write({"web": instance(advskew=100, **STRICT)})
    for process in (a, b):
        process.reload()
    old = record(n2, 3)[-1]
    before = statistics(bus)
    lab.injector(n2).send(old)
    wait(lambda: delta(rejected(before), rejected(statistics(bus))) == {"replay": 1}, "what is new is believed, what is old is not")
    hold(lambda: not a.transitions(since=at) and not b.transitions(since=at), "each stays what it is", 4)
    check(saved_next(n1) > 0, "and the numbers are saved at once")


def sequence(frame):
    return struct.unpack("!Q", frame[42:50])[0] >> 24


def saved(host, source):
    """The highest sequence from this source in the host's file, or -1."""
    try:
        with open(f"{host.room}/state/web.replay") as f:
            return max([int(w[2]) for w in map(str.split, f) if w[:2] == ["peer", source]], default=-1)
    except FileNotFoundError:
        return -1


def play_after_restart(lab, end):
    """Records a master, ends its backup by end(backup), lets the master die, and plays the record to the new backup."""
    n1, n2 = lab.nodes(2)
    bus = n2.bus()
    a = n1.vipd(**STRICT)
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, **STRICT)
    b.wait_state("backup")
    old = record(n2, 4)
    end(n2, b, old)
    n1.cut()
    a.kill()
    b = n2.vipd(bus=bus, advskew=100, **STRICT)
    b.wait_state("backup")
    wait(lambda: statistics(bus), "statistics")
    sock = lab.injector(n2)
    for data in old:
        sock.send(data)
    wait(lambda: rejected(statistics(bus))["replay"] == len(old), lambda: f"all are refused: {statistics(bus)}")
    check(statistics(bus)["adverts-received"] == 0, "none is believed")
    b.wait_state("master")
    mode = os.stat(f"{n2.room}/state/web.replay").st_mode & 0o7777
    check(mode == 0o600, f"mode {mode:o}")


def test_what_was_recorded_is_refused_after_a_restart(lab):
    def end(host, b, old):
        b.stop()
        check(saved(host, "192.0.2.1") >= sequence(old[-1]), "all that was heard is saved")

    play_after_restart(lab, end)


def test_what_was_recorded_is_refused_after_a_crash(lab):
    """All but the last seconds before it."""

    def end(host, b, old):
        wait(lambda: saved(host, "192.0.2.1") >= sequence(old[-1]), "it is saved in time", SAVE_SECONDS + BUSY_SECONDS)
        b.kill()

    play_after_restart(lab, end)


def everything_said(sock):
    """The adverts that a client has heard so far, and the farewells among them."""
    found = []
    sock.setblocking(False)
    try:
        while True:
            data = sock.recv(2048)
            if data[12:14] == b"\x08\x00" and data[23] == 112:
                found.append(data)
    except BlockingIOError:
        return found


def spoken(frames, source):
    """Of this source: (adverts, farewells)"""
    own = [f for f in frames if f[26:30] == socket.inet_aton(source)]
    leaving = [f for f in own if f[36] == 255 and f[39] == 255]
    return len(own) - len(leaving), len(leaving)


def moves(vipd):
    return [(t.new, t.reason) for t in vipd.transitions()]


def test_all_that_was_ever_said_has_no_effect_across_restarts(lab):
    """Both hosts were master, and left. Whatever they said is played to both of them for the rest of their lives, while each ends and begins again."""
    n1, n2, client = lab.host("n1", 1), lab.host("n2", 2), lab.client()
    bus = [n1.bus(), n2.bus()]
    keys = {"Takeover_DemoteHold": "1s", **STRICT}
    ear = client.packet_socket()
    a = n1.vipd(bus=bus[0], **keys)
    a.wait_state("master")
    b = n2.vipd(bus=bus[1], advskew=100, **keys)
    b.wait_state("backup")
    heard = wait(lambda: (s := statistics(bus[1])) and s["adverts-received"] >= 2 and s, "the master is heard")
    check(heard["rejected-replay"] == 0, f"{heard}")
    # each says its farewell, and the last word is a's
    for leaver, stayer, address in ((a, b, bus[0]), (b, a, bus[1])):
        wait(lambda: L.bus_call(address, "web", "Demote").returncode == 0, "demoted")
        stayer.wait_state("master")
        leaver.wait_state("backup")
        count = len(stayer.transitions())
        wait(lambda t=now(): now() > t + 1_500_000, "the hold is over, and adverts were sent", 5)
        check(len(stayer.transitions()) == count, stayer.text())
    old = everything_said(ear)
    check(all(n >= 1 for source in (n1, n2) for n in spoken(old, source.address)), f"{[spoken(old, h.address) for h in (n1, n2)]}")
    player = lab.flood(old, n1, n2, rate=300, seconds=100)

    def replays_are_heard(address):
        before = wait(lambda: statistics(address), "statistics")["rejected-replay"]
        wait(lambda: statistics(address).get("rejected-replay", 0) > before + 2 * len(old), "all is played, twice", 10)

    try:
        for address in bus:
            replays_are_heard(address)
        check(moves(a)[3:] == [("master", "bow-out")], a.text())
        check(moves(b) == [("backup", "startup"), ("master", "bow-out"), ("backup", "demoted")], b.text())
        # a backup ends and begins again
        b.stop()
        b = n2.vipd(bus=bus[1], advskew=100, **keys)
        b.wait_state("backup")
        replays_are_heard(bus[1])
        began = b.transitions()[0].t
        wait(lambda: now() > began + L.dead_usec(1, 100) + 500_000, "whom nothing kept awake would be master", 6)
        # and so does the master
        a.stop()
        b.wait_state("master")
        check(moves(b) == [("backup", "startup"), ("master", "bow-out")], b.text())
        a = n1.vipd(bus=bus[0], **keys)
        a.wait_state("backup")
        for address in bus:
            replays_are_heard(address)
        # who is gone is not kept alive by what he said
        b.kill()
        a.wait_state("master")
        b = n2.vipd(bus=bus[1], advskew=100, **keys)
        b.wait_state("backup")
        for address in bus:
            replays_are_heard(address)
        check(moves(a) == [("backup", "startup"), ("master", "master-timeout")], a.text())
        check(moves(b) == [("backup", "startup")], b.text())
    finally:
        player.kill()
        player.wait()


def test_a_file_that_cannot_be_used_is_told_and_replaced(lab):
    (n1,) = lab.nodes(1)
    os.makedirs(f"{n1.room}/state")
    os.mkfifo(f"{n1.room}/state/web.replay")
    a = n1.vipd(**STRICT)
    a.wait_line(r"warning: web: .*web.replay cannot be used")
    wait(lambda: os.path.isfile(f"{n1.room}/state/web.replay"), "a file again")
    a.wait_state("master")


def saved_next(host):
    try:
        with open(f"{host.room}/state/web.replay") as f:
            return int(f.read().split()[3])
    except (FileNotFoundError, IndexError):
        return 0


def test_a_file_that_comes_back_after_the_start(lab):
    """As when /var is mounted late: a host that began without what it knew is refused where its numbers were ahead of the clock, and believes what
    was recorded; both until its file is there, which it does not write over."""
    n1, n2 = lab.nodes(2)
    os.makedirs(f"{n1.room}/state")
    ahead = 1 << 39
    with open(f"{n1.room}/state/web.replay", "w") as f:
        f.write(f"vipd-replay 1\nnext {ahead}\nend\n")
    keys = {"CARP_Preempt": "yes", **STRICT}
    bus = n2.bus()
    a = n1.vipd(**keys)
    a.wait_state("master")
    b = n2.vipd(bus=bus, advskew=100, **keys)
    b.wait_state("backup")
    a.stop()
    b.wait_state("master")
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", f"{n1.room}/state")
    a = n1.vipd(**keys)
    a.wait_state("master")
    wait(lambda: rejected(statistics(bus))["replay"] > 0, "it is not believed")
    check(b.state() == "master", b.text())
    run("umount", f"{n1.room}/state")
    a.wait_line("web.replay was not there when it was read", SAVE_SECONDS + BUSY_SECONDS)
    b.wait_state("backup")
    a.stop()
    check(saved_next(n1) > ahead, f"{saved_next(n1)}")
    check(saved(n1, "192.0.2.2") > 0, "and it knows what b said")


def test_a_full_disk_is_told_once_and_tried_again(lab):
    (n1,) = lab.nodes(1)
    os.makedirs(f"{n1.room}/state")
    run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "none", f"{n1.room}/state")
    bus = n1.bus()
    a = n1.vipd(bus=bus, advbase=0, advskew=32, **STRICT)
    a.wait_state("master")
    wait(lambda: saved_next(n1), "the first save")
    try:
        with open(f"{n1.room}/state/rubbish", "wb", buffering=0) as f:
            while True:
                f.write(b"x" * 4096)
    except OSError:
        pass
    before, at = saved_next(n1), now()
    a.wait_line(r"warning: .*web.replay cannot be written.*No space left", SAVE_SECONDS + BUSY_SECONDS, since=at)
    wait(lambda: now() > at + (2 * SAVE_SECONDS + 2) * 1_000_000, "one more that fails", 3 * SAVE_SECONDS)
    check(len(a.grep("cannot be written")) == 1, a.text())
    check(saved_next(n1) == before, "the old content stays")
    os.unlink(f"{n1.room}/state/rubbish")
    a.wait_line(r"web.replay is written again", SAVE_SECONDS + BUSY_SECONDS, since=at)
    check(saved_next(n1) > before, "saved")


def hang(path):
    """From here on whoever looks below path waits: a FUSE file system whose server says nothing. Returns the descriptor that holds it."""
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    if L.libc.mount(b"hung", path.encode(), b"fuse", 0, options.encode()) != 0:
        raise L.Skip(f"no FUSE: {os.strerror(ctypes.get_errno())}")
    return fd


def children(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
        return f.read().split()


def check_spacing(lab, host, since):
    """The loop did not wait for the disk, which takes longer than any busy machine."""
    lab.observer.sync()
    adverts = lab.observer.carp(host, since)
    late = max(second.t - first.t for first, second in zip(adverts, adverts[1:]))
    check(len(adverts) > 20 and late < 3_000_000, f"{len(adverts)} adverts, up to {late} us apart")


def test_a_hung_disk_delays_nothing(lab):
    """Neither adverts, nor a verb, nor the end."""
    if not os.path.exists("/dev/fuse"):
        raise L.Skip("no /dev/fuse")
    (n1,) = lab.nodes(1)
    bus = n1.bus()
    a = n1.vipd(bus=bus, advbase=0, advskew=32, **STRICT)
    a.wait_state("master")
    wait(lambda: saved_next(n1), "the first save")
    fd, at = hang(f"{n1.room}/state"), now()
    writer = wait(lambda: children(a), "a writer", SAVE_SECONDS + BUSY_SECONDS)
    hold(lambda: children(a) == writer, "which hangs, and is the only one", 3)
    check_spacing(lab, n1, at)
    # the verb works at once, and its caller hears in time that it will not last
    at = now()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        disable = pool.submit(L.bus_call, bus, "web", "Disable")
        a.wait_state("init", timeout=4)
        result = disable.result(SAVE_SECONDS + 5)
    check(result.returncode != 0 and "could not be saved" in result.stderr, f"{result}")
    a.wait_line(r"cannot be written.*timed out")
    a.stop(timeout=9)
    os.close(fd)


if __name__ == "__main__":
    L.main()
