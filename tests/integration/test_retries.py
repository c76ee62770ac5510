"""Retries by a service's document, with real processes: what is tried again, how long is waited, and what forbids it. How much of it there may be in all: test_threat_33.py."""

import contextlib
import http.client
import json
import os
import re
import time
import unittest

import hops
import peers
import support

BUDGET = {"percent": 100, "minPerSecond": 1000}


def answer(status, *fields, body=b""):
    return ("HTTP/1.1 %d x\r\n" % status + "".join(f + "\r\n" for f in fields) + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body


def answers(*replies):
    """A script: one after the other, the last for ever; b"": a reset, None: silence."""
    left = list(replies)

    def script(server, tls):
        while request := peers.read_request(tls):
            server.saw(request)
            reply = left.pop(0) if len(left) > 1 else left[0]
            if reply == b"":
                return peers.reset(tls)
            if reply is None:
                return peers.read_request(tls)
            tls.sendall(reply)
        return None
    return script


OK = answer(200)
GRPC_FIELDS = ("Content-Type: application/grpc",)


def grpc(status, *fields):
    return answer(200, *GRPC_FIELDS, "grpc-status: %d" % status, *fields)


class Rules(support.MeshTest):
    """One caller and servers of ours, each of which says what it is told and counts what it is asked."""

    def setUp(self):
        super().setUp()
        self.identity = peers.issued(self.mesh, "payments")
        self.cart = peers.issued(self.mesh, "cart")
        self.path = os.path.join(self.mesh.dir, "static.yaml")

    def server(self, *replies):
        server = peers.TlsServer(self.identity, answers(*replies))
        self.addCleanup(server.close)
        return server

    def call(self, servers, *args, **retries):
        """The summary of a call, and what meshctl said."""
        peers.endpoints_file(self.path, "payments", *(s.address for s in servers), patient=True, fields={"retries": {"budget": BUDGET, "backoff": {"base": "0s"}, **retries}})
        done = self.mesh.ctl("call", "payments", "/", "-o", "json", "--as", "cart", *args, env=peers.static_env(self.cart, self.path), check=False)
        return json.loads(done.stdout), done.stderr

    def test_what_is_tried_again(self):
        busy = answer(429)
        refused = answer(429, "mesh-not-processed: 1")
        rows = [  # retryOn, what the server says for ever, arguments, tries
            (["gateway-error"], answer(503), [], 3),
            (["gateway-error"], answer(500), [], 1),
            (["5xx"], answer(500), [], 3),
            (["retriable-4xx"], answer(409), [], 3),
            (["retriable-4xx", 418], answer(418), [], 3),
            (["retriable-429"], busy, [], 1),
            (["retriable-429"], refused, [], 3),
            (["retriable-429"], refused, ["-d", "x"], 3),
            (["unsent"], refused, [], 1),
            (["unsent"], answer(503, "mesh-not-processed: 1"), ["-d", "x"], 3),
            (["gateway-error"], answer(503), ["-d", "x"], 1),
            (["gateway-error"], answer(503), ["-d", "x", "--idempotent"], 3),
            (["gateway-error"], answer(503), ["-d", "x", "-X", "PUT"], 3),
            (["reset"], b"", [], 3),
            (["gateway-error"], b"", [], 1),
            (["unavailable"], grpc(14), ["-X", "PUT", "-H", GRPC_FIELDS[0]], 3),
            (["unavailable"], grpc(14), ["-X", "POST", "-H", GRPC_FIELDS[0]], 1),
            (["unavailable"], grpc(14), ["-X", "POST", "--idempotent", "-H", GRPC_FIELDS[0]], 3),
            (["unavailable"], grpc(13), ["-X", "PUT", "-H", GRPC_FIELDS[0]], 1),
            (["internal", "resource-exhausted"], grpc(8), ["-X", "PUT", "-H", GRPC_FIELDS[0]], 3),
            (["unavailable"], grpc(14), [], 1),  # no gRPC call
        ]
        for words, reply, args, tries in rows[::support.STRIDE]:
            with self.subTest((words, reply, args)):
                server = self.server(reply)
                result, _ = self.call([server], *args, retryOn=words)
                self.assertEqual((result["tries"], len(server.requests)), (tries, tries))

    def test_a_post_that_may_have_been_processed_is_not_repeated_and_the_error_says_so(self):
        server = self.server(b"")
        result, said = self.call([server], "-d", "x")
        self.assertEqual((result["errors"], result["tries"], len(server.requests)), ({"MESH_E_RESET": 1}, 1, 1))
        self.assertIn("not repeated: a handler may have processed it, and it is not idempotent", said)
        self.assertIn("may have been processed", said)

    def test_the_next_try_is_on_an_endpoint_not_yet_tried(self):
        good, bad = self.server(OK), [self.server(answer(503)), self.server(b"")]
        result, _ = self.call([*bad, good], "-n", 30)
        self.assertEqual(result["status"], {"200": 30})
        self.assertGreater(sum(len(s.requests) for s in bad), 0, "nothing had to be repeated")

    def test_another_zone_is_last_for_a_retry(self):
        bad, near, far = self.server(answer(503)), self.server(OK), self.server(OK)
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("---\n".join(json.dumps({"apiVersion": "mesh/v1", "name": "payments", **document}) + "\n" for document in (
                {"kind": "Endpoints", "endpoints": [{"address": bad.address, "zone": "a"}, {"address": far.address, "zone": "b"}, {"address": near.address, "zone": "a"}]},
                {"kind": "Service", "loadBalancer": {"policy": "roundRobin"}, "retries": {"budget": BUDGET, "backoff": {"base": "0s"}}, **support.PATIENCE})))
        result = json.loads(self.mesh.ctl("call", "payments", "/", "-o", "json", "--as", "cart", "-n", 30, env=peers.static_env(self.cart, self.path, MESH_ZONE="a")).stdout)
        self.assertEqual((result["status"], result["tries"] - 30), ({"200": 30}, len(bad.requests)))
        self.assertGreater(len(bad.requests), 5)
        self.assertEqual([b"mesh-try: 2\r\n" in r for r in far.requests], [False] * len(far.requests))

    def test_a_route_has_retries_of_its_own_and_the_rest_from_its_service(self):
        server = self.server(answer(503))
        peers.endpoints_file(self.path, "payments", server.address, patient=True, fields={
            "retries": {"attempts": 1, "budget": BUDGET, "backoff": {"base": "0s"}},
            "routes": [{"name": "reads", "match": [{"path": {"exact": "/read"}}], "retries": {"attempts": 4}}]})
        tries = {path: json.loads(self.mesh.ctl("call", "payments", path, "-o", "json", "--as", "cart", env=peers.static_env(self.cart, self.path), check=False).stdout)["tries"]
                 for path in ("/read", "/other")}
        self.assertEqual(tries, {"/read": 5, "/other": 2})

    def test_an_answer_that_streams_is_the_clients_where_it_is_long_and_repeated_where_it_is_short(self):
        for size, requests in ((1000, 3), (2000000, 1)):
            with self.subTest(size):
                server, port = self.server(answer(503, body=b"x" * size)), support.free_port()
                peers.endpoints_file(self.path, "payments", server.address, patient=True, fields={"retries": {"budget": BUDGET, "backoff": {"base": "0s"}}})
                connect = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments"], f"connect-{size}", env=peers.static_env(self.cart, self.path))
                connect.wait_for_output(r"^connected ", 30)
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20 * support.SLOW)) as connection:
                    connection.request("GET", "/")
                    reply = connection.getresponse()
                    self.assertEqual((reply.status, reply.read()), (503, b"x" * size))
                self.assertEqual(len(server.requests), requests)

    def test_bodies_up_to_64_kib_are_kept(self):
        for size, tries in ((65536, 3), (65537, 1)):
            path = os.path.join(self.mesh.dir, "body")
            with open(path, "wb") as f:
                f.write(b"x" * size)
            server = self.server(answer(503))
            result, _ = self.call([server], "-X", "PUT", "-d", "@" + path)
            self.assertEqual((result["tries"], {len(r.split(b"\r\n\r\n", 1)[1]) for r in server.requests}), (tries, {size}))

    def waited(self, reply, *args):
        """The seconds between two tries, the second of which is answered."""
        times = []
        server = self.server(reply, OK)
        saw = server.saw
        server.saw = lambda request: (times.append(time.monotonic()), saw(request))
        result, _ = self.call([server], "--timeout", "60s", *args, retryOn=["gateway-error", "unavailable"])
        self.assertEqual((result["status"], result["tries"]), ({"200": 1}, 2))
        return times[1] - times[0]

    def test_retry_after_and_pushback_are_obeyed(self):
        self.assertGreaterEqual(self.waited(answer(503, "Retry-After: 1")), 1)
        self.assertGreaterEqual(self.waited(grpc(14, "grpc-retry-pushback-ms: 400"), "-X", "PUT", "-H", GRPC_FIELDS[0]), 0.4)
        for reply in (answer(503, "Retry-After: 100"), grpc(14, "grpc-retry-pushback-ms: -1"), grpc(14, "grpc-retry-pushback-ms: soon")):
            with self.subTest(reply):
                server = self.server(reply)
                result, _ = self.call([server], "--timeout", "50s", "-X", "PUT", "-H", GRPC_FIELDS[0], retryOn=["gateway-error", "unavailable"])
                self.assertEqual((result["tries"], result["errors"]), (1, {}), "the answer is the caller's")
                self.assertLess(result["latencyMs"]["max"], 40000, "at once")

    def test_a_try_has_its_own_time(self):
        per_try = "%dms" % (300 * support.SLOW)
        silent = self.server(None)
        result, _ = self.call([silent, self.server(OK)], "--timeout", "60s", "-n", 8, perTryTimeout=per_try)
        self.assertEqual(result["status"], {"200": 8})
        self.assertGreater(len(silent.requests), 0)
        left = [int(n) for n in re.findall(rb"\r\nmesh-deadline-ms: (\d+)\r", b"".join(silent.requests))]
        self.assertTrue(left and max(left) <= 300 * support.SLOW, left)
        result, said = self.call([silent], "-d", "x", "--timeout", "60s", perTryTimeout=per_try)
        self.assertEqual((result["errors"], result["tries"]), ({"MESH_E_TIMEOUT": 1}, 1))
        self.assertIn("perTryTimeout: %s" % per_try.replace("ms", " ms"), said)


class Together(support.MeshTest):
    """With a mesh: documents that are applied, and calls that call on."""

    @staticmethod
    def ask_streamed(port):
        """What the echo saw of a call whose response streams, which it answers 503."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20 * support.SLOW)) as connection:
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 503, answer.status
            return json.loads(answer.read())

    def test_a_change_of_the_document_is_obeyed_by_the_next_calls_also_of_started_and_streamed_ones(self):
        self.mesh.serve("payments", "--status", "503")
        port = support.free_port()
        connect = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "web", "--listen", f"127.0.0.1:{port}", "payments", "--data", self.mesh.data], "connect")
        connect.wait_for_output(r"^connected ", 30)
        for attempts, protocol in ((4, "http"), (0, "http2"), (1, "http2")):
            hops.apply(self.mesh, "payments", protocol=protocol, retries={"attempts": attempts, "backoff": {"base": "1ms"}, "budget": BUDGET})
            with self.subTest(attempts):
                for args in ((), ("--async",)):
                    self.assertEqual(self.mesh.call("payments", "/", "--as", "cart", "-n", 10, *args)["tries"], 10 * (attempts + 1))
                support.wait_until(lambda: self.ask_streamed(port)["tryNumber"] == attempts + 1, "the streamed call goes by it, too")

    def test_who_handles_a_retry_does_not_retry_further_down(self):
        for service in ("b", "c", "d"):
            hops.apply(self.mesh, service, retries={"attempts": 2, "backoff": {"base": "1ms"}, "budget": BUDGET})
        with open(os.path.join(self.mesh.dir, "failing"), "w", encoding="ascii"):
            pass
        b, c, d = hops.chain(self.mesh, "b", "c", "d")
        self.assertEqual(self.mesh.call("b", "/", "--as", "a")["tries"], 3)
        # Of b's three tries the first makes three, the first of which makes three; all others make one each.
        self.assertEqual([e.tried for e in b.entered()], [1, 2, 3])
        self.assertEqual(sorted(e.tried for e in c.entered()), [1, 1, 1, 2, 3])
        self.assertEqual(sorted(e.tried for e in d.entered()), [1, 1, 1, 1, 1, 2, 3], "not 27")


class Page(support.MeshTest):
    """docs/RETRIES.md, run."""

    def test_the_example_does_what_the_page_says(self):
        with open(os.path.join(support.SRC, "docs", "RETRIES.md"), encoding="utf-8") as f:
            page = f.read()
        path = os.path.join(self.mesh.dir, "payments.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.search(r"^```yaml\n(.*?)^```$", page, re.M | re.S).group(1))
        commands = [line.split()[1:] for block in re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S) for line in block.splitlines()]
        self.assertEqual([c[0] for c in commands], ["apply", "call", "call", "call"])
        self.mesh.serve("payments", "--status", "503")
        self.mesh.serve("payments")
        self.mesh.wait_endpoints("payments", 2)
        self.mesh.ctl(*[path if arg == "payments.yaml" else arg for arg in commands[0]])
        get, post, idempotent = (json.loads(self.mesh.ctl(*c, check=False).stdout) for c in commands[1:])
        expected = json.loads(re.search(r"^```json\n(.*?)^```$", page, re.M | re.S).group(1))
        self.assertEqual({key: get[key] for key in expected}, expected)
        self.assertEqual((post["tries"], set(post["status"])), (100, {"200", "503"}))
        self.assertEqual(idempotent["status"], {"200": 100})
        self.assertGreater(idempotent["tries"], 100)


if __name__ == "__main__":
    unittest.main()
