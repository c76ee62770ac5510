"""THREATS 23: a web page in the operator's browser reaches nothing; SQL, path and log injection end at the schema."""

import json
import os
import re
import socket
import unittest

from control_client import Control, Refused, Session, fetch_roots, join, new_key_and_csr
from support import MeshTest

HOSTILE_NAMES = ["a'; DROP TABLE token; --", 'a" OR "1"="1', "../../etc/passwd", "..", ".", "a/b", "a%2fb", "a\nlevel=error", "a\r\nSet-Cookie: x", "a\x00b", "a\x1b[31m", "${jndi:x}",
                 "<script>alert(1)</script>", "A", "ä", "-a", "a-", "a b", "", "a" * 64, "a.b.c.d", "{{x}}", "%s%n"]


class AdminTest(MeshTest):

    def setUp(self):
        super().setUp()
        with open(os.path.join(self.mesh.data, "admin.token")) as f:
            self.secret = f.read().strip()
        self.host = self.mesh.info["admin"].removeprefix("http://")
        self.port = int(self.host.rsplit(":", 1)[1])

    def raw(self, method, path, fields, body=""):
        """One request as its bytes; status, header and body of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields), "Connection: close"]
            if body:
                lines.append(f"Content-Length: {len(body.encode())}")
            s.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            text = b""
            while chunk := s.recv(65536):
                text += chunk
        head, _, rest = text.decode(errors="replace").partition("\r\n\r\n")
        return int(head.split()[1]), head.lower(), rest

    def bearer(self):
        return ("Authorization", "Bearer " + self.secret)

    def no_token_was_made(self):
        self.assertEqual(self.mesh.admin("GET", "/v1/tokens"), (200, []))


JSON = ("Content-Type", "application/json")
MAKE_TOKEN = json.dumps({"service": "payments"})


class Threat23Browser(AdminTest):
    """DNS rebinding and cross-site requests."""

    def test_a_host_field_of_another_name_is_refused_even_with_the_token(self):
        for host in ("evil.example", f"evil.example:{self.port}", f"localhost.evil.example:{self.port}", f"127.0.0.1.evil.example:{self.port}", "127.0.0.1", "localhost", "127.0.0.1:1",
                     f"127.0.0.1:{self.port}@evil.example", f"0.0.0.0:{self.port}", f"10.0.0.1:{self.port}", f"[::ffff:10.0.0.1]:{self.port}", ""):
            for path in ("/", "/livez", "/metrics", "/v1/status"):
                with self.subTest(host=host, path=path):
                    status, _, body = self.raw("GET", path, [("Host", host), self.bearer()])
                    self.assertIn(status, (400, 403))
                    self.assertNotIn("mesh.local", body)

    def test_loopback_literals_and_localhost_are_taken(self):
        for host in (self.host, f"localhost:{self.port}"):
            self.assertEqual(self.raw("GET", "/v1/status", [("Host", host), self.bearer()])[0], 200)

    def test_a_page_of_another_site_is_refused_even_with_the_token(self):
        for origin in ("http://evil.example", "https://127.0.0.1:" + str(self.port), "null", f"http://localhost.evil.example:{self.port}", f"http://{self.host}.evil.example", f"http://127.0.0.1:{self.port + 1}", ""):
            with self.subTest(origin=origin):
                status, head, _ = self.raw("POST", "/v1/tokens", [("Host", self.host), ("Origin", origin), self.bearer(), JSON], MAKE_TOKEN)
                self.assertEqual(status, 403)
                self.assertNotIn("access-control-allow", head)
        self.no_token_was_made()
        self.assertTrue(any(line["event"] == "admin-refused" and line.get("origin") == "http://evil.example" for line in self.mesh.audit()))

    def test_the_dashboards_own_origin_is_taken(self):
        self.assertEqual(self.raw("GET", "/v1/status", [("Host", self.host), ("Origin", f"http://{self.host}"), self.bearer()])[0], 200)

    def test_a_preflight_grants_nothing(self):
        for origin in ("http://evil.example", f"http://{self.host}"):
            status, head, _ = self.raw("OPTIONS", "/v1/tokens", [("Host", self.host), ("Origin", origin), ("Access-Control-Request-Method", "POST"),
                                                                  ("Access-Control-Request-Headers", "authorization, content-type")])
            self.assertGreaterEqual(status, 400)
            self.assertNotIn("access-control-allow", head)

    def test_without_the_bearer_token_no_write_is_done_and_each_is_audited(self):
        wrong = [[], [("Authorization", "Bearer ")], [("Authorization", "Bearer " + "0" * len(self.secret))], [("Authorization", "Bearer " + self.secret[:-1])],
                 [("Authorization", "Bearer " + self.secret + "0")], [("Authorization", "Basic " + self.secret)], [("Authorization", self.secret)],
                 [("Cookie", "token=" + self.secret)], [("Authorization", "Bearer x"), self.bearer()]]
        for fields in wrong:
            with self.subTest(fields=str(fields)[:60]):
                self.assertIn(self.raw("POST", "/v1/tokens", [("Host", self.host), JSON, *fields], MAKE_TOKEN)[0], (400, 401))
        self.assertEqual(self.raw("POST", f"/v1/tokens?token={self.secret}", [("Host", self.host), JSON], MAKE_TOKEN)[0], 401)
        self.no_token_was_made()
        self.assertTrue(any(line["event"] == "admin-unauthorized" and line["path"] == "/v1/tokens" for line in self.mesh.audit()))
        self.assertNotIn(self.secret, json.dumps(self.mesh.audit()) + self.mesh.meshd.err())

    def test_what_a_form_can_send_is_refused_even_with_the_token(self):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "text/json", ""):
            with self.subTest(kind=kind):
                self.assertEqual(self.raw("POST", "/v1/tokens", [("Host", self.host), ("Content-Type", kind), self.bearer()], MAKE_TOKEN)[0], 400)
        self.assertEqual(self.raw("POST", "/v1/tokens", [("Host", self.host), self.bearer()], MAKE_TOKEN)[0], 400)
        self.no_token_was_made()

    def test_a_get_changes_nothing(self):
        for path in ("/v1/tokens?service=payments", "/v1/certificates/revoke?serial=1"):
            self.raw("GET", path, [("Host", self.host), self.bearer()])
        self.no_token_was_made()

    def test_the_page_forbids_frames_and_foreign_scripts(self):
        _, head, page = self.raw("GET", "/", [("Host", self.host)])
        policy = re.search(r"content-security-policy: (.*)", head).group(1)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertNotIn("unsafe-inline", policy)
        self.assertIn("x-content-type-options: nosniff", head)
        self.assertNotIn(self.secret, page)

    def test_two_hosts_are_refused(self):
        self.assertEqual(self.raw("GET", "/v1/status", [("Host", self.host), ("Host", "evil.example"), self.bearer()])[0], 400)


class Threat23Injection(AdminTest):
    """Names that mean something to SQL, a shell, a path, a terminal or a log."""

    def unchanged(self):
        """meshd's tables, files and logs are whole."""
        self.assertEqual(self.mesh.admin("GET", "/v1/status")[0], 200)
        self.no_token_was_made()
        for line in self.mesh.meshd.err().splitlines():
            self.assertIsInstance(json.loads(line), dict, line)
        self.mesh.audit()  # each line is JSON

    def test_names_in_admin_calls_are_refused_at_the_schema(self):
        for name in HOSTILE_NAMES:
            with self.subTest(name=name):
                self.assertEqual(self.mesh.admin("POST", "/v1/tokens", {"service": name})[0], 400)
                self.assertEqual(self.mesh.admin("POST", "/v1/tokens", {"service": "a", "namespace": name})[0], 400)
                self.assertIn(self.mesh.admin("POST", "/v1/certificates/revoke", {"serial": name, "reason": name})[0], (400, 404))
                document = {"apiVersion": "mesh/v1", "kind": "Service", "name": name, "timeout": "1s"}
                self.assertIn(self.mesh.admin("POST", "/v1/config", {"file": name, "text": json.dumps(document)})[0], (400, 422))
        self.assertEqual(self.mesh.admin("GET", "/v1/config"), (200, []))
        self.unchanged()

    def test_names_in_paths_and_queries_are_refused_at_the_schema(self):
        for name in ("%27%3b%20DROP%20TABLE%20token", "..%2f..%2fetc%2fpasswd", "%00", "%0aevil", "a'--", "../../meshd.db", "%2e%2e"):
            with self.subTest(name=name):
                for method, path in (("DELETE", "/v1/tokens/" + name), ("GET", "/v1/endpoints?service=" + name), ("DELETE", f"/v1/config?kind={name}&name={name}"),
                                     ("GET", "/v1/certificates?service=" + name), ("DELETE", f"/v1/endpoints?service=a.default&instance={name}"), ("GET", f"/{name}/x")):
                    self.assertIn(self.raw(method, path, [("Host", self.host), self.bearer()])[0], (400, 404, 405), f"{method} {path}")
        self.unchanged()

    def test_names_from_a_service_are_refused_at_the_schema(self):
        fetch_roots(self.mesh)
        identity = join(self.mesh, "payments")
        control = Control(self.mesh, identity)
        session = Session(self.mesh, control, identity)
        self.addCleanup(control.close)
        self.addCleanup(session.close)
        for name in HOSTILE_NAMES:
            with self.subTest(name=name):
                for verb, body in (("register", {"instance": name, "addresses": ["127.0.0.1:1"]}), ("register", {"instance": "i", "addresses": [name]}),
                                   ("subscribe", {"services": [{"service": name}]}), ("deregister", {"instance": name, "reason": "deregistered"})):
                    with self.assertRaises(Refused) as caught:
                        session.post(verb, body)
                    self.assertIn(caught.exception.status, (400, 413), f"{verb} {body}")
        for label in ("v1\nforged: yes", "v1\x00", "\x1b[2J", "\x7f", "\u009b2J"):
            with self.assertRaises(Refused):
                session.register("i", "127.0.0.1:1", version=label)
        self.assertEqual(self.mesh.endpoints("payments"), [])

    def test_a_log_line_cannot_be_forged(self):
        fetch_roots(self.mesh)
        _, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            csr = f.read()
        control = Control(self.mesh)
        self.addCleanup(control.close)
        for token in ('x\n{"event":"token-used","result":"allowed"}', "x\r\x1b[2K", "mesh1.\u2028" + "0" * 40):
            with self.assertRaises(Refused) as caught:
                control.enroll(token, csr)
            self.assertEqual(caught.exception.status, 400)
        control.ask("GET", "/v1/%0a%7b%22event%22%3a%22token-used%22%7d")
        self.raw("GET", "/%0a%7b%22event%22%3a%22token-used%22%7d", [("Host", self.host)])
        self.raw("GET", "/", [("Host", 'x\\n{"event":"token-used"}')])
        self.assertFalse([line for line in self.mesh.audit() if line["event"] == "token-used"])
        self.unchanged()


if __name__ == "__main__":
    unittest.main()
