"""THREATS 30 with real programs and a faulty network between them: a call ends by the retry rule and its error says what happened; the link to meshd breaks anywhere, and nobody notices but the metrics."""

import json
import os
import subprocess
import unittest

import peers
import support
from faults import FaultProxy, fault
from load import Gateway


FAILING = 4  # connections, after each plan


def wait_in_sync(mesh, members):
    """All of so many members run the newest configuration."""
    def look():
        rows = mesh.ctl_json("sync-status", check=False)["clients"]
        return rows if len(rows) == members and all(r["state"] == "current" for r in rows) else None
    return support.wait_until(look, f"{members} members to be in sync", 60)


class TheCaller(support.MeshTest):
    """meshctl call, through the proxy, to meshctl serve: what the user reads."""

    ROWS = [  # what breaks, of the first connection; code, origin, the request may have been processed; what the message says
        (fault("reset", way="request", at=1), "MESH_E_TLS", "tls", False, "TLS handshake failed"),
        (fault("reset", unit="records", n=1, at=-1), "MESH_E_TLS", "tls", False, "TLS handshake failed"),
        (fault("cut", unit="records", n=2), "MESH_E_TLS", "tls", False, "TLS handshake failed"),
        (fault("stall", unit="records", n=2), "MESH_E_CONNECT", "connect", False, "connect timeout"),
        (fault("reset", way="request", unit="data", n=1, at=-1), "MESH_E_RESET", "peer", True, "may have been processed"),
        (fault("reset", unit="data", n=1, at=-1), "MESH_E_RESET", "peer", True, "before a response came"),
        (fault("cut", unit="data", n=1, at=-1), "MESH_E_RESET", "peer", True, "before a response came"),
        (fault("stall", way="request", unit="data", n=1), "MESH_E_TIMEOUT", "peer", True, "deadline"),
    ]

    def setUp(self):
        super().setUp()
        self.server = self.mesh.serve("payments", env={"MESH_TLS_MAX_VERSION": "1.2"})  # 1.3 hides which records are data, and the plans count these
        self.proxy = FaultProxy(self, self.server.info["address"])
        self.identity = peers.issued(self.mesh, "cart")
        self.path = peers.endpoints_file(os.path.join(self.mesh.dir, "static.yaml"), "payments", self.proxy.address, fields=peers.ONE_TRY)

    def test_the_error_says_what_happened_and_whether_it_may_have_been_processed(self):
        for plan, code, origin, maybe, says in self.ROWS:
            with self.subTest(plan):
                self.proxy.plan(plan)
                done = self.mesh.ctl("call", "payments", "/", "-d", "x", "--as", "cart", "--timeout", "2s", env=peers.static_env(self.identity, self.path), check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn(f"{code} ({origin}): ", done.stderr)
                self.assertIn(says, done.stderr)
                self.assertIn("may have been processed" if maybe else "reached no handler", done.stderr)
                self.assertIn(self.proxy.address, done.stderr)
                self.assertEqual((self.proxy.seen()["fired"], self.proxy.count()["accepted"]), (1, 1), "once, and never again")

    def test_a_good_network_is_no_fault(self):
        self.proxy.plan(*[fault("delay", way=w, unit="records", n=n, ms=20) for w in ("request", "answer") for n in (1, 2)])
        done = self.mesh.ctl("call", "payments", "/", "--as", "cart", env=peers.static_env(self.identity, self.path))
        self.assertEqual(json.loads(done.stdout)["service"], "payments")


class TheControlLink(support.MeshTest):
    """A caller and a replica whose links to meshd pass through the proxy; their calls do not."""

    options = {"grace": "0s"}  # leases count from the first second

    PLACES = [
        fault("reset", way="request", at=0),
        fault("cut", way="request", at=100),
        fault("reset", unit="records", n=2, at=-9),
        fault("cut", way="request", unit="records", n=6),
        fault("reset", way="request", unit="data", n=1, at=-5),
        fault("cut", unit="data", n=1, at=-5),
        fault("half-close", unit="data", n=1),
        fault("half-close", way="request", unit="data", n=1),
        fault("reset", unit="data", n=2, at=-5),
        fault("cut", way="request", unit="data", n=2, at=-5),
    ]

    def setUp(self):
        super().setUp()
        self.proxy = FaultProxy(self, self.mesh.info["control"])
        env = {"MESH_CONTROL": "https://" + self.proxy.address}
        self.replica = self.mesh.serve("payments", env={**env, "MESH_TOKEN": self.mesh.token("payments")})
        self.gateway = Gateway(self.mesh, "payments", env={**env, "MESH_TOKEN": self.mesh.token("cart")})
        self.timeouts = 0

    def all_is_well(self):
        """Calls are answered, and what is new reaches both at once."""
        self.assertEqual(self.gateway.ask()["service"], "payments")
        self.timeouts += 1
        path = os.path.join(self.mesh.dir, "policy.yaml")
        with open(path, "w") as f:
            f.write(f"apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: {10 + self.timeouts}s\n")
        self.mesh.ctl("apply", "-f", path)
        wait_in_sync(self.mesh, 2)
        self.assertEqual(self.gateway.ask()["service"], "payments")
        (endpoint,) = self.mesh.endpoints("payments")
        self.assertEqual((endpoint["instance"], endpoint["state"]), (self.replica.info["instance"], "healthy"), "it never left")

    def test_it_breaks_anywhere_and_nothing_is_lost(self):
        self.all_is_well()
        for plan in self.PLACES[::support.STRIDE]:
            with self.subTest(plan):
                # Both are thrown out, and what they come back on fails there; not for ever.
                self.proxy.plan(*[plan.replace("0,", f"{n},", 1) for n in range(1, FAILING + 1)])
                support.wait_until(lambda: self.proxy.count()["accepted"] >= 2, "both to come back", 30)
                self.assertEqual(self.gateway.ask()["service"], "payments", "fail static")
                self.all_is_well()
                self.assertTrue(any(self.proxy.seen(n)["fired"] for n in range(1, FAILING + 1)), "the fault never came")
        removed = [line for line in self.mesh.audit() if line["event"] == "endpoint-removed"]
        self.assertEqual(removed, [])

    def test_a_stall_is_noticed_before_the_lease_ends(self):
        """The connection of the small POSTs falls silent; the watch beside it lives. A new session must be there before the registration is given up."""
        self.proxy.plan(*[fault("stall", connection=n, way="request", unit="data", n=4, at=-5) for n in range(1, FAILING + 1)])
        stalled = support.wait_until(lambda: [n for n in range(1, FAILING + 1) if self.proxy.seen(n)["fired"]], "a heartbeat to be held up", 30)
        support.wait_until(lambda: self.proxy.count()["accepted"] > FAILING + 1, f"new sessions in the place of {stalled}", 60)
        self.all_is_well()
        self.assertEqual([line for line in self.mesh.audit() if line["event"] == "endpoint-removed"], [])


class TheTool(support.MeshTest):
    """meshctl's own calls of the admin interface."""

    def proxy(self):
        """On the port of the admin listener, which its Host check asks for, at another loopback address."""
        address = self.mesh.info["admin"].removeprefix("http://")
        return FaultProxy(self, address, listen="127.0.0.2:" + address.rsplit(":", 1)[1])

    def ctl(self, address, *args, stdin=None):
        with open(os.path.join(self.mesh.data, "admin.token")) as f:
            env = {**{k: v for k, v in os.environ.items() if not k.startswith("MESH_")}, "MESH_ADMIN": "http://" + address, "MESH_ADMIN_TOKEN": f.read().strip()}
        return subprocess.run([support.program("meshctl"), *args], env=env, input=stdin, capture_output=True, text=True, timeout=60 * support.SLOW, check=False)

    def test_what_it_cannot_hear_it_does_not_print(self):
        proxy = self.proxy()
        self.assertEqual(self.ctl(proxy.address, "status").returncode, 0)
        for action in ("reset", "cut"):
            for place in ({"way": "request", "at": 1}, {"way": "request", "at": 30}, {"at": 1}, {"at": 30}, {"at": 160}):
                with self.subTest(action=action, **place):
                    proxy.plan(fault(action, **place))
                    done = self.ctl(proxy.address, "status")
                    self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
                    self.assertIn(proxy.address, done.stderr)
                    self.assertEqual(proxy.seen()["fired"], 1)

    def test_a_write_whose_answer_is_lost_is_made_once_and_not_called_done(self):
        proxy = self.proxy()
        before = self.mesh.ctl_json("status")["generation"]
        proxy.plan(fault("reset", at=10))
        done = self.ctl(proxy.address, "apply", "-f", "-", stdin="apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 9s\n")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("may have been", done.stderr)
        self.assertEqual(int(self.mesh.ctl_json("status")["generation"]), int(before) + 1)


if __name__ == "__main__":
    unittest.main()
