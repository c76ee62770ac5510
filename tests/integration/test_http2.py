"""HTTP/2 into an application: any client of the mesh that speaks it may."""

import json
import os
import subprocess
import unittest

import h2
import peers
from support import SLOW, MeshTest


class Http2(MeshTest):
    def setUp(self):
        super().setUp()
        self.judge = peers.Judge(self.mesh)
        self.cart = peers.issued(self.mesh, "cart")
        self.url = f"https://{peers.dns('payments')}"

    def curl(self, *args):
        """What it printed; the server's certificate is checked against the mesh's bundle and its name."""
        known = ("--noproxy", "*", "--cert", self.cart.cert, "--key", self.cart.key, "--cacert", self.cart.bundle, "--connect-to", f"::{self.judge.address}")
        done = subprocess.run(["curl", "-sS", *known, *args], capture_output=True, text=True, timeout=60 * SLOW)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def connections(self):
        return int(peers.metrics(self.judge.probe)['mesh_connections_total{listener="inbound"}'])

    def test_who_calls_is_in_the_certificate_whatever_is_spoken(self):
        for version, said in (("--http2", "2"), ("--http1.1", "1.1")):
            echo, spoken = self.curl(version, "-w", "\n%{http_version}", "-H", "mesh-peer: forged", self.url + "/a?b").rsplit("\n", 1)
            seen = json.loads(echo)
            self.assertEqual(spoken, said)
            self.assertEqual((seen["peer"], seen["path"]), (peers.spiffe("cart"), "/a?b"))
            self.assertNotIn("mesh-peer", seen["headers"])

    def test_a_hundred_calls_at_once_are_one_connection(self):
        urls = [arg for i in range(100) for arg in ("-o", "/dev/null", f"{self.url}/{i}")]
        before = self.connections()
        self.assertEqual(self.curl("--http2", "--no-progress-meter", "-Z", "--parallel-max", "100", "-w", "%{http_version} %{http_code}\n", *urls), "2 200\n" * 100)
        self.assertEqual(self.connections(), before + 1)
        self.assertEqual(self.judge.handled(), 100)

    def test_a_body_of_a_megabyte(self):
        path = os.path.join(self.mesh.dir, "body")
        with open(path, "wb") as f:
            f.write(os.urandom(1024 * 1024))
        seen = json.loads(self.curl("--http2", "--data-binary", "@" + path, self.url))
        self.assertEqual(seen["bodyBytes"], 1024 * 1024)

    def test_a_peer_of_whom_no_one_has_heard_gets_nowhere(self):
        known = ("--noproxy", "*", "--cacert", self.cart.bundle, "--connect-to", f"::{self.judge.address}")
        done = subprocess.run(["curl", "-sS", "--http2", *known, self.url], capture_output=True, text=True, timeout=60 * SLOW)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.judge.handled(), 0)

    def test_who_is_revoked_is_told_to_go_and_what_was_asked_before_is_answered(self):
        """THREATS 16: the connection outlives the handshake; who is on it is looked at again."""
        self.mesh.serve("slow", "--delay", "3s", name="slow")
        slow = self.mesh.endpoints("slow")[0]["address"]
        with h2.dial(self.judge.address, peers.client_context(self.cart)) as idle, h2.dial(slow, peers.client_context(self.cart)) as busy:
            idle.say(h2.request(1))
            self.assertEqual(idle.until_over(1).status(1), 200)
            busy.say(h2.request(1))
            self.mesh.ctl("cert", "revoke", self.cart.serial)
            idle.until_closed()
            self.assertEqual(idle.goaway, (1, h2.NO_ERROR))
            self.assertEqual(busy.until_over(1).status(1), 200)
            busy.say(h2.request(3))
            busy.until_closed()
            self.assertIsNone(busy.status(3))
            self.assertEqual(self.judge.handled(), 1)


if __name__ == "__main__":
    unittest.main()
