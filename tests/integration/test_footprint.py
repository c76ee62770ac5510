"""What the library adds to a process: the time to its first answer, and memory."""
# tests/run: alone

import json
import os
import subprocess
import unittest

import support

STARTS = 10
FIRST_ANSWER_MS = 50
SERVICES, ENDPOINTS = 5, 20
OWN_MAX_BYTES = 2_000_000


class Footprint(support.MeshTest):
    def run_client(self, calls, *services, **env):
        done = subprocess.run([support.helper("footprint"), str(calls), *services], env={**{k: v for k, v in os.environ.items() if not k.startswith("MESH_")}, **env}, capture_output=True, text=True,
                              timeout=60 * support.SLOW)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return json.loads(done.stdout)

    def joining(self):
        return {"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": self.mesh.token("cart", "--uses", "0")}

    @unittest.skipIf(support.SANITIZED, "a bound on time")
    def test_from_open_to_the_first_answer_in_fifty_milliseconds_with_meshd_local(self):
        self.mesh.serve("payments")
        self.mesh.wait_endpoints("payments", 1)
        env = self.joining()
        took = sorted(self.run_client(0, "payments", **env)["firstAnswerMs"] for _ in range(STARTS))
        print(f"first answer: {took[0]:.1f} to {took[-1]:.1f} ms, median {took[STARTS // 2]:.1f}")
        self.assertLess(took[0], FIRST_ANSWER_MS, took)  # joined with a token: key, enrolment, control link, subscription, call

    def test_five_services_of_twenty_endpoints_take_under_two_megabytes(self):
        names = [f"s{i}" for i in range(SERVICES)]
        for name in names:
            port = support.free_port()
            self.mesh.serve(name, "--listen", f"0.0.0.0:{port}", "--advertise", f"127.0.0.1:{port}")
            path = os.path.join(self.mesh.dir, name + ".yaml")
            with open(path, "w") as f:
                f.write(f"apiVersion: mesh/v1\nkind: Endpoints\nname: {name}\nendpoints:\n" + "".join(f"- address: 127.0.0.{i}:{port}\n" for i in range(2, ENDPOINTS + 1)))
            self.mesh.ctl("apply", "-f", path)
            self.mesh.wait_endpoints(name, ENDPOINTS)
        seen = self.run_client(4 * ENDPOINTS, *names, **self.joining())
        print(seen)
        self.assertLess(seen["peakBytes"], OWN_MAX_BYTES)
        self.assertEqual(seen["leftBytes"], 0)


if __name__ == "__main__":
    unittest.main()
