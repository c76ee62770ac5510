#!/usr/bin/env python3
"""make bench: what a call and an answer cost, beside raw libcurl, sidecars and nginx, all of it on this machine's loopback."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]

import measure  # noqa: E402
import pages  # noqa: E402
import picture  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import support  # noqa: E402

SECTIONS = {one.__name__: one for one in (measure.tls, measure.calls, measure.servers, measure.protocols, measure.handshakes, measure.arithmetic, measure.decisions, measure.memory, measure.start)}
PLANS = {
    "full": {"callers": [1, 8, 64], "dialling": [1, 8], "bodies": list(proxies.SIZES), "rounds": 7, "round_ms": 300, "warm_ms": 20},
    "quick": {"callers": [1, 8], "dialling": [8], "bodies": ["1k", "1m"], "rounds": 3, "round_ms": 60, "warm_ms": 5},
}


def numbers(text):
    return [int(n) for n in text.split(",")]


def words(text):
    return text.split(",")


def parse_args():
    p = argparse.ArgumentParser(description="Measures; prints tables, writes bench.json and bench.svg.")
    p.add_argument("--out", default=os.path.join(support.BUILD, "bench"), help="where bench.json and bench.svg go")
    p.add_argument("--quick", action="store_true", help="under a minute, and as rough")
    p.add_argument("--docs", action="store_true", help="rewrite the tables in docs/BENCHMARKS.md and README.md, and docs/bench.svg")
    p.add_argument("--from", dest="source", help="measure nothing: take this bench.json")
    p.add_argument("--sections", type=words, default=list(SECTIONS), help="of: " + ",".join(SECTIONS))
    p.add_argument("--callers", type=numbers)
    p.add_argument("--dialling", type=numbers, help="callers that make a handshake each call")
    p.add_argument("--bodies", type=words, help="of: " + ",".join(proxies.SIZES))
    p.add_argument("--rounds", type=int, help="of each way in each cell")
    p.add_argument("--round-ms", type=int, help="the measured part of a round; twice that for bodies of 1 MB")
    p.add_argument("--warm-ms", type=int, help="a step of warming up")
    opt = p.parse_args()
    for name, value in PLANS["quick" if opt.quick else "full"].items():
        setattr(opt, name, getattr(opt, name) or value)
    return opt


# ---- this machine ----

def first_match(pattern, text, otherwise="unknown"):
    found = re.search(pattern, text, re.M)
    return found[1].strip() if found else otherwise


def read(path):
    with open(path) as f:
        return f.read()


def machine(found):
    curl = subprocess.run([measure.CLIENT, "--libcurl"], capture_output=True, text=True, check=True).stdout
    processor = first_match(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), platform.machine())
    system = first_match(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release"))
    return {
        "CPU": f"{proxies.CORES} × {processor}",
        "system": f"{system}, Linux {platform.release()}",
        "client": " ".join(curl.split()[:2]),
        "our server": found["arithmetic"]["mbedtls"]["version"] if "arithmetic" in found else "mbedTLS",
        "nginx": proxies.version_of("nginx", "-v").removeprefix("nginx version: "),
        "haproxy": " ".join(proxies.version_of("haproxy", "-v").split()[:3]),
        "TLS": f"{proxies.TLS}, {proxies.CURVE}; certificates of P-256 from meshca, checked on both sides",
    }


# ---- measuring ----

def run(opt):
    began = time.monotonic()
    load = os.getloadavg()[0]
    field = measure.Field(opt)
    try:
        found = {name: SECTIONS[name](field, lambda text: print("bench: " + text, file=sys.stderr, flush=True)) for name in opt.sections}
    finally:
        field.close()
    found["machine"] = machine(found)
    found["machine"].update(date=time.strftime("%Y-%m-%d", time.gmtime()), rounds=opt.rounds, roundMs=opt.round_ms, seconds=time.monotonic() - began, loadBefore=load)
    return found


def write(opt, found):
    os.makedirs(opt.out, exist_ok=True)
    with open(os.path.join(opt.out, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(found, f, indent=1, ensure_ascii=False)
    if "calls" in found:
        with open(os.path.join(opt.out, "bench.svg"), "w", encoding="utf-8") as f:
            f.write(picture.draw(found))


def main():
    opt = parse_args()
    missing = proxies.missing_programs()
    if missing and not opt.source:
        print(f"bench: {' and '.join(missing)} not found; ./setup bench installs what it needs", file=sys.stderr)
        return 2
    if opt.source:
        with open(opt.source, encoding="utf-8") as f:
            found = json.load(f)
    else:
        found = run(opt)
        write(opt, found)
    for _, title, text in report.tables(found):
        print(f"\n{title}\n\n{text}")
    if opt.docs:
        pages.rewrite(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
