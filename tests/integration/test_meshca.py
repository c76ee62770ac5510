"""meshca: the real binary, over a socket pair as meshd speaks to it, and by hand."""
# tests/run: not under thread: meshca has one thread

import base64
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
import unittest

SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MESHCA = os.path.join(os.environ.get("MESH_BUILD", os.path.join(SRC, "build")), "bin", "meshca")
DEADLINE_S = 60
HOUR_MS = 3600 * 1000


def run(*argv, code=0, data=None):
    """Runs a program to its end and holds it to its exit code."""
    done = subprocess.run([str(a) for a in argv], input=data, capture_output=True, timeout=DEADLINE_S, check=False)
    if done.returncode != code:
        raise AssertionError("%s: exit code %d, not %d\n%s\n%s" % (" ".join(map(str, argv)), done.returncode, code,
                             done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")))
    return done


def openssl(*argv, **kw):
    return run("openssl", *argv, **kw).stdout.decode()


def write(path, text):
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def pin_of(cert_path):
    """The SHA-256 of the public key, computed by somebody else."""
    pem = openssl("x509", "-in", cert_path, "-pubkey", "-noout").encode()
    der = run("openssl", "pkey", "-pubin", "-outform", "DER", data=pem).stdout
    return run("openssl", "dgst", "-sha256", "-r", data=der).stdout.decode().split()[0]


class Serving:
    """A running `meshca serve`, and our end of its socket pair."""

    def __init__(self, folder, *options, limit=None, pass_fds=()):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(DEADLINE_S)
        self.log_path = tempfile.mktemp(prefix="meshca-log-")
        self.count = 0
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                [MESHCA, "serve", "--dir", folder, "--fd", str(theirs.fileno()), *options],
                pass_fds=[theirs.fileno(), *pass_fds], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None)
        theirs.close()

    def send(self, text):
        text = text.encode() if isinstance(text, str) else text
        self.sock.sendall(struct.pack(">I", len(text)) + text)

    def receive(self):
        head = self.exactly(4)
        return json.loads(self.exactly(struct.unpack(">I", head)[0]))

    def exactly(self, n):
        got = b""
        while len(got) < n:
            part = self.sock.recv(n - len(got))
            if not part:
                raise EOFError(self.log())
            got += part
        return got

    def ask(self, **fields):
        self.count += 1
        self.send(json.dumps({"id": str(self.count), **fields}))
        answer = self.receive()
        assert answer["id"] == str(self.count), answer
        return answer

    def sign(self, csr, service="payments", **fields):
        return self.ask(op="sign", csr=csr, service=service, **{"ttlMs": str(HOUR_MS), **fields})

    def log(self):
        return read(self.log_path)

    def end(self):
        self.sock.close()
        try:
            return self.proc.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self.log_path)


class Case(unittest.TestCase):
    """A scratch directory, P-256 requests, and servers that are gone at the end."""

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="meshca-")
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.tmp, *parts)

    def serve(self, folder="ca", *options, **kw):
        server = Serving(self.path(folder), *options, **kw)
        self.addCleanup(server.end)
        return server

    def csr(self, *more, key=None, newkey=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """PEM of a request; `more` are options of `openssl req`."""
        source = ["-key", key] if key else ["-newkey", *newkey, "-nodes", "-keyout", self.path("some.key")]
        return openssl("req", "-new", *source, "-subj", "/CN=x", *more)

    def issued(self, folder="ca"):
        return [json.loads(line) for line in read(self.path(folder, "issued.log")).splitlines()]

    def offline(self, *options):
        """A root and, in `ca`, an intermediate under it, made by hand."""
        run(MESHCA, "init", "--dir", self.path("root"), *options)
        run(MESHCA, "intermediate", "--dir", self.path("root"), "--out", self.path("ca"))

    def assert_refused(self, answer, error, reason="."):
        self.assertFalse(answer["ok"], answer)
        self.assertEqual(answer["error"], error, answer)
        self.assertRegex(answer["message"], reason)

    def refuses_to_start(self, reason, folder="ca", *options):
        server = Serving(self.path(folder), *options)
        self.assertEqual(server.proc.wait(DEADLINE_S), 1)
        log = server.log()
        server.end()
        self.assertIn("ca cannot start", log)
        self.assertRegex(log, reason)


class Threat18(Case):
    """18. A CSR that asks for another service; several URI SANs; CA:TRUE; bad self-signature; RSA-1024 or P-192; the CA's own key; 1 MB of it."""

    ME = "URI:spiffe://mesh.local/ns/default/svc/payments"

    def flipped(self):
        """A request whose signature, the last bytes, is off by one bit."""
        der = run("openssl", "req", "-outform", "DER", data=self.csr().encode()).stdout
        bad = der[:-1] + bytes([der[-1] ^ 1])
        return "-----BEGIN CERTIFICATE REQUEST-----\n%s-----END CERTIFICATE REQUEST-----\n" % base64.encodebytes(bad).decode()

    def table(self):
        def p256(*more):
            return self.csr(*more)

        def san(value):
            return self.csr("-addext", "subjectAltName=" + value)

        def curve(name):
            return self.csr(newkey=("ec", "-pkeyopt", "ec_paramgen_curve:" + name))

        return [
            ("another service", san("URI:spiffe://mesh.local/ns/default/svc/cart"), "wrong-name", "svc/cart"),
            ("a longer name", san(self.ME + "s"), "wrong-name", "payments"),
            ("another namespace", san("URI:spiffe://mesh.local/ns/prod/svc/payments"), "wrong-name", "ns/prod"),
            ("another trust domain", san("URI:spiffe://other.example/ns/default/svc/payments"), "wrong-name", "other.example"),
            ("several URI SANs", san(self.ME + "," + self.ME + "2"), "invalid-csr", "URI"),
            ("the same URI SAN twice", san(self.ME + "," + self.ME), "invalid-csr", "URI"),
            ("a URI that is no SPIFFE ID", san("URI:https://mesh.local/"), "invalid-csr", "SPIFFE|URI"),
            ("a trailing slash", san(self.ME + "/"), "invalid-csr", "SPIFFE|URI"),
            ("CA:TRUE", p256("-addext", "basicConstraints=critical,CA:TRUE"), "invalid-csr", "CA"),
            ("keyCertSign", p256("-addext", "keyUsage=digitalSignature,keyCertSign"), "invalid-csr", "sign certificates"),
            ("bad self-signature", self.flipped(), "invalid-csr", "own key"),
            ("RSA-1024", self.csr(newkey=("rsa:1024",)), "invalid-csr", "P-256"),
            ("RSA-2048", self.csr(newkey=("rsa:2048",)), "invalid-csr", "P-256"),
            ("P-192", curve("prime192v1"), "invalid-csr", "P-256"),
            ("P-384", curve("P-384"), "invalid-csr", "P-256"),
            ("the issuer's own key", self.csr(key=self.path("ca", "issuer.key")), "invalid-csr", "own"),
            ("the root's own key", self.csr(key=self.path("ca", "root.key")), "invalid-csr", "own"),
            ("40 KB of it", p256().replace("-----END", "A" * 40000 + "\n-----END"), "invalid-csr", "large|bytes|bound"),
            ("no PEM", "hello", "invalid-csr", "."),
            ("nothing", "", "invalid-csr", "."),
            ("a certificate", read(self.path("ca", "issuer.crt")), "invalid-csr", "."),
        ]

    def test_threat_18_bad_requests_are_denied_and_nothing_is_issued(self):
        ca = self.serve()
        self.assertTrue(ca.ask(op="info")["ok"])
        for what, csr, error, reason in self.table():
            with self.subTest(what):
                self.assert_refused(ca.sign(csr), error, reason)
                self.assertEqual(self.issued(), [])
        self.assertTrue(ca.sign(self.csr())["ok"], "a good one is signed after all those")
        self.assertEqual(len(self.issued()), 1)
        self.assertEqual(ca.log().count('"ca refused"'), len(self.table()))

    def test_threat_18_a_megabyte_is_refused_unread(self):
        ca = self.serve()
        text = json.dumps({"id": "1", "op": "sign", "csr": "A" * 1024 * 1024, "service": "payments", "ttlMs": 1000})
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is gone before it has heard us out
            ca.send(text)
        self.assertEqual(ca.proc.wait(DEADLINE_S), 1)
        self.assertRegex(ca.log(), "over the bound")
        self.assertEqual(self.issued(), [])

    def test_the_very_name_asked_for_is_signed(self):
        answer = self.serve().sign(self.csr("-addext", "subjectAltName=" + self.ME))
        self.assertTrue(answer["ok"], answer)


class Names(Case):
    def test_names_come_from_the_request_and_are_held_to_the_rules(self):
        ca = self.serve()
        csr = self.csr()
        for service in ("Pay", "", "a/b", "a.b", "..", "-a", "a-", "a" * 64, "a b", "pay\nments", "p%61y", "é"):
            with self.subTest(service):
                self.assert_refused(ca.sign(csr, service=service), "wrong-name", "service")
        for ns in ("Prod", "a/b", "x" * 64):
            with self.subTest(ns):
                self.assert_refused(ca.sign(csr, namespace=ns), "wrong-name", "namespace")
        self.assertEqual(self.issued(), [])
        for service, ns, uri in (("a" * 63, "prod", "ns/prod/svc/" + "a" * 63), ("meshd", "mesh-system", "ns/mesh-system/svc/meshd")):
            self.assertEqual(ca.sign(csr, service=service, namespace=ns)["spiffeId"], "spiffe://mesh.local/" + uri)

    def test_the_reserved_namespace_is_for_meshd_alone(self):
        self.assert_refused(self.serve().sign(self.csr(), namespace="mesh-system"), "wrong-name", "reserved")

    def test_the_trust_domain_is_its_own(self):
        answer = self.serve("ca", "--trust-domain", "prod.example").sign(self.csr(), service="cart", trustDomain="mesh.local")
        self.assertEqual(answer["spiffeId"], "spiffe://prod.example/ns/default/svc/cart")


class Lives(Case):
    def test_a_life_out_of_range_is_refused(self):
        ca = self.serve("ca", "--max-ttl", "2h")
        csr = self.csr()
        for ttl in (0, -1, "0", 2 * HOUR_MS + 1, str(10 ** 15)):
            with self.subTest(ttl):
                self.assert_refused(ca.sign(csr, ttlMs=ttl), "ttl")
        for ttl in ("1h", "", None, 1.5, True, "99999999999999999999"):
            with self.subTest(ttl):
                self.assert_refused(ca.sign(csr, ttlMs=ttl), "invalid-request", "ttlMs")
        self.assertTrue(ca.sign(csr, ttlMs=2 * HOUR_MS)["ok"])

    def test_the_default_maximum_is_48_hours(self):
        ca = self.serve()
        self.assertTrue(ca.sign(self.csr(), ttlMs=48 * HOUR_MS)["ok"])
        self.assert_refused(ca.sign(self.csr(), ttlMs=48 * HOUR_MS + 1000), "ttl", "48h")

    def test_a_leaf_is_backdated_a_minute_and_ends_when_asked(self):
        ca, now_ms = self.serve(), time.time() * 1000
        answer = ca.sign(self.csr(), ttlMs=20000)
        self.assertAlmostEqual(int(answer["notBefore"]), now_ms - 60000, delta=DEADLINE_S * 1000 / 2)
        self.assertEqual(int(answer["notAfter"]) - int(answer["notBefore"]), 80000)

    def test_no_leaf_outlives_the_intermediate(self):
        run(MESHCA, "init", "--dir", self.path("root"))
        run(MESHCA, "intermediate", "--dir", self.path("root"), "--out", self.path("ca"), "--days", "1")
        ca = self.serve()
        until = ca.ask(op="info")["issuerNotAfter"]
        self.assertEqual(ca.sign(self.csr(), ttlMs=48 * HOUR_MS)["notAfter"], until)


class Leaf(Case):
    def test_openssl_shows_a_leaf_as_designed(self):
        ca = self.serve()
        answer = ca.sign(self.csr("-addext", "subjectAltName=DNS:evil.example"), service="payments")
        write(self.path("leaf.pem"), answer["certificate"])
        write(self.path("roots.pem"), ca.ask(op="info")["roots"])
        text = openssl("x509", "-in", self.path("leaf.pem"), "-noout", "-text")
        for line in (r"Version: 3 ", r"Signature Algorithm: ecdsa-with-SHA256", r"Issuer: CN ?= ?mesh\.local intermediate", r"Subject: *\n", r"NIST CURVE: P-256",
                     r"Basic Constraints: critical\n +CA:FALSE", r"X509v3 Key Usage: critical\n +Digital Signature\n",
                     r"Extended Key Usage: *\n +TLS Web Server Authentication, TLS Web Client Authentication\n", r"Subject Key Identifier", r"Authority Key Identifier",
                     r"Alternative Name: critical\n +URI:spiffe://mesh\.local/ns/default/svc/payments, DNS:payments\.default\.mesh\.local\n"):
            self.assertRegex(text, line)
        self.assertNotIn("evil", text)
        serial = openssl("x509", "-in", self.path("leaf.pem"), "-noout", "-serial").strip().split("=")[1]
        self.assertEqual(serial.lower().lstrip("0"), answer["serial"])
        self.assertEqual(answer["certificate"].count("BEGIN CERTIFICATE"), 2)
        openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", self.path("roots.pem"), "-untrusted", self.path("leaf.pem"), self.path("leaf.pem"))

    def test_serials_differ(self):
        ca, csr = self.serve(), self.csr()
        self.assertEqual(len({ca.sign(csr)["serial"] for _ in range(10)}), 10)


class IssueLog(Case):
    def test_each_certificate_is_a_line_before_it_is_returned(self):
        ca = self.serve()
        answer = ca.sign(self.csr(), service="cart", namespace="shop")
        write(self.path("leaf.pem"), answer["certificate"])
        line, = self.issued()
        self.assertEqual((line["event"], line["how"], line["serial"], line["spiffeId"]), ("issued", "serve", answer["serial"], "spiffe://mesh.local/ns/shop/svc/cart"))
        self.assertEqual(line["keyPin"], pin_of(self.path("leaf.pem")))
        self.assertRegex(line["notAfter"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("ca", "issued.log")).st_mode), 0o600)

    def test_nothing_is_issued_while_the_log_cannot_be_written(self):
        ca = self.serve(limit=1500)  # room for the CA's files and four lines
        csr = self.csr()
        answers = [ca.sign(csr) for _ in range(7)]
        good = [a for a in answers if a["ok"]]
        self.assertTrue(0 < len(good) < 6)
        for answer in answers[len(good):]:
            self.assert_refused(answer, "unavailable", "issued.log")
            self.assertNotIn("certificate", answer)
        self.assertEqual(ca.end(), 0)
        whole = read(self.path("ca", "issued.log")).splitlines()[:len(good)]
        self.assertEqual([json.loads(line)["serial"] for line in whole], [a["serial"] for a in good])

    def test_a_torn_line_does_not_swallow_the_next_one(self):
        self.serve().end()
        with open(self.path("ca", "issued.log"), "ab") as f:
            f.write(b'{"time":"2026-')
        serial = self.serve().sign(self.csr())["serial"]
        lines = read(self.path("ca", "issued.log")).splitlines()
        self.assertEqual(lines[0], '{"time":"2026-')
        self.assertEqual(json.loads(lines[1])["serial"], serial)

    def test_a_log_that_is_no_file_is_refused(self):
        self.offline()
        os.symlink("/dev/null", self.path("ca", "issued.log"))
        self.refuses_to_start("issued.log")


class Rate(Case):
    def test_over_the_issue_rate_is_refused_and_bad_requests_use_nothing_up(self):
        ca = self.serve("ca", "--rate", "1")
        csr = self.csr()
        for _ in range(3):
            self.assert_refused(ca.sign("no csr"), "invalid-csr")
        begin = time.monotonic()
        answers = [ca.sign(csr) for _ in range(5)]
        passed = sum(a["ok"] for a in answers)
        self.assertTrue(answers[0]["ok"])
        self.assertLessEqual(passed, 1 + int(time.monotonic() - begin) + 1)
        self.assertLess(passed, 5)
        for answer in answers:
            if not answer["ok"]:
                self.assert_refused(answer, "rate-limited", "1 certificates a second")
        self.assertEqual(len(self.issued()), passed)


class Frames(Case):
    def test_what_is_no_request_is_answered_and_the_next_one_served(self):
        ca = self.serve()
        for text in ("", "{", "[]", "null", '"x"', "{}", '{"id":7,"op":"info"}', '{"id":"%s","op":"info"}' % ("x" * 65), '{"id":"1","id":"1","op":"info"}',
                     '{"id":"1"}', '{"id":"1","op":"shutdown"}', '{"id":"1","op":"sign"}', '{"id":"1","op":"sign","csr":1,"service":"a","ttlMs":1}',
                     '{"id":"1","op":"sign","csr":"","service":"a","namespace":[],"ttlMs":1}', "[" * 60000, b'{"id":"\xff","op":"info"}', b"\0" * 10, '{"id":"\\ud800","op":"info"}'):
            with self.subTest(text[:40]):
                ca.send(text)
                self.assert_refused(ca.receive(), "invalid-request")
        self.assertTrue(ca.ask(op="info")["ok"])

    def test_pipelined_requests_are_answered_in_order(self):
        ca = self.serve()
        for i in range(100):
            ca.send(json.dumps({"id": "n%d" % i, "op": "info"}))
        self.assertEqual([ca.receive()["id"] for _ in range(100)], ["n%d" % i for i in range(100)])

    def test_a_frame_over_the_bound_is_answered_and_ends_it(self):
        ca = self.serve()
        ca.sock.sendall(struct.pack(">I", 64 * 1024 + 1))
        self.assert_refused(ca.receive(), "invalid-request", "65537 bytes")
        self.assertEqual(ca.proc.wait(DEADLINE_S), 1)

    def test_a_frame_of_the_bound_is_read(self):
        ca = self.serve()
        ca.send('{"id":"1","op":"info","pad":"'.ljust(64 * 1024 - 2, "x") + '"}')
        self.assertTrue(ca.receive()["ok"])

    def test_a_stream_that_ends_inside_a_frame_is_a_failure(self):
        for begun in (b"\0\0", b"\0\0\0\x05{}"):
            with self.subTest(begun):
                ca = Serving(self.path("ca"))
                ca.sock.sendall(begun)
                self.assertEqual(ca.end(), 1)


class Life(Case):
    """Its life as a process."""

    def test_it_exits_with_0_when_meshd_is_gone(self):
        ca = self.serve()
        ca.ask(op="info")
        self.assertEqual(ca.end(), 0)

    def test_sigterm_ends_it_and_an_interrupt_does_not(self):
        ca = self.serve()
        ca.ask(op="info")
        ca.proc.send_signal(signal.SIGINT)
        ca.proc.send_signal(signal.SIGHUP)
        self.assertTrue(ca.ask(op="info")["ok"])
        ca.proc.send_signal(signal.SIGTERM)
        self.assertEqual(ca.proc.wait(DEADLINE_S), 0)

    def test_a_second_one_on_the_same_directory_is_refused(self):
        ca = self.serve()
        ca.ask(op="info")
        self.refuses_to_start("another meshca")
        self.assertTrue(ca.ask(op="info")["ok"])

    def test_a_successor_waits_for_a_predecessor_that_is_leaving(self):
        first = self.serve()
        first.ask(op="info")
        second = self.serve()
        first.end()
        self.assertTrue(second.ask(op="info")["ok"])

    def test_it_starts_again_with_the_same_root(self):
        pin = self.serve_once()
        self.assertEqual(self.serve_once(), pin)

    def serve_once(self):
        ca = Serving(self.path("ca"))
        pin = ca.ask(op="info")["rootPin"]
        self.assertEqual(ca.end(), 0)
        return pin

    def test_a_first_start_that_was_killed_anywhere_is_finished_by_the_next(self):
        pin = self.serve_once()
        made = ("root.key", "root.crt", "roots.crt", "issuer.key", "issuer.crt")
        for kept in range(1, len(made)):
            with self.subTest(made[:kept]):
                for name in made[kept:]:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.path("ca", name))
                write(self.path("ca", ".%s.new" % made[kept]), "half")
                self.assertEqual(self.serve_once(), pin)

    def test_it_needs_a_stream_socket(self):
        r, w = os.pipe()
        done = subprocess.run([MESHCA, "serve", "--dir", self.path("ca"), "--fd", str(r)], pass_fds=[r], capture_output=True, timeout=DEADLINE_S, check=False)
        os.close(r)
        os.close(w)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"stream socket", done.stderr)
        self.assertFalse(os.path.exists(self.path("ca")))


class Isolation(Case):
    def status(self, ca):
        return dict(re.findall(r"^(\w+):[ \t]*(.*)$", read("/proc/%d/status" % ca.proc.pid), re.M))

    def own_uid(self, ca):
        return int(self.status(ca)["Uid"].split()[1])

    def may_look(self, pid, uid, name):
        """Whether another process of that user may open a file of /proc/PID."""
        done = subprocess.run(["/bin/sh", "-c", "test -e /proc/%d/%s || exit 3; exec 3</proc/%d/%s" % (pid, name, pid, name)],
                              cwd="/", capture_output=True, timeout=DEADLINE_S, check=False, **self.as_user(uid))
        self.assertIn(done.returncode, (0, 1, 2), done.stderr)
        return done.returncode == 0

    @staticmethod
    def as_user(uid):
        return {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}

    def test_its_memory_cannot_be_read_by_a_process_of_its_own_user(self):
        ca = self.serve()
        ca.ask(op="info")
        uid = self.own_uid(ca)
        for name in ("mem", "environ", "auxv"):
            self.assertFalse(self.may_look(ca.proc.pid, uid, name), name)
        with subprocess.Popen(["/bin/sh", "-c", "echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", **self.as_user(uid)) as plain:
            plain.stdout.readline()
            self.assertTrue(self.may_look(plain.pid, uid, "environ"), "what is not hardened can be looked at: the probe works")
            plain.communicate(b"\n")

    def test_no_core_no_new_privileges(self):
        ca = self.serve()
        ca.ask(op="info")
        self.assertEqual(self.status(ca)["NoNewPrivs"], "1")
        self.assertRegex(read("/proc/%d/limits" % ca.proc.pid), r"Max core file size +0 +0 ")

    def test_it_holds_none_of_the_parents_descriptors(self):
        r, w = os.pipe()
        ca = self.serve(pass_fds=[w])
        os.close(w)
        ca.ask(op="info")
        os.set_blocking(r, False)
        self.assertEqual(os.read(r, 1), b"", "end of file: nobody holds the other end")
        os.close(r)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_started_as_root_it_runs_as_somebody_else(self):
        ca = self.serve()
        ca.ask(op="info")
        status = self.status(ca)
        uid = self.own_uid(ca)
        self.assertEqual(set(status["Uid"].split()), {str(uid)})
        self.assertNotEqual(uid, 0)
        self.assertNotIn("0", status["Gid"].split())
        self.assertEqual(status["Groups"].strip(), "")
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
        for name in ("", "root.key", "issuer.key", "issued.log", "lock"):
            self.assertEqual(os.stat(self.path("ca", name)).st_uid, uid, name)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_the_user_can_be_chosen_and_changed(self):
        for user in ("12345", "54321"):
            ca = self.serve("ca", "--user", user)
            self.assertTrue(ca.sign(self.csr())["ok"])
            self.assertEqual(self.own_uid(ca), int(user))
            ca.end()

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_staying_root_is_said_loudly(self):
        ca = self.serve("ca", "--user", "0")
        ca.ask(op="info")
        self.assertIn("runs as root", ca.log())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_gives_away_no_file_that_is_elsewhere(self):
        self.serve().end()
        write(self.path("victim"), "mine")
        for make in (os.symlink, os.link):
            with self.subTest(make.__name__):
                make(self.path("victim"), self.path("ca", "issuer.csr"))
                self.refuses_to_start("issuer.csr")
                self.assertEqual(os.stat(self.path("victim")).st_uid, 0)
                os.unlink(self.path("ca", "issuer.csr"))

    @unittest.skipIf(os.geteuid() == 0, "needs not to be root")
    def test_only_root_can_become_another_user(self):
        self.refuses_to_start("only root", "ca", "--user", "0")

    def test_an_unknown_user_is_refused(self):
        self.refuses_to_start("no such user", "ca", "--user", "nobody-of-that-name")

    def test_keys_are_readable_by_their_owner_alone(self):
        self.serve().ask(op="info")
        for name, mode in (("", 0o700), ("root.key", 0o600), ("issuer.key", 0o600), ("lock", 0o600), ("root.crt", 0o644)):
            self.assertEqual(stat.S_IMODE(os.stat(self.path("ca", name)).st_mode), mode, name)


class OfflineRoot(Case):
    def test_an_intermediate_serves_without_the_roots_key(self):
        self.offline("--trust-domain", "prod.example")
        self.assertEqual(sorted(os.listdir(self.path("ca"))), ["issuer.crt", "issuer.key", "roots.crt"])
        self.assertEqual(stat.S_IMODE(os.stat(self.path("root", "root.key")).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("root")).st_mode), 0o700)
        openssl("verify", "-x509_strict", "-CAfile", self.path("root", "root.crt"), self.path("ca", "issuer.crt"))
        ca = self.serve("ca", "--trust-domain", "prod.example")
        info = ca.ask(op="info")
        self.assertEqual((info["trustDomain"], info["rootPin"]), ("prod.example", pin_of(self.path("root", "root.crt"))))
        self.assertIn('"rootKey":"elsewhere"', ca.log())
        self.assertFalse(os.path.exists(self.path("ca", "root.key")))
        write(self.path("leaf.pem"), ca.sign(self.csr())["certificate"])
        openssl("verify", "-x509_strict", "-CAfile", self.path("root", "root.crt"), "-untrusted", self.path("leaf.pem"), self.path("leaf.pem"))

    def test_the_root_of_a_first_start_can_be_moved_away(self):
        self.serve().end()
        os.rename(self.path("ca", "root.key"), self.path("root.key"))
        os.unlink(self.path("ca", "root.crt"))
        self.assertTrue(self.serve().sign(self.csr())["ok"])

    def test_the_intermediates_key_need_not_travel(self):
        run(MESHCA, "init", "--dir", self.path("root"))
        run(MESHCA, "request", "--out", self.path("ca"))
        run(MESHCA, "intermediate", "--dir", self.path("root"), "--csr", self.path("ca", "issuer.csr"), "--out", self.path("made"))
        self.assertEqual(sorted(os.listdir(self.path("made"))), ["issuer.crt", "roots.crt"])
        for name in ("issuer.crt", "roots.crt"):
            shutil.copy(self.path("made", name), self.path("ca"))
        self.assertTrue(self.serve().sign(self.csr())["ok"])

    def test_the_roots_own_key_gets_no_intermediate(self):
        run(MESHCA, "init", "--dir", self.path("root"))
        write(self.path("root.csr"), self.csr(key=self.path("root", "root.key")))
        done = run(MESHCA, "intermediate", "--dir", self.path("root"), "--csr", self.path("root.csr"), "--out", self.path("ca"), code=1)
        self.assertIn(b"own", done.stderr)
        self.assertFalse(os.path.exists(self.path("ca", "issuer.crt")))

    def test_an_intermediate_ends_with_its_root(self):
        run(MESHCA, "init", "--dir", self.path("root"), "--days", "30")
        run(MESHCA, "intermediate", "--dir", self.path("root"), "--out", self.path("ca"))
        ends = {c["notAfter"] for c in json.loads(run(MESHCA, "show", "--dir", self.path("ca"), "-o", "json").stdout)}
        self.assertEqual(len(ends), 1)

    def test_nothing_is_overwritten(self):
        self.offline()
        before = {name: read(self.path(*name)) for name in (("root", "root.key"), ("root", "root.crt"), ("ca", "issuer.key"), ("ca", "issuer.crt"))}
        run(MESHCA, "init", "--dir", self.path("root"), code=1)
        run(MESHCA, "intermediate", "--dir", self.path("root"), "--out", self.path("ca"), code=1)
        run(MESHCA, "request", "--out", self.path("ca"), code=1)
        self.assertEqual({name: read(self.path(*name)) for name in before}, before)


class Refused(Case):
    """A directory that is not whole, not private or not itself: said, with what to do, and left as it was."""

    def setUp(self):
        super().setUp()
        self.offline()

    def remove(self, *names):
        for name in names:
            os.unlink(self.path("ca", name))

    def test_half_a_ca_is_refused_by_what_is_missing(self):
        kept = {name: read(self.path("ca", name)) for name in ("issuer.crt", "issuer.key", "roots.crt")}
        for gone in (["issuer.key"], ["issuer.crt"], ["roots.crt"], ["issuer.crt", "issuer.key"], ["issuer.key", "roots.crt"], ["issuer.crt", "roots.crt"]):
            with self.subTest(gone):
                self.remove(*gone)
                self.refuses_to_start("missing " + " ".join(gone) + ";")
                for name in gone:
                    self.assertFalse(os.path.exists(self.path("ca", name)))
                    write(self.path("ca", name), kept[name])
                    os.chmod(self.path("ca", name), 0o600)
        self.assertTrue(self.serve().sign(self.csr())["ok"])

    def test_a_root_certificate_alone_is_refused(self):
        os.mkdir(self.path("half"), 0o700)
        shutil.copy(self.path("root", "root.crt"), self.path("half"))
        self.refuses_to_start("no intermediate", "half")

    def test_keys_that_do_not_belong_are_refused(self):
        write(self.path("ca", "issuer.key"), read(self.path("root", "root.key")))
        self.refuses_to_start("is not the key of")

    def test_an_intermediate_of_another_root_is_refused(self):
        run(MESHCA, "init", "--dir", self.path("root2"))
        write(self.path("ca", "roots.crt"), read(self.path("root2", "root.crt")))
        self.refuses_to_start("does not hang from")

    def test_two_roots_are_served_and_the_right_one_is_pinned(self):
        run(MESHCA, "init", "--dir", self.path("root2"))
        write(self.path("ca", "roots.crt"), read(self.path("root2", "root.crt")) + read(self.path("root", "root.crt")))
        self.assertEqual(self.serve().ask(op="info")["rootPin"], pin_of(self.path("root", "root.crt")))

    def test_another_trust_domain_is_refused(self):
        self.refuses_to_start("trust domain mesh.local, not other.example", "ca", "--trust-domain", "other.example")

    def test_a_root_of_another_trust_domain_in_the_bundle_is_refused(self):
        run(MESHCA, "init", "--dir", self.path("root2"), "--trust-domain", "other.example")
        write(self.path("ca", "roots.crt"), read(self.path("root", "root.crt")) + read(self.path("root2", "root.crt")))
        self.refuses_to_start("no root of")

    def test_what_others_may_read_is_refused(self):
        os.chmod(self.path("ca", "issuer.key"), 0o640)
        self.refuses_to_start("chmod 600")
        os.chmod(self.path("ca", "issuer.key"), 0o600)
        os.chmod(self.path("ca"), 0o755)
        self.refuses_to_start("chmod 700")

    def test_garbage_is_refused(self):
        for name in ("issuer.crt", "issuer.key", "roots.crt"):
            with self.subTest(name):
                kept = read(self.path("ca", name))
                for text in ("", "hello", "x" * 100000, b"\0\1\2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
                    write(self.path("ca", name), text)
                    self.refuses_to_start(".")
                write(self.path("ca", name), kept)


class ByHand(Case):
    def test_sign_by_hand(self):
        self.offline()
        write(self.path("p.csr"), self.csr())
        args = ("sign", "--dir", self.path("ca"), "--csr", self.path("p.csr"), "--service", "payments")
        write(self.path("p.pem"), run(MESHCA, *args, "--namespace=shop", "--ttl", "100h").stdout)
        text = openssl("x509", "-in", self.path("p.pem"), "-noout", "-ext", "subjectAltName")
        self.assertIn("payments.shop.mesh.local", text)
        run(MESHCA, *args, "--out", self.path("q.pem"))
        openssl("verify", "-CAfile", self.path("root", "root.crt"), "-untrusted", self.path("q.pem"), self.path("q.pem"))
        self.assertEqual([line["how"] for line in self.issued()], ["hand", "hand"])
        piped = run(MESHCA, "sign", "--csr", "-", "--dir", self.path("ca"), "--service", "cart", data=self.csr().encode())
        self.assertEqual(piped.stdout.count(b"BEGIN CERTIFICATE"), 2)

    def test_sign_refuses_what_serve_refuses(self):
        self.offline()
        write(self.path("p.csr"), self.csr("-addext", "subjectAltName=URI:spiffe://mesh.local/ns/default/svc/cart"))
        done = run(MESHCA, "sign", "--dir", self.path("ca"), "--csr", self.path("p.csr"), "--service", "payments", code=1)
        self.assertIn(b"svc/cart", done.stderr)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.issued(), [])

    def test_sign_makes_no_ca(self):
        os.mkdir(self.path("empty"), 0o700)
        write(self.path("p.csr"), self.csr())
        for folder, reason in (("empty", b"no CA here"), ("nowhere", b"No such file")):
            done = run(MESHCA, "sign", "--dir", self.path(folder), "--csr", self.path("p.csr"), "--service", "a", code=1)
            self.assertIn(reason, done.stderr)
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_show_tells_the_facts(self):
        self.offline()
        root, issuer = json.loads(run(MESHCA, "show", "-o", "json", "--dir", self.path("ca")).stdout)
        self.assertEqual((root["kind"], root["ca"], root["selfSigned"], root["pin"], root["uri"]), ("root", True, True, pin_of(self.path("root", "root.crt")), "spiffe://mesh.local"))
        self.assertEqual((issuer["kind"], issuer["pathlen"], issuer["issuer"]), ("intermediate", 0, root["subject"]))
        self.assertEqual(issuer["serial"], openssl("x509", "-in", self.path("ca", "issuer.crt"), "-noout", "-serial").strip().split("=")[1].lower().lstrip("0"))
        text = run(MESHCA, "show", self.path("ca", "issuer.crt")).stdout.decode()
        self.assertIn(issuer["pin"], text)
        self.assertIn("path length 0", text)
        self.assertIn(b"no CA here", run(MESHCA, "show", "--dir", self.path(), code=1).stderr)
        run(MESHCA, "show", self.path("ca", "issuer.key"), code=1)

    def test_show_takes_any_certificate(self):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("k"), "-subj", "/O=Acme/CN=old", "-days", "2", "-out", self.path("rsa.pem"))
        shown, = json.loads(run(MESHCA, "show", self.path("rsa.pem"), "-o", "json").stdout)
        self.assertIn("old", shown["subject"])
        self.assertEqual(shown["pin"], pin_of(self.path("rsa.pem")))


class Usage(Case):
    COMMANDS = ("init", "intermediate", "request", "sign", "show", "serve")

    def test_help_teaches(self):
        self.assertIn(b"usage: meshca COMMAND", run(MESHCA, "--help").stdout)
        for name in self.COMMANDS:
            for argv in ((name, "--help"), ("help", name), (name, "--nonsense-after", "-h")[::2]):
                done = run(MESHCA, *argv)
                self.assertIn(b"usage: meshca " + name.encode(), done.stdout)
                self.assertEqual(done.stderr, b"")

    def test_the_version_is_told(self):
        self.assertRegex(run(MESHCA, "--version").stdout, rb"^meshca \d+\.\d+\.\d+\n$")

    def test_each_option_in_the_usage_line_is_explained(self):
        for name in self.COMMANDS:
            text = run(MESHCA, name, "--help").stdout.decode()
            for option in set(re.findall(r"--[a-z-]+", text.splitlines()[0])):
                self.assertRegex(text, r"(?m)^  %s " % option, name)

    def test_wrong_usage_is_2_with_a_hint(self):
        for argv, hint in (((), "usage"), (("inti",), "did you mean init"), (("sign", "--servce", "x"), "did you mean --service"), (("init",), "--dir is missing"),
                           (("init", "--dir"), "a value must follow"), (("init", "--dir", ""), "empty"), (("init", "--dir", "x", "y"), "one argument too many"),
                           (("init", "--dir", "x", "--days", "0"), "1 to 36500"), (("init", "--dir", "x", "--days", "10y"), "1 to 36500"),
                           (("init", "--dir", "x", "--trust-domain", "Mesh"), "lower-case"), (("show",), "either"), (("show", "--dir", "x", "y"), "either"),
                           (("show", "x", "-o", "yaml"), "text and json"), (("serve", "--dir", "x"), "--fd is missing"), (("serve", "--dir", "x", "--fd", "2"), "standard error"),
                           (("serve", "--dir", "x", "--fd", "3", "--max-ttl", "1y"), "duration"), (("serve", "--dir", "x", "--fd", "3", "--rate", "0"), "1 to 1000000"),
                           (("sign", "--dir", "x", "--csr", "y", "--service", "z", "--ttl", "1ms"), "from 1s")):
            with self.subTest(argv):
                self.assertIn(hint, run(MESHCA, *argv, code=2).stderr.decode())


if __name__ == "__main__":
    unittest.main()
