# SPDX-License-Identifier: LGPL-2.1-or-later
"""An HTTP server that stands in for a cloud provider: DigitalOcean's reserved IPs, Hetzner's floating IPs and the metadata service
of both, as far as the hooks use them. It records every request, and fails as it is told to.

Used by test-hooks.py on a loopback interface and by tests/boot on a host of the laboratory."""

import http.server
import json
import re
import threading
import time
import types

ADDRESS = "203.0.113.10"
ADDRESS6 = "2001:db8:100::10"
TOKEN = "dop_v1_0123456789abcdef"


class Cloud:
    """What the provider knows. All of it may be set by a test between two requests.

    routed      the number of the server that the address is routed to, None for none
    servers     client address -> number, for the metadata service
    n_polls     how often an action is asked for before it has come true
    """

    def __init__(self, servers, routed=1):
        self.servers, self.routed = servers, routed
        self.n_polls = 1
        self.requests = []
        self.faults = []
        self.actions = {}
        self.locked = False
        self.blind = False  # the token may not see droplets
        self.lock = threading.Lock()
        self.released = threading.Event()  # set: who hangs is let go
        self.listeners = []

    # what goes wrong

    def fail(self, status, times=10 ** 6, method=None, path="/v", headers=(), message="no", client=None):
        """The next requests whose method, path and client fit get this answer. status: a number, "hang", "drip" or "errored"."""
        with self.lock:
            self.faults.append(types.SimpleNamespace(status=status, left=times, method=method, path=path, headers=dict(headers),
                                                     message=message, client=client))

    def heal(self):
        with self.lock:
            self.faults.clear()

    def fault(self, method, path, client):
        for f in self.faults:
            if f.left and f.method in (None, method) and f.path in path and f.client in (None, client):
                f.left -= 1
                return f
        return None

    # what was asked

    def asked(self, method=None, path="", status=None):
        with self.lock:
            return [r for r in self.requests if method in (None, r.method) and path in r.path and status in (None, r.status)]

    def orders(self):
        """The servers that the address was to be routed to, by orders that were taken."""
        return [r.body.get("droplet_id", r.body.get("server")) for r in self.asked("POST") if r.status == 201]

    # what it answers: (status, object or text)

    def act(self, server):
        self.locked = True
        number = 1000 + len(self.actions)
        self.actions[number] = types.SimpleNamespace(server=server, left=self.n_polls, status="in-progress")
        return self.settle(number)

    def settle(self, number, errored=False):
        action = self.actions[number]
        if action.status == "in-progress":
            if action.left <= 0 or errored:
                self.locked = False
                action.status = "errored" if errored else "completed"
                self.routed = self.routed if errored else action.server
            action.left -= 1
        return {"action": {"id": number, "status": action.status}}

    def pending(self):
        """Time goes on, whether somebody asks for an action or not."""
        for number in self.actions:
            self.settle(number)

    def answer(self, method, path, body, client, fault):
        if path.endswith(("/metadata/v1/id", "/metadata/instance-id")):
            return 200, f"{self.servers[client]}\n"
        if path == f"/v2/reserved_ips/{ADDRESS}":
            found = {"ip": ADDRESS, "locked": self.locked}
            if not self.blind:
                found["droplet"] = {"id": self.routed, "name": "x"} if self.routed else None
            self.pending()
            return 200, {"reserved_ip": found}
        if method == "POST" and path == f"/v2/reserved_ips/{ADDRESS}/actions":
            if self.locked:
                return 422, {"id": "unprocessable_entity", "message": "The reserved IP already has a pending event."}
            return 201, self.act(body["droplet_id"])
        action = re.fullmatch(rf"/v2/reserved_ips/{ADDRESS}/actions/(\d+)", path)
        if action:
            return 200, self.settle(int(action[1]), fault and fault.status == "errored")
        if path == f"/v2/reserved_ipv6/{ADDRESS6}":
            # nothing says that a change is under way, and nobody can ask for the action
            found = {"ip": ADDRESS6, **({"droplet": {"id": self.routed, "name": "x"}} if self.routed and not self.blind else {})}
            self.pending()
            return 200, {"reserved_ipv6": found}
        if method == "POST" and path == f"/v2/reserved_ipv6/{ADDRESS6}/actions":
            if self.locked:
                return 422, {"id": "unprocessable_entity", "message": "The reserved IPv6 already has a pending event."}
            return 201, self.act(body["droplet_id"])
        # the other one
        if path == "/v1/floating_ips/4711":
            return 200, {"floating_ip": {"id": 4711, "ip": ADDRESS, "server": self.routed}}
        if method == "POST" and path == "/v1/floating_ips/4711/actions/assign":
            self.act(body["server"])
            self.pending()
            return 201, {"action": {"id": 1, "status": "running"}}
        return 404, {"id": "not_found", "message": "The resource you were accessing could not be found."}

    # the wire

    def listen(self, sock, context=None):
        """Serves on a bound socket; context: of TLS. Returns what close() takes."""
        if context:
            sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        server = http.server.ThreadingHTTPServer(sock.getsockname(), handler(self), bind_and_activate=False)
        server.socket.close()
        server.socket = sock
        server.daemon_threads = True
        sock.listen(16)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.listeners.append(server)
        return server

    def close(self, server):
        """Nobody listens there any more: refused."""
        server.shutdown()
        server.server_close()
        self.listeners.remove(server)


def handler(cloud):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            record = types.SimpleNamespace(t=time.monotonic(), method=self.command, path=self.path, client=self.client_address[0],
                                           authorization=self.headers.get("Authorization"), body=json.loads(raw or "null"), status=0)
            with cloud.lock:
                cloud.requests.append(record)
                fault = cloud.fault(self.command, self.path, record.client)
                if fault and fault.status in ("hang", "drip"):
                    status, answer, more = 0, None, {}
                elif fault and fault.status != "errored":
                    status, answer, more = fault.status, {"id": "x", "message": fault.message}, fault.headers
                elif "/metadata/" not in self.path and record.authorization != f"Bearer {TOKEN}":
                    status, answer, more = 401, {"id": "unauthorized", "message": "Unable to authenticate you"}, {}
                else:
                    (status, answer), more = cloud.answer(self.command, self.path, record.body, record.client, fault), {}
                record.status = status
            if not status:
                return self.stall(fault.status)
            self.send(status, answer, more)

        def stall(self, how):
            """Never an answer; or one that comes a byte at a time."""
            self.close_connection = True
            if how == "drip":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
            while not cloud.released.wait(0.5):
                if how == "drip":
                    try:
                        self.wfile.write(b" ")
                    except OSError:
                        return

        def send(self, status, answer, more):
            text = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            try:
                self.send_response(status)
                for name, value in {"Content-Length": len(text), **more}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                pass  # it was stopped meanwhile

        do_GET = do_POST = do
    return Handler
