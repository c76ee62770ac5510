"""THREATS 27: meshd gone: no failed call, and what restarts begins from its state directory; meshd back: all is as before, and what is new is used at once."""

import os
import time
import unittest

from load import Gateway, Load, connections_to
from support import MeshTest, SANITIZED, free_port, wait_until


class FailStatic(MeshTest):

    def settings(self, service, uses=0):
        """An application's own settings: it does not need the admin interface."""
        state = os.path.join(self.mesh.dir, "state")
        return {"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": self.mesh.token(service, "--uses", uses), "MESH_STATE_DIR": state}

    def cache_of(self, service):
        """The snapshot that a process of the service keeps."""
        for directory, _, files in os.walk(os.path.join(self.mesh.dir, "state")):
            if f".{service}" in directory or f"{service}/" in directory:
                for name in files:
                    path = os.path.join(directory, name)
                    with open(path, errors="replace") as f:
                        if "payments.default" in f.read() and "snapshot" in name:
                            return path
        return None

    def test_calls_go_on_when_meshd_is_killed_in_their_midst(self):
        replicas = [self.mesh.serve("payments") for _ in range(2)]
        self.mesh.be_patient("payments")
        load = Load(self.mesh, "payments", 1600, 400)
        wait_until(lambda: all(connections_to(r.info["address"]) for r in replicas), "calls to reach both replicas", 30)
        self.mesh.meshd.kill()
        self.assertTrue(load.under_way())
        result = load.result()
        self.assertEqual((result["calls"], result["failed"]), (1600, 0), result)
        self.assertEqual(len(result["instances"]), 2)

    def test_a_restarted_client_boots_from_its_state_directory(self):
        replica = self.mesh.serve("payments")
        env = self.settings("cart", uses=1)  # a spent token: the certificate must come from the directory as well
        self.assertEqual(self.mesh.call("payments", "/", "--as", "cart", "-n", 30, "--rate", 20, env=env)["failed"], 0)
        wait_until(lambda: self.cache_of("cart"), "the snapshot to be kept")
        self.mesh.meshd.kill()
        result = self.mesh.call("payments", "/", "--as", "cart", "-n", 50, env=env)
        self.assertEqual((result["ok"], result["failed"]), (50, 0), result)
        self.assertEqual(list(result["instances"]), [replica.info["instance"]])

    def test_a_client_that_lived_for_a_moment_has_kept_its_snapshot_too(self):
        self.mesh.serve("payments")
        env = self.settings("cart")
        self.assertEqual(self.mesh.call("payments", "/", "--as", "cart", env=env)["failed"], 0)
        self.mesh.meshd.kill()
        self.assertEqual(self.mesh.call("payments", "/", "--as", "cart", env=env)["failed"], 0)

    def test_a_torn_cache_is_no_cache_and_no_crash(self):
        self.mesh.serve("payments")
        env = self.settings("cart")
        self.mesh.call("payments", "/", "--as", "cart", "-n", 30, "--rate", 20, env=env)
        path = wait_until(lambda: self.cache_of("cart"), "the snapshot to be kept")
        os.truncate(path, os.path.getsize(path) // 2)
        result = self.mesh.call("payments", "/", "--as", "cart", "-n", 5, env=env)
        self.assertEqual(result["failed"], 0, "with meshd there, it starts afresh")

    def test_a_restarted_replica_serves_from_its_state_directory(self):
        port = free_port()
        env = self.settings("payments")
        replica = self.mesh.serve("payments", "--listen", f"127.0.0.1:{port}", env=env, name="payments-first")
        gateway = Gateway(self.mesh, "payments")
        before = gateway.ask()["instance"]
        self.mesh.meshd.kill()
        replica.kill()
        again = self.mesh.serve("payments", "--listen", f"127.0.0.1:{port}", env=env, name="payments-again", wait=False)

        def answered():
            try:
                return gateway.ask()["instance"]
            except OSError:
                return None
        self.assertEqual(wait_until(answered, "the restarted replica to answer", 30), before, "it has another instance id")
        self.assertTrue(again.running())

    def test_meshd_back_after_a_while_all_reconnect_and_nobody_is_deregistered(self):
        replicas = [self.mesh.serve("payments") for _ in range(3)]
        gateway = Gateway(self.mesh, "payments")
        before = {r.info["instance"] for r in replicas}
        gateway.ask()
        self.mesh.meshd.kill()
        self.assertLessEqual(gateway.instances(20), before)
        self.mesh.start()
        self.assertEqual({e["instance"] for e in self.mesh.endpoints("payments")}, before, "registrations are stored")
        wait_until(lambda: len(self.mesh.admin("GET", "/v1/members")[1]) == 4, "all to be connected again", 60)
        self.assertEqual({e["state"] for e in self.mesh.endpoints("payments")}, {"healthy"})
        self.assertEqual([line for line in self.mesh.audit() if line["event"] == "endpoint-removed"], [])

    def test_a_new_replica_is_in_use_within_a_second_of_its_registration_once_meshd_is_back(self):
        self.mesh.serve("payments")
        gateway = Gateway(self.mesh, "payments")
        old = gateway.ask()["instance"]
        self.mesh.meshd.kill()
        gateway.ask()
        self.mesh.start()
        wait_until(lambda: len(self.mesh.admin("GET", "/v1/members")[1]) == 2, "both to be connected again", 60)
        new = self.mesh.serve("payments", wait=False, name="payments-new")
        registered = wait_until(lambda: self.mesh.meshd.events("instance registered")[-1:] and len(self.mesh.endpoints("payments")) == 2 and time.monotonic(), "the registration", 30)
        used = wait_until(lambda: gateway.ask()["instance"] != old and time.monotonic(), "its first call", 10)
        self.assertTrue(new.running())
        if not SANITIZED:
            self.assertLess(used - registered, 1.0)

    def test_a_call_by_a_client_that_never_knew_says_that_the_control_plane_is_away(self):
        self.mesh.serve("payments")
        env = self.settings("stranger")
        self.mesh.meshd.kill()
        done = self.mesh.ctl("call", "--as", "stranger", "payments", "/", "--timeout", "2s", env=env, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(self.mesh.info["control"].removeprefix("https://"), done.stderr)


if __name__ == "__main__":
    unittest.main()
