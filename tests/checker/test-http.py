#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP probes against real servers, kind ones and hostile ones."""

import base64
import os
import pwd
import socket
import ssl
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import room
from room import BAD, GOOD, Server, answer, check, checker, expect, http, one, read_request, shell, silent, tcp, wait


def url(server, path="/", scheme="http", host="127.0.0.1"):
    return f"{scheme}://{host}:{server.port}{path}"


def get(serve, **more):
    """The report on one server."""
    with Server(serve) as s:
        return one(http(url(s), **more))


def raw(text):
    def serve(connection):
        read_request(connection)
        connection.sendall(text)
    return serve


def test_an_ordinary_web_server_is_good():
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *more):
            super().__init__(*more, directory=room.tmp)

        def log_message(self, *_):
            pass

    room.path("page", "hello\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{s.server_address[1]}"
        expect(one(http(where + "/page", Expect="^hello$")), GOOD, "200 OK")
        expect(one(http(where + "/other")), BAD, "status 404, expected 200-299")
        s.shutdown()


def test_status_ranges_decide():
    for status, ranges, outcome in (("204 No Content", None, GOOD), ("299 X", None, GOOD), ("300 X", None, BAD),
                                    ("503 Service Unavailable", None, BAD), ("503 Busy", "200-299 500-503", GOOD), ("404 Not Found", "404", GOOD),
                                    ("405 X", "404", BAD), ("200 OK", "404,401", BAD)):
        more = {"ExpectStatus": ranges} if ranges else {}
        r = get(answer(status=status), **more)
        shown = (ranges or "200-299").replace(",", " ")
        expect(r, outcome, status if outcome == GOOD else f"status {status[:3]}, expected {shown}")


def test_the_expression_is_searched_for_in_the_body():
    body = "<html>\nstatus: ready\n\xe4".encode("latin-1")  # no UTF-8, which is no error
    for expression, outcome in (("ready", GOOD), ("^status: ready$", GOOD), ("READY", BAD), ("(?i)READY", GOOD), ("^ready", BAD), ("\xe4", BAD)):
        text = "200 OK" if outcome == GOOD else "200 OK, but the body is not as expected"
        expect(get(answer(body), Expect=expression), outcome, text)
    expect(get(answer(b""), Expect="."), BAD, "200 OK, but the body is not as expected")
    expect(get(answer(b""), Expect="^$"), GOOD, "200 OK")
    expect(get(answer("grün".encode()), Expect="grün"), GOOD, "200 OK")


def test_of_a_long_body_the_first_64_kib_count_and_the_report_says_so():
    expect(get(answer(b"x" * 65530 + b"needle" + b"y" * 5000000), Expect="needle"), GOOD, "200 OK")
    expect(get(answer(b"x" * 65531 + b"needle"), Expect="needle"), BAD, "200 OK, but the first 64 KiB of the body are not as expected")
    expect(get(answer(b"x" * 65536), Expect="needle"), BAD, "200 OK, but the body is not as expected")


def test_an_expression_that_takes_for_ever_is_bad_and_delays_no_other_probe():
    # quadratic at least, over a body that a server chose
    with Server(answer(b"a" * 65000 + b"!ok")) as s:
        with checker(http(url(s), Expect=r"\w+\w+\w+\s*=\s*ok", timeout=4, interval=3600), shell(":", interval=0.1)) as c:
            others = []
            while True:
                r = c.report()
                if r.number == 0:
                    break
                others.append(r)
            check(len(others) >= 5, f"only {len(others)} other reports meanwhile")
            expect(r, BAD, "...the body is too much for the expression")
            wait(lambda: [p.split()[0] for p in room.processes().values() if p].count(room.CHECKER) == 1, "the end of the search")


def test_a_connection_that_is_refused_is_named():
    with Server(answer()) as s:
        where = url(s)
    expect(one(http(where)), BAD, "connection refused")


def test_no_answer_is_bad_after_the_timeout():
    with Server(silent) as s:
        with checker(http(url(s), timeout=0.5)) as c:
            r = c.report()
            expect(r, BAD, "no answer within 500ms")
            check(0.4 < r.when - c.started < 5, f"after {r.when - c.started} s")


def test_a_server_that_accepts_nothing_is_bad_after_the_timeout():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        where = s.getsockname()
        fill = [socket.socket() for _ in range(3)]  # the kernel's queue is full: it does not answer any more
        for f in fill:
            f.setblocking(False)
            f.connect_ex(where)
        expect(one(http(f"http://127.0.0.1:{where[1]}/", timeout=0.7)), BAD, "no answer within 700ms")
        for f in fill:
            f.close()


def test_garbage_is_bad():
    for bytes_ in (b"\0\xff\x1b[2J garbage\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"", os.urandom(100000)):
        r = get(raw(bytes_), timeout=3)
        check(r.outcome == BAD, f"{bytes_[:30]}: {r}")


def test_a_body_that_is_cut_off_is_bad():
    r = get(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
    check(r.outcome == BAD, r)


def forever(head, piece):
    def serve(connection):
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)
    return serve


def test_headers_without_end_are_bad():
    expect(get(forever(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"y" * 1000 + b"\r\n")), BAD, "the headers do not end within 64 KiB")
    r = get(forever(b"HTTP/1.1 200 OK\r\nX-Header: ", b"y" * 1000))
    check(r.outcome == BAD, r)
    expect(get(forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")), BAD, "the headers do not end within 64 KiB")


def test_trailers_without_end_are_bad():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n0\r\n"
    r = get(forever(head, b"X-Trailer: " + b"y" * 1000 + b"\r\n"), timeout=3)
    check(r.outcome == BAD, r)


def test_a_body_without_end_is_bad_and_costs_bounded_memory_and_time():
    body = forever(b"HTTP/1.1 200 OK\r\n\r\n", b"ready" * 20000)
    with Server(body) as s:
        with checker(http(url(s), timeout=60), http(url(s), Expect="ready", timeout=60)) as c:
            for _ in range(2):
                r = c.report()
                expect(r, BAD, "the body does not end within 16 MiB")
            check(room.resident_kib(c.pid) < 200000, f"{room.resident_kib(c.pid)} KiB")
            check(room.cpu_seconds(c.pid) < 2, f"{room.cpu_seconds(c.pid)} s of processor time")


def test_a_body_that_trickles_is_bad_after_the_timeout():
    def trickle(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 Fine\r\n\r\n")
        while True:
            connection.sendall(b"ready\n")
            time.sleep(0.02)
    expect(get(trickle, Expect="ready", timeout=3), BAD, "200 Fine, but not complete within 3s")


def test_what_the_server_says_cannot_break_the_line():
    expect(get(answer(status="200 \x1b[31mred\x07 \xff" + "x" * 500)), GOOD, "...200 ?[31mred? ")


def test_methods():
    for method in ("GET", "HEAD", "POST", "OPTIONS", "PURGE"):
        requests = []
        expect(get(answer(b"body", requests=requests), Method=method), GOOD, "200 OK")
        check(requests[0].startswith(f"{method} / HTTP/1.1\r\n"), requests)
        check("\r\nUser-Agent: vipd-checker/" in requests[0], requests)


def test_a_head_answer_without_body_is_complete():
    expect(get(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), Method="HEAD"), GOOD, "200 OK")


def redirecting(target, n=1):
    """Sends the first n requests to the target."""
    count = []

    def serve(connection):
        count.append(read_request(connection))
        if len(count) <= n:
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            connection.sendall(b"HTTP/1.1 200 There\r\nContent-Length: 0\r\n\r\n")
    return serve


def test_redirects_are_not_followed_by_default():
    requests = []
    with Server(answer(requests=requests)) as target:
        expect(get(redirecting(url(target))), BAD, "status 302, expected 200-299")
        check(not requests, "it was followed")


def test_redirects_are_followed_if_told_so_but_not_for_ever():
    expect(get(redirecting("/there"), FollowRedirects=True), GOOD, "200 There")
    expect(get(redirecting("/there", 1000), FollowRedirects=True), BAD, "...redirects")


def test_redirects_lead_to_http_alone():
    secret = room.path("secret", "ready")
    for target in (f"file://{secret}", "ftp://127.0.0.1/", "gopher://127.0.0.1:1/", "dict://127.0.0.1:1/"):
        r = get(redirecting(target), FollowRedirects=True, Expect="ready")
        expect(r, BAD, "...not supported")


def test_only_http_and_https_are_asked():
    for where in (f"file://{room.path('secret', 'ready')}", "ftp://127.0.0.1/", "/etc/passwd", ""):
        expect(one(http(where)), BAD, "URL= is neither http:// nor https://")


def test_no_proxy_of_the_environment_is_used():
    requests = []
    with Server(answer(requests=requests)) as proxy:
        env = {name: f"http://127.0.0.1:{proxy.port}" for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")}
        with Server(answer(status="200 Direct")) as s, checker(http(url(s)), env=env) as c:
            expect(c.report(), GOOD, "200 Direct")
        check(not requests, requests)


def test_no_netrc_is_read():
    home = pwd.getpwuid(0).pw_dir
    room.path(".netrc", "default login someone password secret\n", 0o600)
    subprocess.run(["mount", "--bind", room.tmp, home], check=True)
    requests = []
    try:
        with Server(answer(requests=requests)) as s, checker(http(url(s)), env={"HOME": home}) as c:
            expect(c.report(), GOOD, "200 OK")
    finally:
        subprocess.run(["umount", home], check=True)
    check("Authorization" not in requests[0], requests)


def test_a_password_in_the_url_is_sent_to_the_server_and_said_to_nobody_else():
    requests = []
    with Server(answer(status="401 Unauthorized", requests=requests)) as s:
        closed = Server(answer())
        closed.close()
        where = [f"http://user:s3cr3t@{host}/" for host in (f"127.0.0.1:{s.port}", f"127.0.0.1:{closed.port}", "no.such.host.invalid",
                                                              "127.0.0.1:99999", "[::1", "a b")]
        where += ["https://user:s3cr3t@127.0.0.1:%i/" % s.port, "hxxp://user:s3cr3t@127.0.0.1/"]
        with checker(*(http(w, timeout=3) for w in where)) as c:
            for _ in where:
                r = c.report()
                check(r.outcome == BAD and "s3cr3t" not in r.text, r)
            with open(f"/proc/{c.pid}/cmdline", "rb") as f:
                check(b"s3cr3t" not in f.read(), "it is in the process title")
            check("s3cr3t" not in c.said(), c.said())
        expected = base64.b64encode(b"user:s3cr3t").decode()
        check(f"Authorization: Basic {expected}" in requests[0], requests[0])


def test_each_probe_is_a_connection_of_its_own_and_none_is_left_open():
    def keep_alive(connection):
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
    with Server(keep_alive) as s, checker(http(url(s), interval=0.02), tcp(f"127.0.0.1:{s.port}", interval=0.02)) as c:
        for _ in range(20):
            c.report()
        n_files = len(os.listdir(f"/proc/{c.pid}/fd"))
        for _ in range(100):
            check(c.report().outcome == GOOD, c.reports[-1])
        wait(lambda: s.n_connections >= 119, lambda: f"{s.n_connections} connections for 120 probes")
        check(len(os.listdir(f"/proc/{c.pid}/fd")) <= n_files + 4, "descriptors are left open")


def test_a_unix_socket_is_spoken_to():
    where = room.path("socket")
    requests = []
    with Server(answer(b"here", requests=requests), family=socket.AF_UNIX, address=where):
        expect(one(http("http://name.example/health", UnixSocket=where, Expect="here")), GOOD, "200 OK")
        check("GET /health" in requests[0] and "Host: name.example" in requests[0], requests)
    expect(one(http("http://name.example/", UnixSocket=where)), BAD, "connection refused")
    os.unlink(where)
    r = one(http("http://name.example/", UnixSocket=where))
    check(r.outcome == BAD, r)


def test_ipv6():
    with Server(answer(), host="::1", family=socket.AF_INET6) as s:
        expect(one(http(url(s, host="[::1]"))), GOOD, "200 OK")


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=room.tmp)


def authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-days", "2", "-subj", f"/CN=test authority {name}", "-addext", "basicConstraints=critical,CA:TRUE")
    return room.path(f"{name}.pem")


def certificate(ca, name, *names, days=2):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={names[0].split(':')[1]}")
    room.path(f"{name}.ext", "subjectAltName=" + ",".join(names) + "\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", str(days), "-extfile",
            f"{name}.ext", "-out", f"{name}.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(room.path(f"{name}.pem"), room.path(f"{name}.key"))
    return lambda connection: context.wrap_socket(connection, server_side=True)


def test_tls_is_verified_against_the_given_authority():
    ca, other = authority("ours"), authority("other")
    with Server(answer(b"ready"), wrap=certificate("ours", "server", "IP:127.0.0.1")) as s:
        where = url(s, scheme="https")
        expect(one(http(where, CAFile=ca, Expect="ready")), GOOD, "200 OK")
        for more in ({}, {"CAFile": other}, {"CAFile": room.path("missing.pem")}, {"CAFile": room.path("empty.pem", "")}):
            r = one(http(where, **more))
            check(r.outcome == BAD, f"{more}: {r}")
        expect(one(http(where, VerifyTLS=False)), GOOD, "200 OK")
        # the name, too
        r = one(http(url(s, scheme="https", host="localhost"), CAFile=ca))
        check(r.outcome == BAD, r)


def test_an_authority_that_was_replaced_counts_at_once():
    first, second = authority("first"), authority("second")
    current = room.path("current.pem")
    with open(first, encoding="ascii") as f:
        room.path("current.pem", f.read())
    with Server(answer(), wrap=certificate("second", "server", "IP:127.0.0.1")) as s:
        with checker(http(url(s, scheme="https"), CAFile=current, interval=0.1)) as c:
            check(c.report().outcome == BAD, c.reports)
            os.replace(second, current)
            wait(lambda: c.report().outcome == GOOD, "that the new authority is known")


def test_an_expired_certificate_is_bad():
    ca = authority("ours")
    with Server(answer(), wrap=certificate("ours", "server", "IP:127.0.0.1", days=-1)) as s:
        r = one(http(url(s, scheme="https"), CAFile=ca))
        check(r.outcome == BAD, r)
        expect(one(http(url(s, scheme="https"), VerifyTLS=False)), GOOD, "200 OK")


def test_a_server_that_does_not_speak_tls_is_bad():
    with Server(raw(b"HTTP/1.1 200 OK\r\n\r\n")) as s:
        r = one(http(url(s, scheme="https"), timeout=3, VerifyTLS=False))
        check(r.outcome == BAD, r)


def test_a_handshake_that_hangs_is_bad_after_the_timeout():
    with Server(silent) as s:
        expect(one(http(url(s, scheme="https"), timeout=0.5)), BAD, "no answer within 500ms")


if __name__ == "__main__":
    room.main(globals())
