"""Active health checks with real processes: an instance whose check fails gets no calls, comes back when it passes, and nobody is asked once no document says so."""

import json
import os
import time
import unittest
import urllib.request

import pages
import peers
import support

CHECK = {"interval": "100ms", "timeout": "20s", "unhealthyAfter": 2, "healthyAfter": 2}
CALLS = 20


class HealthChecks(support.MeshTest):
    def apply(self, **fields):
        path = os.path.join(self.mesh.dir, "payments.json")
        with open(path, "w") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", "loadBalancer": {"policy": "roundRobin"}, **support.PATIENCE, **fields}, f)
        self.mesh.ctl("apply", "-f", path)

    def call(self):
        with self.opener.open(self.url, timeout=30 * support.SLOW) as answer:
            self.assertEqual(answer.status, 200)

    def shares(self):
        """How many of so many calls each gets."""
        before = [app.calls for app in self.apps]
        for _ in range(CALLS):
            self.call()
        return [app.calls - n for app, n in zip(self.apps, before)]

    def checks(self):
        return sum(sum(app.checks.values()) for app in self.apps)

    def await_event(self, what, n):
        return support.wait_until(lambda: (lambda e: e if len(e) >= n else None)(self.caller.events(what)), f"{n} times: {what}")

    def setUp(self):
        super().setUp()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.apps = [peers.App(), peers.App()]
        self.instances = []
        for app in self.apps:
            self.addCleanup(app.close)
            self.instances.append(self.mesh.serve("payments", "--upstream", "http://127.0.0.1:%d" % app.server_address[1]).info["instance"])
        self.mesh.wait_endpoints("payments", 2)
        port = support.free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.apply(healthCheck=CHECK)
        self.caller = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments", "--data", self.mesh.data], "connect",
                                      env={"MESH_LOG": "info"})
        self.caller.wait_for_output("connected")

    def test_who_fails_its_checks_gets_no_calls_until_it_passes_them_again(self):
        sick, well = self.apps
        self.assertEqual((sick.checks, well.checks), ({}, {}), "nobody has called yet")
        self.assertEqual(self.shares(), [CALLS // 2, CALLS // 2])

        sick.well = False
        fell, = self.await_event("endpoint fails its health checks", 1)
        self.assertEqual((fell["service"], fell["reason"]), ("payments.default", "answered 500"))
        self.assertGreaterEqual(sick.checks[500], CHECK["unhealthyAfter"])
        self.assertEqual(self.shares(), [0, CALLS])

        # And meshd is told.
        said = support.wait_until(lambda: (lambda e: e if sum(one["failedCheckOf"] for one in e) else None)(self.mesh.endpoints("payments")), "the caller's report")
        self.assertEqual({e["instance"]: (e["state"], e["callers"], e["ejectedBy"], e["failedCheckOf"]) for e in said},
                         {self.instances[0]: ("healthy", 1, 0, 1), self.instances[1]: ("healthy", 1, 0, 0)})
        self.assertIn("failing checks of 1 of 1 caller\n", self.mesh.ctl("endpoints", "payments").stdout)
        status, (report,) = self.mesh.admin("GET", "/v1/reports?service=payments.default")
        self.assertEqual((status, report["spiffeId"]), (200, "spiffe://mesh.local/ns/default/svc/cart"))
        self.assertEqual({e["instance"]: (e["ejected"], e["failedCheck"], e["costMs"] > 0) for e in report["endpoints"]},
                         {self.instances[0]: (False, True, True), self.instances[1]: (False, False, True)})

        sick.well = True
        self.await_event("endpoint passes its health checks again", 1)
        self.assertEqual(self.shares(), [CALLS // 2, CALLS // 2])

        # Who may call is asked of a check as well.
        self.apply(healthCheck=CHECK, authorization={"default": "deny", "rules": [{"name": "all-but-healthz", "action": "allow", "paths": ["/"]}]})
        denied = self.await_event("endpoint fails its health checks", 3)[1:]
        self.assertEqual({e["reason"] for e in denied}, {"answered 403"})

        # With all of them unhealthy all are used; and without the field none is.
        self.assertEqual(sum(self.shares()), CALLS)
        self.apply(authorization={"default": "deny", "rules": [{"name": "all", "action": "allow"}]})
        support.wait_until(lambda: all(c["state"] == "current" for c in self.mesh.ctl_json("sync-status")["clients"]), "the newest configuration everywhere")
        before, until = self.checks(), time.monotonic() + 0.5
        while time.monotonic() < until:
            self.call()
        self.assertLessEqual(self.checks() - before, len(self.apps))  # those that were under way
        self.assertEqual(self.shares(), [CALLS // 2, CALLS // 2])

        # A gRPC service is asked in the same way, over HTTP/2.
        sick.well = False
        self.apply(protocol="grpc", healthCheck=CHECK)
        self.call()
        fell = self.await_event("endpoint fails its health checks", 4)[3]
        self.assertEqual(fell["reason"], "answered 500")
        self.assertEqual(self.shares(), [0, CALLS])


class HealthPage(pages.Page):
    def test_each_command_prints_what_the_page_says(self):
        self.run_page("HEALTH.md")


if __name__ == "__main__":
    unittest.main()
