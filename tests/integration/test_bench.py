"""make bench, as short as it can be: it runs to its end, and what it leaves is complete. Its figures are no concern here."""
# tests/run: not under sanitizers: what the benchmarks call has tests of its own, and nobody measures a sanitized program

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import support

BENCH = os.path.join(support.SRC, "tests", "bench")
sys.path.insert(0, BENCH)

import measure  # noqa: E402
import pages  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402

SHORT = ("--rounds", "2", "--round-ms", "10", "--warm-ms", "2", "--callers", "2", "--dialling", "2", "--bodies", "1k")


def numbers(value):
    """Every number in parsed JSON, with the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ((f"{key}/{path}", number) for path, number in numbers(inner))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from ((f"{i}/{path}", number) for path, number in numbers(inner))
    elif isinstance(value, (int, float)):
        yield "", value


@unittest.skipIf(proxies.missing_programs(), "needs " + " and ".join(proxies.missing_programs()))
class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        out = tempfile.mkdtemp(prefix="bench-")
        cls.addClassCleanup(shutil.rmtree, out, ignore_errors=True)
        done = subprocess.run([sys.executable, os.path.join(BENCH, "bench.py"), *SHORT, "--out", out], capture_output=True, text=True, timeout=200 * support.SLOW, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr[-6000:])
        cls.printed = done.stdout
        with open(os.path.join(out, "bench.json"), encoding="utf-8") as f:
            cls.found = json.load(f)
        cls.picture = xml.etree.ElementTree.parse(os.path.join(out, "bench.svg"))

    def test_every_figure_is_a_number_and_no_call_failed(self):
        seen = 0
        for path, value in numbers(self.found):
            self.assertTrue(math.isfinite(value), path)
            if path.endswith("/failed/"):
                self.assertEqual(value, 0, path)
            if path.endswith(("/callsPerSecond/", "/p50/", "/clientCpu/")):
                self.assertGreater(value, 0, path)
                seen += 1
        self.assertGreater(seen, 50)

    def test_every_way_had_its_rounds(self):
        for section, ways in (("calls", {"raw", "mesh", "haproxy", "nginx"}), ("servers", {"nginx", "inline", "pool"}), ("protocols", set(report.PROTOCOLS)),
                              ("handshakes", {"nginx-full", "nginx-resumed", "inline-full", "inline-resumed"})):
            cell, = self.found[section]["cells"]
            self.assertEqual(set(cell["ways"]), ways)
            self.assertEqual({len(way["rounds"]) for way in cell["ways"].values()}, {2})

    def test_what_the_time_goes_to_is_told_wherever_it_may_be_seen(self):
        cell, = self.found["protocols"]["cells"]
        sampled = [way for way in cell["ways"].values() if any("clientParts" in one for one in way["rounds"])]
        self.assertIn(len(sampled), (0, len(cell["ways"])))
        if sampled:
            self.assertGreater(sum(sum(one["clientParts"].values()) + sum(one["peerParts"].values()) for way in sampled for one in way["rounds"]), 0)

    def test_connections_are_kept_but_where_handshakes_are_measured(self):
        libcurl = tuple(int(n) for n in self.found["machine"]["client"].split()[0].removeprefix("libcurl/").split(".")[:2])
        closed = (0,) if libcurl < (8, 10) else (0, 1, 2)  # from then on it waits behind the caller's back until the peer has closed too
        for section, kept in (("calls", (2,)), ("servers", (2,)), ("handshakes", closed)):
            for name, way in self.found[section]["cells"][0]["ways"].items():
                for one in way["rounds"]:
                    with self.subTest(section, way=name):
                        # A mesh's callers share what there is.
                        self.assertIn(one["connectionsAfter"], (1, 2) if name == "mesh" else kept)

    def test_full_handshakes_resume_nothing_and_nginx_resumes_all(self):
        cell, = self.found["handshakes"]["cells"]
        self.assertEqual(cell["ways"]["nginx-full"]["resumedShare"], 0)
        self.assertEqual(cell["ways"]["inline-full"]["resumedShare"], 0)
        self.assertEqual(cell["ways"]["nginx-resumed"]["resumedShare"], 1)

    def test_a_client_of_many_endpoints_is_connected_to_them(self):
        client = self.found["memory"]["client"]
        self.assertEqual(client["rawMany"]["connections"], measure.SERVICES * measure.ENDPOINTS)
        self.assertGreater(client["meshMany"]["connections"], measure.SERVICES * measure.ENDPOINTS // 2)

    def test_each_table_is_printed_and_has_its_place_in_the_documents(self):
        made = {name for name, _, _ in report.tables(self.found)}
        self.assertEqual(made, set(report.SECTIONS))
        for title, _, _ in report.SECTIONS.values():
            self.assertIn(f"\n{title}\n", self.printed)
        for page, names in ((("docs", "BENCHMARKS.md"), made), (("README.md",), {"short"})):
            with open(pages.path(*page), encoding="utf-8") as f:
                self.assertEqual(set(re.findall(r"<!-- bench:([a-z-]+) -->", f.read())), names)

    def test_the_picture_has_a_bar_for_each_way(self):
        titles = {t.text.split(":")[0] for t in self.picture.iter("{http://www.w3.org/2000/svg}title")}
        self.assertEqual(titles, {"mesh_call", "nginx sidecars", "haproxy sidecars"})

    def test_the_short_table_has_a_line_for_each_way(self):
        self.assertEqual(len(report.short(self.found).split("\n\n")[0].split("\n")), 2 + 4)


class Judgement(unittest.TestCase):
    """The arithmetic of the report, on rounds made up."""

    @staticmethod
    def cell(**ways):
        return {"ways": {name: {"rounds": [{"p50": value} for value in values], "spread": {"p50": measure.quartiles(values)}} for name, values in ways.items()}}

    def test_a_ratio_is_taken_within_each_round(self):
        """The machine slows down tenfold; the ratio of the two ways stays."""
        q = measure.ratio(self.cell(mesh=[11.0, 110.0, 1100.0], raw=[10.0, 100.0, 1000.0]), "mesh", "raw", "p50")
        self.assertEqual([round(q[key], 6) for key in ("min", "median", "max")], [1.1, 1.1, 1.1])

    def test_a_bound_is_met_by_what_is_shown(self):
        for value, sense, bound, expected in ((1.054, "<=", 1.05, True), (1.056, "<=", 1.05, False), (0.946, ">=", 0.95, True), (0.944, ">=", 0.95, False)):
            with self.subTest(value):
                self.assertEqual(report.met(value, sense, bound), expected)

    def test_the_best_of_several_is_the_one_with_the_lower_time(self):
        self.assertEqual(report.best(self.cell(haproxy=[3.0, 5.0, 9.0], nginx=[4.0, 6.0, 7.0]), ("haproxy", "nginx"), "p50"), "haproxy")

    def test_samples_of_all_rounds_share_out_the_cpu_of_a_call(self):
        way = {"spread": {"clientCpu": {"median": 50.0}}, "rounds": [{"clientParts": {"kernel": 3, "tls": 1, "http": 0, "mesh": 0, "rest": 0}}, {"clientParts": {"kernel": 0, "tls": 0, "http": 4, "mesh": 1, "rest": 1}}]}
        self.assertEqual(measure.parts(way, "client"), {"kernel": 15.0, "tls": 5.0, "http": 20.0, "mesh": 5.0, "rest": 5.0})
        self.assertIsNone(measure.parts(way, "peer"))

    def test_only_marked_places_of_a_page_change(self):
        with tempfile.TemporaryDirectory() as directory:
            page = proxies.write(os.path.join(directory, "page.md"), "before\n<!-- bench:goals -->\nold\n<!-- /bench:goals -->\nafter\n<!-- bench:memory -->\nkept\n<!-- /bench:memory -->\n")
            pages.put(page, {"goals": "new"})
            with open(page, encoding="utf-8") as f:
                self.assertEqual(f.read(), "before\n<!-- bench:goals -->\n\nnew\n\n<!-- /bench:goals -->\nafter\n<!-- bench:memory -->\nkept\n<!-- /bench:memory -->\n")


if __name__ == "__main__":
    unittest.main()
