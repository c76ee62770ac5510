"""Who is refused, in the handshake or before any request byte: counted, and logged with the reason. And what a leaf shows to openssl."""

import concurrent.futures
import datetime
import json
import os
import re
import unittest

import peers
import support
from peers import dns, spiffe


class RefusedByOurServer(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.judge = peers.Judge(self.mesh)

    def test_refuses_and_says_why(self):
        stranger = peers.Pki(os.path.join(self.mesh.dir, "stranger"))
        rows = {
            "no certificate": ("no-certificate", None),
            "another CA": ("chain", stranger.good("cart")),
            "another trust domain, right CA": ("trust-domain", self.pki.mint("foreign", uris=[spiffe("cart", "other.local")], names=[dns("cart", "other.local")])),
            "two URI SANs": ("uri-san", self.pki.mint("two", uris=[spiffe("cart"), spiffe("admin")], names=[dns("cart")])),
        }
        for row, (reason, identity) in rows.items():
            with self.subTest(row):
                self.assertEqual(self.judge.refusal_of(identity), reason)

    def test_refuses_a_serial_from_the_moment_of_its_revocation(self):
        cart, neighbour = peers.issued(self.mesh, "cart"), peers.issued(self.mesh, "neighbour")
        self.assertIsNone(self.judge.refusal_of(cart))
        self.mesh.ctl("cert", "revoke", cart.serial, "--reason", "stolen")
        support.wait_until(lambda: peers.knock(self.judge.address, cart) is None, "the revocation to reach the server")
        self.assertEqual(self.judge.refusal_of(cart), "revoked")
        self.assertIn(cart.serial, self.judge.child.events("handshake refused")[-1]["message"])
        self.assertIsNone(self.judge.refusal_of(neighbour), "nobody else is affected")

    def test_openssl_is_told_by_an_alert(self):
        rows = {"no certificate": [], "expired": self.pki.mint("late", "--not-before", -7200, "--not-after", -60, uris=[spiffe("cart")], names=[dns("cart")])}
        for row, identity in rows.items():
            with self.subTest(row):
                given = ["-cert", identity.cert, "-key", identity.key, "-cert_chain", self.pki.ca_cert] if identity else []
                done = support.openssl("s_client", "-connect", self.judge.address, "-tls1_2", *given, stdin=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", check=False)
                self.assertRegex(done.stderr.decode() + done.stdout.decode(), r"alert (number|handshake failure|certificate expired|bad certificate)|:SSL alert number \d+")
                self.assertNotIn(b"HTTP/1.1 200", done.stdout)

    def test_old_tls_is_refused(self):
        cart = self.pki.good("cart")
        for version in ("-tls1", "-tls1_1"):
            with self.subTest(version):
                done = support.openssl("s_client", "-connect", self.judge.address, version, "-cipher", "ALL:@SECLEVEL=0", "-cert", cart.cert, "-key", cart.key, stdin=b"", check=False)
                self.assertIn(b"Cipher is (NONE)", done.stdout)

    def test_a_flood_of_refusals_is_counted_whole_and_logged_in_part(self):
        made, at_once = 0, 8  # one after the other would be no flood where all is slowed down
        knockers = self.enterContext(concurrent.futures.ThreadPoolExecutor(at_once))

        def told_of_what_was_left_out():
            nonlocal made
            made += at_once
            self.assertEqual(list(knockers.map(lambda _: peers.knock(self.judge.address), range(at_once))), [None] * at_once)
            return self.judge.child.events("refusals not logged")
        left_out = support.wait_until(told_of_what_was_left_out, "a line that says how many were left out", 30)
        support.wait_until(lambda: self.judge.reasons().get("no-certificate") == made, "every refusal counted")
        self.assertLess(len(self.judge.child.events("handshake refused")), made)
        self.assertGreater(int(left_out[0]["count"]), 0)


class RefusedByOurClient(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"))

    def test_refuses_a_server_that_is_not_who_it_must_be(self):
        stranger = peers.Pki(os.path.join(self.mesh.dir, "stranger"))
        rows = {
            "the wrong name": self.pki.good("orders"),
            "the wrong name, with the right DNS name": self.pki.mint("mixed", uris=[spiffe("orders")], names=[dns("payments")]),
            "the right name, in another namespace": self.pki.mint("ns", uris=[spiffe("payments", namespace="other")], names=[dns("payments", namespace="other"), dns("payments")]),
            "the right name, under another CA": stranger.good("payments"),
            "the right name, in another domain": self.pki.mint("domain", uris=[spiffe("payments", "other.local")], names=[dns("payments")]),
            "two URI SANs": self.pki.mint("two", uris=[spiffe("payments"), spiffe("orders")], names=[dns("payments")]),
        }
        self.assertIsNone(self.caller.error_of(self.pki.good("payments"))[0], "the honest one must be called")
        for row, identity in rows.items():
            with self.subTest(row):
                error, said = self.caller.error_of(identity)
                self.assertEqual(error, "MESH_E_IDENTITY", said)
                self.assertIn("reached no handler", said)

    def test_the_refusal_is_counted_and_logged_even_when_another_endpoint_answers(self):
        wrong, right = peers.TlsServer(self.pki.good("orders")), peers.TlsServer(self.pki.good("payments"))
        self.addCleanup(wrong.close)
        self.addCleanup(right.close)
        probe, port = f"127.0.0.1:{support.free_port()}", support.free_port()
        path = peers.endpoints_file(os.path.join(self.mesh.dir, "both.yaml"), "payments", wrong.address, right.address)
        client = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments"], "connect",
                                 env=peers.static_env(self.caller.identity, path, MESH_PROBE_LISTEN=probe, MESH_PROBE_METRICS="1", MESH_LOG="info"))
        client.wait_for_output("connected")
        opener = peers.urllib.request.build_opener(peers.urllib.request.ProxyHandler({}))

        def wrong_was_tried():
            with opener.open(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                self.assertEqual(answer.read(), b"ok")
            return wrong.connections > 0
        support.wait_until(wrong_was_tried, "a try at the wrong server")
        self.assertEqual(wrong.requests, [])
        counted = support.wait_until(lambda: peers.metrics(probe).get('mesh_try_failures_total{code="MESH_E_IDENTITY"}'), "the refusal is counted")
        self.assertEqual(counted, wrong.connections)
        said = client.wait_for_event("peer refused", message="not who it must be")
        self.assertIn(wrong.address, said["endpoint"])

    def test_a_server_is_refused_from_the_moment_of_its_revocation_on_a_kept_connection_too(self):
        legacy = peers.issued(self.mesh, "legacy")
        server = peers.TlsServer(legacy)
        self.addCleanup(server.close)
        self.mesh.ctl("apply", "-f", peers.endpoints_file(os.path.join(self.mesh.dir, "legacy.yaml"), "legacy", server.address))
        port = support.free_port()
        client = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "legacy", "--data", self.mesh.data], "connect")
        client.wait_for_output("connected")
        opener = peers.urllib.request.build_opener(peers.urllib.request.ProxyHandler({}))

        def refused():
            try:
                with opener.open(f"http://127.0.0.1:{port}/", timeout=30 * support.SLOW) as answer:
                    return answer.status != 200
            except peers.urllib.error.HTTPError as e:
                with e:
                    return b"revoked" in e.read()
        self.assertFalse(refused())
        self.mesh.ctl("cert", "revoke", legacy.serial)
        support.wait_until(refused, "the revocation to reach the client")
        before = len(server.requests)
        self.assertTrue(all(refused() for _ in range(5)))
        self.assertEqual(len(server.requests), before)

    def test_refuses_the_right_name_under_a_ca_of_the_machine(self):
        """The CA is put where the machine's public CAs are, in a mount of its own; openssl there trusts it, our client does not."""
        if support.subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("unshare -m is not permitted here")
        public = peers.Pki(os.path.join(self.mesh.dir, "public"))
        server = peers.TlsServer(public.good("payments"), script=peers.swallow)
        self.addCleanup(server.close)
        path = peers.endpoints_file(os.path.join(self.mesh.dir, "public.yaml"), "payments", server.address)
        script = """
            mount --make-rprivate / && cp -rL /etc/ssl/certs "$1/certs" && cat "$2" >>"$1/certs/ca-certificates.crt" && cp "$2" "$1/certs/$(openssl x509 -hash -noout -in "$2").0" &&
            mount --bind "$1/certs" /etc/ssl/certs || exit 99
            openssl verify "$3" >&2 || exit 98
            exec "$4" call payments / --as cart -o json --timeout 10s"""
        done = support.subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.mesh.dir, public.ca_cert, public.path("payments.pem"), support.program("meshctl")],
                                      env={**{k: v for k, v in os.environ.items() if not k.startswith("MESH")}, **peers.static_env(self.caller.identity, path), "SSL_CERT_DIR": "/etc/ssl/certs"},
                                      capture_output=True, text=True, timeout=60 * support.SLOW, check=False)
        self.assertNotIn(done.returncode, (98, 99), done.stderr)
        self.assertIn(": OK", done.stderr, "the machine itself must trust that CA, else the test proves nothing")
        self.assertEqual(json.loads(done.stdout)["errors"], {"MESH_E_IDENTITY": 1}, done.stderr)
        self.assertGreaterEqual(server.connections, 1)
        self.assertEqual(server.requests, [])

    def test_curl_s_environment_does_not_widen_the_trust(self):
        """Variables that lead libcurl and OpenSSL to other roots or through a proxy have no effect."""
        public = peers.Pki(os.path.join(self.mesh.dir, "public"))
        proxy = peers.TlsServer(self.pki.good("payments"))
        self.addCleanup(proxy.close)
        widened = {"SSL_CERT_FILE": public.ca_cert, "CURL_CA_BUNDLE": public.ca_cert, "SSL_CERT_DIR": public.dir, "HTTPS_PROXY": "http://" + proxy.address, "ALL_PROXY": "http://" + proxy.address}
        server = peers.TlsServer(public.good("payments"), script=peers.swallow)
        self.addCleanup(server.close)
        _, summary = self.caller.call(server.address, env=widened)
        self.assertEqual(summary["errors"], {"MESH_E_IDENTITY": 1})
        self.assertEqual((server.requests, proxy.connections), ([], 0))


def seconds(text):
    return datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=datetime.timezone.utc).timestamp()


class WhatALeafShows(support.MeshTest):
    def text_of(self, cert):
        return support.openssl("x509", "-in", cert, "-noout", "-text", "-nameopt", "RFC2253").stdout.decode()

    def check_leaf(self, text, service):
        self.assertEqual(re.search(r"Subject:(.*)", text).group(1).strip(), "")
        self.assertIn("Version: 3 (0x2)", text)
        self.assertEqual(set(re.findall(r"Signature Algorithm: (\S+)", text)), {"ecdsa-with-SHA256"})
        self.assertIn("NIST CURVE: P-256", text)
        self.assertRegex(text, r"Basic Constraints: critical\n\s+CA:FALSE\n")
        self.assertRegex(text, r"X509v3 Key Usage: critical\n\s+Digital Signature\n")
        self.assertRegex(text, r"Extended Key Usage: *\n\s+TLS Web Server Authentication, TLS Web Client Authentication\n")
        names = re.search(r"Subject Alternative Name: critical\n\s+(.*)\n", text).group(1)
        self.assertEqual(sorted(names.split(", ")), sorted([f"URI:{spiffe(service)}", f"DNS:{dns(service)}"]))
        self.assertRegex(text, r"Subject Key Identifier: *\n\s+([0-9A-F]{2}:){19}[0-9A-F]{2}\n")
        self.assertRegex(text, r"Authority Key Identifier: *\n\s+(keyid:)?([0-9A-F]{2}:){19}[0-9A-F]{2}\n")
        self.assertEqual(len(re.findall(r"^\s+X509v3 (?!extensions:)", text, re.M)), 6, "no other extension")
        serial = re.search(r"Serial Number:\s+((?:[0-9a-f]{2}:)+[0-9a-f]{2})", text).group(1)
        self.assertLessEqual(len(serial.split(":")), 17)
        self.assertGreaterEqual(len(serial.split(":")), 14, "a serial of 128 random bits")
        return re.search(r"Not Before: (.*)", text).group(1), re.search(r"Not After : (.*)", text).group(1)

    def test_an_issued_leaf_is_as_designed(self):
        cart = peers.issued(self.mesh, "cart")
        began, ends = self.check_leaf(self.text_of(cart.cert), "cart")
        self.assertEqual(seconds(ends) - seconds(began), 48 * 3600 + 60)
        self.assertAlmostEqual(datetime.datetime.now(datetime.timezone.utc).timestamp() - 60, seconds(began), delta=30 * support.SLOW)
        support.openssl("verify", "-CAfile", cart.bundle, "-untrusted", cart.cert, "-purpose", "sslserver", cart.cert)
        support.openssl("verify", "-CAfile", cart.bundle, "-untrusted", cart.cert, "-purpose", "sslclient", cart.cert)

    def test_a_served_leaf_is_as_designed(self):
        server = self.mesh.serve("payments")
        cart = peers.issued(self.mesh, "cart")
        shown = support.openssl("s_client", "-connect", server.info["address"], "-cert", cart.cert, "-key", cart.key, "-cert_chain", cart.cert, "-CAfile", cart.bundle,
                                "-verify_hostname", dns("payments"), "-showcerts", stdin=b"", check=False).stdout.decode()
        self.assertIn("Verify return code: 0 (ok)", shown)
        chain = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", shown, re.S)
        self.assertEqual(len(chain), 2, "leaf and intermediate; the root is known already")
        leaf = os.path.join(self.mesh.dir, "shown.pem")
        with open(leaf, "w") as f:
            f.write(chain[0])
        self.check_leaf(self.text_of(leaf), "payments")

    def test_the_cas_are_as_designed(self):
        ca = os.path.join(self.mesh.data, "ca")
        for name, pathlen in (("root.crt", ""), ("issuer.crt", ", pathlen:0")):
            with self.subTest(name):
                text = self.text_of(os.path.join(ca, name))
                self.assertRegex(text, r"Basic Constraints: critical\n\s+CA:TRUE" + pathlen + "\n")
                self.assertRegex(text, r"X509v3 Key Usage: critical\n\s+Certificate Sign, CRL Sign\n")
                self.assertIn("URI:spiffe://mesh.local\n", text)
                self.assertIn("NIST CURVE: P-256", text)


if __name__ == "__main__":
    unittest.main()
