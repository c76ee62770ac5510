"""A real server on several loops: all of its threads serve, callers see one service, and a second process on its address is told so."""

import os
import re
import unittest

import support

LOOPS = 3


class Loops(support.MeshTest):
    def threads(self, pid):
        """Thread names of a process, and how long each has run, in milliseconds."""
        found = {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name, open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as ran:
                found[name.read().strip()] = int(ran.read().split()[0]) / 1e6
        return found

    def serving(self, pid):
        return {name: ran for name, ran in self.threads(pid).items() if name.startswith("mesh-in-")}

    def test_connections_are_served_by_all_loops(self):
        server = self.mesh.serve("payments", env={"MESH_LOOPS": str(LOOPS)})
        before = self.serving(server.pid)
        self.assertEqual(sorted(before), [f"mesh-in-{i}" for i in range(LOOPS)])
        self.mesh.be_patient("payments")
        result = self.mesh.call("payments", "/", "--as", "cart", "-n", "300", "-c", str(2 * LOOPS))
        self.assertEqual((result["ok"], result["failed"]), (300, 0))
        after = self.serving(server.pid)
        for name, ran in before.items():
            # A handshake alone takes more; a loop without a connection takes nothing.
            self.assertGreater(after[name] - ran, 1, f"{name} served nobody: {before} {after}")

    def test_one_loop_where_one_is_asked_for(self):
        server = self.mesh.serve("payments", env={"MESH_LOOPS": "1"})
        self.assertEqual(list(self.serving(server.pid)), ["mesh-in-0"])

    def test_a_second_process_gets_an_error_and_no_share_of_the_calls(self):
        server = self.mesh.serve("payments", env={"MESH_LOOPS": str(LOOPS)})
        second = self.mesh.serve("payments", "--listen", server.info["address"], name="second", env={"MESH_LOOPS": str(LOOPS)}, wait=False)
        self.assertEqual(second.child.wait(30 * support.SLOW), 1)
        self.assertRegex(second.err(), re.compile("in use", re.I))
        result = self.mesh.call("payments", "/", "--as", "cart", "-n", "20")
        self.assertEqual((result["ok"], list(result["instances"])), (20, [server.info["instance"]]))


if __name__ == "__main__":
    unittest.main()
