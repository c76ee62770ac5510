"""Calls under way while a test breaks something: many by meshctl call, or one after another through meshctl connect."""

import json
import re
import signal
import urllib.request

from support import program, wait_until


def connections_to(address):
    """How many TCP connections to 127.0.0.1:port are established: who is connected knows the endpoint."""
    port = int(address.rsplit(":", 1)[1])
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(int(row[2].rsplit(":", 1)[1], 16) == port and row[3] == "01" for row in rows)


class Load:
    """`calls` calls at `rate` a second: until they are over (`result`) or it is told to end (`stop`)."""

    def __init__(self, mesh, service, calls, rate, at_once=8, path="/", args=(), env=None, name=None):
        name = name or f"load-{len(mesh.children)}"
        self.calls, self.seconds = calls, calls / rate
        argv = [program("meshctl"), "call", "--as", "cart", service, path, "-n", calls, "-c", at_once, "--rate", rate, *args, "-o", "json", "--data", mesh.data]
        self.child = mesh.spawn(argv, name, env=env)

    def under_way(self):
        return self.child.running()

    def stop(self):
        """Begins no more calls; the counts of those that were begun."""
        self.child.signal(signal.SIGTERM)
        wait_until(lambda: not self.child.running(), "the load to end", 60)
        return json.loads(self.child.out())

    def result(self):
        """The counts, once all calls are over."""
        wait_until(lambda: not self.child.running(), "the load to end", self.seconds + 60)
        return json.loads(self.child.out())

    def failures(self):
        """Of each call without a response (20 at most are told): its error and the endpoints that it was sent to."""
        return [(m[1], m[2].split(", ")) for m in re.finditer(r"failed: (MESH_E_\w+) .*; tried: (.*); the request", self.child.err())]


class Gateway:
    """A client that stays: one loopback port through which each `ask` is one call of the service."""

    def __init__(self, mesh, service, env=None, name="gateway"):
        self.child = mesh.spawn([program("meshctl"), "connect", service, "--as", "cart", "--listen", "127.0.0.1:0", "--data", mesh.data], name, env=env)
        self.url = self.child.wait_for_output(r"http://127[0-9.:]+", 30).group(0)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path="/", method="GET", body=None):
        """What the echo saw. Raises HTTPError when the call failed."""
        request = urllib.request.Request(self.url + path, method=method, data=body)
        with self.opener.open(request, timeout=60) as answer:
            return json.loads(answer.read())

    def instances(self, n):
        """Which instances answered n calls."""
        return {self.ask()["instance"] for _ in range(n)}
