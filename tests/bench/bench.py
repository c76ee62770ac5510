#!/usr/bin/env python3
"""make bench: what a call and an answer cost, beside raw libcurl, sidecars and nginx, all of it on this machine's loopback."""

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]

import measure  # noqa: E402
import proxies  # noqa: E402
import support  # noqa: E402

SECTIONS = {"calls": measure.calls}


def parse_args():
    p = argparse.ArgumentParser(description="Measures; prints a table and writes bench.json.")
    p.add_argument("--out", default=os.path.join(support.BUILD, "bench"), help="where bench.json goes")
    p.add_argument("--quick", action="store_true", help="under a minute, and as rough")
    p.add_argument("--sections", default=",".join(SECTIONS), help="of: " + ", ".join(SECTIONS))
    p.add_argument("--callers", default="1,8,64")
    p.add_argument("--bodies", default=",".join(proxies.SIZES))
    p.add_argument("--rounds", type=int, help="a way and cell (default 9, quick 3)")
    p.add_argument("--round-ms", type=int, help="the measured part of a round (default 500, quick 100)")
    p.add_argument("--warm-ms", type=int, default=20, help="a step of warming up")
    opt = p.parse_args()
    opt.rounds = opt.rounds or (3 if opt.quick else 9)
    opt.round_ms = opt.round_ms or (100 if opt.quick else 500)
    opt.callers = [int(n) for n in opt.callers.split(",")]
    opt.bodies = opt.bodies.split(",")
    opt.sections = opt.sections.split(",")
    return opt


def main():
    opt = parse_args()
    missing = proxies.missing_programs()
    if missing:
        print(f"bench: {' and '.join(missing)} not found; ./setup bench installs what it needs", file=sys.stderr)
        return 2
    field = measure.Field(opt)
    try:
        found = {name: SECTIONS[name](field, lambda text: print("bench: " + text, file=sys.stderr, flush=True)) for name in opt.sections}
    finally:
        field.close()
    os.makedirs(opt.out, exist_ok=True)
    with open(os.path.join(opt.out, "bench.json"), "w") as f:
        json.dump(found, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
