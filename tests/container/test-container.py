# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image: what is in it, what it takes, and that two of it keep an address."""

import hashlib
import http.server
import json
import os
import re
import signal
import ssl
import threading

import containers
from containers import CAPABILITIES, IMAGE
from lab import KEY, VIP, VIP6, bus_call, check, dead_usec, hold, now, run, settle, wait

MORE = ("192.0.2.51", VIP6)
VHID = hashlib.md5(VIP.encode()).digest()[0]
LEASE_USEC = 3_500_000  # of two seconds, which the kernel may end late


def holder(lab, number):
    return lambda: lab.observer.holders(VIP) == {number}


def pair(lab, *more, **keys):
    n1, n2 = lab.nodes(2)
    a = n1.container(VIP, KEY, *more, **keys)
    a.wait_state("master")
    b = n2.container(VIP, KEY, *more, ADVSKEW=100, **keys)
    b.wait_state("backup")
    began = b.transitions()[0].t
    wait(lambda: now() > began + dead_usec(1, 100), "until then it only listens")
    return n1, n2, a, b


def content(name):
    """{path: (mode, owner)} of an image."""
    top = run("podman", "image", "mount", name).stdout.strip()
    found = {}
    for where, directories, names in os.walk(top):
        for path in (os.path.join(where, n) for n in directories + names):
            s = os.lstat(path)
            found[path[len(top):]] = (oct(s.st_mode), s.st_uid)
    return found


def test_small_and_nothing_that_is_not_needed(lab):
    size = int(run("podman", "image", "inspect", "--format={{.Size}}", IMAGE).stdout)
    check(size < 60 << 20, f"{size} bytes")
    found = content(IMAGE)
    programs = {path for path, (mode, _) in found.items() if mode.startswith("0o100") and int(mode, 8) & 0o111 and ".so" not in path}
    check(programs == {"/usr/sbin/vipd", "/usr/sbin/vipd-container", "/usr/libexec/vipd/vipd-checker"}, f"{programs}")
    check({"/etc/ssl/certs/ca-certificates.crt", "/usr/share/doc/libc6/copyright", "/usr/share/doc/libcurl4/copyright"} <= set(found), f"{found}")


def test_two_elect_and_a_stopped_one_bows_out(lab):
    n1, n2, a, b = pair(lab, *MORE)
    wait(lambda: all(n1.holds(address) for address in (VIP, *MORE)), "all addresses")
    check({e.vhid for e in lab.observer.carp(n1)} == {VHID}, "the old image's VHID")
    hold(lambda: a.state() == "master" and b.state() == "backup", "one master", 4)
    at = now()
    a.halt()
    check(not any(n1.holds(address) for address in (VIP, *MORE)), "nothing is left behind")
    wait(lambda: all(n2.holds(address) for address in (VIP, *MORE)), "the other holds them all")
    gap = lab.observer.longest_vacancy(VIP, at)
    check(gap < 2_000_000, f"taken over after {gap} us: by the bow-out, before a dead interval is over")
    lab.observer.check_never_two()


def test_a_killed_one_loses_the_address_to_the_other(lab):
    n1, n2, a, b = pair(lab)
    a.kill("KILL")
    wait(holder(lab, 2), "taken over")
    lost = next(t for t, number, present in lab.observer.changes(VIP) if number == 1 and not present)
    last = max(e.t for e in lab.observer.carp(n1))
    check(lost - last < LEASE_USEC, f"the lease ended {lost - last} us after the last advert")
    lab.observer.check_never_two()


def test_sigusr2_demotes(lab):
    n1, n2, a, b = pair(lab)
    a.kill("USR2")
    wait(holder(lab, 2), "handed over")
    a.wait_reason("demoted")
    b.wait_reason("bow-out")
    check(a.running(), f"{a.text()}")
    lab.observer.check_never_two()


def test_with_the_real_ucarp(lab):
    """As the old image ran it: one address signed, the others moved by the script."""
    n1, n2 = lab.nodes(2)
    a = n1.container(VIP, KEY, *MORE)
    a.wait_state("master")
    u = n2.ucarp(vhid=VHID, advskew=100)
    hold(holder(lab, 1), "ucarp believes it", 7)
    a.kill("USR2")
    wait(holder(lab, 2), "ucarp follows")
    a.wait_state("backup")
    hold(lambda: a.state() == "backup", "it believes ucarp", 5)
    check(not any(n1.holds(address) for address in MORE), "the others were given up too")
    u.signal(signal.SIGTERM)
    wait(holder(lab, 1), "and takes over from it", 20)


class Service(http.server.ThreadingHTTPServer):
    """A web server on a host, and what it says of its health."""

    def __init__(self, host, context=None):
        self.health = "healthy"
        with host.namespace():
            super().__init__(("127.0.0.1", 8080), Answer)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.health.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_failed_check_moves_the_address_between_equals(lab):
    """Without preemption anywhere: who fails leaves the election. And in the narrowest container."""
    hosts = lab.nodes(2)
    services = [Service(n) for n in hosts]
    a, b = (n.container(VIP, KEY, options=["--cap-drop=all", "--read-only", "--tmpfs=/run", "--security-opt=no-new-privileges"],
                        CHECK_HTTP="http://127.0.0.1:8080/health", CHECK_EXPECT="^healthy$", CHECK_TCP="localhost:8080",
                        CHECK_INTERVAL="200ms", CHECK_TIMEOUT="10s", CHECK_FALL=2, CHECK_RISE=2) for n in hosts)
    settle(lambda: {a.state(), b.state()} == {"master", "backup"}, "elected", 1, 40)
    first = 0 if a.state() == "master" else 1
    checker = [s for s in (a, b)[first].processes().values() if s["Name"] == "vipd-checker"]
    check(len(checker) == 1 and checker[0]["CapPrm"] == "0" * 16, f"{checker}")
    services[first].health = "unhealthy"
    wait(holder(lab, 2 - first), "the other has it", 20)
    (a, b)[first].wait_reason("health")
    services[1 - first].shutdown()
    services[1 - first].server_close()
    wait(lambda: not lab.observer.holders(VIP), "rather nobody than one who fails", 20)
    services[first].health = "healthy"
    wait(holder(lab, first + 1), "back", 20)
    lab.observer.check_never_two()


def test_a_certificate_is_verified_by_the_images_authorities(lab):
    (n1,) = lab.nodes(1)
    certificate, key = f"{n1.room}/certificate", f"{n1.room}/certificate.key"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=site",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    Service(n1, context)
    checked = {"CHECK_HTTP": "https://127.0.0.1:8080/", "CHECK_INTERVAL": "500ms", "ADVBASE": 0, "ADVSKEW": 64}
    a = n1.container(VIP, KEY, **checked)
    a.wait_line("check http fails: .*certificate")
    a.wait_state("backup")
    hold(lambda: a.state() == "backup", "it is nobody whom the image knows", 2)
    a.halt()
    a = n1.container(VIP, KEY, options=[f"--volume={certificate}:/etc/ssl/certs/ca-certificates.crt:ro"], **checked)
    a.wait_state("master")
    a.halt()


def test_the_interface_is_found(lab):
    (n1,) = lab.nodes(1)
    n1.ip("link", "add", "eth1", "type", "veth", "peer", "name", "other")
    n1.ip("addr", "add", "198.51.100.1/24", "dev", "eth1")
    n1.ip("link", "set", "eth1", "up")
    n1.ip("link", "set", "other", "up")
    n1.ip("route", "add", "default", "via", "192.0.2.254")
    for address, found, environment in (("198.51.100.9", "eth1", {}), ("203.0.113.9", "eth0", {}), ("203.0.113.9", "eth1", {"DEV": "eth1"})):
        a = n1.container(address, KEY, **environment)
        check(a.wait_line("VHID").endswith(f" on {found}"), f"{address} {environment}: {a.text()}")
        a.wait_line("init -> backup")
        a.halt()
    n1.ip("route", "del", "default")
    a = n1.container("203.0.113.9", KEY)
    check(a.end() == 2 and a.grep("DEV: no interface has a subnet with VIP in it"), a.text())


def test_mistakes_are_told_and_end_it(lab):
    (n1,) = lab.nodes(1)
    for arguments, environment, sentence in (
            ((), {}, "usage: VIP PASSWORD"),
            (("192.0.2.300", KEY), {}, 'VIP "192.0.2.300": is no address'),
            ((KEY, VIP), {}, "VIP: is no address"),
            ((VIP, KEY * 2), {}, "PASSWORD: is longer than 19 bytes"),
            ((VIP, KEY), {"VHID": "256"}, "VHID=256: allowed is a whole number from 1 to 255"),
            ((VIP, KEY), {"CHECK_HTTP": "localhost"}, "CHECK_HTTP=localhost: allowed is http://HOST")):
        a = n1.container(*arguments, **environment)
        check(a.end() == 2 and len(a.lines) == 1 and a.grep(re.escape(sentence)), f"{sentence}: {a.text()}")
        check(KEY not in a.text(), "the passphrase is not repeated")


def test_the_passphrase_is_nowhere(lab):
    n1, n2 = lab.nodes(2)
    a = n1.container(VIP, KEY)
    n2.podman("secret", "create", "key", n2.key_file())
    b = n2.container(VIP, options=["--secret=key"], PASSWORD_FILE="/run/secrets/key")
    c = n2.container("192.0.2.51", name="other", options=[f"--volume={n2.key_file()}:/key"], PASSWORD_FILE="/key")
    for container in (a, b, c):
        container.wait_line("init -> backup")
        for pid in container.processes():
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    check(KEY.encode() not in f.read(), f"/proc/{pid}/{name}")
        check(KEY not in container.text(), "the log")
    c.halt()
    os.chmod(n2.key_file(name="open"), 0o644)
    d = n2.container("192.0.2.51", name="another", options=[f"--volume={n2.room}/open:/key"], PASSWORD_FILE="/key")
    check(d.end() == 2 and d.grep("PASSWORD_FILE: "), d.text())
    # and it is the same: they understand each other
    wait(lambda: len({x.state() for x in (a, b)}) == 2, "one master", 40)


def test_every_way_to_confine_it(lab):
    (n1,) = lab.nodes(1)
    two = "0" * 12 + "3000"
    for options, uid in ((["--cap-drop=all"], "0"), ([], "995"), (["--user=4711"], "4711"), (["--user=4711:4711", "--cap-drop=all"], "4711"),
                         (["--read-only"], "995"), (["--read-only", "--read-only-tmpfs=false", "--tmpfs=/run"], "995"),
                         (["--read-only", "--read-only-tmpfs=false", "--tmpfs=/run:mode=1777", "--user=4711", "--cap-drop=all",
                           "--security-opt=no-new-privileges"], "4711"),
                         (["--read-only", "--tmpfs=/run", "--cap-drop=all", "--security-opt=no-new-privileges"], "0")):
        a = n1.container(VIP, KEY, options=options, ADVBASE=0, ADVSKEW=64)
        a.wait_state("master")
        status = {s["Name"]: s for s in a.processes().values()}
        check(set(status) == {"vipd-container", "vipd"}, f"{options}: {set(status)}")
        for name, capabilities in (("vipd", two), ("vipd-container", "0" * 16)):
            s = status[name]
            check((s["Uid"].split()[0], s["CapEff"], s["CapPrm"]) == (uid, capabilities, capabilities), f"{options}: {s}")
        check(not a.grep("warning|error"), f"{options}: {a.text()}")
        a.halt()
        check(not n1.holds(), f"{options}: dropped")


def test_a_restarted_one_starts(lab):
    """On what the one before left in the same container, however it ended."""
    (n1,) = lab.nodes(1)
    n1.podman("run", "--detach", "--name=vip", f"--cgroup-parent=/{containers.PARENT}", "--network=host", *CAPABILITIES, "--env=ADVBASE=0",
              "--env=ADVSKEW=64", IMAGE, VIP, KEY)
    for signal_name in ("TERM", "KILL", "TERM"):
        wait(n1.holds, f"master before SIG{signal_name}", 40)
        n1.podman("kill", f"--signal={signal_name}", "vip")
        n1.podman("wait", "vip")
        wait(lambda: not n1.holds(), f"dropped after SIG{signal_name}")
        n1.podman("start", "vip")
    wait(n1.holds, "master again", 40)
    n1.podman("stop", "vip")
    check(not n1.holds(), "dropped")


def test_orphans_are_fetched(lab):
    """Processes whose parent ended inside become the init's."""
    (n1,) = lab.nodes(1)
    a = n1.container(VIP, KEY)
    a.wait_line("init -> backup")
    init = a.init
    run("nsenter", f"--target={init}", "--pid", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & sleep 1000 >/dev/null 2>&1 &")

    def orphans():
        return [pid for pid, s in a.processes().items() if s["Name"] == "sleep" and int(s["PPid"]) == init]

    for pid in wait(lambda: len(orphans()) == 2 and orphans(), "adopted"):
        os.kill(pid, signal.SIGKILL)
    wait(lambda: not orphans(), lambda: f"fetched: {orphans()}")
    check(a.running(), a.text())
    a.halt()


def test_on_a_mounted_bus(lab):
    """As user vipd of the host, whom the host's bus policy knows."""
    (n1,) = lab.nodes(1)
    for path, line in (("/etc/passwd", "vipd:x:4711:4711::/:/bin/false\n"), ("/etc/group", "vipd:x:4711:\n")):
        mine = f"{n1.room}/{os.path.basename(path)}"
        with open(path) as f, open(mine, "w") as g:
            g.write("".join(old for old in f if not old.startswith("vipd:")) + line)
        run("mount", "--bind", mine, path)
    socket = f"{n1.room}/system_bus_socket"
    with open(f"{n1.room}/system.conf", "w") as f:
        f.write(f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/></policy>
<include>{os.path.join(containers.image.TREE, "dbus/org.vipd1.conf")}</include></busconfig>""")
    daemon = containers.net.Process(lab, "dbus-daemon", n1.inside("dbus-daemon", f"--config-file={n1.room}/system.conf", "--nofork",
                                                                  "--nopidfile", "--nosyslog"))
    daemon.may_fail = True
    wait(lambda: os.path.exists(socket), "bus socket")
    mount = f"--volume={socket}:/run/dbus/system_bus_socket"
    address = f"unix:path={socket}"
    for options in (["--user=4711:4711"], ["--cap-drop=all"]):
        a = n1.container(VIP, KEY, options=[mount, *options], ADVBASE=0, ADVSKEW=64)
        a.wait_state("master")
        wait(lambda: bus_call(address, "vip", "GetStatistics").returncode == 0, lambda: f"{options}: on the bus: {a.text()}")
        result = bus_call(address, "vip", "DemoteFor", "t", 60_000_000)
        check(result.returncode == 0, f"{result}")
        a.wait_state("backup")
        a.halt()


def test_every_variable_is_documented(lab):
    """In settings.c, in docs/container.md, and those that a host chooses in compose.yaml."""
    def text(path):
        with open(os.path.join(containers.image.TREE, path), encoding="utf-8") as f:
            return f.read()

    table = re.search(r"variables\[\] = \{(.*?)\n\};", text("container/settings.c"), re.S)[1]
    known = set(re.findall(r'\{ "(\w+)"', table)) | {"PASSWORD_FILE"}
    rows = [line.split("|")[1] for line in text("docs/container.md").splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    check(known == told, f"{known ^ told}")
    offered = set(re.findall(r"^      ([A-Z_]+):", text("container/compose.yaml"), re.M))
    check(offered <= known, f"{offered - known}")


def test_the_containerfile_makes_the_same(lab):
    (n1,) = lab.nodes(1)
    run("sh", "-c", f"tar -C {lab.debian} --one-file-system -c . | podman import --quiet - localhost/debian:bookworm")
    run("podman", "build", "--isolation=chroot", "--network=host", "--build-arg=BASE=localhost/debian:bookworm", "--build-arg=VIPD_UID=4711",
        f"--file={containers.image.TREE}/container/Containerfile", "--tag=localhost/vipd:containerfile", containers.image.TREE)

    def config(name):
        return json.loads(run("podman", "image", "inspect", name).stdout)[0]["Config"]

    check(config("localhost/vipd:containerfile")["Entrypoint"] == config(IMAGE)["Entrypoint"], "one entry point")
    ours = {path: (mode, uid and 4711) for path, (mode, uid) in content(IMAGE).items()}
    theirs = content("localhost/vipd:containerfile")
    check(ours == theirs, f"{set(ours.items()) ^ set(theirs.items())}")
    run("podman", "tag", "localhost/vipd:containerfile", IMAGE)
    a = n1.container(VIP, KEY, ADVBASE=0, ADVSKEW=64)
    a.wait_state("master")
    check({s["Uid"].split()[0] for s in a.processes().values()} == {"4711"}, f"{a.processes()}")
    check(not a.grep("warning|error"), a.text())
    a.halt()


# Debian 12's podman-compose gives every service a network of its own even beside network_mode: host. Without that:
PODMAN = """[ "$1" != network ] || exit 0
for argument; do
        shift
        case $argument in
        --net|--network-alias) skip=yes ;;
        *) [ "$skip" ] || set -- "$@" "$argument"; skip= ;;
        esac
done
exec podman "$@"
"""


def test_the_compose_file(lab):
    n1, n2 = lab.nodes(2)

    def compose(host, *argv):
        host.run("podman-compose", f"--podman-path={host.script('podman', PODMAN)}", f"--project-name={host.name}", *argv, cwd=host.room,
                 env={**os.environ, "VIP": VIP, "ADVSKEW": str(host.number)})

    for n in (n1, n2):
        run("cp", f"{containers.image.TREE}/container/compose.yaml", n.room)
        os.chown(n.key_file(name="vip-password"), 0, 0)
        compose(n, "up", "--detach")
    wait(lambda: len(lab.observer.holders(VIP)) == 1, "one master", 60)
    (first,) = lab.observer.holders(VIP)
    wait(lambda: {e.advskew for e in lab.observer.carp(lab.hosts[f"n{first}"])} == {first}, "the variable arrives")
    compose(lab.hosts[f"n{first}"], "down")
    wait(holder(lab, 3 - first), "the other follows", 20)
    lab.observer.check_never_two()


containers.main()
