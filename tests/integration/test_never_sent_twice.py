"""What may have reached a handler is never sent twice, unless it is idempotent; what surely reached none is, on another endpoint. A server of ours counts every request that comes."""

import json
import os
import subprocess
import threading
import unittest

import peers
import support


def die_after_request(server, tls):
    """Reads one whole request, then ends the connection with a reset."""
    server.saw(peers.read_request(tls))
    peers.reset(tls)


def close_after_request(server, tls):
    """The same in order: close_notify and FIN, but no answer."""
    server.saw(peers.read_request(tls))


def die_within_response(server, tls):
    server.saw(peers.read_request(tls))
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part")
    peers.reset(tls)


def die_within_header(server, tls):
    server.saw(peers.read_request(tls))
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    peers.reset(tls)


DEATHS = {"reset": die_after_request, "closed in order": close_after_request, "within the response": die_within_response, "within its header": die_within_header}


def answer_once_then(death):
    def script(server, tls):
        server.saw(peers.read_request(tls))
        tls.sendall(peers.OK)
        death(server, tls)
    return script


class NeverSentTwice(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.payments = self.pki.good("payments")
        self.cart = peers.issued(self.mesh, "cart")
        self.path = os.path.join(self.mesh.dir, "static.yaml")

    def server(self, script=peers.answer_ok, identity=None):
        server = peers.TlsServer(identity or self.payments, script)
        self.addCleanup(server.close)
        return server

    def calls(self, addresses, *steps):
        """The calls helper against these endpoints: one result for each step, on one mesh."""
        peers.endpoints_file(self.path, "payments", *addresses)
        done = subprocess.run([support.helper("calls"), *steps], env={**self.environment(), **peers.static_env(self.cart, self.path)}, capture_output=True, text=True,
                                      timeout=60 * support.SLOW, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def environment():
        return {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}

    def test_a_post_whose_fresh_connection_dies_was_sent_once(self):
        for row, death in DEATHS.items():
            with self.subTest(row):
                dying, other = self.server(death), self.server(death)
                (result,) = self.calls([dying.address, other.address], "POST")
                seen = dying.requests + other.requests
                self.assertEqual(len(seen), 1, "sent exactly once, to one of them")
                self.assertTrue(seen[0].startswith(b"POST / HTTP/1.1\r\n") and seen[0].endswith(b"\r\n\r\nthe body"))
                self.assertEqual((result["code"], result["mayBeProcessed"], result["tries"], result["status"]), ("MESH_E_RESET", 1, 1, 0), result)
                self.assertEqual(result["origin"], "peer")

    def test_a_post_whose_reused_connection_dies_was_sent_once(self):
        for row, death in DEATHS.items():
            with self.subTest(row):
                dying = self.server(answer_once_then(death))
                first, second = self.calls([dying.address], "POST", "POST")
                self.assertEqual((first["code"], first["status"]), ("MESH_OK", 200))
                self.assertEqual(len(dying.requests), 2, "the second was sent exactly once")
                self.assertEqual(dying.connections, 1, "on the connection of the first")
                self.assertEqual((second["code"], second["mayBeProcessed"], second["tries"]), ("MESH_E_RESET", 1, 1), second)

    def test_a_get_is_sent_once_a_try_and_libcurl_s_own_second_send_does_not_happen(self):
        dying = self.server(answer_once_then(die_after_request))
        _, second = self.calls([dying.address], "GET", "GET")
        self.assertEqual((second["code"], second["tries"]), ("MESH_OK", 2), "the retry's connection answers once")
        self.assertEqual(len([r for r in dying.requests if r]), 3)
        dying = self.server(die_after_request)
        (only,) = self.calls([dying.address], "GET")
        self.assertEqual((only["code"], only["tries"], only["mayBeProcessed"]), ("MESH_E_RESET", 3, 1))
        self.assertEqual([r.split(b"\r\n")[0] for r in dying.requests], [b"GET / HTTP/1.1"] * 3)
        self.assertEqual([b"mesh-try: %d\r\n" % n in r for n, r in enumerate(dying.requests, 1)], [False, True, True])

    def test_meshctl_says_that_it_may_have_been_processed(self):
        dying = self.server(die_after_request)
        peers.endpoints_file(self.path, "payments", dying.address)
        done = self.mesh.ctl("call", "payments", "/", "-d", "x", "--as", "cart", env=peers.static_env(self.cart, self.path), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn("MESH_E_RESET", done.stderr)
        self.assertIn("may have been processed", done.stderr)

    def test_a_post_that_cannot_connect_goes_to_another_endpoint(self):
        good = self.server()
        for _ in range(4):  # whichever is picked first
            (result,) = self.calls([f"127.0.0.1:{support.free_port()}", good.address], "POST")
            self.assertEqual((result["code"], result["status"]), ("MESH_OK", 200), result)
            self.assertIn(result["tries"], (1, 2))
        self.assertEqual(len(good.requests), 4)

    def test_a_post_to_a_refused_identity_goes_to_another_endpoint(self):
        good, impostor = self.server(), self.server(identity=self.pki.good("orders"))
        results = self.calls([impostor.address, good.address], *["POST"] * 12)
        self.assertEqual({r["code"] for r in results}, {"MESH_OK"}, results)
        self.assertEqual((len(good.requests), impostor.requests), (12, []))
        self.assertGreaterEqual(impostor.connections, 1, "it was never tried: nothing is proven")
        self.assertIn(2, {r["tries"] for r in results})

    def test_tries_name_where_they_went(self):
        dead = [f"127.0.0.1:{support.free_port()}", f"127.0.0.1:{support.free_port()}"]
        (result,) = self.calls(dead, "POST")
        self.assertEqual((result["code"], result["mayBeProcessed"], result["tries"], result["origin"]), ("MESH_E_CONNECT", 0, 3, "connect"), result)
        self.assertEqual({e.split()[1] for e in result["endpoints"][:2]}, set(dead), "none twice while there was another")

    def test_a_connection_that_the_server_closed_while_idle_fails_no_call(self):
        def answer_and_close(server, tls):
            server.saw(peers.read_request(tls))
            tls.sendall(peers.OK)
        server = self.server(answer_and_close)
        peers.endpoints_file(self.path, "payments", server.address)
        with subprocess.Popen([support.helper("calls"), *["POST", "wait"] * 5], env={**self.environment(), **peers.static_env(self.cart, self.path)},
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            for done in range(1, 6):
                result = json.loads(child.stdout.readline())
                self.assertEqual((result["code"], result["status"], result["tries"]), ("MESH_OK", 200, 1), result)
                support.wait_until(lambda n=done: server.closed == n, "the server closed")
                child.stdin.write("\n")
                child.stdin.flush()
        self.assertEqual((child.returncode, len(server.requests), server.connections), (0, 5, 5))

    def test_a_response_that_nobody_asked_for_is_never_the_answer_to_the_next_request(self):
        evil = b"HTTP/1.1 299 Evil\r\nContent-Length: 4\r\n\r\nEVIL"
        sent = threading.Semaphore(0)

        def together(server, tls):
            while request := peers.read_request(tls):
                server.saw(request)
                tls.sendall(peers.OK + evil)
                sent.release()

        def while_idle(server, tls):
            server.saw(peers.read_request(tls))
            tls.sendall(peers.OK)
            answered.acquire()
            tls.sendall(evil)
            sent.release()
            tls.recv(1)
        for row, script in {"together": together, "while idle": while_idle}.items():
            with self.subTest(row):
                answered = threading.Semaphore(0)
                server = self.server(script)
                peers.endpoints_file(self.path, "payments", server.address)
                with subprocess.Popen([support.helper("calls"), "GET", "wait", "GET", "wait"], env={**self.environment(), **peers.static_env(self.cart, self.path)},
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
                    for _ in range(2):
                        result = json.loads(child.stdout.readline())
                        self.assertEqual((result["code"], result["status"], result["tries"]), ("MESH_OK", 200, 1), result)
                        answered.release()
                        self.assertTrue(sent.acquire(timeout=20 * support.SLOW))
                        child.stdin.write("\n")
                        child.stdin.flush()
                self.assertEqual((child.returncode, server.connections, len(server.requests)), (0, 2, 2), "on a connection of its own")

    def test_interim_responses_are_no_answer(self):
        def interim(server, tls):
            while request := peers.read_request(tls):
                server.saw(request)
                tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + peers.OK)
        server = self.server(interim)
        results = self.calls([server.address], "GET", "POST")
        self.assertEqual([(r["code"], r["status"]) for r in results], [("MESH_OK", 200)] * 2)
        self.assertEqual((server.connections, len(server.requests)), (1, 2))

    def test_an_answer_that_says_not_processed_is_repeated_elsewhere(self):
        def refuse(server, tls):
            while request := peers.read_request(tls):
                server.saw(request)
                tls.sendall(b"HTTP/1.1 503 Service Unavailable\r\nmesh-not-processed: 1\r\nContent-Length: 0\r\n\r\n")
        busy, good = self.server(refuse), self.server()
        results = self.calls([busy.address, good.address], *["POST"] * 8)
        self.assertEqual({(r["code"], r["status"]) for r in results}, {("MESH_OK", 200)}, results)
        self.assertEqual(len(good.requests), 8)
        self.assertGreaterEqual(len(busy.requests), 1)

    def test_a_plain_503_is_an_answer_and_not_repeated(self):
        def refuse(server, tls):
            while request := peers.read_request(tls):
                server.saw(request)
                tls.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        first, second = self.server(refuse), self.server(refuse)
        (result,) = self.calls([first.address, second.address], "POST")
        self.assertEqual((result["code"], result["status"], result["tries"]), ("MESH_OK", 503, 1))
        self.assertEqual(len(first.requests) + len(second.requests), 1)


if __name__ == "__main__":
    unittest.main()
