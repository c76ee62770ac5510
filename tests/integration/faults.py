"""A faulty network between two programs: tests/support/fault_proxy.c (there its contract) as a child of the test.

    proxy = FaultProxy(self, server.info["address"])
    proxy.plan(fault("reset", way="answer", at=17, connection=3))   # the third connection from now: reset after byte 17 of the answer
"""

import json
import subprocess

import support


def fault(action, way="answer", unit="bytes", n=0, at=0, connection=0, ms=0, size=0):
    """One fault as struct fault has it; `size` is its `bytes`."""
    return f"{connection},{way},{unit},{n},{at},{action},{ms},{size}"


class FaultProxy:
    """Forwards to `target`; ends with the test. An honest proxy until it has a plan."""

    def __init__(self, test, target, listen=None):
        self.child = subprocess.Popen([support.helper("fault_proxy"), target.split("//")[-1], *([listen] if listen else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.close)
        self.address = self.child.stdout.readline().strip()  # the same port of 127.0.0.2 leads to the same place
        assert self.address, "fault_proxy did not start"

    def _ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        assert answer, f"fault_proxy ended at {line!r}"
        return answer

    def plan(self, *faults, keep=False):
        """For connections from now on; those that there are end, unless they are to be kept."""
        assert self._ask(" ".join(["plan", "keep" if keep else "drop", *faults])) == "ok\n"

    def seen(self, number=1):
        """What became of a connection since the plan: open, fired, and each way's bytes passed and TLS records (type, end)."""
        return json.loads(self._ask(f"seen {number}"))

    def count(self):
        """Connections: accepted since the plan, open now."""
        return json.loads(self._ask("count"))

    def close(self):
        self.child.stdin.close()
        self.child.wait(20 * support.SLOW)
        self.child.stdout.close()
