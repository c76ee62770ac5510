"""A service's protocol changes while it is called: each call is answered."""

import json
import unittest

import peers
import support


class Protocol(support.MeshTest):
    def test_no_call_is_lost_while_the_protocol_changes(self):
        self.mesh.serve("payments")
        self.mesh.serve("payments")
        self.mesh.wait_endpoints("payments", 2)
        self.mesh.be_patient("payments", timeout="60s", protocol="http")
        probe = f"127.0.0.1:{support.free_port()}"
        child = self.mesh.spawn([support.program("meshctl"), "call", "--as", "cart", "payments", "/", "-X", "POST", "-d", "pay", "-n", 1500, "-c", 4, "--rate", 500, "-o", "json",
                                 "--data", self.mesh.data], "caller", env={"MESH_PROBE_LISTEN": probe, "MESH_PROBE_METRICS": "1"})

        def answered(n):
            try:
                return peers.metrics(probe).get('mesh_calls_total{result="answered"}', 0) >= n
            except OSError:
                return False  # it does not listen yet
        for turn, protocol in enumerate(("http2", "grpc", "http", "http2")):
            support.wait_until(lambda: answered(200 * (turn + 1)), "some calls", 60)
            self.assertTrue(child.running())
            self.mesh.be_patient("payments", timeout="60s", protocol=protocol)
        support.wait_until(lambda: not child.running(), "the calls to end", 60)
        result = json.loads(child.out())
        self.assertEqual((result["ok"], result["failed"], result["errors"]), (1500, 0, {}))


if __name__ == "__main__":
    unittest.main()
