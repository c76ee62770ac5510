"""How calls are spread over replicas, with the balancer that is built in and the ones that are applied, live; and static endpoints, applied or from a file."""
# tests/run: alone

import json
import os
import threading
import unittest

import peers
import support

CALLS = 10000 // support.SLOW
AT_ONCE = 32


def service_document(path, **fields):
    with open(path, "w") as f:
        json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", **support.PATIENCE, **fields}, f)
    return path


class Spread(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.replicas = {self.mesh.serve("payments", "--version", f"v{i}").info["instance"] for i in range(3)}
        self.mesh.wait_endpoints("payments", 3)
        self.mesh.be_patient("payments")

    def many(self, *args):
        done = self.mesh.call("payments", "/", "-n", CALLS, "-c", AT_ONCE, *args)
        self.assertEqual((done["calls"], done["ok"], done["failed"], done["errors"]), (CALLS, CALLS, 0, {}), done)
        self.assertEqual(done["status"], {"200": CALLS})
        self.assertEqual(sum(done["instances"].values()), CALLS)
        self.assertEqual(set(done["instances"]), self.replicas, "every replica is used, and nobody else")
        self.assertEqual(set(done["versions"]), {"v0", "v1", "v2"})
        self.assertLessEqual(done["tries"], CALLS * 1.02, "on a busy machine a cold handshake may miss the connect timeout; no more than that is repeated")
        return {k: n / CALLS for k, n in done["instances"].items()}

    def test_ten_thousand_calls_are_all_answered_and_spread_by_the_built_in_balancer(self):
        shares = self.many()
        self.assertGreater(min(shares.values()), 0.15, shares)

    def test_round_robin_is_even(self):
        self.mesh.ctl("apply", "-f", service_document(os.path.join(self.mesh.dir, "rr.json"), loadBalancer={"policy": "roundRobin"}))
        for share in self.many().values():
            self.assertAlmostEqual(share, 1 / 3, delta=0.02)

    def test_a_slow_replica_is_called_less(self):
        slow = self.mesh.serve("payments", "--delay", f"{20 * support.SLOW}ms").info["instance"]
        self.mesh.wait_endpoints("payments", 4)
        done = self.mesh.call("payments", "/", "-n", 2000, "-c", 8)
        self.assertEqual(done["failed"], 0)
        self.assertGreater(done["instances"].get(slow, 0), 0, "it is asked now and then")
        self.assertLess(done["instances"][slow] / 2000, 0.10, done["instances"])

    def test_a_replica_that_fails_fast_draws_no_traffic(self):
        failing = self.mesh.serve("payments", "--status", "500").info["instance"]
        self.mesh.wait_endpoints("payments", 4)
        done = self.mesh.call("payments", "/", "-n", 2000, "-c", 8)
        self.assertEqual(done["errors"], {})
        self.assertGreater(done["instances"].get(failing, 0), 0)
        self.assertLess(done["instances"][failing] / 2000, 0.10, done["instances"])


class Live(support.MeshTest):
    def test_an_applied_policy_is_in_force_within_a_second_in_a_running_client(self):
        """roundRobin shows in the order of answers: with one caller each three in a row are three replicas."""
        for _ in range(3):
            self.mesh.serve("payments")
        self.mesh.wait_endpoints("payments", 3)
        port = support.free_port()
        client = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments", "--data", self.mesh.data], "connect")
        client.wait_for_output("connected")
        opener = peers.urllib.request.build_opener(peers.urllib.request.ProxyHandler({}))

        def instance():
            with opener.open(f"http://127.0.0.1:{port}/", timeout=20 * support.SLOW) as answer:
                return json.loads(answer.read())["instance"]

        def turns():
            seen = [instance() for _ in range(12)]
            return all(len(set(seen[i:i + 3])) == 3 for i in range(10))
        instance()
        self.mesh.ctl("apply", "-f", service_document(os.path.join(self.mesh.dir, "rr.json"), loadBalancer={"policy": "roundRobin"}))
        applied = support.time.monotonic()
        support.wait_until(turns, "the turns of roundRobin", 5)
        if not support.SANITIZED:
            self.assertLess(support.time.monotonic() - applied, 1.5, "a second, and the twelve calls that show it")
        self.mesh.ctl("apply", "-f", service_document(os.path.join(self.mesh.dir, "rr.json"), timeout="1ms"))

        def times_out():
            try:
                instance()
            except peers.urllib.error.HTTPError as e:
                with e:
                    return e.code == 504
            return False
        slow = self.mesh.serve("payments", "--delay", "5s", "--drain", "0s")
        self.assertTrue(slow.info)
        support.wait_until(times_out, "the timeout of 1 ms to bite", 10)


class FirstCall(support.MeshTest):
    def test_the_first_call_of_a_fresh_process_goes_by_what_was_applied(self):
        self.mesh.ctl("apply", "-f", service_document(os.path.join(self.mesh.dir, "timeout.json"), timeout="50ms"))
        self.mesh.serve("payments", "--delay", "10s", "--drain", "0s")
        for _ in range(3):
            self.assertEqual(self.mesh.call("payments")["errors"], {"MESH_E_TIMEOUT": 1})


class StaticEndpoints(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.server = peers.TlsServer(self.pki.good("legacy"))
        self.addCleanup(self.server.close)

    def test_applied_endpoints_are_called_by_their_name_and_identity(self):
        path = peers.endpoints_file(os.path.join(self.mesh.dir, "legacy.yaml"), "legacy", self.server.address)
        self.mesh.ctl("apply", "-f", path)
        self.assertEqual([(e["address"], e["state"]) for e in self.mesh.endpoints("legacy")], [(self.server.address, "static")])
        done = self.mesh.call("legacy", "/", "-n", 5)
        self.assertEqual((done["ok"], len(self.server.requests)), (5, 5))
        self.assertIn(b"\r\nHost: legacy.default.mesh.local\r\n", self.server.requests[0])

    def test_applied_endpoints_are_still_judged(self):
        impostor = peers.TlsServer(self.pki.good("orders"))
        self.addCleanup(impostor.close)
        self.mesh.ctl("apply", "-f", peers.endpoints_file(os.path.join(self.mesh.dir, "legacy.yaml"), "legacy", impostor.address))
        self.assertEqual(self.mesh.call("legacy")["errors"], {"MESH_E_IDENTITY": 1})
        self.assertEqual(impostor.requests, [])

    def test_they_change_and_go_in_a_running_client(self):
        other = peers.TlsServer(self.pki.good("legacy", name="legacy-2"))
        self.addCleanup(other.close)
        path = os.path.join(self.mesh.dir, "legacy.yaml")
        self.mesh.ctl("apply", "-f", peers.endpoints_file(path, "legacy", self.server.address))
        port = support.free_port()
        client = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "legacy", "--data", self.mesh.data], "connect")
        client.wait_for_output("connected")
        opener = peers.urllib.request.build_opener(peers.urllib.request.ProxyHandler({}))

        def status():
            try:
                with opener.open(f"http://127.0.0.1:{port}/", timeout=20 * support.SLOW) as answer:
                    return answer.status
            except peers.urllib.error.HTTPError as e:
                with e:
                    return e.code
        self.assertEqual(status(), 200)
        self.mesh.ctl("apply", "-f", peers.endpoints_file(path, "legacy", other.address))
        support.wait_until(lambda: status() == 200 and other.requests, "the new address in use")
        before = len(self.server.requests)
        self.assertEqual([status() for _ in range(5)], [200] * 5)
        self.assertEqual(len(self.server.requests), before)
        self.mesh.ctl("delete", "Endpoints", "legacy")
        support.wait_until(lambda: status() in (502, 503), "no endpoint")

    def test_a_plaintext_endpoint_must_be_asked_for_and_gets_no_mesh_headers(self):
        seen = []
        listener = peers.socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def plain():
            with listener.accept()[0] as conn:
                seen.append(peers.read_request(conn))
                conn.sendall(peers.OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        threading.Thread(target=plain, daemon=True).start()
        path = os.path.join(self.mesh.dir, "plain.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Endpoints\nname: plain\ninsecurePlaintext: true\nendpoints:\n- address: 127.0.0.1:%d\n" % listener.getsockname()[1])
        self.mesh.ctl("apply", "-f", path)
        done = self.mesh.call("plain")
        self.assertEqual((done["ok"], done["errors"]), (1, {}))
        self.assertTrue(seen[0].startswith(b"GET / HTTP/1.1\r\n"))
        self.assertNotIn(b"\r\nmesh-", seen[0].lower())

    def test_endpoints_of_a_file_need_no_meshd(self):
        cart = peers.issued(self.mesh, "cart")
        path = peers.endpoints_file(os.path.join(self.mesh.dir, "static.yaml"), "legacy", self.server.address)
        self.mesh.meshd.stop()
        done = self.mesh.ctl("call", "legacy", "/", "-o", "json", "-n", 5, env=peers.static_env(cart, path))
        self.assertEqual(json.loads(done.stdout)["ok"], 5)

    def test_a_bad_endpoints_file_says_where(self):
        cart = peers.issued(self.mesh, "cart")
        path = os.path.join(self.mesh.dir, "bad.yaml")
        for text, said in (("apiVersion: mesh/v1\nkind: Endpoints\nname: legacy\nendpoints:\n- address: localhost:80\n", "bad.yaml:5:"),
                           ("apiVersion: mesh/v1\nkind: Endpoints\nname: legacy\nendpoint: []\n", 'did you mean "endpoints"?'),
                           ("apiVersion: mesh/v1\nkind: Service\nname: legacy\ntimeout: 1\n", "bad.yaml:4:"),
                           (None, "bad.yaml")):
            with self.subTest(said):
                if text is None:
                    os.unlink(path)
                else:
                    with open(path, "w") as f:
                        f.write(text)
                done = self.mesh.ctl("call", "legacy", "/", env=peers.static_env(cart, path), check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stdout, "")
                self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
