"""What the library adds to a process: memory. (The time to its first answer is measured by the benchmarks.)"""

import json
import os
import subprocess
import unittest

import support

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
