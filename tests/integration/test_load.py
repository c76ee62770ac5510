"""`meshctl call -n`: calls each on a thread, and with --async all on one that waits for none."""
import json
import re
import unittest

import load
from support import Mesh, wait_until

WAYS = ((), ("--async",))
DELAY = 0.05


class Counts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.start()
        cls.mesh.be_patient("payments")
        cls.replica = cls.mesh.serve("payments", "--delay", f"{int(1000 * DELAY)}ms")
        cls.mesh.wait_endpoints("payments", 1)

    def call(self, *args, check=True):
        done = self.mesh.ctl("call", "--as", "cart", "payments", "/", *map(str, args), "-o", "json", check=check)
        return json.loads(done.stdout), done

    def test_each_call_is_counted_and_no_more_are_under_way_than_it_was_told(self):
        for way in WAYS:
            for calls, at_once in ((30, 1), (200, 40), (200, 1000)):
                with self.subTest(way=way, calls=calls, at_once=at_once):
                    result, _ = self.call("-n", calls, "-c", at_once, *way)
                    self.assertEqual((result["calls"], result["ok"], result["failed"], result["status"]), (calls, calls, 0, {"200": calls}))
                    self.assertGreaterEqual(result["seconds"], DELAY * calls / min(calls, at_once))

    def test_a_rate_is_kept(self):
        for way in WAYS:
            with self.subTest(way=way):
                result, _ = self.call("-n", 50, "-c", 20, "--rate", 100, *way)
                self.assertEqual(result["ok"], 50)
                self.assertGreaterEqual(result["seconds"], 0.49)

    def test_a_signal_ends_it_with_what_was_done_until_then(self):
        for way in WAYS:
            with self.subTest(way=way):
                many = load.Load(self.mesh, "payments", 100000, 200, args=way)
                wait_until(lambda: load.connections_to(self.replica.info["address"]), "calls to be made")
                result = many.stop()
                told = re.search(r"stopped by a signal after (\d+) of 100000 calls", many.child.err())
                self.assertEqual((result["calls"], result["ok"]), (int(told[1]), int(told[1])))

    def test_a_call_that_fails_is_counted_and_told(self):
        for way in WAYS:
            with self.subTest(way=way):
                result, done = self.call("-n", 3, "-c", 3, "--timeout", "1ms", *way, check=False)
                self.assertEqual((done.returncode, result["failed"], result["errors"]), (1, 3, {"MESH_E_TIMEOUT": 3}), done.stderr)
                self.assertEqual(done.stderr.count("MESH_E_TIMEOUT"), 3)

    def test_more_threads_than_there_can_be_are_refused_with_the_remedy(self):
        done = self.mesh.ctl("call", "payments", "/", "-n", "5000", "-c", "5000", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("with --async", done.stderr)


if __name__ == "__main__":
    unittest.main()
