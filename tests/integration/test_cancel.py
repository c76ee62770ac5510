"""Ending calls: cancel from another thread at each stage, close during calls, what the mesh's own threads must not do, and fork."""

import json
import os
import socket
import subprocess
import threading
import unittest

import peers
import support

AT_ONCE = 8      # dials to one endpoint at a time
PROMPT_MS = 1000 * support.SLOW


def environment(more):
    return {**{k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}, **more}


class BlackHole:
    """Accepts connections and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.accepted = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.accepted.append(self.listener.accept()[0])
            except OSError:
                return

    def close(self):
        self.listener.close()
        for conn in self.accepted:
            conn.close()


class CancelTest(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.cart = peers.issued(self.mesh, "cart")
        self.path = os.path.join(self.mesh.dir, "static.yaml")

    def run_calls(self, n, how, env, reached, then=lambda: None):
        """Starts the calls, waits until the stage is reached, gives the word; the results."""
        with subprocess.Popen([support.helper("cancel"), str(n), how], env=environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            try:
                support.wait_until(reached, "the stage at which to end the calls")
                child.stdin.write("\n")
                child.stdin.flush()
                then()
                out, err = child.communicate(timeout=60 * support.SLOW)
            finally:
                child.kill()
        self.assertEqual((child.returncode, err), (0, ""), out)
        return [json.loads(line) for line in out.splitlines()]

    def check(self, results, code, may_be_processed):
        for result in results:
            self.assertEqual((result["code"], result["mayBeProcessed"]), (code, may_be_processed), results)
            self.assertLess(result["ms"], PROMPT_MS, "it ends at once, not at a deadline")

    def static(self, address):
        return peers.static_env(self.cart, peers.endpoints_file(self.path, "payments", address))

    # ---- each stage ----

    def test_while_waiting_for_the_first_word_of_the_control_plane(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        env = {"MESH_CONTROL": "https://" + hole.address, "MESH_TOKEN": self.mesh.token("cart")}
        for how, code in (("cancel", "MESH_E_CANCELLED"), ("close", "MESH_E_CLOSED")):
            with self.subTest(how):
                before = len(hole.accepted)
                results = self.run_calls(3, how, env, lambda n=before: len(hole.accepted) > n)
                self.check([r for r in results if "code" in r], code, 0)

    def test_while_dialling(self):
        for how, code in (("cancel", "MESH_E_CANCELLED"), ("close", "MESH_E_CLOSED")):
            with self.subTest(how):
                hole = BlackHole()
                self.addCleanup(hole.close)
                results = self.run_calls(1, how, {**self.static(hole.address)}, lambda: hole.accepted)
                self.check([r for r in results if "code" in r], code, 0)

    def test_while_waiting_for_leave_to_dial(self):
        for how, code in (("cancel", "MESH_E_CANCELLED"), ("close", "MESH_E_CLOSED")):
            with self.subTest(how):
                hole = BlackHole()
                self.addCleanup(hole.close)
                results = self.run_calls(3 * AT_ONCE, how, self.static(hole.address), lambda: len(hole.accepted) >= AT_ONCE)
                self.check([r for r in results if "code" in r], code, 0)

    def test_while_waiting_for_the_response(self):
        for how, code in (("cancel", "MESH_E_CANCELLED"), ("close", "MESH_E_CLOSED")):
            with self.subTest(how):
                server = peers.TlsServer(peers.Pki.of(self.mesh).good("payments", name="silent-" + how), script=peers_that_hang)
                self.addCleanup(server.close)
                results = self.run_calls(4, how, self.static(server.address), lambda: len(server.requests) == 4)
                self.check([r for r in results if "code" in r], code, 1)
                if how == "close":
                    self.assertEqual(results[0]["close"], "MESH_E_TIMEOUT", "the drain was cut short")
                self.assertEqual(len(server.requests), 4, "nothing was sent again")

    def test_a_drain_lets_calls_finish(self):
        release = threading.Event()

        def late(server, tls):
            server.saw(peers.read_request(tls))
            release.wait(60)
            tls.sendall(peers.OK)
        server = peers.TlsServer(peers.Pki.of(self.mesh).good("payments"), script=late)
        self.addCleanup(server.close)
        results = self.run_calls(4, "drain", self.static(server.address), lambda: len(server.requests) == 4, then=release.set)
        self.assertEqual(results[0]["close"], "MESH_OK")
        self.assertEqual({r["code"] for r in results[1:]}, {"MESH_OK"})

    # ---- threads and forks ----

    def own_threads(self, mode, **more):
        peers.issued(self.mesh, "payments")
        for service in ("payments", "cart"):
            os.rename(os.path.join(self.mesh.dir, "issued-" + service), os.path.join(self.mesh.dir, service))
        done = subprocess.run([support.helper("own_threads"), mode, self.mesh.dir], env=environment(more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * support.SLOW, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_nothing_waits_on_the_loop_s_thread(self):
        self.own_threads("inline")

    def test_a_handler_cannot_close_its_own_mesh(self):
        self.own_threads("pool")

    def test_after_fork_the_child_s_handles_say_so_and_the_parent_s_connections_live_on(self):
        # A leak checker at the exit of a forked child sees the parent's threads and warns; the other modes look for leaks.
        self.own_threads("fork", ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


def peers_that_hang(server, tls):
    server.saw(peers.read_request(tls))
    tls.recv(1)


if __name__ == "__main__":
    unittest.main()
