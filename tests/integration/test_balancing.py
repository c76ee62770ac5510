"""Which endpoint a call goes to, end to end: docs/BALANCING.md, and what peak EWMA promises of a slow replica and of a fresh one."""
# tests/run: alone plain

import http.client
import json
import os
import time
import unittest

import load
import pages
import support

FAST, SLOW = 30, 300  # milliseconds


class Page(pages.Page):
    """docs/BALANCING.md, run."""

    def test_the_page(self):
        self.run_page("BALANCING.md")


@unittest.skipIf(support.SANITIZED, "nobody measures a sanitized program")
class PeakEwma(support.MeshTest):
    def run_calls(self, n):
        result = self.mesh.ctl_json("call", "--as", "cart", "-n", str(n), "-c", "3", "payments", "/")
        return result["versions"].get("slow", 0) / n, result["latencyMs"]["p99"]

    def apply(self, policy):
        path = os.path.join(self.mesh.dir, "payments.json")
        with open(path, "w") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", "loadBalancer": {"policy": policy}, **support.PATIENCE}, f)
        self.mesh.ctl("apply", "-f", path)

    def test_a_slow_replica_gets_few_calls_and_a_fresh_one_is_called_at_once(self):
        for version in ("a", "b", "slow"):
            self.mesh.serve("payments", "--version", version, "--echo", "--delay", f"{SLOW if version == 'slow' else FAST}ms", name=version)
        self.mesh.wait_endpoints("payments", 3)
        self.apply("roundRobin")
        turns, turns_p99 = self.run_calls(30)
        self.assertGreater(turns, 0.2)
        self.apply("peakEwma")
        share, p99 = self.run_calls(400)
        print(f"slow replica: {100 * share:.1f} % of the calls, p99 {p99:.0f} ms; round robin {100 * turns:.1f} %, p99 {turns_p99:.0f} ms")
        self.assertLess(share, 0.10)
        self.assertGreater(turns_p99, 3 * p99)
        self.fresh_replica()

    def fresh_replica(self):
        gateway = load.Gateway(self.mesh, "payments")
        connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
        self.addCleanup(connection.close)
        self.call(connection)
        fresh = self.mesh.serve("payments", "--version", "fresh", "--echo", name="fresh")
        begun = time.monotonic()
        while self.call(connection)["version"] != "fresh":
            self.assertLess(time.monotonic() - begun, 1)
        self.assertIsNotNone(fresh)

    def call(self, connection):
        connection.request("GET", "/")
        return json.loads(connection.getresponse().read())


if __name__ == "__main__":
    unittest.main()
