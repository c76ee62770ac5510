"""THREATS 8 against real processes: a path has one spelling, made before authorization, so that rules, logs and the server behind see the same, and a rule cannot be walked around. Raw bytes, over HTTP/1.1 and HTTP/2, under mutual
TLS; behind the instance stands a server that knows nothing of meshes and writes down what reaches it."""

import socket
import unittest

import h2
import peers
import support
import test_proxies

PAY, DENIED, MALFORMED = 200, 403, 400

# What is asked for, over both protocols, and what it is.
SPELLINGS = [
    ("/make-payment", PAY), ("//make-payment", PAY), ("///make-payment", PAY), ("/./make-payment", PAY), ("/x/../make-payment", PAY), ("/%2e/make-payment", PAY), ("/%2E%2e/make-payment", PAY), ("/x/.%2E/make-payment", PAY),
    ("/make%2dpayment", PAY), ("/%6D%61ke-payment", PAY), ("/x//..//make-payment", PAY), ("/../../make-payment", PAY), ("/make-payment?path=/admin&x=%2f..", PAY), ("/x/y/%2e%2e/%2e%2e/make-payment", PAY),
    ("/make-payment/", DENIED), ("/make-payment/.", DENIED), ("/make-payment//", DENIED), ("/make-payment/..", DENIED), ("/make-payment/x", DENIED), ("/make-payments", DENIED), ("/Make-payment", DENIED), ("/make_payment", DENIED),
    ("/make-payment;x", DENIED), ("/make-payment%3bx", DENIED), ("/make-payment%20", DENIED), ("/make-payment%3f", DENIED), ("/make-payment%23", DENIED), ("/x/make-payment", DENIED), ("/", DENIED), ("/%252e%252e/make-payment", DENIED),
    ("/...//make-payment", DENIED), ("/make-payment.", DENIED),
    ("/make-payment%2f", MALFORMED), ("/x%2F..%2fmake-payment", MALFORMED), ("/%2fmake-payment", MALFORMED), ("/make-payment%00", MALFORMED), ("/make-payment%00.png", MALFORMED), ("/make-payment%", MALFORMED), ("/make-payment%2", MALFORMED),
    ("/make-payment%zz", MALFORMED), ("/%u002e/make-payment", MALFORMED), ("/x\\..\\make-payment", MALFORMED), ("/x%5c..%5Cmake-payment", MALFORMED), ("/x/..;/make-payment", MALFORMED), ("/x/.;y/make-payment", MALFORMED),
    ("/make-payment#x", MALFORMED), ("/make-payment?x#y", MALFORMED), ("/#/../make-payment", MALFORMED),
]
# Over HTTP/1.1 alone; {host}: what Host says.
TARGETS = [
    ("http://{host}/make-payment", PAY), ("HTTPS://{host}//x/%2e%2e/make-payment", PAY), ("http://{host}/admin", DENIED), ("http://{host}", DENIED), ("http://{host}/make-payment%2f", MALFORMED), ("http://evil/make-payment", MALFORMED),
    ("http://{host}#/make-payment", MALFORMED), ("make-payment", MALFORMED), ("*", MALFORMED),
]
# Of a rule that denies a prefix where everything else is let in.
ADMIN = ["/admin", "/admin/", "/admin/users", "//admin", "/%61dmin", "/x/../admin/y", "/%2e%2e/admin", "/./admin", "/admin/./x", "/x/%2E%2E//admin", "/adm%69n/x", "/admin/../admin", "/%61%64%6d%69%6e/"]
ADMIN_MALFORMED = ["/x%2f..%2fadmin", "/admin%2f", "/admin%2Fx", "/x\\..\\admin", "/admin%5cx", "/x/..;/admin", "/admin%00", "/admin#", "/;/..;/admin"]
OTHERS = ["/", "/administrator", "/x/admin", "/admin/../x", "/Admin"]

DOCUMENT = """
apiVersion: mesh/v1
kind: Service
name: payments
authorization:
  default: deny
  rules: [{name: carts-pay, action: allow, from: [{service: cart}], methods: [POST], paths: [/make-payment]}]
---
apiVersion: mesh/v1
kind: Service
name: open
authorization:
  rules: [{name: no-admin, action: deny, paths: [{prefix: /admin}]}]
"""


class Threat8(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = support.Mesh().start()
        cls.addClassCleanup(cls.mesh.close)
        cls.upstream = test_proxies.Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.mesh.ctl("apply", "-f", "-", stdin=DOCUMENT)
        cls.serving = {name: cls.mesh.serve(name, "--upstream", cls.upstream.url, env={"MESH_LOG": "warn"}) for name in ("payments", "open")}
        cls.cart, cls.web = (peers.issued(cls.mesh, name) for name in ("cart", "web"))

    def dial(self, service, identity):
        host, port = self.serving[service].info["address"].rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=30 * support.SLOW)
        return peers.client_context(identity).wrap_socket(plain)

    def ask_http1(self, service, identity, rows, method="POST"):
        """[(target, status)], each asked raw on a connection that is kept as long as it can be."""
        found, sock = [], None
        for target in rows:
            if sock is None:
                sock = self.dial(service, identity)
            sock.sendall(f"{method} {target.format(host=service)} HTTP/1.1\r\nHost: {service}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += sock.recv(65536)
            (status, head, body), = peers.answers(self.rest(sock, heard))
            found.append((target, status))
            if "\r\nConnection: close" in head:
                sock.close()
                sock = None
        if sock is not None:
            sock.close()
        return found

    @staticmethod
    def rest(sock, heard):
        """What belongs to the one answer that has begun."""
        head, _, body = heard.partition(b"\r\n\r\n")
        length = int(dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])[b"Content-Length"])
        while len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def ask_http2(self, service, identity, rows, method="POST"):
        """The same, each on a stream of one connection."""
        client = h2.dial(self.serving[service].info["address"], peers.client_context(identity))
        self.addCleanup(client.close)
        found = []
        for n, target in enumerate(rows):
            stream = 2 * n + 1
            client.say(h2.request(stream, method=method, path=target, authority=service))
            client.until_over(stream)
            found.append((target, client.status(stream)))
        return found

    def seen(self):
        """What reached the server behind since it was last asked: (method, path)."""
        seen = [(command, path.partition("?")[0]) for command, path, *_ in self.upstream.seen]
        self.upstream.seen.clear()
        return seen

    def hold_against(self, found, rows):
        self.assertEqual([row for row in found if row not in rows], [])
        self.assertEqual(len(found), len(rows))

    def test_one_path_is_let_in_however_it_is_spelled_and_no_other(self):
        for ask, rows in ((self.ask_http1, SPELLINGS + TARGETS), (self.ask_http2, SPELLINGS)):
            with self.subTest(ask.__name__):
                self.hold_against(ask("payments", self.cart, [target for target, _ in rows]), rows)
                self.assertEqual(self.seen(), [("POST", "/make-payment")] * sum(status == PAY for _, status in rows), "what is let in is that path for the server behind too, and nothing else reaches it")

    def test_neither_another_caller_nor_another_method_is(self):
        rows = [(target, DENIED if status == PAY else status) for target, status in SPELLINGS]
        for ask in (self.ask_http1, self.ask_http2):
            for identity, method in ((self.web, "POST"), (self.cart, "GET"), (self.cart, "PUT"), (self.cart, "post"), (self.cart, "PAY")):
                with self.subTest(ask.__name__, identity=identity.cert, method=method):
                    asked = rows if method == "POST" else rows[::5]
                    if method in ("post", "PAY"):
                        asked = rows[:3]
                    found = ask("payments", identity, [target for target, _ in asked], method)
                    self.assertEqual({status for _, status in found} - {DENIED, MALFORMED, 501}, set(), found)
                    if method not in ("post", "PAY"):
                        self.hold_against(found, asked)
        self.assertEqual(self.seen(), [])

    def test_a_rule_for_admin_cannot_be_walked_around(self):
        rows = [(p, DENIED) for p in ADMIN] + [(p, MALFORMED) for p in ADMIN_MALFORMED] + [(p, 200) for p in OTHERS]
        for ask in (self.ask_http1, self.ask_http2):
            with self.subTest(ask.__name__):
                self.hold_against(ask("open", self.web, [target for target, _ in rows], "GET"), rows)
                self.assertEqual(self.seen(), [("GET", path) for path in ("/", "/administrator", "/x/admin", "/x", "/Admin")])

    def test_the_log_tells_the_path_that_was_judged(self):
        self.ask_http1("open", self.web, ["/x//%2e%2e/%61dmin/log-of-this"], "GET")
        told = self.serving["open"].wait_for_event("authorization denied", path="/admin/log-of-this")
        self.assertEqual((told["peer"], told["method"], told["rule"], told["path"]), (peers.spiffe("web"), "GET", "no-admin", "/admin/log-of-this"))


if __name__ == "__main__":
    unittest.main()
