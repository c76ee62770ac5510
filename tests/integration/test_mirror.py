"""A mirror: about its share of the calls arrives there, and while it is down callers have the same answers as fast."""

import http.client
import json
import os
import re
import signal
import sys
import unittest

import peers
import support
from test_edits import page

CALLS, SHARE, STRAY = 1000, 200, 64  # five standard deviations


class Mirror(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.next_probe = f"127.0.0.1:{support.free_port()}"
        self.payments = self.mesh.serve("payments")
        self.next = self.mesh.serve("payments-next", env={"MESH_PROBE_LISTEN": self.next_probe, "MESH_PROBE_METRICS": "1"})

    def apply(self, text):
        path = os.path.join(self.mesh.dir, "mirror.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.mesh.ctl("apply", "-f", path)

    def test_as_the_page_has_it_about_a_fifth_of_the_calls_arrives_there_too(self):
        self.apply(re.search(r"^```yaml\n(.*?)^```$", page("MIRROR.md"), re.M | re.S).group(1))
        probe = f"127.0.0.1:{support.free_port()}"
        port = support.free_port()
        child = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments", "--data", self.mesh.data], "connect",
                                env={"MESH_PROBE_LISTEN": probe, "MESH_PROBE_METRICS": "1"})
        child.wait_for_output("connected")
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30 * support.SLOW)
        self.addCleanup(client.close)
        for _ in range(CALLS):
            client.request("GET", "/")
            self.assertEqual(json.loads(client.getresponse().read())["service"], "payments")

        def told(seen, name, label):
            return seen.get(f'{name}{{{label}}}', 0)

        def all_over():
            seen = peers.metrics(probe)
            answered, failed = (told(seen, "mesh_mirror_total", f'result="{result}"') for result in ("answered", "failed"))
            left_out = sum(told(seen, "mesh_mirror_left_out_total", f'reason="{reason}"') for reason in ("limit", "failed", "streamed"))
            arrived = peers.metrics(self.next_probe).get("mesh_inbound_requests_total", 0)
            return failed == 0 and answered == arrived and abs(answered + left_out - SHARE) <= STRAY and (answered, left_out)
        answered, left_out = support.wait_until(all_over, "about a fifth to be mirrored")
        print(f"mirror 20%: of {CALLS} calls {answered:.0f} arrived there, {left_out:.0f} were left out", file=sys.stderr)

    def test_while_it_is_down_callers_have_their_answers_and_as_fast(self):
        # The one route mirrors, the other does not: both are called at the same time, so that whatever else this machine does is done to both.
        self.apply("apiVersion: mesh/v1\nkind: Service\nname: payments\nroutes:\n"
                   "- {name: mirrored, match: [{path: {prefix: /mirrored}}], mirror: {service: payments-next, percent: 20}}\n")
        self.next.signal(signal.SIGSTOP)  # nobody answers there, not even a handshake
        self.addCleanup(self.next.signal, signal.SIGCONT)
        children = [self.mesh.spawn([support.program("meshctl"), "call", "--as", "cart", "payments", path, "-n", 2 * CALLS, "-c", 2, "--timeout", "60s", "-o", "json", "--data", self.mesh.data], name)
                    for name, path in (("plain", "/plain"), ("mirrored", "/mirrored"))]
        for child in children:
            support.wait_until(lambda c=child: not c.running(), "the calls to end", 120)
        plain, mirrored = (json.loads(child.out()) for child in children)
        for result in (plain, mirrored):
            self.assertEqual((result["ok"], result["status"], result["tries"], result["errors"]), (2 * CALLS, {"200": 2 * CALLS}, 2 * CALLS, {}))
            self.assertEqual(list(result["instances"]), [self.payments.info["instance"]])
        # A caller that waits for the copy waits for a second, the copy's connectTimeout.
        with_it, without = mirrored["latencyMs"], plain["latencyMs"]
        print("mirror 20%% that hangs: p50 %.3f ms, p99 %.3f ms; without, beside it: p50 %.3f ms, p99 %.3f ms" % (with_it["p50"], with_it["p99"], without["p50"], without["p99"]), file=sys.stderr)
        self.assertLess(with_it["p99"], without["p99"] + 500, (with_it, without))
        self.assertLess(with_it["p50"], 3 * without["p50"] + 1, (with_it, without))


if __name__ == "__main__":
    unittest.main()
