"""THREATS 17: what is costly to judge is capped before the arithmetic, on both sides; half-open handshakes have a deadline and a cap; renegotiation, old versions, weak suites and compression are off."""

import contextlib
import os
import re
import resource
import socket
import ssl
import subprocess
import time
import unittest

import bombs
import peers
import support

ROUNDS, FEW = 6, 2  # few of those whose making costs the peer a second each


def cpu_seconds(pid):
    """What a process, all its threads together, has used: its CPU clock (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


class CostlyCertificates(unittest.TestCase):
    """They take seconds to make, and serve both sides: each is of payments."""

    @classmethod
    def setUpClass(cls):
        cls.mesh = support.Mesh()
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.start()
        cls.pki = pki = peers.Pki.of(cls.mesh)
        cls.costly = {
            "a chain of 100": bombs.long_chain(pki, "payments"),
            "100 CAs, one below the other": bombs.deep_chain(pki, "payments"),
            "a 16k RSA key": bombs.huge_rsa(pki, "payments"),
            "a signature that takes seconds to check": bombs.exponent_bomb(pki, "payments"),
            "ten thousand names": bombs.many_names(pki, "payments"),
        }

    def test_shown_to_our_server_they_cost_less_than_a_good_one(self):
        judge = peers.Judge(self.mesh)
        cart = self.pki.good("cart")

        def cost(identity, status, rounds=ROUNDS):
            before = cpu_seconds(judge.child.pid)
            for _ in range(rounds):
                self.assertEqual(peers.knock(judge.address, identity), status)
            return (cpu_seconds(judge.child.pid) - before) / rounds
        cost(cart, 200)
        good, made = cost(cart, 200), 0
        for row, identity in self.costly.items():
            with self.subTest(row):
                handled, rounds = judge.handled(), FEW if "RSA" in row else ROUNDS
                made += rounds
                ratio = cost(identity, None, rounds) / good
                print(f"server, {row}: {ratio:.2f} of a good handshake ({good * 1000:.1f} ms)")
                self.assertLess(ratio, 1.2)  # the part that comes before the certificate is the same
                self.assertEqual(judge.handled(), handled)
        self.assertEqual(sum(judge.reasons().values()), made, judge.reasons())

    @unittest.skipIf(support.SANITIZED, "a ratio of code with checks to code without")
    def test_shown_to_our_client_they_cost_little_and_are_sent_nothing(self):
        """Here OpenSSL shakes hands: it takes 100 KB of certificates, RSA keys of 16384 bits with 64 bits of exponent, and checks no signature of a chain that does not end at our root."""
        cart = peers.issued(self.mesh, "cart")
        path = os.path.join(self.mesh.dir, "static.yaml")

        def answer_and_close(server, tls):
            request = peers.read_request(tls)
            if request:
                server.saw(request)
                tls.sendall(peers.OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        def cost(identity, code, rounds=ROUNDS):
            """Of one call on a connection of its own."""
            server = peers.TlsServer(identity, answer_and_close)
            self.addCleanup(server.close)
            peers.endpoints_file(path, "payments", server.address)
            with open(path, "a") as f:  # the server's own arithmetic takes its time
                f.write("---\napiVersion: mesh/v1\nkind: Service\nname: payments\nconnectTimeout: 1m\ntimeout: 1m\n")
            env = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
            used = []
            for n in (0, rounds):  # what the process costs without a call is taken off
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                done = subprocess.run([support.helper("calls"), *["GET"] * n], env={**env, **peers.static_env(cart, path)}, capture_output=True, text=True, timeout=60 * support.SLOW, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                self.assertEqual(set(re.findall(r'"code":"(\w+)"', done.stdout)), set(code if n else ()))
            self.assertEqual((server.connections, len(server.requests)), (rounds, rounds if code == ["MESH_OK"] else 0))
            return (used[1] - used[0]) / rounds
        good = cost(self.pki.good("payments"), ["MESH_OK"], 4 * ROUNDS)
        for row, identity in self.costly.items():
            with self.subTest(row):
                ratio = cost(identity, ["MESH_E_IDENTITY"], FEW if "RSA" in row else 2 * ROUNDS) / good
                print(f"client, {row}: {ratio:.2f} of a good call ({good * 1000:.1f} ms)")
                self.assertLess(ratio, 40)  # of a good call that costs a millisecond: a hundred certificates less than forty calls, where each that is checked could cost thousands


class HalfOpenHandshakes(support.MeshTest):
    CAP, FLOOD = 1000, 1300  # max_handshakes of http/server.h

    def setUp(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 16384), limits[1]))  # the children's too
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        super().setUp()
        self.judge = peers.Judge(self.mesh)
        self.cart = peers.Pki.of(self.mesh).good("cart")

    def open_now(self):
        return sum(n for key, n in peers.metrics(self.judge.probe).items() if key.startswith("mesh_connections{") and "inbound" in key)

    def flood(self, sockets):
        """Opens connections: most say nothing, some half a ClientHello."""
        host, port = self.judge.address.rsplit(":", 1)
        for i in range(self.FLOOD):
            with contextlib.suppress(ConnectionError):  # over the cap they are reset at once
                s = sockets.enter_context(socket.create_connection((host, int(port)), timeout=20 * support.SLOW))
                if i % 3 == 0:
                    s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")

    def surplus(self):
        return self.judge.reasons().get("too-many-handshakes", 0) + self.judge.reasons().get("crowded-out", 0)

    def test_a_good_client_is_served_beside_them_and_they_end_at_the_deadline(self):
        before, waves = rss_kb(self.judge.child.pid), []
        host, port = self.judge.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as plain, peers.client_context(self.cart).wrap_socket(plain) as kept:
            for wave in range(3):
                with contextlib.ExitStack() as sockets:
                    surplus = self.surplus() + self.FLOOD - self.CAP
                    self.flood(sockets)
                    began = time.monotonic()
                    support.wait_until(lambda n=surplus: self.surplus() >= n, "what is too much to be refused")
                    self.assertLessEqual(self.open_now(), self.CAP + 2)
                    kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertIn(b" 200 ", kept.recv(65536), "who is in is served")
                    waves.append(rss_kb(self.judge.child.pid))
                    if wave == 2:
                        support.wait_until(lambda: peers.knock(self.judge.address, self.cart) == 200, "a newcomer to be served")
                        self.assertGreater(self.judge.reasons().get("crowded-out", 0), 0)
                        support.wait_until(lambda: self.open_now() <= 2, "the half-open ones to end", 15)
                        if not support.SANITIZED:
                            self.assertLess(time.monotonic() - began, 13, "10 s, and what a loaded machine adds")
                        self.assertGreater(self.judge.reasons().get("timeout", 0), self.CAP / 2)
                support.wait_until(lambda: self.open_now() <= 2, "all to be gone")
        print(f"memory: {before} KB, under {self.CAP} half-open handshakes {waves} KB")
        if not support.SANITIZED:
            self.assertLess(waves[2] - before, self.CAP * 100)
            self.assertLess(waves[2], waves[1] * 1.1, "it does not grow from wave to wave")


# P-256; uncompressed points; ECDSA with SHA-256.
EXTENSIONS = bytes.fromhex("000a00040002001700" "0b00020100" "000d000400020403")


def client_hello(version, suites, compressions=b"\0"):
    body = version + bytes(32) + b"\0" + len(suites).to_bytes(2, "big") + suites + bytes([len(compressions)]) + compressions + len(EXTENSIONS).to_bytes(2, "big") + EXTENSIONS
    return b"\x16" + (version if version < b"\3\3" else b"\3\1") + (len(body) + 4).to_bytes(2, "big") + b"\1" + len(body).to_bytes(3, "big") + body


GOOD_SUITE = b"\xc0\x2b"


class WhatIsOff(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.judge = peers.Judge(self.mesh)
        self.pki = peers.Pki.of(self.mesh)

    def hello(self, said):
        """The type of the first record that answers a hello, and the record."""
        host, port = self.judge.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as s:
            s.sendall(said)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
                    more = s.recv(4096)
                    if not more:
                        break
                    answer += more
        return answer[:1], answer

    def test_a_good_hello_is_answered_without_compression(self):
        """So that the rows below are refused for what they say, and not for how they are written."""
        for compressions in (b"\0", b"\1\0", b"\1"):
            kind, answer = self.hello(client_hello(b"\3\3", GOOD_SUITE, compressions))
            self.assertEqual(kind, b"\x16", answer)
            session = answer[5 + 4 + 34]
            self.assertEqual(answer[5 + 4 + 35 + session:5 + 4 + 38 + session], GOOD_SUITE + b"\0", "the suite, and no compression")

    def test_old_versions_and_weak_suites_are_refused(self):
        rows = {
            "SSL 3": client_hello(b"\3\0", GOOD_SUITE + b"\0\x2f"), "TLS 1.0": client_hello(b"\3\1", b"\xc0\x09\0\x2f"), "TLS 1.1": client_hello(b"\3\2", b"\xc0\x09\0\x2f"),
            "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
            "RSA key exchange": client_hello(b"\3\3", b"\0\x9c\0\x2f"), "CBC": client_hello(b"\3\3", b"\xc0\x09\xc0\x23"), "RC4": client_hello(b"\3\3", b"\xc0\x07\0\5"),
            "3DES": client_hello(b"\3\3", b"\xc0\x08\0\x0a"), "no encryption": client_hello(b"\3\3", b"\xc0\x06\0\1\0\2\0\x3b"), "anonymous": client_hello(b"\3\3", b"\0\x34\xc0\x18"),
            "export": client_hello(b"\3\3", b"\0\3\0\6\0\x14"), "pre-shared keys": client_hello(b"\3\3", b"\0\xa8\xc0\x35"), "CCM with a short tag": client_hello(b"\3\3", b"\xc0\xae"),
        }
        for row, said in rows.items():
            with self.subTest(row):
                before = self.judge.reasons().get("protocol", 0)
                kind, answer = self.hello(said)
                self.assertIn(kind, (b"\x15", b""), answer)
                support.wait_until(lambda n=before: self.judge.reasons().get("protocol", 0) == n + 1, "it is counted")

    def test_a_client_that_asks_to_renegotiate_is_refused(self):
        cart = self.pki.good("cart")
        with subprocess.Popen(["openssl", "s_client", "-connect", self.judge.address, "-tls1_2", "-cert", cart.cert, "-key", cart.key, "-cert_chain", self.pki.ca_cert],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            said = b""
            while b"Verify return code" not in said:
                said += client.stdout.readline()
            client.stdin.write(b"R\n")
            client.stdin.flush()
            said = client.stdout.read()  # until the server ends the connection, or the client gives up
        self.assertIn(b"RENEGOTIATING", said)
        self.assertRegex(said, rb"no renegotiation|closed|unexpected eof|handshake failure")
        self.assertEqual(peers.knock(self.judge.address, cart), 200, "nobody else is affected")

    def test_our_client_offers_nothing_older_than_tls_1_2(self):
        seen = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20 * support.SLOW)
            path = peers.endpoints_file(os.path.join(self.mesh.dir, "static.yaml"), "payments", "127.0.0.1:%d" % listener.getsockname()[1])
            with subprocess.Popen([support.helper("calls"), "timeout=5000", "GET"], env={**{k: v for k, v in os.environ.items() if not k.startswith("MESH_")}, **peers.static_env(peers.issued(self.mesh, "cart"), path)},
                                  stdout=subprocess.PIPE) as child:
                plain, _ = listener.accept()
                with plain:
                    seen = plain.recv(65536)
                child.communicate()
        body = seen[5 + 4:]
        session = body[34]
        suites_at = 35 + session
        n = int.from_bytes(body[suites_at:suites_at + 2], "big")
        after = suites_at + 2 + n
        self.assertEqual((seen[:1], body[:2]), (b"\x16", b"\3\3"))
        self.assertEqual(body[after:after + 2], b"\1\0", "no compression")


if __name__ == "__main__":
    unittest.main()
