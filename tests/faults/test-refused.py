# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel refuses for a moment, for want of memory, buffers or descriptors, is tried again when that is over."""

import errno
import os
import random
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../net"))
import kinds  # noqa: E402
import lab as L  # noqa: E402
import world as W  # noqa: E402
from lab import check, now, wait  # noqa: E402


def world(lab, shape=W.Shape(), **keys):
    """Two hosts: the master, and the other."""
    w = W.World(lab, random.Random(1), shape, **keys)
    (master,) = w.masters()
    (backup,) = [n for n in w.nodes if n is not master]
    return w, master, backup


def test_no_socket_for_a_new_interface(lab):
    """Nothing tells of the link afterwards: it has long been up."""
    w, first, second = world(lab)
    first.fail(kinds.CALLS["socket"], errno.EMFILE)
    first.host.sides[0].unplug()
    first.host.sides[0].plug()
    first.vipd.wait_line("eth0 cannot be used: Too many open files")
    wait(lambda: second.vipd.is_master(), "the other one is master")
    first.obey()
    wait(lambda: first.vipd.states["web"] == "backup", "takes part again")
    lines = len(first.vipd.grep("cannot be used"))
    check(lines <= 3, f"{lines} lines about it")
    w.converge()


def test_no_buffer_to_drop_an_address(lab):
    """Which lives for ever: no lease ends it."""
    w, first, second = world(lab, VIP_Lease="no")
    # by the one its adverts leave, and by the other its requests to the kernel
    for call in ("sendmmsg", "sendto"):
        first.fail(kinds.CALLS[call], errno.ENOBUFS)
    first.vipd.wait_line("could not be dropped: No buffer space available")
    wait(lambda: second.vipd.is_master(), "the other one is master")
    check(first.host.holds(), "it holds what it could not drop")
    first.obey()
    w.converge()


def cpu_usec(vipd):
    with open(f"/proc/{vipd.pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1000


def costs_little(w, node, call):
    """That this call fails, whenever it is tried again: by two sockets."""
    began, cpu, n = now(), cpu_usec(node.vipd), node.n_failed(call)
    w.watch(2.0)
    spent, passed, tries = cpu_usec(node.vipd) - cpu, now() - began, node.n_failed(call) - n
    check(spent < passed / 10, f"{spent:.0f} of {passed} us of a processor")
    check(5 < tries < 600, f"{tries} tries")


def test_nothing_can_be_read(lab):
    """Frames wait, and each try to read them fails: it is told once, costs little, and who could not hear hears again."""
    w, first, second = world(lab)
    call = kinds.CALLS["recvmmsg"]
    second.fail(call, errno.EIO)
    second.vipd.wait_line("eth0: IPv4 adverts are not heard: Input/output error")
    costs_little(w, second, call)
    check(len(second.vipd.grep("IPv4 adverts are not heard")) == 1, "one line about it")
    second.obey()
    second.vipd.wait_line("eth0: IPv4 adverts are heard again")
    w.converge()


def test_no_news_can_be_read(lab):
    """Of links, and of leases that were refused: that costs little, who asks is answered, and what came meanwhile is known afterwards."""
    w, first, second = world(lab)
    call = kinds.CALLS["recvfrom"]
    first.fail(call, errno.EIO)
    first.host.sides[0].unplug()
    first.vipd.wait_line("Netlink messages were lost, asking the kernel again: Input/output error")
    costs_little(w, first, call)
    first.vipd.signal(signal.SIGUSR1)
    first.vipd.wait_line(r"web: \w+ on eth0 vhid")
    first.host.sides[0].plug()
    first.obey()
    w.converge()


def test_no_descriptor_for_what_neighbours_claim(lab):
    """Without it the election is the same; but not for ever without it."""
    w, first, second = world(lab)
    n = len(first.fds())
    first.host.sides[0].unplug()
    wait(lambda: second.vipd.is_master() and len(first.fds()) < n, "the sockets of the interface are gone")
    # what looks for neighbours' claims comes last
    first.limit("nofile", n - 1)
    first.host.sides[0].plug()
    first.vipd.wait_line("nobody will notice another host on eth0 that has an address of ours: Too many open files")
    first.limit("nofile", 1024)
    wait(lambda: len(first.fds()) == n, lambda: f"all of its sockets are there again: {first.fds()}")
    w.converge()


def test_no_socket_to_take_a_device_down(lab):
    """Of a virtual MAC; a child does it, and nothing tells of the link if it cannot."""
    w, first, second = world(lab, W.Shape(virtual=True))
    before = first.n_failed(kinds.CALLS["socket"])
    first.fail(kinds.CALLS["socket"], errno.EMFILE)
    first.vipd.signal(signal.SIGUSR2)
    wait(lambda: second.vipd.is_master(), "the other one is master")
    wait(lambda: first.n_failed(kinds.CALLS["socket"]) > before, "its child has tried")
    first.obey()
    w.converge()


def test_a_device_is_taken_down_while_it_becomes_ours(lab):
    """Of a virtual MAC: what was up already is not told to be up, so that it goes down is the first that is heard of it."""
    w, first, second = world(lab, W.Shape(virtual=True))
    second.host.ip("link", "set", "vip-web", "up")
    # no news until all has happened
    second.fail(kinds.CALLS["recvfrom"], errno.EAGAIN)
    first.vipd.signal(signal.SIGUSR2)
    wait(lambda: second.vipd.is_master(), "the other one is master")
    second.host.ip("link", "set", "vip-web", "down")
    second.obey()
    w.converge()


def test_no_buffer_to_make_a_device_again(lab):
    """Of a virtual MAC, in the place of one that somebody removed: its interface has no news to tell afterwards."""
    w, _, second = world(lab, W.Shape(virtual=True))
    second.fail(kinds.CALLS["sendto"], errno.ENOBUFS)
    second.host.ip("link", "del", "vip-web")
    second.vipd.wait_line("cannot be made on eth0: No buffer space available")
    second.obey()
    wait(lambda: second.vipd.states["web"] == "backup", "takes part again")
    w.converge()


if __name__ == "__main__":
    L.main()
