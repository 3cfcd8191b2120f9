#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An address that a cloud routes, as docs/cloud.md sets it up: two hosts on a network without multicast, and a provider with an API that
is told of each takeover, by HTTPS, whatever the API does meanwhile; and no failure of it goes unseen or holds an election up.

The provider stands on a host of its own (tests/hooks/standin.py), which also is the metadata service of the hosts."""

import contextlib
import os
import re
import ssl
import sys

import hosts
from hosts import check, hold, message_id, now, run, wait

sys.path.insert(0, os.path.join(hosts.HERE, "../hooks"))
import standin  # noqa: E402

UNIT = "vipd-digitalocean@web.service"
API = "192.0.2.200"
METADATA = "169.254.169.254"
TOKEN_FILE = "/etc/credstore/vipd-digitalocean.web"
EXPOSURE_CEILING = 1.2
FIRST, SECOND = 386734086, 386734087  # the droplets


def documented():
    """docs/cloud.md: what is in the instance's file, in the unit's drop-in, and in that for an encrypted token."""
    with open(os.path.join(hosts.HERE, "../../docs/cloud.md"), encoding="utf-8") as f:
        return re.findall(r"```ini\n(.*?)```", f.read(), re.S)


def instance(node):
    """The documented file of the first or second droplet, on the laboratory's network."""
    text = documented()[0].replace("Interface=eth1", "Interface=eth0").replace("/etc/vipd/web.key", "@KEYFILE@")
    if node.number == 2:
        text = text.replace("AdvSkew=0", "AdvSkew=100")
    return re.sub("Peers=.*", f"Peers=192.0.2.{3 - node.number}", text)


class Provider(standin.Cloud):
    """On a host `api`: the API by HTTPS, with a certificate of an authority of its own, and the metadata service."""

    def __init__(self, lab):
        super().__init__({"192.0.2.1": FIRST, "192.0.2.2": SECOND}, routed=None)
        self.host = lab.host("api", 200)
        self.host.ip("addr", "add", f"{METADATA}/32", "dev", "eth0")
        self.certificate, key = f"{self.host.room}/certificate", f"{self.host.room}/key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=stand-in", "-addext", f"subjectAltName=IP:{API}", "-keyout", key, "-out", self.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.start()
        self.listen(self.bound(METADATA, 80))

    def bound(self, address, port):
        sock = self.host.socket()
        sock.setsockopt(hosts.net.socket.SOL_SOCKET, hosts.net.socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        return sock

    def start(self):
        self.api = self.listen(self.bound(API, 443), self.context)

    def n_asked_by(self, node, method=None):
        return len([r for r in self.asked(method, "/v2") if r.client == node.address])


def droplets(lab, n=2, settings="", token=standin.TOKEN, credential=True, more=None, **takeover):
    """n hosts set up by docs/cloud.md, with multicast lost on the way, and the provider; the first becomes master. settings: more
    lines for the unit's section [Service]; takeover: keys of the section [Takeover]."""
    provider = Provider(lab)
    lab.filter("ip daddr 224.0.0.0/4 drop\nip6 daddr ff00::/8 ip6 nexthdr 112 drop")

    def prepare(node):
        node.configure({"web": instance(node) + "[Takeover]\n" + "".join(f"{k}={v}\n" for k, v in takeover.items())})
        node.ip("route", "add", METADATA, "dev", "eth0")
        node.enable("vipd.service", UNIT)
        if credential:
            node.write(TOKEN_FILE, f"{token}\n", mode=0o600)
        node.drop_in("override", documented()[1], UNIT)
        with open(provider.certificate, encoding="utf-8") as f:
            node.write("/etc/ssl/stand-in.pem", f.read())
        node.drop_in("stand-in", f"[Service]\nEnvironment=API=https://{API}/v2 SSL_CERT_FILE=/etc/ssl/stand-in.pem\n{settings}", UNIT)
        if more:
            more(node)
    *nodes, _ = lab.booted(n, prepare, vipd=False)
    nodes[0].wait_state("master")
    for node in nodes[1:]:
        node.wait_state("backup")
        node.listened(advskew=100)
    return [provider, *nodes]


def failures(node):
    return node.get("FailedUnits")


def said(node, since=0):
    """(priority, sentence) of the program."""
    return [(e["PRIORITY"], e["MESSAGE"]) for e in node.journal(f"_SYSTEMD_UNIT={UNIT}", since=since)]


def demote(node):
    check(node.call("Demote").returncode == 0, "Demote")


def routed(provider, node, droplet):
    wait(lambda: provider.routed == droplet, lambda: f"routed to {droplet}, not {provider.routed}", 40)
    node.wait_active(UNIT, timeout=40)


# what it is for

def test_the_address_follows_the_master(lab):
    """Planned, and after a loss of power: the end is one order of the new master, and unicast is all that the network carries."""
    provider, n1, n2 = droplets(lab)
    routed(provider, n1, FIRST)
    check({e.destination for e in lab.observer.carp(n1)} == {n2.address}, "adverts to the peer alone")
    check(n2.active(UNIT) == "inactive", "a backup tells nothing")
    result = n2.systemctl("start", UNIT, fail=False)
    check(result.returncode != 0 and n2.active("vipd-master@web.target") == "inactive", "and refuses to")

    demote(n1)
    routed(provider, n2, SECOND)
    n1.wait_active(UNIT, state="inactive")

    # who is demoted stays out for a while
    wait(lambda: n1.call("Promote").returncode == 0, "Promote")
    routed(provider, n1, FIRST)
    n1.lose_power()
    routed(provider, n2, SECOND)
    hold(lambda: provider.orders() == [FIRST, SECOND, FIRST, SECOND], "one order for each takeover", 2)
    for node in n1, n2:
        check({p for p, _ in said(node)} == {"5"}, said(node))
    check(failures(n2) == [], failures(n2))


def test_nothing_is_told_when_vipd_is_restarted(lab):
    provider, n1, _ = droplets(lab)
    routed(provider, n1, FIRST)
    began, n = now(), len(provider.asked())
    n1.systemctl("restart", "vipd")
    wait(lambda: n1.state() == "master" and n1.active(UNIT) == "active", "as before", 20)
    check(n1.transitions(since=began) == [], "a restart is no takeover")
    hold(lambda: len(provider.asked()) == n, "the provider is asked nothing", 1)
    # nor does starting it again do anything but ask
    n1.systemctl("restart", UNIT)
    check(len(provider.asked()) > n and provider.orders() == [FIRST], "asked, not told")


# what passes

def test_whatever_the_api_does_meanwhile(lab):
    """Errors, a rate limit, a pending change and no server at all: at the end the address is here, by one order, and nobody is troubled."""
    provider, n1, n2 = droplets(lab)
    routed(provider, n1, FIRST)
    provider.close(provider.api)
    provider.fail(429, times=1, path="/v2", headers={"Retry-After": 3})
    provider.fail(503, times=1, path="/v2")
    provider.fail(422, times=1, method="POST", message="The reserved IP already has a pending event.")
    began = now()
    demote(n1)
    refused = lambda: [text for _, text in said(n2, began) if "Connection refused; again in" in text]  # noqa: E731
    wait(refused, lambda: f"it tries again: {said(n2, began)}", 20)
    check((n2.active(UNIT), n2.state(), lab.holder(standin.ADDRESS)) == ("activating", "master", 2), "the election did not wait")
    provider.start()
    wait(lambda: provider.routed == SECOND, lambda: f"{said(n2, began)}", 120)
    n2.wait_active(UNIT)
    check(provider.orders() == [FIRST, SECOND], provider.orders())
    texts = "\n".join(text for _, text in said(n2, began))
    for word in (": 429 ", ": 503 ", "already has a pending event."):
        check(word in texts, f"{word}: {texts}")
    wait(lambda: failures(n2) == [], lambda: f"FailedUnits {failures(n2)}")
    check(n2.transitions(since=began)[-1][1] == "master" and n2.state() == "master", "still master")


def test_a_role_that_is_lost_meanwhile_ends_it(lab):
    """In a request that hangs, and between two attempts: at once, without a failure, and without an order afterwards."""
    provider, n1, n2 = droplets(lab)
    routed(provider, n1, FIRST)
    for how in ("hang", 503):
        provider.heal()
        provider.fail(how, path="/v2", headers={"Retry-After": 3600}, client=n2.address)
        n = provider.n_asked_by(n2)
        demote(n1)
        wait(lambda: provider.n_asked_by(n2) > n, "n2 asks", 20)  # pylint: disable=cell-var-from-loop
        check(n2.active(UNIT) == "activating", "it tries")
        wait(lambda: n1.call("Promote").returncode == 0, "Promote")
        n2.wait_active("vipd-backup@web.target", timeout=30)
        check(n2.active(UNIT) == "inactive", f"stopped, not failed: {n2.active(UNIT)}")
        left = n2.get("StateChangeTimestampMonotonic")
        took = int(n2.show(UNIT, "InactiveEnterTimestampMonotonic")) - left
        check(took < 8_000_000, f"stopped {took} us after the role was lost")
        check(failures(n2) == [], failures(n2))
        n1.wait_state("master")
    provider.heal()
    provider.released.set()
    wait(lambda: n1.active(UNIT) == "active", "n1 found the address in place", 60)
    hold(lambda: provider.orders() == [FIRST] and provider.n_asked_by(n2, "POST") == 0, "n2 ordered nothing", 2)


# what does not

def test_a_final_failure_is_seen_and_tried_again(lab):
    """In the journal, in FailedUnits; and it is well as soon as the API is."""
    provider, n1 = droplets(lab, 1, "Environment=TRY_SEC=2\nRestartSec=3\n")
    routed(provider, n1, FIRST)
    provider.fail(503, path="/v2", message="maintenance")
    began = now()
    demote(n1)
    wait(lambda: failures(n1) == [[UNIT, "failed"]], lambda: f"FailedUnits {failures(n1)}", 40)
    priority, text = next(line for line in said(n1, began) if line[1].startswith("given up"))
    check(priority == "3" and re.match(r"given up after \d+ s: GET https://.*: 503 .*: maintenance$", text), text)
    check([e["VIPD_RESULT"] for e in n1.journal(message_id("UNIT_FAILED"), f"VIPD_UNIT={UNIT}", since=began)][:1] == ["failed"],
          "vipd says so")
    check(n1.state() == "master" and lab.holder(standin.ADDRESS) == 1, "master all the same")
    provider.routed = None
    provider.heal()
    routed(provider, n1, FIRST)
    wait(lambda: failures(n1) == [], lambda: f"FailedUnits {failures(n1)}")


def test_a_failure_can_cost_the_mastership(lab):
    """OnUnitFailure=demote: the API cannot be reached from one host."""
    provider, n1, n2 = droplets(lab, 2, "Environment=TRY_SEC=2\n", OnUnitFailure="demote", DemoteHold="1min")
    routed(provider, n1, FIRST)
    n1.systemctl("stop", UNIT)
    n1.ip("route", "add", "prohibit", API)
    provider.routed = None
    n1.systemctl("start", "--no-block", UNIT)
    n2.wait_state("master", timeout=60)
    routed(provider, n2, SECOND)
    check(("master", "backup", "demoted") in n1.transitions(), n1.transitions())
    n1.wait_active(UNIT, state="inactive")


def test_a_token_that_is_not_valid(lab):
    """Said once, in a sentence, and not tried again; with a good one all is well."""
    provider, n1 = droplets(lab, 1, "RestartSec=100ms\n", token="dop_v1_wrong")
    wait(lambda: failures(n1) == [[UNIT, "failed"]], lambda: f"FailedUnits {failures(n1)}", 20)
    (priority, text), = said(n1)
    check(priority == "3" and text.startswith("the token is not valid (GET https://") and "wrong" not in text, text)
    hold(lambda: len(provider.asked(path="/v2")) == 1 and n1.active(UNIT) == "failed", "not tried again", 2)
    n1.write(TOKEN_FILE, f"{standin.TOKEN}\n", mode=0o600)
    n1.systemctl("start", UNIT)
    routed(provider, n1, FIRST)
    wait(lambda: failures(n1) == [], lambda: f"FailedUnits {failures(n1)}")


def test_a_credential_that_is_not_there(lab):
    provider, n1 = droplets(lab, 1, "RestartSec=100ms\n", credential=False)
    wait(lambda: failures(n1) == [[UNIT, "failed"]], lambda: f"FailedUnits {failures(n1)}", 20)
    hold(lambda: n1.active(UNIT) == "failed", "not tried again", 2)
    check(provider.asked() == [], "nobody was asked")


# the token

def test_nobody_sees_the_token(lab):
    """Not in a process, not in the journal, not on the bus, not in a file that others may read."""
    provider, n1 = droplets(lab, 1)
    routed(provider, n1, FIRST)
    provider.fail("hang", path="/v2")
    n = len(provider.asked(path="/v2"))
    n1.systemctl("stop", UNIT)
    n1.systemctl("start", "--no-block", UNIT)
    wait(lambda: len(provider.asked(path="/v2")) > n, "it asks", 20)
    process = n1.process_id(UNIT)
    check(n1.show(UNIT, "DynamicUser") == "yes" and os.stat(f"/proc/{process}").st_uid not in (0, 65534), "a user of its own")
    for entry in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError), open(f"/proc/{entry}/{name}", "rb") as f:
                if standin.TOKEN.encode() in f.read():
                    raise AssertionError(f"{name} of {entry}")
    check(standin.TOKEN not in n1.systemctl("show", UNIT).stdout, "properties of the unit")
    n1.run("useradd", "alice")
    found = n1.run("grep", "-rlFs", standin.TOKEN, "/run", "/etc", "/tmp", "/var", user="alice", fail=False).stdout
    check(found == "", f"alice reads it in {found}")
    n1.systemctl("stop", UNIT)
    check(not any(standin.TOKEN in str(e) for e in n1.journal()), "the journal")


def test_the_documented_encrypted_token(lab):
    """The command of docs/cloud.md makes the file, its drop-in uses it, and no file has the token in clear."""
    with open(os.path.join(hosts.HERE, "../../docs/cloud.md"), encoding="utf-8") as f:
        command, = re.findall(r"sudo (systemd-creds encrypt .*)", f.read())
    provider, n1 = droplets(lab, 1, credential=False)
    wait(lambda: failures(n1) == [[UNIT, "failed"]], lambda: f"FailedUnits {failures(n1)}", 20)
    n1.run("mkdir", "-m", "0700", "/etc/credstore.encrypted")
    n1.run(*command.split(), input=standin.TOKEN)
    n1.drop_in("override", documented()[2], UNIT)
    n1.systemctl("start", UNIT)
    routed(provider, n1, FIRST)
    check(n1.run("grep", "-rlF", standin.TOKEN, "/etc", "/var", fail=False).stdout == "", "nowhere in clear")


# the sandbox

def test_the_unit_is_confined(lab):
    n1, _ = lab.booted(1, vipd=False)
    report = n1.run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    exposure = float(re.search(rf"exposure level for {UNIT}: ([\d.]+)", report)[1])
    check(exposure <= EXPOSURE_CEILING, f"exposure {exposure}, the ceiling is {EXPOSURE_CEILING}:\n{report}")


if __name__ == "__main__":
    hosts.main()
