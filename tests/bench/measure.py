"""What is measured: one function a section, each returns plain data for bench.json."""

import json
import os
import statistics
import subprocess

import peers
import proxies
import support

CLIENT = os.path.join(support.BUILD, "tests", "bench", "client")


def pids(*of):
    return "".join(f",{pid}" for peer in of for pid in peer.pids())


class Field:
    """Everything that takes part: meshd for the certificates, the application, the sidecars."""

    def __init__(self, plan):
        self.plan = plan
        self.mesh = support.Mesh()
        try:
            self.mesh.start()
            self.client, self.server = peers.issued(self.mesh, "cart"), peers.issued(self.mesh, "payments")
            self.app = proxies.App(self.mesh, self.server)
            self.sidecars = {"haproxy": proxies.HaproxySidecars(self.mesh, self.client, self.server, self.app),
                             "nginx": proxies.NginxSidecars(self.mesh, self.client, self.server, self.app)}
            self.endpoints = peers.endpoints_file(os.path.join(self.mesh.dir, "endpoints.yaml"), "payments", f"127.0.0.1:{self.app.tls}")
        except BaseException:
            self.close()
            raise

    def close(self):
        self.mesh.close()

    def load(self, ways, callers, body, **more):
        """Runs the client over these ways (name: what follows --way NAME=); its JSON, with the spread added."""
        options = {"certificate": self.client.cert, "key": self.client.key, "bundle": self.client.bundle, "endpoints": self.endpoints, "host": proxies.HOST,
                   "path": "/" + body, "bytes": proxies.SIZES[body], "callers": callers, "rounds": self.plan.rounds, "round-ms": self.plan.round_ms, "warm-ms": self.plan.warm_ms,
                   **more}
        argv = [CLIENT] + [text for name, way in ways.items() for text in ("--way", f"{name}={way}")] + [text for key, value in options.items() for text in (f"--{key}", str(value))]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr}")
        found = json.loads(done.stdout)
        for way in found["ways"].values():
            way["spread"] = spread(way["rounds"])
        return found


def spread(rounds):
    """Of each figure the smallest, the quartiles and the largest over the rounds."""
    keys = ("callsPerSecond", "p50", "p99", "clientCpu", "peerCpu")
    return {key: quartiles([r[key] for r in rounds]) for key in keys}


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"min": min(values), "low": low, "median": middle, "high": high, "max": max(values)}


def calls(field, say):
    """The same request over raw libcurl, over mesh_call and through two pairs of sidecars."""
    application = pids(field.app.peer)
    ways = {"raw": f"tls:127.0.0.1:{field.app.tls}{application}", "mesh": f"mesh:payments{application}"}
    for name, sidecars in field.sidecars.items():
        ways[name] = f"plain:127.0.0.1:{sidecars.port}{pids(*sidecars.peers)}{application}"
    cells = []
    for body in field.plan.bodies:
        for callers in field.plan.callers:
            cell = field.load(ways, callers, body)
            cells.append({"body": body, **cell})
            say(f"calls: body {body:>3}, {callers:2} callers: mesh/raw calls a second "
                f"{cell['ways']['mesh']['median']['callsPerSecond'] / cell['ways']['raw']['median']['callsPerSecond']:.2f}")
    return cells
