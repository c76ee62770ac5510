"""THREATS 25, on a disk that is truly full: writes fail and say so, reads and the mesh go on, and what was acknowledged is there when there is room again."""
# tests/run: not under thread: meshd has one thread

import ctypes
import os
import unittest

from disk import CLONE_NEWNS, SmallDiskMesh
from load import Gateway

MEGABYTES = 1 << 20


def may_mount():
    child = os.fork()
    if child == 0:
        os._exit(ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0)
    return os.waitpid(child, 0)[1] == 0


@unittest.skipUnless(may_mount(), "mounts need root")
class Threat25FullDisk(unittest.TestCase):
    def setUp(self):
        self.mesh = SmallDiskMesh(4 * MEGABYTES)
        self.addCleanup(self.mesh.close)
        self.mesh.start()

    def apply(self, timeout_s):
        return self.mesh.ctl("apply", "-f", "-", stdin=f"apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: {timeout_s}s\n", check=False)

    def test_writes_fail_reads_go_on_and_nothing_acknowledged_is_lost(self):
        self.mesh.serve("payments")
        gateway = Gateway(self.mesh, "payments")
        self.assertEqual(self.apply(3).returncode, 0)
        token = self.mesh.token("orders")
        self.mesh.fill()

        refused, last_good = 0, 3
        for timeout_s in range(4, 60):  # what the log of the store has room for already may still go through
            done = self.apply(timeout_s)
            if done.returncode == 0:
                last_good = timeout_s
            else:
                refused += 1
                self.assertRegex(done.stderr, r"(?i)disk|space|full|store")
            if refused == 3:
                break
        self.assertEqual(refused, 3, "the disk was never full")
        self.assertNotEqual(self.mesh.ctl("token", "create", "--service", "late", check=False).returncode, 0, "a write that cannot be audited or stored is none")
        self.assertIn(f"{last_good}s", self.mesh.ctl("get", "service", "payments").stdout)
        self.assertEqual(len(self.mesh.endpoints("payments")), 1)
        self.assertEqual(gateway.ask()["service"], "payments")
        self.assertTrue(self.mesh.meshd.running())

        self.mesh.free()
        self.assertEqual(self.apply(61).returncode, 0)
        self.assertIn("61s", self.mesh.ctl("get", "service", "payments").stdout)
        joined = self.mesh.call("payments", "/", "--as", "orders", env={"MESH_TOKEN": token, "MESH_CONTROL": self.mesh.info["control"]})
        self.assertEqual(joined["failed"], 0, "the token that was made before is good")


if __name__ == "__main__":
    unittest.main()
