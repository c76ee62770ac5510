"""Calls under way while a test breaks something: many by meshctl call, or one after another through meshctl connect."""

import contextlib
import glob
import json
import re
import signal
import time
import urllib.request

from support import helper, program, wait_until


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

    def ask(self, path="/", method="GET", body=None, headers={}):
        """What the echo saw. Raises HTTPError when the call failed."""
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=headers)
        with self.opener.open(request, timeout=60) as answer:
            return json.loads(answer.read())

    def instances(self, n):
        """Which instances answered n calls."""
        return {self.ask()["instance"] for _ in range(n)}


def p99(times_us, since_us):
    """Seconds since then, for all but a hundredth."""
    spans = sorted(t - since_us for t in times_us)
    return spans[min(len(spans) - 1, len(spans) * 99 // 100)] / 1e6


def now_us():
    """On the clock of `Clients`."""
    return time.monotonic_ns() // 1000


def kept_waiting(*processes):
    """Seconds, summed up, that their threads were ready to run while other programs had the processors. 0 where the kernel does not tell."""
    total_ns = 0
    for process in processes:
        for path in glob.glob(f"/proc/{process.pid}/task/*/schedstat"):
            with contextlib.suppress(OSError), open(path) as f:
                total_ns += int(f.read().split()[1])
    return total_ns / 1e9


class Clients:
    """`n` clients of meshd in one process (clients.c), connected and subscribed to `service`."""

    def __init__(self, mesh, service, n, args=("-s",), name="clients"):
        self.child = mesh.spawn([helper("clients"), *args, mesh.info["control"], mesh.token("cart", "--uses", "0"), n, service + ".default"], name)

    def _line(self, pattern, seconds):
        line = self.child.wait_for_output(pattern, seconds).group(0)
        return json.loads(line)

    def generation(self, number, seconds=30):
        """When each had it, and when its acknowledgement was answered, once all are."""
        return self._line(r'^\{"generation": %d, .*\}$' % number, seconds)

    def told(self, number):
        """Whether all have acknowledged that generation, as far as they have said."""
        return f'{{"generation": {number}, ' in self.child.out()

    def sessions(self, number=1, seconds=60):
        """When each got the session that it has, once all have one for the `number`-th time; and how often one broke until then."""
        def look():
            lines = re.findall(r'^\{"sessions": .*\}$', self.child.out(), re.M)
            return lines[number - 1] if len(lines) >= number else None
        return json.loads(wait_until(look, f"sessions for all, for the {number}. time; it said: {self.child.err()[-1500:]}", seconds))
