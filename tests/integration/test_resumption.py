"""After a rolling restart two hundred callers come back to servers that know none of them: all but a few of them resume a session."""

import unittest

import peers
from load import Load
from support import SANITIZED, SLOW, MeshTest, free_port, wait_until

PROCESSES, THREADS, INSTANCES = 4, 20 if SANITIZED else 50, 2  # two hundred; fewer where a handshake takes several times as long
# How many of a new server's handshakes resume a session. A process's first dial is waited for, for half a second: longer than it takes, but not under a sanitizer.
PROMISED = 0.9 if SLOW == 1 else 0.5


class Payments:
    """An instance whose calls take so long that each caller needs a connection of its own."""

    def __init__(self, mesh):
        self.probe = f"127.0.0.1:{free_port()}"
        self.child = mesh.serve("payments", "--delay", "1s", env={"MESH_PROBE_LISTEN": self.probe, "MESH_PROBE_METRICS": "1"})

    def count(self, key):
        return int(peers.metrics(self.probe).get(key, 0))

    def handshakes(self):
        """Whole ones, and those that resumed."""
        return tuple(self.count(f'mesh_handshakes_total{{resumed="{how}"}}') for how in ("no", "yes"))

    def busy(self):
        return self.count('mesh_connections{listener="inbound"}')


class Resumption(MeshTest):

    def test_two_hundred_callers_resume_after_a_rolling_restart(self):
        self.mesh.be_patient("payments")
        instances = [Payments(self.mesh) for _ in range(INSTANCES)]
        loads = [Load(self.mesh, "payments", 1000000, 1000000, at_once=THREADS) for _ in range(PROCESSES)]
        wait_until(lambda: sum(i.busy() for i in instances) >= PROCESSES * THREADS * 0.9, "the callers to be there", 60)
        for at in range(INSTANCES):
            old, instances[at] = instances[at], Payments(self.mesh)
            old.child.stop(60)
        wait_until(lambda: sum(i.busy() for i in instances) >= PROCESSES * THREADS * 0.9, "the callers to be back", 60)
        # Of so many, those that a process's first dials must make whole are few.
        wait_until(lambda: all(sum(i.handshakes()) >= PROCESSES * THREADS * 0.3 for i in instances), "each new server to have shaken hands with its share", 60)
        counts = [i.handshakes() for i in instances]
        results = [load.stop() for load in loads]
        self.assertTrue(all(r["ok"] for r in results), results)
        for whole, resumed in counts:
            self.assertGreaterEqual(resumed, PROMISED * (whole + resumed), f"whole and resumed handshakes of each new instance: {counts}")


if __name__ == "__main__":
    unittest.main()
