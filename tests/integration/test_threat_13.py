"""THREATS 13: whom our two sides trust. The machine's CAs never; no certificate, unknown CA, another trust domain never; a refused connection is not used again. No fallback."""

import json
import os
import subprocess
import unittest

import peers
import support
from peers import dns, spiffe


class Threat13(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"))

    def server(self, identity, script=peers.answer_ok):
        server = peers.TlsServer(identity, script)
        self.addCleanup(server.close)
        return server

    def test_public_cas_of_the_machine_are_not_trusted_though_openssl_trusts_them(self):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("unshare -m is not permitted here")
        public = peers.Pki(os.path.join(self.mesh.dir, "public"))
        server = self.server(public.good("payments"), peers.swallow)
        path = peers.endpoints_file(os.path.join(self.mesh.dir, "public.yaml"), "payments", server.address)
        # curl, which does trust them, shows that the mount is in force; it must reach the server.
        script = """
            mount --make-rprivate / && mkdir "$1/certs" && cp "$2" "$1/certs/ca-certificates.crt" && cp "$2" "$1/certs/$(openssl x509 -hash -noout -in "$2").0" &&
            mount --bind "$1/certs" /etc/ssl/certs || exit 99
            curl -sS --noproxy '*' --connect-to "::$5" "https://$6/" >&2 || exit 98
            exec "$4" call payments / --as cart -o json --timeout 10s"""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.mesh.dir, public.ca_cert, "", support.program("meshctl"), server.address, dns("payments")],
                              env={**clean, **peers.static_env(self.caller.identity, path)}, capture_output=True, text=True, timeout=60 * support.SLOW, check=False)
        self.assertNotIn(done.returncode, (98, 99), done.stderr)
        self.assertEqual(json.loads(done.stdout)["errors"], {"MESH_E_IDENTITY": 1}, done.stderr)
        self.assertEqual(len(server.requests), 1, "curl's, and no byte of ours")
        self.assertGreaterEqual(server.connections, 2)

    def test_a_refused_connection_is_never_used_again(self):
        """Each call makes a connection of its own to the impostor and is refused on it; none is let through as `already open`. Who comes upon the session of a handshake that nobody has judged yet makes one more."""
        impostor = self.server(self.pki.mint("impostor", uris=[spiffe("orders")], names=[dns("payments")]), peers.swallow)
        _, summary = self.caller.call(impostor.address, args=("-n", 20, "-c", 4))
        self.assertEqual((summary["failed"], summary["errors"]), (20, {"MESH_E_IDENTITY": 20}))
        self.assertEqual(impostor.requests, [])
        self.assertGreaterEqual(impostor.connections, 20)

    def test_an_endpoint_that_changes_hands_is_judged_anew_on_each_connection(self):
        """A server that was right, closes, and is another after: the good past of the address opens no door."""
        right, wrong = self.pki.good("payments"), self.pki.good("orders")

        def one_answer(server, tls):
            if request := peers.read_request(tls):
                server.saw(request)
            server.become(wrong)
            tls.sendall(peers.OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        server = self.server(right, one_answer)
        done, summary = self.caller.call(server.address, args=("-n", 5))
        self.assertEqual((summary["ok"], summary["errors"]), (1, {"MESH_E_IDENTITY": 4}), done.stderr)
        self.assertEqual(len(server.requests), 1)

    def test_bundles_are_kept_by_trust_domain(self):
        """Two meshes, each right at home: neither side takes the other, though each chain is good under its own root."""
        other = support.Mesh(trust_domain="other.local")
        self.addCleanup(other.close)
        other.start()
        theirs = peers.issued(other, "payments")
        self.assertEqual(self.caller.error_of(theirs)[0], "MESH_E_IDENTITY")
        judge = peers.Judge(self.mesh)
        self.assertIn(judge.refusal_of(theirs), ("chain", "trust-domain"))
        # The same root in both, as a careless operator might do it, still joins nothing.
        both = os.path.join(self.mesh.dir, "both.pem")
        with open(both, "w") as out:
            for bundle in (self.caller.identity.bundle, theirs.bundle):
                with open(bundle) as f:
                    out.write(f.read())
        self.caller.identity.bundle = both
        error, said = self.caller.error_of(theirs)
        self.assertEqual(error, "MESH_E_IDENTITY", said)
        self.assertIsNone(self.caller.error_of(self.pki.good("payments"))[0], "with both roots the own domain still works")

    def test_there_is_no_plaintext_fallback(self):
        """A peer that speaks no TLS gets no request, on either side."""
        import socket
        import threading
        seen = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def plaintext():
            for _ in range(3):  # the built-in retries
                with listener.accept()[0] as conn:
                    seen.append(conn.recv(65536))
                    conn.sendall(peers.OK)
        thread = threading.Thread(target=plaintext, daemon=True)
        thread.start()
        _, summary = self.caller.call("127.0.0.1:%d" % listener.getsockname()[1], args=("--timeout", "10s"))
        thread.join(10 * support.SLOW)
        self.assertEqual(summary["errors"], {"MESH_E_TLS": 1})
        self.assertEqual([heard[:1] for heard in seen], [b"\x16"] * 3, "a TLS handshake record, not a request")
        judge = peers.Judge(self.mesh)
        handled = judge.handled()
        host, port = judge.address.split(":")
        with socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: payments.default.mesh.local\r\n\r\n")
            answer = b""
            try:
                while chunk := plain.recv(4096):
                    answer += chunk
            except ConnectionResetError:
                pass
        self.assertNotIn(b"HTTP/1.1 200", answer)
        support.wait_until(lambda: judge.reasons().get("protocol"), "counted")
        self.assertEqual(judge.handled(), handled)


if __name__ == "__main__":
    unittest.main()
