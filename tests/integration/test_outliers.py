"""Outlier detection with real processes: a replica that fails is out, is probed by exactly one request, comes back when that goes well; and how many may be out at once."""

import contextlib
import json
import os
import re
import threading
import time
import unittest
from urllib.error import HTTPError

import peers
import support
from load import Gateway

FAILURES = 7
IN_TURN = {"loadBalancer": {"policy": "roundRobin"}}
WORKERS = 8


def answer(status):
    return b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\n{}" % status


class Replica:
    """A server that answers with `status`, as soon as it is let; `times` has when each request came."""

    def __init__(self, identity, status, test):
        self.status, self.times, self.open = status, [], threading.Event()
        self.open.set()
        self.server = peers.TlsServer(identity, self.serve)
        test.addCleanup(self.server.close)
        test.addCleanup(self.open.set)
        self.address = self.server.address

    def serve(self, server, tls):
        while peers.read_request(tls):
            with server.mu:
                self.times.append(time.monotonic())
            self.open.wait(60 * support.SLOW)
            tls.sendall(answer(self.status))

    def seen(self):
        return len(self.times)


class Crowd:
    """Calls by many at once, until it is ended; how many failed."""

    def __init__(self, gateway):
        self.gateway, self.failed, self.over, self.mu = gateway, 0, threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.gateway.ask()
            except HTTPError as e:
                e.close()
                with self.mu:
                    self.failed += 1

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60 * support.SLOW)


class Outliers(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.identity = peers.issued(self.mesh, "payments")
        self.cart = peers.issued(self.mesh, "cart")

    def env(self, replicas, name="static", **fields):
        path = os.path.join(self.mesh.dir, f"{name}.yaml")
        peers.endpoints_file(path, "payments", *(r.address for r in replicas), patient=True, fields=fields)
        return peers.static_env(self.cart, path, MESH_LOG="info")

    def replicas(self, *statuses):
        return [Replica(self.identity, status, self) for status in statuses]

    def test_seven_500s_put_a_replica_out_for_a_second_then_exactly_one_request_probes_it(self):
        bad, good, other = replicas = self.replicas(500, 200, 200)
        gateway = Gateway(self.mesh, "payments", env=self.env(replicas, **IN_TURN))
        for _ in range(3 * FAILURES):
            with contextlib.suppress(HTTPError):
                gateway.ask()
        first = gateway.child.wait_for_event("endpoint ejected")
        self.assertEqual((bad.seen(), first["endpoint"], first["reason"], first["last"], first["for"], first["ejected"]),
                         (FAILURES, bad.address, "7 failures in a row", "500", "1000ms", "1 of 3"))
        bad.open.clear()
        crowd = Crowd(gateway)
        self.addCleanup(crowd.end)
        support.wait_until(lambda: bad.seen() > FAILURES, "the probe")
        before = good.seen() + other.seen()
        support.wait_until(lambda: good.seen() + other.seen() > before + 50, "calls beside the probe", 30)
        self.assertEqual(bad.seen(), FAILURES + 1, "another request went to it while it was being probed")
        self.assertGreaterEqual(bad.times[FAILURES] - bad.times[FAILURES - 1], 1.0)
        released = time.monotonic()
        bad.open.set()
        again = gateway.child.wait_for_event("endpoint ejected", reason="its probe failed")
        bad.status = 200
        self.assertTrue(2000 <= int(again["for"].removesuffix("ms")) <= 3000, again)
        gateway.child.wait_for_event("endpoint readmitted", endpoint=bad.address)
        self.assertGreaterEqual(bad.times[FAILURES + 1] - released, 2.0)
        support.wait_until(lambda: bad.seen() > FAILURES + 10, "calls to come back to it")
        crowd.end()
        self.assertEqual(crowd.failed, 1, "the failed probe alone")

    def test_no_more_are_out_at_once_than_the_percentage_says(self):
        replicas = self.replicas(500, 500, 200)
        gateway = Gateway(self.mesh, "payments", env=self.env(replicas, outlierDetection={"consecutiveFailures": 2, "baseEjection": "20ms"}, **IN_TURN))
        for _ in range(60):
            with contextlib.suppress(HTTPError):
                gateway.ask()
        gateway.child.wait_for_event("endpoint ejected")
        self.assertEqual({e["ejected"] for e in gateway.child.events("endpoint ejected")}, {"1 of 3"})
        self.assertGreater(max(r.seen() for r in replicas[:2]), 10, "the second of them was left alone, too")

    def test_the_only_replica_is_called_whatever_it_answers_and_comes_back_at_once(self):
        class Ailing(Replica):
            def serve(self, server, tls):
                while peers.read_request(tls):
                    self.times.append(0)
                    tls.sendall(answer(500 if self.seen() <= 20 else 200))

        alone = Ailing(self.identity, 500, self)
        done = self.mesh.ctl("call", "payments", "/", "-n", 30, "-o", "json", "--as", "cart", env=self.env([alone]), check=False)
        self.assertEqual(json.loads(done.stdout)["status"], {"500": 20, "200": 10}, done.stderr)

    def test_who_fails_now_and_then_is_out_by_its_success_rate_and_comes_back_without_a_probe(self):
        class Flaky(Replica):
            def serve(self, server, tls):
                while peers.read_request(tls):
                    with server.mu:
                        self.times.append(0)
                    tls.sendall(answer(500 if self.seen() % 2 else 200))

        replicas = [Flaky(self.identity, 500, self)] + self.replicas(200, 200)
        rate = {"stdevFactor": 1.2, "minHosts": 3, "minRequests": 3, "interval": "300ms"}
        gateway = Gateway(self.mesh, "payments", env=self.env(replicas, outlierDetection={"consecutiveFailures": 0, "baseEjection": "100ms", "successRate": rate}, retries={"attempts": 0}, **IN_TURN))
        crowd = Crowd(gateway)
        self.addCleanup(crowd.end)
        out = gateway.child.wait_for_event("endpoint ejected")
        self.assertEqual((out["endpoint"], out["for"], out["ejected"]), (replicas[0].address, "100ms", "1 of 3"))
        self.assertRegex(out["reason"], r"^success rate \d+\.\d\d% under \d+\.\d\d%$")
        self.assertEqual(gateway.child.wait_for_event("endpoint readmitted")["reason"], "its time has passed")
        crowd.end()
        self.assertEqual({e["endpoint"] for e in gateway.child.events("endpoint ejected")}, {replicas[0].address})

    def test_the_page_shows_what_happens(self):
        with open(os.path.join(support.SRC, "docs", "OUTLIERS.md"), encoding="utf-8") as f:
            page = f.read()
        document, = re.findall(r"^```yaml\n(.*?)^```$", page[page.index("## See it"):], re.M | re.S)
        said, = re.findall(r"^```json\n(.*?)^```$", page, re.M | re.S)
        path = os.path.join(self.mesh.dir, "payments.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(document + "".join(f"{field}: {value}\n" for field, value in support.PATIENCE.items()))
        self.mesh.ctl("apply", "-f", path)
        self.mesh.serve("payments")
        self.mesh.serve("payments", "--status", "500")
        self.mesh.wait_endpoints("payments", 2)
        command = re.search(r"^meshctl (call .*)$", page, re.M).group(1)
        done = self.mesh.ctl(*command.split(), check=False)
        result = json.loads(done.stdout)
        self.assertEqual({k: result[k] for k in json.loads(said)}, json.loads(said))


if __name__ == "__main__":
    unittest.main()
