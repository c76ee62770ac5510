"""THREATS 29: an instance killed with -9 costs the calls in flight on it and no others; a rolling restart under load costs none."""

import contextlib
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

from load import Gateway, Load, connections_to
from support import SLOW, Mesh, MeshTest, wait_until

AT_ONCE = 8
IN_TURN = {"loadBalancer": {"policy": "roundRobin"}}  # so that each replica has its turn, however slow its first answer was


class Counting(ThreadingHTTPServer):
    """An upstream that keeps the calls that reached it, and holds those of /hold until they are let go."""

    daemon_threads = True

    def __init__(self):
        self.seen, self.mu, self.go = [], threading.Lock(), threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def n(self, path):
        with self.mu:
            return sum(p == path for _, p in self.seen)

    def close(self):
        self.go.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.mu:
            self.server.seen.append((self.command, self.path))
        if self.path.startswith("/hold"):
            self.server.go.wait(60)
        body = b'{"instance": "upstream"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # it was killed: that is the test
            self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


class Threat29(MeshTest):

    def setUp(self):
        self.mesh = Mesh(heartbeat=f"{200 * SLOW}ms", lease=f"{1000 * SLOW}ms", grace="0s")
        self.addCleanup(self.mesh.close)
        self.mesh.start()
        self.mesh.be_patient("payments")

    def loaded(self, replicas, calls, rate, *args):
        """Load that has reached every replica."""
        load = Load(self.mesh, "payments", calls, rate, AT_ONCE, args=args)
        wait_until(lambda: all(connections_to(r.info["address"]) for r in replicas), "calls to reach every replica", 30)
        return load

    def held_to(self, load, dead):
        """Failures were few, each on the dead instance last, and it may have been processed; returns the result."""
        self.assertTrue(load.under_way(), "the load ended too early")
        result = load.stop()
        self.assertLessEqual(result["failed"], AT_ONCE, f"more failed than can have been in flight: {result}\n{load.child.err()[-2000:]}")
        self.assertEqual(result["ok"] + result["failed"], result["calls"])
        for error, tried in load.failures():
            self.assertEqual(error, "MESH_E_RESET", load.child.err())
            self.assertIn(dead.info["address"], tried[-1], "failed without having been in flight on the dead instance")
        return result

    def test_killed_under_load_only_what_was_in_flight_on_it_fails(self):
        for method in ("GET", "POST"):
            with self.subTest(method=method):
                replicas = [self.mesh.serve("payments", name=f"{method}-{i}") for i in range(3)]
                self.mesh.wait_endpoints("payments", 3)
                load = self.loaded(replicas, 100000, 500 // SLOW, "-X", method)
                replicas[0].kill()
                self.mesh.wait_endpoints("payments", 2)
                self.held_to(load, replicas[0])
                for replica in replicas[1:]:
                    replica.stop()
                self.mesh.wait_endpoints("payments", 0)

    def test_killed_with_slow_calls_in_flight_each_of_them_and_no_other_fails(self):
        replicas = [self.mesh.serve("payments", "--delay", "200ms") for _ in range(3)]
        self.mesh.wait_endpoints("payments", 3)
        load = self.loaded(replicas, 10000, 30, "-X", "POST")
        replicas[0].kill()
        self.mesh.wait_endpoints("payments", 2)
        result = self.held_to(load, replicas[0])
        self.assertEqual(result["status"], {"200": result["ok"]})

    def test_after_its_lease_no_call_goes_to_it(self):
        self.mesh.be_patient("payments", **IN_TURN)
        replicas = [self.mesh.serve("payments") for _ in range(3)]
        gateway = Gateway(self.mesh, "payments")
        wait_until(lambda: len(gateway.instances(3)) == 3 or None, "every replica to be known")
        replicas[0].kill()
        self.mesh.wait_endpoints("payments", 2)
        gone = next(line for line in self.mesh.audit() if line["event"] == "endpoint-removed")
        self.assertEqual((gone["reason"], gone["instance"]), ("lease", replicas[0].info["instance"]))
        result = self.mesh.call("payments", "/", "-n", 200)
        self.assertEqual((result["failed"], result["tries"]), (0, 200), "a try was lost on the dead instance")

    def test_new_calls_before_its_lease_move_on_to_another(self):
        mesh = Mesh()  # a lease of ten seconds: the dead instance stays on the list
        self.addCleanup(mesh.close)
        mesh.start()
        mesh.be_patient("payments", **IN_TURN)
        replicas = [mesh.serve("payments") for _ in range(2)]
        gateway = Gateway(mesh, "payments")
        wait_until(lambda: len(gateway.instances(2)) == 2 or None, "every replica to be known")
        for replica in replicas[:1]:
            replica.kill()
        left = {replicas[1].info["instance"]}
        wait_until(lambda: not connections_to(replicas[0].info["address"]), "its connections to be gone")
        self.assertEqual(gateway.instances(60), left, "a call failed though another instance was there")
        mesh.be_patient("payments", **IN_TURN, outlierDetection={"consecutiveFailures": 3, "baseEjection": "10m", "maxEjection": "10m"})
        result = mesh.call("payments", "/", "-n", 60)
        self.assertEqual((result["ok"], result["instances"], result["tries"]), (60, {replicas[1].info["instance"]: 60}, 60 + 3), "not so many tries as consecutiveFailures went to the dead one")
        self.assertEqual(len(mesh.endpoints("payments")), 2, "the test took longer than the lease: it proves nothing")

    def hold(self, method):
        """A call held in the handler of one replica, and the replica killed: how many handlers saw it, and how it ended."""
        upstream = Counting()
        self.addCleanup(upstream.close)
        replicas = [self.mesh.serve("payments", "--upstream", upstream.url()) for _ in range(2)]
        self.mesh.wait_endpoints("payments", 2)
        gateway = Gateway(self.mesh, "payments")
        outcome = []

        def run():
            try:
                outcome.append(gateway.ask("/hold", method, b"1" if method == "POST" else None))
            except HTTPError as e:
                outcome.append((e.code, e.read().decode()))

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: upstream.n("/hold") == 1, "the call to reach the handler")
        busy = next(r for r in replicas if connections_to(r.info["address"]))
        busy.kill()
        thread.join(60 * SLOW)
        return upstream.n("/hold"), outcome[0]

    def test_a_post_in_flight_is_not_repeated_and_says_that_it_may_have_been_processed(self):
        times, outcome = self.hold("POST")
        self.assertEqual(times, 1, "a POST that may have been processed was sent again")
        self.assertEqual(outcome[0], 502, outcome)
        self.assertIn("may have been processed", outcome[1])

    def test_a_get_in_flight_is_sent_once_more_at_most(self):
        """Today only what surely reached no handler is repeated; a GET may be."""
        times, outcome = self.hold("GET")
        self.assertLessEqual(times, 2)
        if times == 1:
            self.assertEqual(outcome[0], 502, outcome)

    def test_a_rolling_restart_under_load_fails_no_call(self):
        for protocol, way in (("http", ()), ("http", ("--async",)), ("http2", ()), ("http2", ("--async",))):
            method = "POST" if way else "GET"  # of both no call may fail: what a replica that goes has taken it answers
            with self.subTest(protocol=protocol, way=way, method=method):
                self.mesh.be_patient("payments", protocol=protocol)
                name = f"{protocol}-{method}"
                old = [self.mesh.serve("payments", "--version", "v1", name=f"{name}-old-{i}") for i in range(3)]
                self.mesh.wait_endpoints("payments", 3)
                load = self.loaded(old, 100000, 500 // SLOW, "-X", method, *way)
                new = []
                for i, replica in enumerate(old):
                    new.append(self.mesh.serve("payments", "--version", "v2", name=f"{name}-new-{i}"))
                    self.assertEqual(replica.stop(), 0)
                wait_until(lambda: all(connections_to(r.info["address"]) for r in new), "calls to reach the new ones", 30)
                self.assertTrue(load.under_way(), "the load ended before the restart did")
                result = load.stop()
                self.assertEqual((result["ok"], result["failed"]), (result["calls"], 0), f"{result}\n{load.child.err()[-2000:]}")
                self.assertEqual(set(result["versions"]), {"v1", "v2"})
                self.assertEqual(set(result["instances"]), {r.info["instance"] for r in old + new})
                for replica in new:
                    replica.stop()
                self.mesh.wait_endpoints("payments", 0)

    def test_a_rolling_restart_lets_slow_calls_finish(self):
        old = [self.mesh.serve("payments", "--delay", "300ms", name=f"old-{i}") for i in range(2)]
        self.mesh.wait_endpoints("payments", 2)
        load = self.loaded(old, 10000, 25, "-X", "POST")
        for i, replica in enumerate(old):
            self.mesh.serve("payments", "--delay", "300ms", name=f"new-{i}")
            self.assertEqual(replica.stop(), 0)
        result = load.stop()
        self.assertEqual((result["ok"], result["failed"]), (result["calls"], 0), f"{result}\n{load.child.err()[-2000:]}")
        self.assertGreater(result["ok"], 2, "there was no load")

    def test_a_stopped_replica_is_deregistered_with_its_reason(self):
        replica = self.mesh.serve("payments")
        self.mesh.wait_endpoints("payments", 1)
        self.assertEqual(replica.stop(), 0)
        self.assertEqual(self.mesh.endpoints("payments"), [])
        self.assertEqual([line for line in self.mesh.audit() if line["event"] == "endpoint-removed"], [], "it left by itself, not by its lease")


if __name__ == "__main__":
    unittest.main()
