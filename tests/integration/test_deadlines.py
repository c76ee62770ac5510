"""A deadline over three hops: it travels, who comes late is refused at once, and nothing begins after it."""

import contextlib
import http.client
import socket
import time
import unittest

import hops
import peers
import support

DEADLINE_MS = 300 * support.SLOW


class Deadlines(support.MeshTest):
    def setUp(self):
        super().setUp()
        for service in ("a", "b", "c"):
            self.mesh.be_patient(service)
        self.a, self.b, self.c = hops.chain(self.mesh, "a", "b", "c", c={"MESH_WORKERS": "1"})
        self.mesh.call("a", "/warm", "--as", "cart")

    def call(self, path, *args):
        return self.mesh.call("a", path, "--as", "cart", *args)

    def paths(self, hop):
        return [e.path for e in hop.entered() if e.path != "/warm"]

    @staticmethod
    def pass_deadline(hop):
        """Each hop counts from when it was asked, a little later than who asked."""
        last = hop.entered()[-1]
        support.wait_until(lambda: time.monotonic() * 1000 > last.us / 1000 + last.remaining, "the deadline")

    def hold(self, hop):
        """A request that its handler keeps until it is let go."""
        load = self.mesh.spawn([support.program("meshctl"), "call", hop.service, "/hold/" + hop.service, "--as", "cart", "--timeout", "100s", "--data", self.mesh.data], "holds-" + hop.service)
        support.wait_until(lambda: self.paths(hop), "it is held")
        return load

    def test_each_hop_is_told_what_is_left(self):
        self.assertEqual(self.call("/x", "--timeout", f"{DEADLINE_MS * 10}ms")["status"], {"200": 1})
        left = [hop.entered()[-1].remaining for hop in (self.a, self.b, self.c)]
        self.assertEqual(left, sorted(left, reverse=True))
        self.assertTrue(0 < left[2] <= left[0] <= DEADLINE_MS * 10, left)

    def test_what_waited_for_c_until_it_was_late_is_refused_and_never_runs(self):
        holding = self.hold(self.c)
        result = self.call("/late", "--timeout", f"{DEADLINE_MS}ms")
        self.assertEqual(result["errors"], {"MESH_E_TIMEOUT": 1})
        self.assertLess(result["latencyMs"]["max"], 20 * DEADLINE_MS)
        self.assertEqual((self.paths(self.a), self.paths(self.b)), (["/late"], ["/late"]))
        support.wait_until(self.b.failed, "the call in between has ended, too")
        self.pass_deadline(self.b)
        self.c.let_go()
        self.assertEqual(holding.child.wait(60), 0)
        self.assertEqual(self.call("/next")["status"], {"200": 1}, "c serves again")
        self.assertEqual(self.paths(self.c), ["/hold/c", "/next"], "what was late never ran")

    def test_who_learns_of_the_deadline_too_late_calls_nobody(self):
        result = self.call("/hold/b", "--timeout", f"{DEADLINE_MS}ms")
        self.assertEqual(result["errors"], {"MESH_E_TIMEOUT": 1})
        self.pass_deadline(self.b)
        self.b.let_go()
        (failed,) = support.wait_until(self.b.failed, "b goes on, and fails")
        self.assertIn("failed MESH_E_TIMEOUT 0 the deadline passed before a try could begin", failed)
        self.assertEqual(self.call("/next")["status"], {"200": 1})
        self.assertEqual(self.paths(self.c), ["/next"])

    def test_c_refuses_at_once_what_is_already_late(self):
        cart = peers.issued(self.mesh, "cart")
        host, port = self.c.address.rsplit(":", 1)
        with contextlib.closing(http.client.HTTPConnection(host, int(port))) as connection:
            connection.sock = peers.client_context(cart).wrap_socket(socket.create_connection((host, int(port)), timeout=20 * support.SLOW))
            began = time.monotonic()
            connection.request("GET", "/late", headers={"Host": peers.dns("c"), "mesh-deadline-ms": "0"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.getheader("mesh-not-processed")), (504, "1"))
            self.assertIn(b"late", answer.read())
            self.assertLess(time.monotonic() - began, 5 * support.SLOW)
            connection.request("GET", "/in-time", headers={"Host": peers.dns("c"), "mesh-deadline-ms": "60000"})
            self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(self.paths(self.c), ["/in-time"])


if __name__ == "__main__":
    unittest.main()
