"""THREATS 33: everything fails at once. The retry budget holds the extra load at its percentage; three hops deep it does not multiply; recovery is not a stampede."""

import os
import unittest

import hops
import support

BUDGET = {"percent": 20, "minPerSecond": 0, "window": "10s"}
RETRIES = {"attempts": 3, "retryOn": ["gateway-error", "reset", "connect-failure", "unsent"], "backoff": {"base": "2ms", "max": "20ms"}, "budget": BUDGET}
UNDER_WAY = 16


class Threat33(support.MeshTest):
    def fail(self, failing=True):
        path = os.path.join(self.mesh.dir, "failing")
        if failing:
            with open(path, "w", encoding="ascii"):
                pass
        else:
            os.unlink(path)

    def test_every_replica_failing_tries_are_at_most_1_2_times_the_calls(self):
        hops.apply(self.mesh, "payments", retries=RETRIES)
        for _ in range(3):
            self.mesh.serve("payments", "--status", "503")
        self.mesh.wait_endpoints("payments", 3)
        for row in (("-c", UNDER_WAY), ("-c", UNDER_WAY, "--async")):
            with self.subTest(row):
                result = self.mesh.call("payments", "/", "--as", "cart", "-n", 1000, *row)
                print(row, "tries", result["tries"])
                self.assertEqual(result["status"], {"503": 1000})
                self.assertLessEqual(result["tries"], 1200)
                self.assertGreater(result["tries"], 1150, "the budget was there to be used")

    def test_three_hops_deep_the_leaf_sees_at_most_1_73_times_the_calls(self):
        services = ("web", "orders", "payments")
        for service in services:
            hops.apply(self.mesh, service, retries=RETRIES)
        self.fail()
        chain = hops.chain(self.mesh, *services)
        result = self.mesh.call("web", "/", "--as", "cart", "-n", 600, "-c", UNDER_WAY)
        seen = [len(hop.entered()) for hop in chain]
        print("calls 600, at each hop", seen)
        self.assertEqual(result["status"], {"503": 600})
        self.assertEqual(seen[0], result["tries"])
        for hop, (n, most) in enumerate(zip(seen, (1.2, 1.44, 1.73))):
            self.assertLessEqual(n, most * 600, f"hop {hop}")
        self.assertGreater(seen[2], 1.4 * 600, "there was something to hold down")

    def test_recovery_is_not_a_stampede(self):
        hops.apply(self.mesh, "payments", retries=RETRIES)
        leaf = hops.Hop(self.mesh, "payments")
        self.fail()
        load = self.mesh.spawn([support.program("meshctl"), "call", "payments", "/", "--as", "cart", "-n", 100000, "-c", UNDER_WAY, "--rate", 300, "-o", "json", "--data", self.mesh.data], "load")
        support.wait_until(lambda: len(leaf.entered()) > 300, "an outage under load", 30)
        self.fail(False)
        recovered = leaf.entered()
        support.wait_until(lambda: len(leaf.entered()) > len(recovered) + 300, "load after it", 30)
        load.stop()
        after = leaf.entered()[len(recovered):]
        repeated = [e for e in after if e.tried > 1]
        print("retries before recovery", sum(e.tried > 1 for e in recovered), "of", len(recovered), "after it", len(repeated), "of", len(after))
        self.assertGreater(sum(e.tried > 1 for e in recovered), 10, "there were retries before")
        # Those that waited for their turn when it came back, and those that were answered 503 in that moment.
        self.assertLessEqual(len(repeated), 2 * UNDER_WAY)
        self.assertTrue(all(e.tried == 1 for e in after[4 * UNDER_WAY:]), "nobody had saved up")


if __name__ == "__main__":
    unittest.main()
