"""THREATS 1 to 7 and 9 against real processes: an application's server under mutual TLS, its probe port, and meshd's control and admin listeners. (All their variants are rows of tests/unit/http/test_threats_*.c; 8 is
test_threat_8.py.) Raw bytes go behind a good request and before a smuggled one: the row is refused, counted and the connection closed; neither it nor the smuggled one reaches a handler."""

import http.server
import json
import os
import re
import socket
import threading
import time
import unittest

import peers
import support
from support import SLOW, wait_until

HEADER_SECONDS = 10  # how long a header may take


class Listener:
    """One of the servers: how to reach it, a good request, and how to see what reached a handler."""

    def __init__(self, name, address, metrics, context=None, path="/", host="h", fields=""):
        self.name, self.address, self.metrics, self.context, self.path, self.host, self.fields = name, address, metrics, context, path, host, fields

    def dial(self):
        host, port = self.address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=30 * SLOW)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(plain) if self.context else plain

    def request(self, method, path=None, fields="", body=""):
        return f"{method} {path or self.path} HTTP/1.1\r\nHost: {self.host}\r\n{self.fields}{fields}\r\n{body}".encode("latin-1")

    def good(self, fields=""):
        return self.request("GET", fields=fields)

    def smuggled(self):
        """A request that would make a token, where it is an admin's."""
        body = '{"service": "smuggled"}'
        return self.request("POST", fields=f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", body=body)

    def refused(self, reason):
        return int(peers.metrics(self.metrics).get('mesh_requests_refused_total{reason="%s"}' % reason, 0))


class World:
    """One mesh for the whole file, its echo servers (handlers on workers, and a proxy before a server that knows nothing of meshes), and somebody slow who began before the first test."""

    def __init__(self):
        self.mesh = support.Mesh().start()
        self.probe = f"127.0.0.1:{support.free_port()}"
        self.payments = self.mesh.serve("payments", env={"MESH_PROBE_LISTEN": self.probe, "MESH_PROBE_METRICS": "1"})
        self.cart = peers.issued(self.mesh, "cart")
        admin = self.mesh.info["admin"].removeprefix("http://")
        with open(os.path.join(self.mesh.data, "admin.token")) as f:
            bearer = f"Authorization: Bearer {f.read().strip()}\r\n"
        context = peers.client_context(self.cart)
        self.application = Listener("application", self.payments.info["address"], self.probe, context)
        self.control = Listener("control", self.mesh.info["control"].removeprefix("https://"), admin, context, "/v1/bundle")
        self.admin = Listener("admin", admin, admin, None, "/v1/tokens", host=admin, fields=bearer)
        self.listeners = (self.application, self.control, self.admin)
        self.everywhere = (*self.listeners, Listener("probe", self.probe, self.probe, path="/livez"))  # takes no body at all
        self.slow = Slow(self.application)

    def handled(self):
        """How many requests the application's handlers have seen."""
        return int(peers.metrics(self.probe).get("mesh_inbound_requests_total", 0))

    def close(self):
        self.slow.close()
        self.mesh.close()


class Slow(threading.Thread):
    """One who sends a byte of header a second, for as long as it is let."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.answer, self.seconds, self.stopped = None, None, threading.Event()
        self.sock = listener.dial()
        self.start()

    def run(self):
        began = time.monotonic()
        self.sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        try:
            self.sock.settimeout(1)
            first = b""
            while not first and not self.stopped.is_set():
                try:
                    first = self.sock.recv(1)  # and not select(): a ticket of TLS 1.3 is no answer
                    break
                except TimeoutError:
                    self.sock.sendall(b"x")
            self.sock.settimeout(20 * SLOW)
            self.seconds = time.monotonic() - began
            self.answer = first + peers.hear(self.sock)
        except OSError as e:
            self.answer = repr(e).encode()

    def close(self):
        self.stopped.set()
        self.join()
        self.sock.close()


WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


class Threats(unittest.TestCase):
    def smuggle(self, listener, attack, status, reason):
        """The good one is answered, the row is refused, and nothing after it is read."""
        handled, refused = WORLD.handled(), listener.refused(reason)
        with listener.dial() as sock:
            sock.sendall(listener.good() + attack + listener.smuggled())
            heard = peers.answers(peers.hear(sock))
        self.assertEqual([a[0] for a in heard], [200, status], heard)
        self.assertIn("\r\nConnection: close", heard[1][1])
        self.assertEqual(json.loads(heard[1][2])["error"], reason)
        self.assertEqual(listener.refused(reason), refused + 1)
        self.assertEqual(WORLD.handled(), handled + (listener is WORLD.application))

    def smuggle_all(self, rows, status=400, listeners=None):
        for attack, reason in rows:
            for listener in listeners or WORLD.everywhere:
                with self.subTest(listener=listener.name, attack=str(attack)):
                    if isinstance(attack, str):
                        attack_bytes = listener.request("POST", fields=attack.partition("|")[0], body=attack.partition("|")[2])
                    else:
                        attack_bytes = attack(listener)
                    self.smuggle(listener, attack_bytes, status, reason)
        self.assertNotIn("smuggled", json.dumps(WORLD.mesh.admin("GET", "/v1/tokens")[1]))


class Threat1(Threats):
    def test_two_lengths_or_one_that_is_no_number(self):
        self.smuggle_all([(f"{fields}|{body}", "framing") for fields, body in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), ("Content-Length: 5\r\nContent-Length: 6\r\n", "abcde"),
            *((f"Content-Length: {value}\r\n", "abcde") for value in ("5, 6", "+5", "-0", "0x5", "5_0", "18446744073709551621"))]])


class Threat2(Threats):
    def test_a_coding_that_is_not_just_chunked(self):
        chunks = "5\r\nabcde\r\n0\r\n\r\n"
        self.smuggle_all([(f"{field}\r\n|{chunks}", reason) for field, reason in [
            *((f"Transfer-Encoding: {value}", "framing") for value in ("xchunked", "chunked, chunked", "chunked, identity", "")),
            *((field, "malformed") for field in ("Transfer-Encoding: \vchunked", "Transfer-Encoding: chunked\0", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked"))]])
        self.smuggle_all([(lambda listener: listener.request("POST", fields="Transfer-Encoding: chunked\r\n", body=chunks).replace(b"HTTP/1.1", b"HTTP/1.0"), "framing")])


class Threat3(Threats):
    def test_chunks_and_lines_that_two_parsers_end_differently(self):
        self.smuggle_all([(f"Transfer-Encoding: chunked\r\n|{body}", "chunk") for body in (
            "0x5\r\nabcde\r\n0\r\n\r\n", "5_0\r\n", "+5\r\nabcde\r\n0\r\n\r\n", "-1\r\n", "10000000000000005\r\nabcde\r\n0\r\n\r\n", "5;\r\nabcde\r\n0\r\n\r\n",
            "5\nabcde\r\n0\r\n\r\n", "5\rabcde\r\n0\r\n\r\n")])
        self.smuggle_all([(f"Transfer-Encoding: chunked\r\n|{body}", "chunk") for body in ("5\r\nabcde\n0\r\n\r\n", "5\r\nabcde\r0\r\n\r\n")], listeners=WORLD.listeners)
        self.smuggle_all([(field + "|", "malformed") for field in ("A: b\nC: d\r\n", "A: b\rC: d\r\n", "A: b\0c\r\n", "A: b\n\r\n")])


class Threat4(Threats):
    def test_a_host_that_is_missing_doubled_or_not_the_targets(self):
        def line(text):
            return lambda listener: listener.request("GET").replace(f"GET {listener.path} ".encode(), text.encode())

        def host(text):
            return lambda listener: listener.request("GET").replace(f"Host: {listener.host}\r\n".encode(), text.encode())
        self.smuggle_all([(host(""), "host"), (host("Host: a\r\nHost: b\r\n"), "host"), (lambda l: l.request("GET", fields=f"Host: {l.host}\r\n"), "host"),
                          (lambda l: l.request("GET").replace(b"Host: ", b"Host: u@"), "host"), (line("GET http://evil/ "), "host"), (line("CONNECT h:80 "), "target"), (line("OPTIONS * "), "target")])


class Threat5(Threats):
    def test_trailers_are_discarded(self):
        listener, handled = WORLD.application, WORLD.handled()
        trailers = "Content-Length: 40\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: evil\r\nmesh-try: 7\r\n"
        with listener.dial() as sock:
            sock.sendall(listener.request("POST", fields="Transfer-Encoding: chunked\r\n", body=f"2\r\nhi\r\n0\r\n{trailers}\r\n") + listener.good("Connection: close\r\n"))
            heard = peers.answers(peers.hear(sock))
        self.assertEqual([a[0] for a in heard], [200, 200])
        saw = json.loads(heard[0][2])
        self.assertEqual((saw["headers"], saw["body"], saw["tryNumber"]), ({"host": "h", "transfer-encoding": "chunked"}, "hi", 1))
        self.assertEqual(json.loads(heard[1][2])["method"], "GET")
        self.assertEqual(WORLD.handled(), handled + 2)


class Threat6(Threats):
    def early(self, listener, send):
        """A refused body of 64 MiB; what is heard, and how much of it was sent."""
        with listener.dial() as sock:
            sock.sendall(listener.request("POST", fields="Content-Type: application/json\r\nContent-Length: 67108864\r\n"))
            return send(sock)

    def test_an_early_refusal_is_seen_by_one_who_reads_while_it_writes(self):
        for listener in WORLD.listeners:
            with self.subTest(listener.name):
                handled = WORLD.handled()
                heard = peers.answers(self.early(listener, lambda sock: peers.exchange(sock, bytes(64 << 20))))
                self.assertEqual([(a[0], json.loads(a[2])["error"]) for a in heard], [(413, "body-too-large")])
                self.assertEqual(WORLD.handled(), handled)

    def test_an_early_refusal_is_seen_by_one_who_reads_when_it_can_write_no_more(self):
        def send(sock):
            sent = 0
            try:
                while sent < 67108864:
                    sock.sendall(b"b" * 65536)
                    sent += 65536
            except OSError:
                pass  # by now the server has gone: what it said is still to be read
            self.assertGreater(sent, 64 * 1024)
            heard = b""
            try:
                while chunk := sock.recv(65536):
                    heard += chunk
            except OSError:
                pass
            return heard
        for listener in WORLD.listeners:
            with self.subTest(listener.name):
                began = time.monotonic()
                self.assertTrue(self.early(listener, send).startswith(b"HTTP/1.1 413 "))
                self.assertLess(time.monotonic() - began, 10 * SLOW, "who never stops writing is not waited for")

    def test_a_body_of_get_head_and_options_is_never_the_next_request(self):
        for listener in WORLD.listeners:
            smuggled = listener.smuggled().decode()
            for method in ("GET", "HEAD", "OPTIONS"):
                for fields, body in ((f"Content-Length: {len(smuggled)}\r\n", smuggled), ("Transfer-Encoding: chunked\r\n", f"{len(smuggled):x}\r\n{smuggled}\r\n0\r\n\r\n")):
                    with self.subTest(listener=listener.name, method=method, fields=fields):
                        handled = WORLD.handled()
                        with listener.dial() as sock:
                            sock.sendall(listener.request(method, fields=fields, body=body) + listener.good("Connection: close\r\n"))
                            heard = peers.hear(sock)
                        self.assertEqual(heard.count(b"HTTP/1.1 "), 2, heard)
                        self.assertEqual(WORLD.handled(), handled + 2 * (listener is WORLD.application))
        self.assertNotIn("smuggled", json.dumps(WORLD.mesh.admin("GET", "/v1/tokens")[1]))

    def memory_kib(self):
        with open(f"/proc/{WORLD.payments.child.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))

    def test_ten_thousand_pipelined_requests_are_answered_in_order_in_flat_memory(self):
        listener, handled, before = WORLD.application, WORLD.handled(), self.memory_kib()
        weight = b"X: " + b"x" * 2000 + b"\r\n"  # 20 MB of requests, and as much of answers
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n%b\r\n" % (i, weight) for i in range(10000)).replace(b"GET /9999 HTTP/1.1\r\n", b"GET /9999 HTTP/1.1\r\nConnection: close\r\n")
        with listener.dial() as sock:
            heard = peers.answers(peers.exchange(sock, requests, stubborn=True))
        self.assertEqual([json.loads(a[2])["path"] for a in heard], [f"/{i}" for i in range(10000)])
        self.assertEqual(WORLD.handled(), handled + 10000)
        if not support.SANITIZED:
            self.assertLess(self.memory_kib() - before, 8 * 1024)


class Threat7(Threats):
    def test_a_header_that_comes_a_byte_a_second_ends_at_an_absolute_deadline(self):
        slow = WORLD.slow
        wait_until(lambda: slow.answer, "the end of the one who began before all tests", 20)
        self.assertTrue(slow.answer.startswith(b"HTTP/1.1 408 "), slow.answer)
        self.assertIn(b"Connection: close", slow.answer)
        self.assertGreaterEqual(slow.seconds, HEADER_SECONDS - 1)
        self.assertLess(slow.seconds, HEADER_SECONDS + 3 * SLOW)
        self.assertEqual(WORLD.application.refused("timeout"), 1)

    def test_a_megabyte_of_header_and_ten_thousand_fields_are_refused(self):
        for fields in ("X: " + "x" * (1 << 20) + "\r\n", "X: y\r\n" * 10000):
            for listener in WORLD.listeners:
                with self.subTest(listener=listener.name, fields=fields[:10]):
                    handled, refused = WORLD.handled(), listener.refused("header-too-large")
                    with listener.dial() as sock:
                        heard = peers.answers(peers.exchange(sock, listener.request("GET", fields=fields)))
                    self.assertEqual([(a[0], json.loads(a[2])["error"]) for a in heard], [(431, "header-too-large")])
                    self.assertEqual((WORLD.handled(), listener.refused("header-too-large")), (handled, refused + 1))


class Upstream(http.server.BaseHTTPRequestHandler):
    """A server that knows nothing of meshes: says what it was told, and more than it should."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200)
        for name, value in (("Content-Length", str(len(body))), ("mesh-not-processed", "1"), ("Mesh-Load", "99"), ("X-Forwarded-Client-Cert", "evil"), ("X-Plain", "stays")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Threat9(Threats):
    FORGED = "mesh-peer: spiffe://mesh.local/ns/default/svc/admin\r\nMESH-TRY: 4\r\nmesh-anything: x\r\nmesh-trace-debug: 1\r\nX-Forwarded-Client-Cert: URI=spiffe://mesh.local/ns/default/svc/admin\r\n" \
             "x_forwarded_client_cert: URI=spiffe://mesh.local/ns/default/svc/admin\r\n"

    def ask(self, address, fields):
        listener = Listener("application", address, None, peers.client_context(WORLD.cart))
        with listener.dial() as sock:
            sock.sendall(listener.good(fields + "X-Plain: stays\r\nConnection: close\r\n"))
            (answer,) = peers.answers(peers.hear(sock))
        return answer

    def test_a_handler_sees_the_certificate_and_no_claims(self):
        status, _, body = self.ask(WORLD.application.address, self.FORGED)
        saw = json.loads(body)
        self.assertEqual((status, saw["peer"], saw["headers"]), (200, peers.spiffe("cart"), {"host": "h", "x-plain": "stays", "connection": "close"}))
        self.assertEqual(saw["tryNumber"], 4, "what a peer of the mesh says for its library counts, and no more")
        for value in ("x", "-1", "0", "99999999999999999999", "1001", "4, 4", ""):
            self.assertEqual(json.loads(self.ask(WORLD.application.address, f"mesh-try: {value}\r\n")[2])["tryNumber"], 1, value)

    def test_neither_a_server_behind_the_proxy_nor_its_caller_sees_or_says_any(self):
        upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.addCleanup(upstream.server_close)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        self.addCleanup(upstream.shutdown)
        proxy = WORLD.mesh.serve("legacy", "--upstream", "http://127.0.0.1:%d" % upstream.server_address[1])
        status, head, body = self.ask(proxy.info["address"], self.FORGED + "mesh_peer: evil\r\n")
        told = json.loads(body)
        self.assertEqual((status, told["x-plain"]), (200, "stays"))
        self.assertFalse([name for name in told if name.replace("_", "-").startswith("mesh-")], told)
        # The one that it gets is the proxy's own word, of the certificate.
        self.assertEqual({name: value for name, value in told.items() if "client" in name},
                         {"x-forwarded-client-cert": "By=spiffe://mesh.local/ns/default/svc/legacy;URI=spiffe://mesh.local/ns/default/svc/cart"})
        self.assertIn("x-plain: stays", head.lower())
        self.assertNotIn("mesh-", head.lower())
        self.assertNotIn("client-cert", head.lower())

    def test_who_has_no_certificate_says_nothing_for_the_mesh(self):
        """Only meshd's control listener takes such callers at all; there mesh-protocol belongs to the watch, which needs one."""
        control = Listener("control", WORLD.control.address, None, peers.client_context())
        with control.dial() as sock:
            sock.sendall(control.request("GET", "/v1/watch", "mesh-protocol: 1\r\n" + self.FORGED + "Connection: close\r\n"))
            (answer,) = peers.answers(peers.hear(sock))
        self.assertEqual(answer[0], 401)
        self.assertIsNone(peers.knock(WORLD.application.address), "and an application's not at all")


if __name__ == "__main__":
    unittest.main()
