"""Hedging by a service's document, with real processes: its figure, and the page's example. The rules one by one: tests/unit/api/test_hedging.c."""

import json
import os
import re
import unittest

import hops
import support

SLOW_MS, EVERY = 1000, 50
CALLS, AT_ONCE = (200, 4) if support.SANITIZED else (800, 16)


class Hedging(support.MeshTest):
    def slow_service(self, service, instances):
        """Two in a hundred of its answers take a second."""
        env = {"MESH_CONTROL": self.mesh.info["control"], "MESH_SERVICE": service, "MESH_LISTEN": "127.0.0.1:0", "MESH_WORKERS": "64"}
        made = [self.mesh.spawn([support.helper("slow"), 40, EVERY, SLOW_MS], f"{service}-{i}", env={**env, "MESH_TOKEN": self.mesh.token(service)}) for i in range(instances)]
        for child in made:
            child.wait_for_output(r"^serving$", 30)
        self.mesh.wait_endpoints(service, instances)
        return made

    def test_hedging_after_p95_halves_p99_of_a_service_with_two_in_a_hundred_slow_calls_for_at_most_five_in_a_hundred_more_requests(self):
        servers = self.slow_service("ledger", 2)
        tries, entries, p99, slow = [], [], [], []
        for hedging in ({"delay": "off"}, {"delay": "p95", "maxExtraPercent": 5}):
            hops.apply(self.mesh, "ledger", hedging=hedging)
            result = self.mesh.call("ledger", "/", "--as", "cart", "-n", CALLS, "-c", AT_ONCE)
            self.assertEqual(result["status"], {"200": CALLS})
            entered = [line for s in servers for line in s.out().splitlines() if line.startswith(("fast", "slow"))]
            tries.append(result["tries"])
            entries.append(len(entered) - sum(entries))
            self.assertGreaterEqual(entries[-1], CALLS, "each call reached a server")
            self.assertLessEqual(entries[-1], tries[-1], "no request was made that is not counted; a second one may be called off on its way")
            slow.append(sum(line == "slow 1" for line in entered) - sum(slow))
            p99.append(result["latencyMs"]["p99"])
        print(f"p99 {p99[0]} ms -> {p99[1]} ms, requests {tries[0]} -> {tries[1]} for {CALLS} calls, of which {slow[0]} and {slow[1]} were slow", end=" ", flush=True)
        self.assertEqual(tries[0], CALLS)
        self.assertGreater(entries[1], CALLS)
        self.assertLessEqual(tries[1], CALLS * 1.05)
        if not support.SANITIZED:
            self.assertGreaterEqual(min(slow), CALLS // 100 + 2, "more than one in a hundred was slow")
            self.assertGreaterEqual(p99[0], SLOW_MS)
            self.assertLessEqual(p99[1], p99[0] / 2)

    def test_the_example_does_what_the_page_says(self):
        with open(os.path.join(support.SRC, "docs", "HEDGING.md"), encoding="utf-8") as f:
            page = f.read()
        path = os.path.join(self.mesh.dir, "payments.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)[-1])
        commands = [line.split()[1:] for line in re.search(r"^```sh\n(.*?)^```$", page, re.M | re.S).group(1).splitlines()]
        expected = json.loads(re.search(r"^```json\n(.*?)^```$", page, re.M | re.S).group(1))
        self.assertEqual([c[0] for c in commands], ["apply", "call", "call"])
        well = self.mesh.serve("payments").info["instance"]
        self.mesh.serve("payments", "--delay", "1h")
        self.mesh.wait_endpoints("payments", 2)
        self.mesh.ctl(*[path if arg == "payments.yaml" else arg for arg in commands[0]])
        for command in commands[1:]:
            with self.subTest(command):
                result = json.loads(self.mesh.ctl(*command).stdout)
                self.assertEqual({key: result[key] for key in expected}, expected)
                self.assertEqual(result["instances"], {well: 20})
                self.assertGreater(result["tries"], 20)


if __name__ == "__main__":
    unittest.main()
