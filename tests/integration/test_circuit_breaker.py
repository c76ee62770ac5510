"""circuitBreaker: a destination gets no more of calls, of connections and of waiting than is said, by any number of callers, and what is within is not touched."""

import http.server
import json
import os
import signal
import socket
import threading
import unittest

import peers
import support

CALLERS = 64


class Handler(http.server.BaseHTTPRequestHandler):
    """A GET stays until the crowd is let go."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.crowd.met(self.connection)

    def finish(self):
        self.server.crowd.parted(self.connection)
        super().finish()

    def do_GET(self):
        self.server.crowd.stay()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def has_ended(connection):
    """Whether the caller has closed it, though its thread here may not have noticed."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 2 * CALLERS


class Crowd:
    """Servers that hold every request until they are told to let go, and know how many they hold."""

    def __init__(self, n):
        self.mu = threading.Lock()
        self.connections = set()
        self.now = self.most = self.most_connections = 0
        self.open = threading.Event()
        self.servers = [Server(("127.0.0.1", 0), Handler) for _ in range(n)]
        for server in self.servers:
            server.crowd = self
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def met(self, connection):
        with self.mu:
            self.connections.add(connection)
            self.most_connections = max(self.most_connections, sum(not has_ended(c) for c in self.connections))

    def parted(self, connection):
        with self.mu:
            self.connections.discard(connection)

    def stay(self):
        with self.mu:
            self.now += 1
            self.most = max(self.most, self.now)
            gate = self.open
        gate.wait(120 * support.SLOW)
        with self.mu:
            self.now -= 1

    def let_go(self):
        """Those that are here, and who comes."""
        with self.mu:
            self.open.set()

    def hold_anew(self):
        """Lets go of those that are here and holds who comes."""
        with self.mu:
            self.open.set()
            self.open = threading.Event()

    def close(self):
        self.let_go()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class CircuitBreaker(support.MeshTest):
    def crowd(self, servers, **limits):
        crowd = Crowd(servers)
        self.addCleanup(crowd.close)
        path = os.path.join(self.mesh.dir, "crowd.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("apiVersion: mesh/v1\nkind: Endpoints\nname: payments\ninsecurePlaintext: true\nendpoints:\n" +
                    "".join(f"- address: 127.0.0.1:{s.server_address[1]}\n" for s in crowd.servers))
        self.mesh.ctl("apply", "-f", path)
        self.limit(**limits)
        return crowd

    def limit(self, **limits):
        self.mesh.be_patient("payments", timeout="60s", circuitBreaker=limits)

    def begin(self, calls, at_once, *args):
        """A process that calls, and where it tells its metrics."""
        probe = f"127.0.0.1:{support.free_port()}"
        child = self.mesh.spawn([support.program("meshctl"), "call", "--as", "cart", "payments", "/", "-n", calls, "-c", at_once, *args, "-o", "json", "--data", self.mesh.data],
                                f"caller-{len(self.mesh.children)}", env={"MESH_PROBE_LISTEN": probe, "MESH_PROBE_METRICS": "1"})
        return child, probe

    def until_counts(self, probe, **wanted):
        """Waits until the caller's metrics are these: open_LIMIT, or a gauge."""
        names = {key: f'mesh_circuit_open_total{{limit="{key[5:]}"}}' if key.startswith("open_") else f'mesh_circuit_{key}{{service="payments.default"}}' for key in wanted}
        seen = {}

        def there():
            try:
                counts = peers.metrics(probe)
            except OSError:
                return False  # it does not listen yet
            seen.update({key: counts.get(name, 0) for key, name in names.items()})
            return seen == wanted
        try:
            support.wait_until(there, "the counts", 60)
        except AssertionError:
            self.assertEqual(seen, wanted)

    def result(self, child):
        support.wait_until(lambda: not child.running(), "the calls to end", 60)
        return json.loads(child.out())

    def test_no_more_calls_than_max_requests_are_under_way_and_the_rest_are_refused_at_once(self):
        crowd = self.crowd(2, maxRequests=8)
        child, probe = self.begin(CALLERS, CALLERS)
        self.until_counts(probe, open_maxRequests=CALLERS - 8, requests=8, pending=0)
        support.wait_until(lambda: crowd.now == 8, "eight requests at the servers")
        crowd.let_go()
        result = self.result(child)
        self.assertEqual((result["ok"], result["errors"]), (8, {"MESH_E_OVERLOADED": CALLERS - 8}))
        self.assertEqual(result["tries"], 8)  # of those refused there was none, on no endpoint
        self.assertEqual(crowd.most, 8)
        self.assertIn("payments.default: circuitBreaker.maxRequests: 8 calls are under way, and no more may be; nothing was sent", child.err())

    def test_calls_within_the_limits_are_not_touched(self):
        crowd = self.crowd(2, maxRequests=8, maxConnections=8, maxPending=8)
        crowd.let_go()
        child, _ = self.begin(2000, 8)
        result = self.result(child)
        self.assertEqual((result["ok"], result["errors"]), (2000, {}))
        self.assertLessEqual(crowd.most_connections, 8)

    def test_all_endpoints_together_have_no_more_than_max_connections_and_calls_wait_for_one(self):
        crowd = self.crowd(2, maxConnections=4)
        child, probe = self.begin(5 * CALLERS, CALLERS)
        self.until_counts(probe, connections=4, pending=CALLERS - 4, requests=CALLERS)
        support.wait_until(lambda: crowd.now == 4, "four requests at the servers")
        crowd.let_go()
        result = self.result(child)
        self.assertEqual((result["ok"], result["errors"]), (5 * CALLERS, {}))
        self.assertLessEqual(crowd.most, 4)
        self.assertLessEqual(crowd.most_connections, 4)

    def test_no_more_calls_than_max_pending_wait_over_all_endpoints(self):
        crowd = self.crowd(2, maxConnections=2, maxPending=5)
        child, probe = self.begin(CALLERS, CALLERS)
        self.until_counts(probe, connections=2, pending=5, requests=7, open_maxPending=CALLERS - 7)
        support.wait_until(lambda: crowd.now == 2, "two requests at the servers")
        crowd.let_go()
        result = self.result(child)
        self.assertEqual((result["ok"], result["errors"]), (7, {"MESH_E_OVERLOADED": CALLERS - 7}))
        self.assertIn("payments.default: circuitBreaker.maxPending: 5 calls wait for a connection, and no more may; nothing was sent", child.err())

    def test_a_limit_that_is_changed_holds_for_the_calls_that_follow(self):
        crowd = self.crowd(1, maxRequests=4)
        child, probe = self.begin(1000000, 16, "--rate", "300")
        refused = lambda: peers.metrics(probe).get('mesh_circuit_open_total{limit="maxRequests"}', 0)
        support.wait_until(lambda: crowd.now == 4, "four calls", 30)
        self.limit(maxRequests=10)
        support.wait_until(lambda: crowd.now == 10, "ten calls")
        self.limit(maxRequests=2)

        def held():
            """How many come together once there is no room for more."""
            crowd.hold_anew()
            before = refused()
            support.wait_until(lambda: refused() > before + 10, "calls to be refused")
            return crowd.now
        support.wait_until(lambda: held() == 2, "two calls")
        self.assertEqual([held() for _ in range(3)], [2, 2, 2])
        self.mesh.ctl("delete", "service", "payments")
        support.wait_until(lambda: crowd.now == 16, "all callers")
        child.signal(signal.SIGTERM)
        crowd.let_go()
        self.assertEqual(set(self.result(child)["errors"]) - {"MESH_E_CANCELLED", "MESH_E_CLOSED"}, {"MESH_E_OVERLOADED"})


if __name__ == "__main__":
    unittest.main()
