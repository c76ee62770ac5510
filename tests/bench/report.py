"""bench.json as tables that read the same on a terminal and in Markdown, with the goals and whether they are met."""

import measure

SIDECARS = ("haproxy", "nginx")
NAMES = {"raw": "raw libcurl", "mesh": "`mesh_call`", "haproxy": "haproxy sidecars", "nginx": "nginx sidecars"}
# What the project promises: title, section, ways, figure, and the bound.
GOALS = [
    ("`mesh_call` / raw libcurl: calls a second", "calls", "mesh", ("raw",), "callsPerSecond", ">=", 0.95),
    ("`mesh_call` / raw libcurl: p50", "calls", "mesh", ("raw",), "p50", "<=", 1.05),
    ("`mesh_call` / raw libcurl: CPU of the client", "calls", "mesh", ("raw",), "clientCpu", "<=", 1.10),
    ("`mesh_call` / the best sidecars: p50", "calls", "mesh", SIDECARS, "p50", "<=", 0.6),
    ("`mesh_call` / the best sidecars: CPU of all processes", "calls", "mesh", SIDECARS, "allCpu", "<=", 0.5),
    ("our server core, inline / nginx: calls a second", "servers", "inline", ("nginx",), "callsPerSecond", ">=", 0.8),
]
BUSY = 0.5  # a load average that says that somebody else was at work
MEMORY_GOAL_KB = 2048
START_GOAL_MS = 50
DECISION_GOAL_NS = 500


# ---- numbers ----

def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_spread(q, form=number):
    """The median, and the quartiles of the rounds."""
    return f"{form(q['median'])} ({form(q['low'])}–{form(q['high'])})"


def times(value):
    return f"{value:.2f}"


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    def pad(line):
        return "| " + " | ".join(cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(line)) + " |"
    ruler = "| " + " | ".join(("-" * widths[0] if i == 0 else "-" * (widths[i] - 1) + ":") for i in range(len(header))) + " |"
    return "\n".join([pad(header), ruler] + [pad(line) for line in lines[2:]])


# ---- goals ----

def met(value, sense, bound):
    """Judged by the two digits that are shown."""
    return round(value, 2) >= bound if sense == ">=" else round(value, 2) <= bound


def best(cell, others, figure):
    """Of the others the one that does best in this cell."""
    pick = max if figure == "callsPerSecond" else min
    return pick(others, key=lambda name: cell["ways"][name]["spread"][figure]["median"])


def goal_cells(found, goal):
    """(cell, ratio, met) of a goal, for each cell of its section."""
    _, section, one, others, figure, sense, bound = goal
    for cell in found.get(section, {}).get("cells", []):
        q = measure.ratio(cell, one, best(cell, others, figure), figure)
        yield cell, q, met(q["median"], sense, bound)


def goals(found):
    """Each goal: the bound, the range of its medians over the cells, and in how many it is met."""
    rows = []
    for goal in GOALS:
        cells = list(goal_cells(found, goal))
        if cells:
            values = [q["median"] for _, q, _ in cells]
            good = sum(ok for _, _, ok in cells)
            verdict = "met" if good == len(cells) else f"MISSED in {len(cells) - good} of {len(cells)}"
            rows.append([goal[0], f"{goal[5]} {goal[6]:.2f}", f"{min(values):.2f} to {max(values):.2f}", verdict])
    if "memory" in found:
        for what, kb in (("knows them", found["memory"]["addsKb"]), ("is connected to all", found["memory"]["addsConnectedKb"])):
            rows.append([f"memory added by a client of {measure.SERVICES} services with {measure.ENDPOINTS} endpoints each that {what}", f"< {MEMORY_GOAL_KB:,} KB", f"{kb:,.0f} KB",
                         "met" if kb < MEMORY_GOAL_KB else "MISSED"])
    if "start" in found:
        q = found["start"]["firstAnswerMs"]
        rows.append(["start of a process that joins, to its first answer", f"< {START_GOAL_MS} ms", with_spread(q) + " ms", "met" if q["median"] < START_GOAL_MS else "MISSED"])
    if "decisions" in found:
        of = found["decisions"]
        values = [cell["ns"]["median"] for cell in of["cells"]]
        over = sum(value >= DECISION_GOAL_NS for value in values)
        rows.append([f"deciding a call to a service with {of['endpoints']} endpoints and {of['routes']} routes", f"< {DECISION_GOAL_NS} ns", f"{number(min(values))} to {number(max(values))} ns",
                     f"MISSED in {over} of {len(values)}" if over else "met"])
    return table(["goal", "bound", "measured", "verdict"], rows) + (f"\n\n{busy(found).strip()}" if busy(found) else "")


# ---- calls ----

def where(cell):
    return f"{'1 MB' if cell['body'] == '1m' else cell['body'].replace('k', ' KB')}, {cell['callers']}"


def call_ratios(found):
    rows = []
    for cell in found["calls"]["cells"]:
        row = [where(cell)]
        for goal in GOALS[:5]:
            other = best(cell, goal[3], goal[4])
            q = measure.ratio(cell, "mesh", other, goal[4])
            row.append(with_spread(q, times) + (f" {other}" if len(goal[3]) > 1 else "") + ("" if met(q["median"], goal[5], goal[6]) else " ✗"))
        rows.append(row)
    header = ["body, callers", "calls a second / raw", "p50 / raw", "client CPU / raw", "p50 / best sidecars", "CPU / best sidecars"]
    bounds = ["goal"] + [f"{goal[5]} {goal[6]:.2f}" for goal in GOALS[:5]]
    return table(header, [bounds] + rows)


def call_figures(found):
    rows = [[where(cell), NAMES[name]] + [with_spread(way["spread"][key]) for key in ("callsPerSecond", "p50", "p99", "clientCpu", "allCpu")]
            for cell in found["calls"]["cells"] for name, way in cell["ways"].items()]
    return table(["body, callers", "way", "calls a second", "p50 µs", "p99 µs", "client CPU µs a call", "CPU of all µs a call"], rows)


def listeners(found):
    rows = [[name, f"{version}, {cipher}"] for name, (version, cipher) in found["tls"].items()]
    return table(["listener", "speaks"], rows)


def connections(found):
    rows = [[name, f"{n['calls']:,}", f"{n['connections']:,}"] for name, n in found["calls"]["kept"].items()]
    return table(["answered by", "calls", "connections for them"], rows)


# ---- serving ----

def server_ratios(found):
    rows = []
    for cell in found["servers"]["cells"]:
        q = measure.ratio(cell, "inline", "nginx", "callsPerSecond")
        rows.append([where(cell), with_spread(q, times) + ("" if met(q["median"], ">=", GOALS[5][6]) else " ✗")] +
                    [with_spread(measure.ratio(cell, one, "nginx", figure), times) for one, figure in (("pool", "callsPerSecond"), ("inline", "peerCpu"), ("pool", "peerCpu"))])
    return table(["body, callers", "calls a second: inline / nginx", "pool / nginx", "server CPU: inline / nginx", "pool / nginx"], rows)


def server_figures(found):
    names = {"nginx": "nginx", "inline": "ours, inline", "pool": "ours, pool"}
    rows = [[where(cell), names[name]] + [with_spread(way["spread"][key]) for key in ("callsPerSecond", "p50", "p99", "peerCpu")]
            for cell in found["servers"]["cells"] for name, way in cell["ways"].items()]
    return table(["body, callers", "server", "calls a second", "p50 µs", "p99 µs", "server CPU µs a call"], rows)


# What each way is compared with: the same on libcurl itself, and the same over HTTP/1.1.
PROTOCOLS = {"raw": "libcurl, HTTP/1.1", "mesh": "mesh_call, HTTP/1.1", "raw2": "libcurl, HTTP/2", "mesh2": "mesh_call, HTTP/2",
             "multi": "libcurl's multi, HTTP/1.1", "async": "mesh_call_start, HTTP/1.1", "multi2": "libcurl's multi, HTTP/2", "async2": "mesh_call_start, HTTP/2"}
COMPARED = {"mesh": "raw", "mesh2": "raw2", "async": "multi", "async2": "multi2"}


def protocol_ratios(found):
    rows = [[where(cell), PROTOCOLS[one]] + [with_spread(measure.ratio(cell, one, other, figure), times) for figure in ("callsPerSecond", "p50", "clientCpu")] +
            [f"{measure.ratio(cell, one, other, 'peerCpu')['median']:.2f}×"]
            for cell in found["protocols"]["cells"] for one, other in COMPARED.items()]
    return table(["body, callers", "beside the same on libcurl alone", "calls a second", "p50", "client CPU a call", "server CPU"], rows)


def protocol_figures(found):
    rows = [[where(cell), PROTOCOLS[name]] + [with_spread(cell["ways"][name]["spread"][key]) for key in ("callsPerSecond", "p50", "p99", "clientCpu", "peerCpu")] +
            [f"{max(one['connectionsAfter'] for one in cell['ways'][name]['rounds'])}"]
            for cell in found["protocols"]["cells"] for name in PROTOCOLS]
    return table(["body, callers", "way", "calls a second", "p50 µs", "p99 µs", "client CPU µs a call", "server CPU µs a call", "connections"], rows)


def protocol_parts(found):
    """Of the fewest callers: what a call's CPU goes to, where it could be seen."""
    fewest = min(cell["callers"] for cell in found["protocols"]["cells"])
    rows = []
    for cell in (cell for cell in found["protocols"]["cells"] if cell["callers"] == fewest):
        for name in PROTOCOLS:
            sides = [measure.parts(cell["ways"][name], side) for side in ("client", "peer")]
            rows.append([where(cell), PROTOCOLS[name]] + [number(side[part]) if side else "–" for side in sides for part in measure.PARTS])
    return table(["body, callers", "way"] + [f"{side}: {part}" for side, http in (("client", "libcurl, nghttp2"), ("server", "nghttp2, llhttp")) for part in ("kernel", "TLS", http, "meshlib", "rest")], rows)


def handshakes(found):
    rows = []
    for cell in found["handshakes"]["cells"]:
        for name, way in cell["ways"].items():
            server, kind = name.rsplit("-", 1)
            rows.append([f"{kind}, {cell['callers']} at once", {"nginx": "nginx", "inline": "ours"}[server]] + [with_spread(way["spread"][key]) for key in ("callsPerSecond", "p50", "peerCpu", "clientCpu")] +
                        [f"{100 * way['resumedShare']:.0f}%"])
    return table(["handshakes", "server", "a second", "p50 µs", "server CPU µs", "client CPU µs", "resumed"], rows)


# ---- memory ----

def memory(found):
    m = found["memory"]
    client = m["client"]
    many = measure.SERVICES * measure.ENDPOINTS
    rows = [[f"{name} sidecars: beside the caller, beside the server", f"{one['outerKb']:,.0f}, {one['innerKb']:,.0f}"] for name, one in m["sidecars"].items()]
    rows += [[f"server: {'nginx' if name == 'nginx' else 'ours, ' + name}", f"{kb:,.0f}"] for name, kb in m["servers"].items()]
    rows += [["a process grows by: raw libcurl, one connection", f"{client['rawOne']['kb']:,.0f}"],
             ["a process grows by: a mesh, one connection", f"{client['meshOne']['kb']:,.0f}"],
             [f"a process grows by: a mesh that knows {many} endpoints more, one connection", f"{client['meshKnows']['kb']:,.0f}"],
             [f"a process grows by: raw libcurl, {client['rawMany']['connections']:.0f} connections", f"{client['rawMany']['kb']:,.0f}"],
             [f"a process grows by: a mesh, {client['meshMany']['connections']:.0f} connections to {many} endpoints", f"{client['meshMany']['kb']:,.0f}"]]
    return table(["memory", "KB"], rows)


# ---- arithmetic ----

# What our server computes for a full handshake: it verifies the client's certificate and its signature; the intermediate above, its own, it has verified before.
PARTS = {"sealAes": "AES-128-GCM, a record of 16 KB", "sealChacha": "ChaCha20-Poly1305, a record of 16 KB", "sign": "P-256: sign", "verify": "P-256: verify", "generate": "P-256: make a key", "derive": "P-256: derive the shared secret"}
HANDSHAKE = {"sign": 1, "verify": 2, "generate": 1, "derive": 1}


def arithmetic(found):
    ours, theirs = found["arithmetic"]["mbedtls"], found["arithmetic"]["openssl"]
    rows = [[words, number(ours[name]), number(theirs[name]) if name in theirs else "–"] for name, words in PARTS.items()]
    rows.append(["all of a full handshake: sign, 2 × verify, make a key, derive", number(sum(n * ours[name] for name, n in HANDSHAKE.items())), "–"])
    rows += [[f"all of a body of 1 MB: 64 records of {words}", number(64 * ours[name]), number(64 * theirs[name])] for name, words in (("sealAes", "AES-128-GCM"), ("sealChacha", "ChaCha20-Poly1305"))]
    return table(["CPU µs", ours["version"], "OpenSSL"], rows)


# ---- decisions ----

def decisions(found):
    cells = {(cell["balancer"], cell["unhealthy"], cell["threads"]): cell["ns"] for cell in found["decisions"]["cells"]}
    states, threads = sorted({key[1] for key in cells}), sorted({key[2] for key in cells})
    columns = [(state, n) for state in states for n in threads]
    def head(state, n):
        health = f"{state} of {found['decisions']['endpoints']} unhealthy" if state else "all healthy"
        return f"{health}, {n} thread" + ("s" if n > 1 else "")
    return table(["CPU ns a decision"] + [head(*column) for column in columns], [[f"`{name}`"] + [with_spread(cells[name, *column]) for column in columns] for name in dict.fromkeys(key[0] for key in cells)])


# ---- all of it ----

def busy(found):
    """What is to be said of figures that were taken while the machine had other work."""
    load = found["machine"]["loadBefore"]
    return f" **The machine was busy with other work (load average {load:.1f} before it began): take the figures as rough.**" if load > BUSY else ""


def machine(found):
    about = found["machine"]
    rows = [[key, about[key]] for key in ("CPU", "system", "client", "our server", "nginx", "haproxy", "TLS")]
    rows.append(["measured", f"{about['date']}, {about['rounds']} rounds of {about['roundMs']} ms, {about['seconds']:.0f} s in all; load average before: {about['loadBefore']:.2f}"])
    width = max(len(key) for key, _ in rows)
    lines = [f"| {key.ljust(width)} | {value} |" for key, value in [["what", "which"], ["-" * width, "---"]] + rows]
    return "\n".join(lines)


SECTIONS = {
    "goals": ("Goals", goals, ()),
    "machine": ("Machine", machine, ("machine",)),
    "call-ratios": ("Calls: ratios", call_ratios, ("calls",)),
    "call-figures": ("Calls: figures", call_figures, ("calls",)),
    "listeners": ("TLS", listeners, ("tls",)),
    "connections": ("Kept connections", connections, ("calls",)),
    "server-ratios": ("Serving: ratios", server_ratios, ("servers",)),
    "server-figures": ("Serving: figures", server_figures, ("servers",)),
    "protocol-ratios": ("HTTP/1.1 and HTTP/2, waiting and not: ratios", protocol_ratios, ("protocols",)),
    "protocol-figures": ("HTTP/1.1 and HTTP/2, waiting and not: figures", protocol_figures, ("protocols",)),
    "protocol-parts": ("HTTP/1.1 and HTTP/2, waiting and not: what the time goes to, CPU µs a call", protocol_parts, ("protocols",)),
    "handshakes": ("Handshakes", handshakes, ("handshakes",)),
    "arithmetic": ("Arithmetic", arithmetic, ("arithmetic",)),
    "decisions": ("Deciding", decisions, ("decisions",)),
    "memory": ("Memory", memory, ("memory",)),
}


def tables(found):
    """Name, title and text of each table that this run has data for."""
    for name, (title, make, needs) in SECTIONS.items():
        if all(need in found for need in needs):
            yield name, title, make(found)


def short(found):
    """The few lines for the README: 1 KB, one caller and the most callers."""
    cells = {cell["callers"]: cell for cell in found["calls"]["cells"] if cell["body"] == "1k"}
    one, many = cells[min(cells)], cells[max(cells)]
    def beside_raw(cell, name, figure):
        q = cell["ways"][name]["spread"][figure]
        return number(q["median"]) + ("" if name == "raw" else f" ({measure.ratio(cell, name, 'raw', figure)['median']:.2f}×)")
    added = {"raw": "–", "mesh": f"{found['memory']['addsKb'] / 1024:.1f} MB in the process" if "memory" in found else "–"}
    for name in SIDECARS:
        added[name] = f"{found['memory']['sidecars'][name]['outerKb'] / 1024:.1f} MB beside it" if "memory" in found else "–"
    rows = [[NAMES[name], beside_raw(one, name, "p50"), beside_raw(one, name, "allCpu"), beside_raw(many, name, "callsPerSecond"), added[name]] for name in ("raw", "mesh", "nginx", "haproxy")]
    about = found["machine"]
    return (table(["1 KB over mutual TLS", "p50 µs", "CPU of all processes, µs a call", f"calls a second, {many['callers']} callers", "memory added"], rows) +
            f"\n\nOne caller where none are named; medians of {about['rounds']} rounds; in brackets, beside raw libcurl. Callers, sidecars and the nginx that answers share one machine "
            f"({about['CPU']}).{busy(found)}")
