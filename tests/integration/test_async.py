"""Ten thousand calls under way at once from one thread: all are answered, over a few connections, with modest memory, over either protocol."""

import json
import os
import signal
import subprocess
import unittest

import support

CALLS = 10000
CONNECTIONS = 8


class Async(support.MeshTest):
    def apply(self, protocol):
        path = os.path.join(self.mesh.dir, "payments.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\nprotocol: %s\ntimeout: 100s\nconnectTimeout: 50s\n"
                    "circuitBreaker: {maxConnections: %d, maxRequests: 20000, maxPending: 20000}\n" % (protocol, CONNECTIONS))
        self.mesh.ctl("apply", "-f", path)

    def run_calls(self, server, *argv):
        """The server stands still while the calls are started: so all are under way at once, unless they are cancelled."""
        env = {"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": self.mesh.token("cart", "--uses", "0")}
        child = subprocess.Popen([support.helper("in_flight"), *map(str, argv)], env={**{k: v for k, v in os.environ.items() if not k.startswith("MESH_")}, **env}, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.assertEqual(child.stdout.readline(), "joined 1\n")
            os.kill(server.pid, signal.SIGSTOP)
            try:
                child.stdin.write("\n")
                child.stdin.flush()
                self.assertEqual(child.stdout.readline(), "underway %d\n" % argv[0])
            finally:
                os.kill(server.pid, signal.SIGCONT)
            out, err = child.communicate(timeout=120 * support.SLOW)
        finally:
            child.kill()
            child.wait()
        self.assertEqual(child.returncode, 0, err[-3000:])
        seen = json.loads(out)
        print(seen)
        return seen

    def test_ten_thousand_are_answered_over_eight_connections(self):
        server = self.mesh.serve("payments")
        for protocol in ("http2", "http"):
            with self.subTest(protocol):
                self.apply(protocol)
                seen = self.run_calls(server, CALLS, "payments")
                self.assertEqual((seen["answered"], seen["failed"]), (CALLS, 0))
                self.assertLessEqual(seen["connections"], CONNECTIONS)
                if not support.SANITIZED:
                    self.assertLess(seen["grownKiB"], 256 * 1024)

    def test_each_that_is_cancelled_ends_once_and_the_others_are_answered(self):
        server = self.mesh.serve("payments")
        for protocol in ("http2", "http"):
            with self.subTest(protocol):
                self.apply(protocol)
                seen = self.run_calls(server, CALLS // 4, "payments", 2)
                self.assertEqual(seen["answered"] + seen["cancelled"], CALLS // 4)
                self.assertGreater(seen["cancelled"], 0)


if __name__ == "__main__":
    unittest.main()
