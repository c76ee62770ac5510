"""THREATS 21: hostile JSON at every POST of the control and admin interfaces, and hostile documents: refused with the place, on a stack that recursion by level could not pass, and nothing is changed."""
# tests/run: not under thread: meshd has one thread, and meshctl reads on one

import json
import os
import resource
import subprocess
import time
import unittest

import peers
from control_client import Control, Session, fetch_roots, join
from support import SANITIZED, SLOW, Mesh, program

STACK = 256 * 1024
LEVELS = 100_000
CSR = "-----BEGIN CERTIFICATE REQUEST-----\\n"


# What takes no 4 MiB.
SMALL = {"/v1/enroll": 32 * 1024, "/v1/renew": 32 * 1024, "/v1/session/ID/report": 128 * 1024}


def small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))


# What is no JSON that may be read: the bytes put for MEMBER in {"x": MEMBER}, the column (from 1) where it is wrong, and what is said of it.
HOSTILE = {
    "100,000 arrays deep": (b"[" * LEVELS + b"]" * LEVELS, None, "too deep"),
    "100,000 objects deep": (b'{"a":' * LEVELS + b"1" + b"}" * LEVELS, None, "too deep"),
    "65 levels, one in another": (b"[" * 64 + b"]" * 64, 70, "too deep"),
    "duplicate keys": (b'{"a":1,"a":2}', 14, "duplicate key"),
    "duplicate keys, one escaped": (b'{"a":1,"\\u0061":2}', 14, "duplicate key"),
    "bad UTF-8": (b'"\xff"', 8, "UTF-8"),
    "overlong UTF-8": (b'"\xc0\xaf"', 8, "UTF-8"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', 8, "UTF-8"),
    "a lone high surrogate": (b'"\\ud800"', 8, "lone surrogate"),
    "a lone low surrogate": (b'"\\udc00x"', 8, "lone surrogate"),
    "surrogates the wrong way round": (b'"\\ude00\\ud83d"', 8, "lone surrogate"),
    "a number out of range": (b"1e309", 7, "number out of range"),
    "a number out of range below": (b"-1e99999999999999999999", 7, "number out of range"),
    "a number that does not end": (b"1" * 5000, 7, "number too long"),
    "no number": (b"NaN", 7, "no JSON value"),
    "a NUL": (b'"\\u0000"', 8, "\\u0000"),
    "a control character": (b'"\n"', 8, "control character"),
}


class Threat21(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.start(preexec=None if SANITIZED else small_stack)
        fetch_roots(cls.mesh)
        cls.identity = join(cls.mesh, "payments")
        cls.control = Control(cls.mesh, cls.identity)
        cls.addClassCleanup(cls.control.close)
        cls.session = Session(cls.mesh, cls.control, cls.identity)
        cls.addClassCleanup(cls.session.close)
        cls.session.register("p", "127.0.0.1:1001")
        with open(os.path.join(cls.mesh.data, "admin.token")) as f:
            cls.secret = f.read().strip()

    def setUp(self):
        self.before = self.state()

    def tearDown(self):
        """The server that heard all this is the one that was started, and nothing was done."""
        self.assertTrue(self.mesh.meshd.running())
        self.assertTrue(self.session.post("heartbeat", {})["registered"])
        self.assertEqual(self.state(), self.before)

    def state(self):
        return [self.mesh.admin("GET", path)[1] for path in ("/v1/tokens", "/v1/config")] + [[e["address"] for e in self.mesh.endpoints("payments")]]

    def ask_control(self, path, body):
        self.control.connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
        answer = self.control.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def ask_report(self, body):
        """In a session of its own: one may report every second only, and more is refused unread."""
        session = Session(self.mesh, self.control, self.identity)
        try:
            return self.ask_control(f"/v1/session/{session.id}/report", body)
        finally:
            session.close()

    def ask_admin(self, path, body):
        request = peers.urllib.request.Request(self.mesh.info["admin"] + path, method="POST", data=body, headers={"Authorization": "Bearer " + self.secret, "Content-Type": "application/json"})
        try:
            with peers.urllib.request.build_opener(peers.urllib.request.ProxyHandler({})).open(request, timeout=30 * SLOW) as answer:
                return answer.status, json.load(answer)
        except peers.urllib.error.HTTPError as e:
            with e:
                return e.code, json.load(e)

    def endpoints(self):
        """Every POST there is: how to send it a body."""
        for path in ["/v1/enroll", "/v1/renew"] + [f"/v1/session/{self.session.id}/{verb}" for verb in ("subscribe", "register", "deregister", "heartbeat", "ack")]:
            yield path.replace(self.session.id, "ID"), (lambda body, path=path: self.ask_control(path, body))
        yield "/v1/session/ID/report", self.ask_report
        for path in ("/v1/tokens", "/v1/config", "/v1/rollback", "/v1/certificates", "/v1/certificates/revoke"):
            yield path, (lambda body, path=path: self.ask_admin(path, body))

    @unittest.skipIf(SANITIZED, "a sanitizer's frames are larger: there the stack is the machine's")
    def test_the_stack_is_small(self):
        with open(f"/proc/{self.mesh.meshd.child.pid}/limits") as f:
            self.assertRegex(f.read(), rf"Max stack size +{STACK} +{STACK} ")

    def test_the_list_of_posts_is_whole(self):
        src = os.environ.get("MESH_SRC", os.path.join(os.path.dirname(__file__), "..", ".."))
        posts = set()
        for page in ("PROTOCOL.md", "ADMIN-API.md"):
            with open(os.path.join(src, "docs", page), encoding="utf-8") as f:
                posts |= {line.split("`")[1].split(" ")[1] for line in f if line.startswith("| `POST ")}
        self.assertEqual({name for name, _ in self.endpoints()}, posts)

    def test_hostile_json_is_refused_with_the_place_everywhere(self):
        for name, post in self.endpoints():
            for row, (member, column, said) in HOSTILE.items():
                with self.subTest(path=name, row=row):
                    body = b'{"x": ' + member + b"}"
                    if len(body) > SMALL.get(name, len(body)):
                        self.assertEqual(post(body)[0], 413, "before anything is read")
                        body = body[:30 * 1024]
                    status, answer = post(body)
                    self.assertEqual((status, answer.get("code") or answer.get("error")), (400, "invalid"), answer)
                    self.assertRegex(answer["message"], rf"\b1:{column or '[0-9]+'}: ")
                    self.assertIn(said, answer["message"])

    def test_what_is_not_an_object_or_not_whole_is_refused_with_the_place(self):
        rows = {b"": "1:1", b" \n ": "2:2", b"{": "1:2", b'{"a":1,\n "b" 2}': "2:6", b'{"a":1,}': "1:8", b"{} x": "1:4", b"{}{}": "1:3", b"\xef\xbb\xbf{}": "1:1", b"[]": "object", b'"x"': "object", b"null": "object", b"1": "object"}
        for name, post in self.endpoints():
            for body, said in rows.items():
                with self.subTest(path=name, body=body):
                    status, answer = post(body)
                    self.assertEqual((status, answer.get("code") or answer.get("error")), (400, "invalid"), answer)
                    self.assertIn(said, answer["message"])

    def test_numbers_out_of_range_and_wrong_types_are_refused_with_the_path(self):
        session = f"/v1/session/{self.session.id}/"
        rows = [(session + "ack", '{"sequence": %s}', "sequence"), (session + "ack", '{"sequence": "1", "generation": %s}', "generation"), (session + "subscribe", '{"trust_version": %s}', "trust_version"),
                (session + "subscribe", '{"services": [{"service": "a.default", "endpoints_version": %s}]}', "endpoints_version")]
        numbers = ["-1", "1.5", '"-1"', '"18446744073709551616"', '"1e3"', '" 1"', "18446744073709551615", "{}", "[1]", "true"]
        for path, body, field in rows:
            for number in numbers:
                with self.subTest(path=path, field=field, number=number):
                    status, answer = self.ask_control(path, (body % number).encode())
                    self.assertEqual((status, answer["code"]), (400, "invalid"), answer)
                    self.assertIn(field, answer["message"])
        rows = [("/v1/tokens", '{"service": "a", "ttlMs": %s}', "ttlMs"), ("/v1/tokens", '{"service": "a", "uses": %s}', "uses"), ("/v1/certificates", '{"service": "a", "csr": "' + CSR + '", "ttlMs": %s}', "ttlMs")]
        for path, body, field in rows:
            for number in numbers + ["99999999999999999999", "null"]:
                with self.subTest(path=path, field=field, number=number):
                    status, answer = self.ask_admin(path, (body % number).encode())
                    self.assertEqual((status, answer["error"]), (400, "invalid"), answer)
                    self.assertIn(field, answer["message"])

    def test_oversized_json_is_refused_before_it_is_read(self):
        bounds = {"/v1/enroll": 32 << 10, "/v1/renew": 32 << 10, **{p: 1 << 20 for p in ("/v1/tokens", "/v1/config", "/v1/rollback", "/v1/certificates", "/v1/certificates/revoke")}}
        for name, _ in self.endpoints():
            with self.subTest(name):
                bound = bounds.get(name, 4 << 20)
                body = b'{"x": "' + b"x" * bound + b'"}'
                heard = peers.answers(peers.exchange(self.dial(name), self.head(name, f"Content-Length: {len(body)}\r\nConnection: close\r\n") + body))
                self.assertEqual([a[0] for a in heard], [413])
                self.assertIn(json.loads(heard[0][2]).get("code", "body-too-large"), ("too-large", "body-too-large"))

    def test_a_strangers_body_is_refused_before_it_has_come(self):
        host, port = self.mesh.info["control"].split("//")[1].rsplit(":", 1)
        for fields, sent in (("Content-Length: 32769\r\n", b""), ("Transfer-Encoding: chunked\r\n", b"8000\r\n" + b"x" * 32768 + b"\r\n1\r\nx")):
            with self.subTest(fields), peers.socket.create_connection((host, int(port)), timeout=30 * SLOW) as plain, peers.client_context(None).wrap_socket(plain) as sock:
                heard = peers.answers(peers.exchange(sock, self.head("/v1/enroll", fields) + sent))
                self.assertEqual([(a[0], json.loads(a[2])["error"]) for a in heard], [(413, "body-too-large")])

    def head(self, name, fields):
        host = self.mesh.info["admin"].removeprefix("http://")
        return f"POST {name.replace('ID', self.session.id)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.secret}\r\nContent-Type: application/json\r\n{fields}\r\n".encode()

    def dial(self, name):
        """The listener that has this call."""
        control = "/session/" in name or name in ("/v1/enroll", "/v1/renew")
        host, port = self.mesh.info["control" if control else "admin"].split("//")[1].rsplit(":", 1)
        sock = peers.socket.create_connection((host, int(port)), timeout=30 * SLOW)
        if control:
            sock = peers.client_context(peers.Identity(self.identity.chain_path, self.identity.key_path)).wrap_socket(sock)
        self.addCleanup(sock.close)
        return sock

    def test_many_values_and_many_keys_are_bounded_in_number_and_time(self):
        wide = (b'{"x": [' + b"1," * 300_000 + b"1]}", b"{" + b",".join(b'"%x":1' % i for i in range(80_000)) + b"}")
        for name, post in self.endpoints():
            for body in wide if name in ("/v1/session/ID/subscribe", "/v1/tokens") else ():
                with self.subTest(path=name, body=body[:10]):
                    began = time.monotonic()
                    status, _ = post(body)
                    self.assertIn(status, (400, 413) if body is wide[0] else (200, 400, 413))  # unknown fields are ignored, however many
                    self.assertLess(time.monotonic() - began, 5 * SLOW)

    DOCUMENTS = {
        "flow lists, 100,000 deep": ("apiVersion: mesh/v1\nkind: Service\nname: a\nx: " + "[" * LEVELS, "4:"),
        "flow maps, 100,000 deep": ("apiVersion: mesh/v1\nkind: Service\nname: a\nx: " + "{a: " * LEVELS, "4:"),
        "block lists, 100,000 deep": ("apiVersion: mesh/v1\nkind: Service\nname: a\nx:\n " + "- " * LEVELS, "5:"),
        "JSON, 100,000 deep": ('{"apiVersion": "mesh/v1", "kind": "Service", "name": "a", "x": ' + "[" * LEVELS + "]" * LEVELS + "}", "1:"),
        "duplicate keys": ("apiVersion: mesh/v1\nkind: Service\nname: a\ntimeout: 1s\ntimeout: 2s\n", "5:1"),
        "duplicate keys, in JSON": ('{"apiVersion": "mesh/v1", "kind": "Service", "name": "a", "name": "b"}', "1:59"),
        "a number out of range": ("apiVersion: mesh/v1\nkind: Service\nname: a\ntimeout: 99999999999999999999h\n", "4:10"),
        "a negative number": ("apiVersion: mesh/v1\nkind: Service\nname: a\ntimeout: -1s\n", "4:10"),
        "an escaped NUL": ('apiVersion: mesh/v1\nkind: Service\nname: "a\\0b"\n', "3:"),
        "an escaped lone surrogate": ('apiVersion: mesh/v1\nkind: Service\nname: "a\\ud800"\n', "3:"),
        "a control character": ("apiVersion: mesh/v1\nkind: Service\nname: a\x07\n", "3:"),
        "aliases that multiply": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "1:"),
    }

    def test_hostile_documents_are_refused_with_file_line_and_column(self):
        for row, (text, place) in self.DOCUMENTS.items():
            with self.subTest(row):
                for dry_run in (False, True):
                    status, answer = self.ask_admin("/v1/config", json.dumps({"file": "evil.yaml", "text": text, "dryRun": dry_run}).encode())
                    self.assertEqual((status, answer["error"]), (422, "invalid-configuration"), answer)
                    self.assertTrue(any(fault.startswith("evil.yaml:" + place) for fault in answer["faults"]), answer["faults"][:3])

    def test_meshctl_and_its_stack_bear_them_too(self):
        for row in ("flow lists, 100,000 deep", "block lists, 100,000 deep", "JSON, 100,000 deep"):
            path = os.path.join(self.mesh.dir, "deep.yaml")
            with open(path, "w") as f:
                f.write(self.DOCUMENTS[row][0])
            for command in ("validate", "apply"):
                with self.subTest(row=row, command=command):
                    done = subprocess.run([program("meshctl"), command, "-f", path, "--data", self.mesh.data], capture_output=True, text=True, timeout=60 * SLOW, check=False,
                                          preexec_fn=None if SANITIZED else small_stack)
                    self.assertEqual((done.returncode, done.stdout), (5, ""), done.stderr)
                    self.assertIn("deep.yaml:" + self.DOCUMENTS[row][1], done.stderr)

    def test_bytes_that_are_no_text_are_refused_by_meshctl(self):
        path = os.path.join(self.mesh.dir, "bytes.yaml")
        for bad, place in ((b"\xff", "3:8"), (b"\xc0\xaf", "3:8"), (b"\xed\xa0\x80", "3:8")):
            with open(path, "wb") as f:
                f.write(b"apiVersion: mesh/v1\nkind: Service\nname: a" + bad + b"\n")
            done = self.mesh.ctl("apply", "-f", path, check=False)
            self.assertEqual((done.returncode, done.stdout), (5, ""), done.stderr)
            self.assertIn("bytes.yaml:" + place.split(":")[0] + ":", done.stderr)


if __name__ == "__main__":
    unittest.main()
