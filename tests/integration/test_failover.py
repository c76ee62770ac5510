"""Zones, failover and panic with real processes: who gets which calls while endpoints are unhealthy, and when they are well again."""

import http.client
import json
import math
import os
import sys
import time
import unittest

import load
import pages
import peers
import support

CHECK = {"interval": "100ms", "timeout": "20s", "unhealthyAfter": 1, "healthyAfter": 1}
CALLS = 1000 // support.STRIDE
RETURN = 3  # seconds that half of the endpoints have to have been healthy


class Page(pages.Page):
    """docs/FAILOVER.md, run."""

    def test_the_page(self):
        self.run_page("FAILOVER.md")


class Caller:
    """A process in zone a that stays, through which a test calls one service."""

    def __init__(self, test, service):
        self.test = test
        self.probe = f"127.0.0.1:{support.free_port()}"
        env = {"MESH_ZONE": "a", "MESH_LOG": "info", "MESH_PROBE_LISTEN": self.probe, "MESH_PROBE_METRICS": "1"}
        gateway = load.Gateway(test.mesh, service, env=env, name=f"gateway-{service}")
        self.child = gateway.child
        self.connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60 * support.SLOW)
        test.addCleanup(self.connection.close)

    def calls(self, n):
        """How many of n calls, each answered 200, every app gets; those that get none are left out."""
        apps = self.test.apps
        before = {name: app.calls for name, app in apps.items()}
        for _ in range(n):
            self.connection.request("GET", "/")
            answer = self.connection.getresponse()
            answer.read()
            self.test.assertEqual(answer.status, 200)
        return {name: app.calls - before[name] for name, app in apps.items() if app.calls > before[name]}

    def turn(self, well, *names):
        """These apps are well, or not, and the caller has found out."""
        what = "endpoint passes its health checks again" if well else "endpoint fails its health checks"
        seen = len(self.child.events(what))
        for name in names:
            self.test.apps[name].well = well
        support.wait_until(lambda: len(self.child.events(what)) >= seen + len(names), f"{len(names)} times: {what}")

    def count(self, metric, service):
        return peers.metrics(self.probe)['%s{service="%s.default"}' % (metric, service)]


class Failover(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.apps = {}

    def apply(self, service, **fields):
        path = os.path.join(self.mesh.dir, f"{service}.json")
        with open(path, "w") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": service, "healthCheck": CHECK, "loadBalancer": {"policy": "roundRobin"}, **support.PATIENCE, **fields}, f)
        self.mesh.ctl("apply", "-f", path)
        support.wait_until(lambda: all(c["state"] == "current" for c in self.mesh.ctl_json("sync-status", check=False)["clients"]), f"{service}'s document everywhere")

    def serve(self, service, *names, zone="a"):
        for name in names:
            app = self.apps[name] = peers.App()
            self.addCleanup(app.close)
            self.mesh.serve(service, "--zone", zone, "--upstream", "http://127.0.0.1:%d" % app.server_address[1])

    def panic(self, caller):
        """Both are unhealthy and nobody takes over: they are called all the same."""
        caller.turn(False, "p1", "p2")
        self.assertEqual(caller.calls(20), {"p1": 10, "p2": 10})
        self.assertEqual(caller.count("mesh_panic_tries_total", "payments"), 20)
        begins, = caller.child.events("panic begins")
        self.assertEqual((begins["service"], begins["healthy"]), ("payments.default", "0 of 2"))

    def go_over(self, caller):
        self.apply("payments", failover=[{"service": "payments-dr"}])
        support.wait_until(lambda: "d1" in caller.calls(1), "the first word of payments-dr")  # until it comes panic has to do
        self.assertEqual(caller.calls(20), {"d1": 20})
        told = [(e["service"], e["to"]) for e in caller.child.events("failover begins")]
        self.assertEqual((len(caller.child.events("panic ends")), told), (1, [("payments.default", "payments-dr.default")]))

    def come_back(self, caller, healed):
        support.wait_until(lambda: "p1" in caller.calls(1), "the calls to come back")
        away = time.monotonic() - healed
        print(f"failover: {away:.2f} s from recovery to return", file=sys.stderr)
        self.assertGreaterEqual(away, RETURN)
        self.assertEqual(caller.calls(20), {"p1": 20})
        caller.child.wait_for_event("failover ends")

    def spill(self, caller):
        """Own zone down to half, and back."""
        self.assertEqual(sum(n for name, n in caller.calls(100).items() if name[0] == "n"), 100)
        caller.turn(False, "n1", "n2")
        got = caller.calls(CALLS)
        near = got["n3"] + got["n4"]
        print(f"own zone with half of its replicas: {100 * near / CALLS:.1f}% of {CALLS} calls stay, 70% by the table", file=sys.stderr)
        self.assertEqual(sorted(got), ["f1", "f2", "n3", "n4"])
        self.assertLessEqual(abs(near - 0.7 * CALLS), 5 * math.sqrt(0.7 * 0.3 * CALLS))
        caller.turn(True, "n1", "n2")
        self.assertEqual(caller.calls(100), {"n1": 25, "n2": 25, "n3": 25, "n4": 25})
        self.assertEqual(caller.child.events("panic begins") + caller.child.events("failover begins"), [])

    def test_own_zone_down_to_half_spills_by_envoys_table_and_another_service_takes_over_and_gives_back_with_hysteresis(self):
        self.serve("payments", "p1", "p2")
        self.serve("payments-dr", "d1")
        self.serve("orders", "n1", "n2", "n3", "n4")
        self.serve("orders", "f1", "f2", zone="b")
        for service, n in (("payments", 2), ("payments-dr", 1), ("orders", 6)):
            self.mesh.wait_endpoints(service, n)
        self.apply("payments")
        self.apply("orders")
        payments, orders = Caller(self, "payments"), Caller(self, "orders")
        payments.calls(1)  # from here on they are checked
        orders.calls(1)

        self.panic(payments)
        self.go_over(payments)
        healed = time.monotonic()
        payments.turn(True, "p1")
        panics = payments.count("mesh_panic_tries_total", "payments")
        self.assertEqual(payments.calls(5), {"d1": 5})
        self.spill(orders)  # while they wait
        self.come_back(payments, healed)
        self.assertGreaterEqual(payments.count("mesh_failover_tries_total", "payments"), 26)
        self.assertEqual(payments.count("mesh_panic_tries_total", "payments"), panics)


if __name__ == "__main__":
    unittest.main()
