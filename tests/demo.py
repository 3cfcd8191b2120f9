# SPDX-License-Identifier: LGPL-2.1-or-later
"""sudo tests/demo [--keep]: three hosts and a client on this machine, a web server behind a floating address, and what happens when the
master dies. Everything lives in private namespaces and is gone at the end; --keep leaves it up until you press Enter."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "net")]
sys.dont_write_bytecode = True

import release


def web_server(L, host):
    directory = f"{host.room}/www"
    os.makedirs(directory)
    with open(f"{directory}/index.html", "w") as f:
        f.write(f"hello from {host.name}\n")
    with open(f"{host.room}/nginx.conf", "w") as f:
        f.write(f"daemon off; pid {host.room}/nginx.pid; error_log stderr; events {{}}\n"
                f"http {{ access_log off; client_body_temp_path {host.room}/tmp; proxy_temp_path {host.room}/tmp; "
                f"fastcgi_temp_path {host.room}/tmp; uwsgi_temp_path {host.room}/tmp; scgi_temp_path {host.room}/tmp;\n"
                f"server {{ listen 80; root {directory}; }} }}\n")
    L.Process(host.lab, f"nginx on {host.name}", host.inside("nginx", "-c", f"{host.room}/nginx.conf")).may_fail = True


def get(L, client):
    return client.run("curl", "-s", "-m", "2", f"http://{L.VIP}/", fail=False).stdout.strip()


def show(L, buses):
    print(f"{'host':6}{'state':9}{'reason':17}master")
    for name, bus in buses.items():
        row = []
        for key in ("State", "Reason", "Master"):
            result = L.run("busctl", "--json=short", f"--address={bus}", "get-property", "org.vipd1", "/org/vipd1/instance/web",
                           "org.vipd1.Instance", key, fail=False)
            row.append(json.loads(result.stdout)["data"] if result.returncode == 0 else "(dead)")
        print(f"{name:6}{row[0]:9}{row[1]:17}{row[2]}", flush=True)
    print()


def demo(lab):
    import lab as L

    keep = "VIPD_DEMO_KEEP" in os.environ
    nodes, client = lab.nodes(3), lab.client()
    buses, daemons = {}, {}
    for k, host in enumerate(nodes):
        buses[host.name] = host.bus()
        web_server(L, host)
        daemons[host.name] = host.vipd(None, bus=buses[host.name], advskew=50 * k)
        daemons[host.name].may_fail = True
    print(f"Three hosts, each with vipd and a web server; the address is {L.VIP}. Waiting for the election ...\n")
    L.wait(lambda: daemons["n1"].state() == "master", "a master")
    # a host only listens for one dead interval after its start, even to a bow-out
    L.wait(lambda: all(L.now() > daemons[host.name].transitions()[0].t + L.dead_usec(1, 50 * k) for k, host in enumerate(nodes)),
           "every start delay over")
    L.wait(lambda: get(L, client), "the web server")
    show(L, buses)
    print(f"client:  curl http://{L.VIP}/  ->  {get(L, client)}\n")

    probe = client.probe()
    L.wait(lambda: client.ping(), "an answer")
    print("Handing over: busctl call org.vipd1 /org/vipd1/instance/web org.vipd1.Instance Demote")
    L.check(L.bus_call(buses["n1"], "web", "Demote").returncode == 0, "Demote failed")
    new = L.wait(lambda: next((n for n in ("n2", "n3") if daemons[n].state() == "master"), None), "another master")
    L.wait(lambda: get(L, client) == f"hello from {new}", "the web server of the new master")
    report = probe.finish()
    print(f"{new} took over. The client saw a gap of {report.longest_us / 1000:.1f} ms.\n")

    probe = client.probe()
    L.wait(lambda: client.ping(), "an answer")
    print(f"Killing {new}: its cable is cut and its daemon gets SIGKILL.")
    lab.hosts[new].cut()
    daemons[new].kill()
    heir = L.wait(lambda: next((n for n in buses if n != new and daemons[n].state() == "master"), None), "an heir")
    L.wait(lambda: get(L, client) == f"hello from {heir}", "the web server of the heir")
    report = probe.finish()
    dead = 3000 + 1000 * {"n1": 0, "n2": 50, "n3": 100}[heir] / 256
    print(f"{heir} took over. The client saw a gap of {report.longest_us / 1000:.0f} ms; the protocol's dead interval is about "
          f"{dead:.0f} ms\n(AdvBase=1; with AdvBase=0 AdvSkew=1 it is 12 ms).\n")
    show(L, buses)
    print(f"client:  curl http://{L.VIP}/  ->  {get(L, client)}")
    if keep:
        # only the process outside knows by which number the laboratory can be entered
        with os.fdopen(int(os.environ["VIPD_DEMO_KEEP"]), "w") as outside:
            outside.write(buses[heir] + "\n")
        sys.stdin.readline()


def main():
    if sys.argv[1:2] == ["--inside"]:
        import lab as L
        status = L.run_inside(demo)
        sys.stdout.flush()
        os._exit(status)
    if sys.argv[1:] not in ([], ["--keep"]):
        print(__doc__)
        sys.exit(2)
    if os.geteuid() != 0:
        print("tests/demo makes network namespaces, which needs root: sudo tests/demo", file=sys.stderr)
        sys.exit(1)
    if not os.path.exists(release.BUILD):
        print("Building ...", flush=True)
    release.build()
    import lab as L
    os.environ["PYTHONUNBUFFERED"] = "1"
    reader, writer = os.pipe()
    if "--keep" in sys.argv:
        os.environ["VIPD_DEMO_KEEP"] = str(writer)
    laboratory = subprocess.Popen(L.enter(os.path.abspath(__file__), "demo"), pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as inside:
        bus = inside.readline().strip()
    if bus:
        explain(L, laboratory.pid, bus)
    sys.exit(laboratory.wait())


def explain(L, pid, bus):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        enter = f"nsenter -t {f.read().split()[0]} -m -n -p"
    print(f"\nStill up. From another terminal, as root:\n"
          f"  {enter} ip netns exec cl curl http://{L.VIP}/\n"
          f"  {enter} busctl --address={bus} introspect org.vipd1 /org/vipd1/instance/web org.vipd1.Instance\n"
          f"Press Enter to end it.", flush=True)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
