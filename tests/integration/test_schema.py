"""The JSON Schema of documents: it is the one in docs/, it takes what the parser takes, and the pages name all that is in it."""
# tests/run: not under sanitizers: no program runs but meshctl to validate
import json
import os
import re
import subprocess
import tempfile
import unittest

from json_schema import fits, leaves
from support import BUILD, SRC

MESHCTL = os.path.join(BUILD, "bin", "meshctl")


def read(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as file:
        return file.read()


def document(kind="Service", name="payments", **fields):
    return dict({"apiVersion": "mesh/v1", "kind": kind, "name": name}, **fields)


def route(**fields):
    return document(subsets=[{"name": "v1", "labels": {"version": "v1"}}], routes=[dict({"name": "a"}, **fields)])


def rule(**fields):
    return document(authorization={"rules": [dict({"name": "a", "action": "allow"}, **fields)]})


# What one value alone shows to be right or wrong.
DOCUMENTS = [
    document(),
    {"apiVersion": "mesh/v1", "name": "a"},
    {"kind": "Service", "name": "a"},
    document(name="Pay"),
    document(name=5),
    document(kind="service"),
    document(colour="red"),
    document(namespace="shop", protocol="grpc", timeout="1.5s", connectTimeout="250ms"),
    document(protocol="tcp"),
    document(timeout=5),
    document(timeout="soon"),
    document(loadBalancer={"policy": "roundRobin"}),
    document(loadBalancer={"policy": "maglev"}),
    document(loadBalancer={"slowStart": "1s"}),
    document(loadBalancer=[]),
    document(circuitBreaker={"maxPending": 0, "maxRequests": 1000000}),
    document(circuitBreaker={"maxRequests": 0}),
    document(circuitBreaker={"maxRequests": 1000001}),
    document(circuitBreaker={"maxRequests": "5"}),
    document(circuitBreaker={"maxRequests": True}),
    document(circuitBreaker={"maxRequests": 1.5}),
    document(retries={"attempts": 2, "perTryTimeout": "0s", "retryOn": ["unsent", 503], "backoff": {"base": "25ms"}, "budget": {"percent": 0.5, "minPerSecond": 0, "window": "10s"}}),
    document(retries={"attempts": 11}),
    document(retries={"retryOn": ["unsend"]}),
    document(retries={"retryOn": [200]}),
    document(retries={"budget": {"percent": 101}}),
    document(hedging={"delay": "p99.9", "maxExtraPercent": 5}),
    document(hedging={"delay": "off"}),
    document(healthCheck={}),
    document(healthCheck={"path": "off"}),
    document(healthCheck={"path": "healthz"}),
    document(healthCheck={"path": "/healthz?all", "interval": "1ms"}),
    document(hedging={"delay": "95"}),
    document(rateLimit={"requestsPerSecond": 0.5, "burst": 1, "per": "total"}),
    document(rateLimit={"requestsPerSecond": "off"}),
    document(rateLimit={"requestsPerSecond": 0}),
    document(rateLimit={"requestsPerSecond": "5"}),
    document(rateLimit={"requestsPerSecond": 5, "per": "caller"}),
    document(concurrencyLimit={"mode": "aimd"}),
    document(subsets=[]),
    document(subsets=[{"name": "a"}]),
    document(subsets=[{"name": "a", "labels": {"tier": "x"}}]),
    route(split=[{"subset": "v1", "weight": 1}]),
    route(split=[]),
    route(split=[{"subset": "v1"}]),
    route(split=[{"subset": "v1", "weight": -1}]),
    route(match=[{"path": "/a", "methods": ["GET"], "headers": {"x-a": {"present": False}, "x-b": "1"}, "query": {"q": {"suffix": "z"}}, "source": {"service": "cart"}}]),
    route(match=[{"path": {"regex": "/a+"}}]),
    route(match=[{"path": {"suffix": "/a"}}]),
    route(match=[{"path": {"exact": "/a", "prefix": "/b"}}]),
    route(match=[{"path": "a"}]),
    route(match=[{"headers": {"x a": "1"}}]),
    route(match=[{"headers": {"x-a": {"present": "yes"}}}]),
    route(match=[{"methods": ["get"]}]),
    route(split=[{"subset": "v1", "weight": 1}], stickyOn={"header": "x-user"}),
    route(split=[{"subset": "v1", "weight": 1}], stickyOn={"source": False}),
    route(mirror={"subset": "v1", "percent": 0.0001}),
    route(rewrite={"path": "/a"}),
    route(rewrite={}),
    route(redirect={"status": 308, "host": "a.example:1"}),
    route(redirect={"scheme": "ftp"}),
    route(directResponse={"status": 503, "body": "away"}),
    route(directResponse={"body": "away"}),
    route(headers={"request": {"set": {"x-a": "b"}, "remove": ["x-c"]}}),
    route(headers={"request": {"set": {"x-a": 5}}}),
    route(timeout="2s", retries={"attempts": 1}),
    route(fault={"delay": {"percent": 5, "duration": "1s"}}),
    rule(**{"from": [{"service": "cart"}, {"namespace": "ops"}], "methods": ["POST"], "paths": ["/a", {"prefix": "/b"}], "headers": {"x-a": "1"}}),
    rule(action="permit"),
    rule(paths=[{"regex": "/a+"}]),
    rule(**{"from": []}),
    document(authorization={"default": "deny", "mode": "audit"}),
    document(kind="Namespace", name="shop", timeout="2s"),
    document(kind="Namespace", name="shop", namespace="shop"),
    document(kind="Mesh", name="mesh", circuitBreaker={"maxPending": 1}),
    document(kind="Mesh", name="mesh", routes=[]),
    document(kind="Mesh", name="mesh", authorization={"rules": []}),
    document(kind="Endpoints", endpoints=[{"address": "10.0.0.1:443", "zone": "a", "labels": {"version": "v1"}}, {"address": "[::1]:80"}], insecurePlaintext=True),
    document(kind="Endpoints"),
    document(kind="Endpoints", endpoints=[]),
    document(kind="Endpoints", endpoints=[{"address": "localhost:80"}]),
    document(kind="Endpoints", endpoints=[{"address": "10.0.0.1:443", "zone": "a b"}]),
]


class Schema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = subprocess.run([MESHCTL, "validate", "--schema"], check=True, capture_output=True, text=True, timeout=30).stdout
        cls.schema = json.loads(cls.text)

    def verdict(self, value):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(value, file)
            file.flush()
            done = subprocess.run([MESHCTL, "validate", "-f", file.name], capture_output=True, text=True, timeout=30)
        self.assertIn(done.returncode, (0, 5), done.stderr)
        return done

    def test_it_is_the_one_in_docs(self):
        self.assertEqual(read("docs", "mesh.schema.json"), self.text, "write it again: meshctl validate --schema > docs/mesh.schema.json")

    def test_it_says_of_each_document_what_the_parser_says(self):
        verdicts = set()
        for value in DOCUMENTS:
            done = self.verdict(value)
            self.assertEqual(fits(value, self.schema, self.schema), done.returncode == 0, "%s: %s" % (json.dumps(value), done.stderr))
            verdicts.add(done.returncode)
        self.assertEqual(verdicts, {0, 5})

    def test_the_pages_name_every_field(self):
        pages = "".join(read("docs", name) for name in sorted(os.listdir(os.path.join(SRC, "docs"))) if name.endswith(".md"))
        named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", pages))))
        for kind, schema in self.schema["$defs"].items():
            for path, _ in leaves(schema):
                self.assertIn(path.split(".")[-1].rstrip("[]"), named, "%s of kind %s is in no page of docs/" % (path, kind))

    def test_the_section_of_namespaces_and_meshes_names_what_they_take(self):
        section = re.search(r"^## kind: Namespace, kind: Mesh$(.*?)^## ", read("docs", "CONFIGURATION.md"), re.M | re.S).group(1)
        for kind in ("Namespace", "Mesh"):
            for name in self.schema["$defs"][kind]["properties"]:
                if name not in ("apiVersion", "kind", "name"):
                    self.assertIn("`%s`" % name, section, "what a %s takes" % kind)

    def built_in(self, page, fields):
        """The fields of the page's tables that say what is built in, each with its text there; `-` where that is no value. A field's own page, as RETRIES.md is that of `retries`, leaves its name out."""
        own = page[:-len(".md")].lower() + "."
        for table in re.findall(r"^\| field[^|\n]*\| built in \|.*\n\|[- |]+\n((?:\|.*\n)+)", read("docs", page), re.M):
            for left, right in re.findall(r"^\| ([^|]+) \| ([^|]*) ?\|", table, re.M):
                names, values = re.findall(r"`([\w.]+)`", left), re.findall(r"`([^`]+)`", right)
                yield from zip([own + name if own + name in fields else name for name in names], values if len(values) == len(names) else ["-"] * len(names))

    def test_the_tables_say_what_is_built_in(self):
        fields = {path: schema for path, schema in leaves(self.schema["$defs"]["Service"])}
        told = {}
        for page in (page for page in os.listdir(os.path.join(SRC, "docs")) if page.endswith(".md")):
            told.update(self.built_in(page, fields))
        for path, text in told.items():
            self.assertIn(path, fields, "a table has a row for what is no field")
            default = fields[path].get("default")
            if text != "-":
                shown = default if isinstance(default, str) else "[%s]" % ", ".join(default) if isinstance(default, list) else json.dumps(default)
                self.assertEqual(text, shown, path)
        for path, schema in fields.items():
            if "default" in schema:
                self.assertNotEqual(told.get(path, "-"), "-", "no table says what is built in of %s" % path)


if __name__ == "__main__":
    unittest.main()
