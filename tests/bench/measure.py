"""What is measured: one function a section; each returns plain data for bench.json."""

import json
import os
import statistics
import subprocess
import time

import peers
import proxies
import support

CLIENT = os.path.join(support.BUILD, "tests", "bench", "client")
SERVER = os.path.join(support.BUILD, "tests", "bench", "server")
FIGURES = ("callsPerSecond", "p50", "p99", "clientCpu", "peerCpu", "allCpu")
ARITHMETIC = os.path.join(support.BUILD, "tests", "bench", "arithmetic")
DECIDE = os.path.join(support.BUILD, "tests", "bench", "decide")
SERVICES, ENDPOINTS = 5, 20  # of the client whose memory is promised


def pids(*of):
    return "".join(f",{pid}" for peer in of for pid in peer.pids())


# ---- who takes part ----

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
            self.ours = {}
        except BaseException:
            self.close()
            raise

    def close(self):
        self.mesh.close()

    def our_server(self, mode):
        """tests/bench/server.c in this mode, with the identity that nginx has."""
        if mode not in self.ours:
            child = self.mesh.spawn([SERVER, mode], "server-" + mode, env={"MESH_CERTIFICATE": self.server.cert, "MESH_KEY": self.server.key, "MESH_BUNDLE": self.server.bundle,
                                                                           "MESH_LISTEN": "127.0.0.1:0", "MESH_TLS_MAX_VERSION": proxies.TLS[-3:]})
            port = int(child.wait_for_output(r"^127.0.0.1:(\d+)$", 30).group(1))
            self.ours[mode] = (port, proxies.Peer(child))
        return self.ours[mode]

    def load(self, ways, callers, body, env=None, **more):
        """Runs the client over these ways (name: what follows --way NAME=); its JSON, with the spread added."""
        options = {"certificate": self.client.cert, "key": self.client.key, "bundle": self.client.bundle, "endpoints": self.endpoints, "host": proxies.HOST,
                   "path": "/" + body, "bytes": proxies.SIZES[body], "callers": callers, "rounds": self.plan.rounds, "round-ms": self.plan.round_ms * (2 if body == "1m" else 1), "warm-ms": self.plan.warm_ms,
                   **{key.replace("_", "-"): value for key, value in more.items()}}
        argv = [CLIENT] + [text for name, way in ways.items() for text in ("--way", f"{name}={way}")] + [text for key, value in options.items() for text in (f"--{key}", str(value))]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, **(env or {})})
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr}")
        found = {"body": body, **json.loads(done.stdout)}
        for way in found["ways"].values():
            for one in way["rounds"]:
                one["allCpu"] = round(one["clientCpu"] + one["peerCpu"], 2)
            way["spread"] = {key: quartiles([one[key] for one in way["rounds"]]) for key in FIGURES}
        return found


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
    return {"min": min(values), "low": low, "median": middle, "high": high, "max": max(values)}


def ratio(cell, one, other, figure):
    """Of each round the ratio of two ways, which ran one after the other: so the machine's drift is in neither."""
    a, b = cell["ways"][one]["rounds"], cell["ways"][other]["rounds"]
    return quartiles([x[figure] / y[figure] for x, y in zip(a, b) if y[figure] > 0] or [0.0])


PARTS = ("kernel", "tls", "http", "mesh", "rest")


def parts(way, side):
    """What of a call's CPU on one side ("client", "peer") goes to what, in microseconds: the samples of all rounds share out the median. None where none were taken."""
    counts = {part: sum(one.get(side + "Parts", {}).get(part, 0) for one in way["rounds"]) for part in PARTS}
    total = sum(counts.values())
    return {part: way["spread"][side + "Cpu"]["median"] * n / total for part, n in counts.items()} if total else None


# ---- mutual TLS everywhere ----

def tls(field, say):
    """Every listener refuses who has no certificate, and speaks the same TLS; our server may choose another cipher, which is told."""
    ports = {"nginx": field.app.tls, "our server": field.our_server("inline")[0], **{name + " sidecars": pair.tls for name, pair in field.sidecars.items()}}
    found = {}
    for name, port in ports.items():
        if proxies.negotiated(port) is not None:
            raise AssertionError(f"{name}: answers a client that has no certificate")
        found[name] = proxies.negotiated(port, field.client)
        if found[name] is None or found[name][0] != proxies.TLS or (name != "our server" and found[name][1] != proxies.CIPHER):
            raise AssertionError(f"{name}: speaks {found[name]}")
    say(f"tls: {len(found)} listeners speak {proxies.TLS} with clients that have a certificate, and with no others")
    return found


def sweep(field, ways, told, say, bodies=None, crowds=None, **more):
    """Every size of body with every number of callers; a line each says how the two ways of `told` compare."""
    cells = []
    for body in bodies or field.plan.bodies:
        for callers in crowds or field.plan.callers:
            cell = field.load(ways, callers, body, **more)
            cells.append(cell)
            say(f"body {body:>3}, {callers:2} callers: {'/'.join(told)} calls a second {ratio(cell, *told, 'callsPerSecond')['median']:.2f}")
    return cells


# ---- calling ----

def calls(field, say):
    """The same request over raw libcurl, over mesh_call and through two pairs of sidecars."""
    application = pids(field.app.peer)
    ways = {"raw": f"tls:127.0.0.1:{field.app.tls}{application}", "mesh": f"mesh:payments{application}"}
    for name, sidecars in field.sidecars.items():
        ways[name] = f"plain:127.0.0.1:{sidecars.port}{pids(*sidecars.peers)}{application}"
    cells = sweep(field, ways, ("mesh", "raw"), lambda line: say("calls: " + line))
    return {"cells": cells, "kept": kept(field, cells)}


def kept(field, cells):
    """Connections that were taken beside the calls that were made on them."""
    def made(*ways):
        return sum(one["calls"] for cell in cells for way in ways for one in cell["ways"][way]["rounds"])
    found = {"nginx": {"calls": made("raw", "mesh", *field.sidecars), "connections": proxies.nginx_accepted(field.app.status)}}
    for name, sidecars in field.sidecars.items():
        found[name + " sidecars"] = {"calls": made(name), "connections": sidecars.tls_accepted()}
    return found


# ---- serving ----

def servers(field, say):
    """Our server core, with inline handlers and with a pool, and nginx, under the same load."""
    ways = {"nginx": f"tls:127.0.0.1:{field.app.tls}{pids(field.app.peer)}"}
    for mode in ("inline", "pool"):
        port, peer = field.our_server(mode)
        ways[mode] = f"tls:127.0.0.1:{port}{pids(peer)}"
    return {"cells": sweep(field, ways, ("inline", "nginx"), lambda line: say("servers: " + line))}


def protocols(field, say):
    """One server, ours, over HTTP/1.1 and HTTP/2: callers that wait, each on a thread, and one thread that has as many calls under way."""
    port, peer = field.our_server("inline")
    served, called = pids(peer), {}
    for name, service, path in (("", "", "one.yaml"), ("2", "protocol: http2\n", "two.yaml")):
        called[name] = peers.endpoints_file(os.path.join(field.mesh.dir, path), "payments", f"127.0.0.1:{port}")
        if service:
            with open(called[name], "a", encoding="utf-8") as out:
                out.write(f"---\napiVersion: mesh/v1\nkind: Service\nname: payments\n{service}")
    ways = {}
    for version in ("", "2"):
        ways.update({f"raw{version}": f"tls{version}:127.0.0.1:{port}{served}", f"mesh{version}": f"mesh{version}:payments{served}",
                     f"multi{version}": f"multi{version}:127.0.0.1:{port}{served}", f"async{version}": f"async{version}:payments{served}"})
    return {"cells": sweep(field, ways, ("async2", "multi2"), lambda line: say("protocols: " + line), bodies=[body for body in field.plan.bodies if body != "0"],
                           crowds=[n for n in field.plan.callers if n > 1], endpoints=called[""], endpoints2=called["2"], parts=1)}


def handshakes(field, say):
    """A connection a call, to nginx and to our server; each handshake a full one, or resuming the session of the last."""
    port, peer = field.our_server("inline")
    targets = {"nginx": f":127.0.0.1:{field.app.tls}{pids(field.app.peer)}", "inline": f":127.0.0.1:{port}{pids(peer)}"}
    cells = []
    for callers in field.plan.dialling:
        cell = field.load({f"{name}-{kind}": kind + to for name, to in targets.items() for kind in ("full", "resumed")}, callers, "0")
        for way in cell["ways"].values():
            way["resumedShare"] = sum(one["resumed"] for one in way["rounds"]) / sum(one["calls"] for one in way["rounds"])
        cells.append(cell)
        say(f"handshakes: {callers} callers: full, ours/nginx {ratio(cell, 'inline-full', 'nginx-full', 'callsPerSecond')['median']:.2f}")
    return {"cells": cells}


# ---- memory and start ----

def grown_kb(field, way, **more):
    """What a process grows by that calls over one way, mbedTLS's code aside, and the connections that it then has: medians of three."""
    runs = [field.load({"it": way}, 1, "1k", rounds=1, calls=400, **more)["ways"]["it"]["rounds"][0] for _ in range(3)]
    return {"kb": statistics.median(one["rssAfterKb"] - one["rssBeforeKb"] - one["mbedGrowthKb"] for one in runs), "mbedKb": statistics.median(one["mbedGrowthKb"] for one in runs),
            "connections": statistics.median(one["connectionsAfter"] for one in runs)}


def many_services(field):
    """The services and endpoints of the promise, all of them this one nginx; the services' names, and the file that lists them."""
    names = [f"service-{i}" for i in range(1, SERVICES + 1)]
    port = support.free_port()
    addresses = [f"127.0.0.{i}:{port}" for i in range(1, ENDPOINTS + 1)]
    identities = {name: peers.issued(field.mesh, name) for name in names}
    proxies.ManyNames(field.mesh, identities, addresses)
    path = os.path.join(field.mesh.dir, "many.yaml")
    with open(path, "w") as out:
        for name in names:
            with open(peers.endpoints_file(path + ".one", name, *addresses)) as one:
                out.write(one.read() + "---\n")
        with open(field.endpoints) as one:
            out.write(one.read())
    return names, path


def memory(field, say):
    """What the sidecars hold after all this, and what a process grows by."""
    names, many = many_services(field)
    raw = f"tls:127.0.0.1:{field.app.tls}"
    found = {
        "sidecars": {name: {"outerKb": pair.peers[1].rss_kb(), "innerKb": pair.peers[0].rss_kb()} for name, pair in field.sidecars.items()},
        "servers": {"nginx": field.app.peer.rss_kb(), **{mode: peer.rss_kb() for mode, (_, peer) in field.ours.items()}},
        "client": {"rawOne": grown_kb(field, raw), "meshOne": grown_kb(field, "mesh:payments"), "meshKnows": grown_kb(field, "mesh:payments", endpoints=many),
                   "rawMany": grown_kb(field, raw, handles=SERVICES * ENDPOINTS),
                   "meshMany": grown_kb(field, "mesh:" + "+".join(names), endpoints=many, warm_ms=100)},
    }
    client = found["client"]
    found["addsKb"] = client["meshKnows"]["kb"] - client["rawOne"]["kb"]
    found["addsConnectedKb"] = client["meshMany"]["kb"] - client["rawMany"]["kb"]
    say(f"memory: a client adds {found['addsKb']:.0f} KB, with all its connections {found['addsConnectedKb']:.0f} KB")
    return found


def start(field, say):
    """From the start of a process that joins to the first answer it gets, meshd and the server on this machine."""
    environment = {"MESH_CONTROL": field.mesh.info["control"], "MESH_LISTEN": "127.0.0.1:0"}
    server = field.mesh.spawn([SERVER, "inline"], "joined", env={**environment, "MESH_TOKEN": field.mesh.token("payments")})
    server.wait_for_output(r"^127.0.0.1:\d+$", 30)
    field.mesh.wait_endpoints("payments", 1)
    token = field.mesh.token("cart", "--uses", "0")
    del environment["MESH_LISTEN"]
    found = [field.load({"it": "join:payments"}, 1, "1k", env={**environment, "MESH_TOKEN": token}, rounds=1, calls=1, warm_ms=1, since=time.monotonic_ns())["ways"]["it"]["median"]["first"]
             for _ in range(2 * field.plan.rounds + 1)]
    server.stop()
    say(f"start: to the first answer {statistics.median(found):.1f} ms")
    return {"firstAnswerMs": quartiles(found)}


# ---- decisions ----

def decisions(field, say):
    """What deciding where a call goes costs, without the call, in nanoseconds of a thread's CPU."""
    rounds, round_ms = field.plan.rounds, field.plan.round_ms // 3
    found = json.loads(subprocess.run([DECIDE, str(rounds), str(max(round_ms, 1))], capture_output=True, text=True, timeout=600, check=True).stdout)
    for cell in found["cells"]:
        cell["ns"] = quartiles(cell["rounds"])
    say(f"decisions: {found['cells'][0]['ns']['median']:.0f} ns with {found['cells'][0]['balancer']}")
    return found


# ---- arithmetic ----

def openssl_speed(*algorithms):
    done = subprocess.run(["openssl", "speed", "-mr", "-seconds", "1", *algorithms], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def arithmetic(_field, say):
    """What the two TLS libraries' arithmetic costs by itself, in microseconds of CPU: our server's is mbedTLS's, everybody else's OpenSSL's."""
    ours = json.loads(subprocess.run([ARITHMETIC], capture_output=True, text=True, timeout=120, check=True).stdout)
    def a_second(text, line, field):
        return float(next(found for found in text.splitlines() if found.startswith(line)).split(":")[field])
    curve = openssl_speed("ecdsap256", "ecdhp256")
    theirs = {name: 16384 * 1e6 / a_second(openssl_speed("-bytes", "16384", "-evp", cipher), "+F:", 3) for name, cipher in (("sealAes", "aes-128-gcm"), ("sealChacha", "chacha20-poly1305"))}
    theirs.update(sign=1e6 / a_second(curve, "+F4:", 3), verify=1e6 / a_second(curve, "+F4:", 4), derive=1e6 / a_second(curve, "+F5:", 3))
    say(f"arithmetic: a record of 16 KB takes mbedTLS {ours['sealChacha']:.0f} µs (ChaCha20) or {ours['sealAes']:.0f} µs (AES), OpenSSL {theirs['sealAes']:.1f} µs (AES)")
    return {"mbedtls": ours, "openssl": theirs}
