"""`meshctl explain` says what a call then meets: the same cases explained and called, with real processes; every field in force told with the document and line that decided it; and what would be, were a file applied."""

import json
import os
import re
import unittest

import pages
import support

DOCUMENTS = """
apiVersion: mesh/v1
kind: Mesh
name: mesh
connectTimeout: 10s
---
apiVersion: mesh/v1
kind: Namespace
name: default
retries: {attempts: 1}
---
apiVersion: mesh/v1
kind: Service
name: payments
timeout: 20s
subsets:
- {name: v1, labels: {version: v1}}
- {name: v2, labels: {version: v2}}
- {name: v3, labels: {version: v3}}
routes:
- name: testers
  match: [{headers: {x-canary: {exact: "1"}}}, {query: {canary: "1"}}]
  split: [{subset: v2, weight: 1}]
  retries: {attempts: 0}
- {name: mine, match: [{source: {service: orders}}], split: [{subset: v2, weight: 1}]}
- {name: labelled, match: [{source: {labels: {version: v9}}}], split: [{subset: v1, weight: 1}]}
- {name: users, match: [{path: {regex: "/users/[0-9]+(/.*)?"}, methods: [GET, POST]}], split: [{subset: v1, weight: 1}]}
- {name: api, match: [{path: {prefix: /api}}], rewrite: {prefix: /v2}, split: [{subset: v2, weight: 1}], headers: {request: {set: {x-way: api}, remove: [x-secret]}}}
- {name: hidden, match: [{path: {prefix: /hidden}}], rewrite: {prefix: /admin}}
- {name: empty, match: [{path: /empty}], split: [{subset: v3, weight: 1}]}
- {name: kept, match: [{path: /kept}], split: [{subset: v3, weight: 1}], otherSubsets: true}
- {name: halves, match: [{path: /halves}], split: [{subset: v1, weight: 1}, {subset: v3, weight: 1}]}
- {name: never, match: [{path: /never}], split: [{subset: v1, weight: 1}, {subset: v3, weight: 0}]}
- {name: sent-on, match: [{path: {prefix: /sent-on}}], split: [{service: guarded, weight: 1}]}
- {name: nobody, match: [{path: /nobody}], split: [{service: payments-later, weight: 1}]}
- {name: moved, match: [{path: {prefix: /old}}], redirect: {prefix: /new, status: 308}}
- {name: closed, match: [{path: /closed}], directResponse: {status: 503, body: later}}
- {name: sticky, match: [{path: /sticky}], split: [{subset: v1, weight: 50}, {subset: v2, weight: 50}], stickyOn: {header: x-user}}
- {name: rest, match: [{path: {prefix: /}}], split: [{subset: v1, weight: 90}, {subset: v2, weight: 10}], timeout: 12s}
authorization:
  rules:
  - {name: no-admin, action: deny, paths: [{prefix: /admin}]}
  - {name: no-secrets, action: deny, headers: {x-secret: {present: true}}}
  - {name: no-way, action: deny, headers: {x-way: {exact: api}}, methods: [DELETE]}
---
apiVersion: mesh/v1
kind: Service
name: guarded
authorization: {default: deny, rules: [{name: carts-read, action: allow, from: [{service: cart}], methods: [GET], paths: [{prefix: /sent-on}]}]}
---
apiVersion: mesh/v1
kind: Service
name: gone
failover: [{service: guarded}]
---
apiVersion: mesh/v1
kind: Service
name: watched
authorization: {default: deny, mode: audit}
"""

# How a verdict shows in a call: the status, or the error.
STATUS = {"allowed": "200", "audited": "200", "denied": "403", "bad-path": "400"}
ERRORS = {"no-endpoint": "MESH_E_NO_ENDPOINT", "no-service": "MESH_E_NO_SERVICE"}

# (the verdict, the route or None, who decides at the server or None, FROM, TO, PATH, more arguments)
CASES = (
    ("allowed", "testers", None, "cart", "payments", "/pay", ("-H", "X-Canary: 1")),
    ("allowed", "testers", None, "cart", "payments", "/pay?a=2&canary=%31", ()),
    ("allowed", "mine", None, "orders", "payments", "/pay", ()),
    ("allowed", "rest", None, "cart", "payments", "/pay", ("-X", "POST")),
    ("allowed", "users", None, "cart", "payments", "/users/17/orders", ()),
    ("allowed", "rest", None, "cart", "payments", "/users/17/orders", ("-X", "PUT")),
    ("allowed", "rest", None, "cart", "payments", "/users/me", ()),
    ("allowed", "users", None, "cart", "payments", "//x/%2e%2e/users/%31", ()),
    ("allowed", "api", None, "cart", "payments", "/api/pay?x=1", ("-H", "x-secret: 1")),
    ("denied", "api", "no-way", "cart", "payments", "/api/pay", ("-X", "DELETE")),
    ("denied", "hidden", "no-admin", "cart", "payments", "/hidden", ()),
    ("denied", "rest", "no-admin", "cart", "payments", "/admin", ()),
    ("denied", "rest", "no-admin", "cart", "payments", "//%61dmin/./users", ()),
    ("denied", "rest", "no-admin", "cart", "payments", "/x/%2e%2e/admin", ()),
    ("denied", "rest", "no-secrets", "cart", "payments", "/pay", ("-H", "X-Secret: 1")),
    ("bad-path", None, None, "cart", "payments", "/a%2fb", ()),
    ("allowed", "testers", None, "cart", "payments", "/pay/", ("-H", "x-canary: 0", "-H", "x-canary: 1")),
    ("bad-path", "testers", None, "cart", "payments", "/a%00b", ("-H", "x-canary: 1")),
    ("no-endpoint", "empty", None, "cart", "payments", "/empty", ()),
    ("allowed", "never", None, "cart", "payments", "/never", ()),
    ("allowed", "sent-on", "carts-read", "cart", "payments", "/sent-on/x", ()),
    ("denied", "sent-on", None, "cart", "payments", "/sent-on/x", ("-X", "POST")),
    ("allowed", "kept", None, "cart", "payments", "/kept", ()),
    ("allowed", None, "carts-read", "cart", "gone", "/sent-on", ()),
    ("denied", None, None, "cart", "gone", "/", ()),
    ("no-service", "nobody", None, "cart", "payments", "/nobody", ()),
    ("redirect", "moved", None, "cart", "payments", "/old/x?y=z", ()),
    ("direct-response", "closed", None, "cart", "payments", "/closed", ()),
    ("allowed", "sticky", None, "cart", "payments", "/sticky", ("-H", "x-user: alice")),
    ("allowed", "sticky", None, "cart", "payments", "/sticky", ("-H", "x-user: anna")),
    ("allowed", None, "carts-read", "cart", "guarded", "/sent-on", ()),
    ("denied", None, None, "cart", "guarded", "/", ()),
    ("denied", None, None, "orders", "guarded", "/sent-on", ()),
    ("audited", None, None, "cart", "watched", "/", ()),
    ("no-service", None, None, "cart", "payment", "/", ()),
)


def setUpModule():
    """One mesh for all of them."""
    mesh = Explained.mesh = support.Mesh()
    unittest.addModuleCleanup(mesh.close)
    mesh.start()
    for version in ("v1", "v2"):
        mesh.serve("payments", "--version", version, "--zone", f"z{version[1]}", wait=False)
    for name in ("guarded", "watched"):
        mesh.serve(name, wait=False)
    Explained.file = os.path.join(mesh.dir, "all.yaml")
    with open(Explained.file, "w") as f:
        f.write(DOCUMENTS)
    mesh.ctl("apply", "-f", Explained.file)
    for name, n in (("payments", 2), ("guarded", 1), ("watched", 1)):
        mesh.wait_endpoints(name, n, 30)


class Explained(unittest.TestCase):
    def explain(self, *args, code=None, check=True):
        """The object, of an exit code that says whether the call would fail."""
        done = self.mesh.ctl("explain", *args, "-o", "json", check=False)
        told = json.loads(done.stdout)
        self.assertEqual(done.returncode, code if code is not None else int(told["verdict"] not in ("allowed", "audited", "redirect", "direct-response")), done.stderr)
        return told

    def settings(self, told):
        return {(s["service"], s["path"]): s for s in told["settings"]}


class SaysTheSame(Explained):
    def test_a_call_comes_out_as_was_explained(self):
        for verdict, route, rule, source, to, path, more in CASES:
            with self.subTest(source=source, to=to, path=path, more=more):
                told = self.explain(source, to, path, *more)
                self.assertEqual((told["verdict"], told.get("route", {}).get("name")), (verdict, route))
                called = self.mesh.call(to, path, "--as", source, *more)
                expected = {STATUS.get(verdict) or str(told.get("status"))} if verdict not in ERRORS else {ERRORS[verdict]}
                self.assertEqual(set(called["status"]) | set(called["errors"]), expected)
                ways = [w for w in told["ways"] if w["percent"] > 0]
                self.assertEqual({w["verdict"] for w in ways}, {verdict} if ways else set())
                self.assertLessEqual(set(called["instances"]), {e["instance"] for w in ways for e in w["endpoints"]})
                if verdict in ("allowed", "audited", "denied"):
                    self.assertEqual(len(called["instances"]), 1)
                    self.assertEqual([w["authorization"].get("rule") for w in ways], [rule] * len(ways))

    def test_what_the_callers_processes_report_of_endpoints_is_told(self):
        load = self.mesh.spawn([support.program("meshctl"), "call", "payments", "/never", "--as", "cart", "--rate", "50", "-n", "1000000", "--data", self.mesh.data], "reporting")
        self.addCleanup(load.stop)

        def costed():
            way = self.explain("cart", "payments", "/never")["ways"][0]
            return [e for e in way["endpoints"] if "costMs" in e and e["callers"] == 1]
        endpoint = support.wait_until(costed, "a cost to be reported")[0]
        self.assertEqual((endpoint["version"], endpoint["ejectedBy"], endpoint["failedCheckOf"]), ("v1", 0, 0))
        self.assertGreater(endpoint["costMs"][0], 0)
        self.assertLessEqual(endpoint["costMs"][0], endpoint["costMs"][1])
        self.assertEqual([e for w in self.explain("web", "payments", "/never")["ways"] for e in w["endpoints"] if e["callers"]], [])

    def test_what_the_server_gets_is_what_was_explained(self):
        told = self.explain("cart", "payments", "//api/x/%2e%2e/pay?x=%20", "-H", "x-secret: 1")
        seen = json.loads(self.mesh.ctl("call", "--as", "cart", "payments", "//api/x/%2e%2e/pay?x=%20", "-H", "x-secret: 1").stdout)
        self.assertEqual((told["sent"], seen["headers"].get("x-way"), seen["headers"].get("x-secret")), ("/v2/pay?x=%20", "api", None))
        self.assertEqual(seen["path"], "/v2/pay?x=%20")

    def test_where_the_sides_of_a_split_differ_it_depends_and_both_come_to_pass(self):
        told = self.explain("cart", "payments", "/halves")
        self.assertEqual((told["verdict"], [(w["subset"], w["percent"], w["verdict"]) for w in told["ways"]]), ("depends", [("v1", 50, "allowed"), ("v3", 50, "no-endpoint")]))
        called = self.mesh.call("payments", "/halves", "--as", "cart", "-n", 100)
        self.assertAlmostEqual(called["ok"], 50, delta=4)
        self.assertEqual(set(called["errors"]), {"MESH_E_NO_ENDPOINT"})

    def test_shares_are_those_that_calls_have(self):
        told = self.explain("cart", "payments", "/pay")
        self.assertEqual([(w["subset"], w["percent"]) for w in told["ways"]], [("v1", 90), ("v2", 10)])
        versions = self.mesh.call("payments", "/pay", "--as", "cart", "-n", 500)["versions"]
        self.assertAlmostEqual(versions["v1"] / 5, told["ways"][0]["percent"], delta=1)

    def test_the_callers_labels_and_timeout_count(self):
        told = self.explain("cart", "payments", "/pay", "--version", "v9", "--timeout", "2s")
        self.assertEqual((told["route"]["name"], told["deadlineMs"]), ("labelled", 2000))
        called = self.mesh.call("payments", "/pay", "--as", "cart", env={"MESH_VERSION": "v9"})
        self.assertEqual(called["versions"], {"v1": 1})
        self.assertEqual([self.explain("cart", "payments", "/pay", *more)["deadlineMs"] for more in ((), ("--timeout", "2s"), ("--timeout", "20s"))], [12000, 2000, 12000])


class WhoDecided(Explained):
    def line(self, generation_of, number):
        """What stands in that line of what `meshctl get` prints."""
        return self.mesh.ctl("get", *generation_of.split()).stdout.splitlines()[number - 1].strip()

    def test_every_field_in_force_is_told_with_the_document_and_line_that_says_it(self):
        effective = {f["path"]: f for f in json.loads(self.mesh.ctl("get", "--effective", "payments", "-o", "json").stdout)["fields"]}
        settings = self.settings(self.explain("cart", "payments", "/pay"))
        routed = {"timeout": "12s"}  # the route says it
        for path, field in effective.items():
            if path in ("subsets", "routes", "authorization.rules"):  # the ways, the route, the verdict tell of them
                continue
            with self.subTest(path=path):
                told = settings[("payments.default", path)]
                self.assertEqual(told["value"], routed.get(path, field["value"]))
                self.assertEqual((told["from"], told.get("generation")), ("Service payments.default", "1") if path in routed else (field["from"], field.get("generation")))
                if told["from"] != "built in":
                    self.assertTrue(self.line(told["from"], told["line"]).startswith(f'"{path.split(".")[-1]}": '), told)
        self.assertEqual({settings[("payments.default", path)]["from"] for path in ("connectTimeout", "retries.attempts", "timeout", "circuitBreaker.maxPending")},
                         {"Mesh mesh", "Namespace default", "Service payments.default", "built in"})

    def test_a_route_stands_over_its_service_and_another_service_brings_its_own(self):
        settings = self.settings(self.explain("cart", "payments", "/pay", "-H", "x-canary: 1"))
        self.assertEqual([(s["value"], s["from"], self.line(s["from"], s["line"])) for s in [settings[("payments.default", "retries.attempts")]]], [(0, "Service payments.default", '"attempts": 0')])
        told = self.explain("cart", "payments", "/sent-on/x")
        settings = self.settings(told)
        self.assertEqual({service for service, path in settings if path.startswith(("circuitBreaker", "connectTimeout", "retries.budget.window", "authorization"))}, {"guarded.default"})
        self.assertEqual({service for service, path in settings if path in ("timeout", "retries.attempts")}, {"payments.default"})
        rule = told["ways"][0]["authorization"]
        self.assertEqual((rule["rule"], rule["from"], self.line(rule["from"], rule["line"] + 1)), ("carts-read", "Service guarded.default", '"name": "carts-read",'))

    def test_what_was_passed_over_is_told_with_why(self):
        passed = {p["name"]: p["for"] for p in self.explain("cart", "payments", "/pay?canary=2", "-X", "POST")["passedOver"]}
        self.assertEqual({name: passed[name] for name in ("testers", "mine", "labelled", "users", "moved")},
                         {"testers": "header x-canary", "mine": "source", "labelled": "source", "users": "path", "moved": "path"})
        self.assertEqual({p["name"]: p["for"] for p in self.explain("cart", "payments", "/users/1", "-X", "PUT")["passedOver"]}["users"], "method")

    def test_a_file_is_explained_as_if_it_were_applied_with_its_own_lines(self):
        path = os.path.join(self.mesh.dir, "changed.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\nretries:\n  attempts: 5\nauthorization:\n  default: deny\n"
                    "---\napiVersion: mesh/v1\nkind: Endpoints\nname: payments\nendpoints:\n- {address: \"127.0.0.1:9\", zone: z9}\n")
        told = self.explain("cart", "payments", "/pay", "-f", path)
        settings = self.settings(told)
        self.assertEqual(told["verdict"], "denied")
        self.assertEqual([(settings[("payments.default", p)]["file"], settings[("payments.default", p)]["line"]) for p in ("retries.attempts", "authorization.default")], [(path, 5), (path, 7)])
        self.assertEqual(settings[("payments.default", "connectTimeout")]["from"], "Mesh mesh")
        self.assertIn(("127.0.0.1:9", "static"), [(e["address"], e["state"]) for e in told["ways"][0]["endpoints"]])
        self.assertEqual(self.explain("cart", "payments", "/pay")["verdict"], "allowed")
        self.mesh.ctl("apply", "--dry-run", "-f", path)

    def test_in_words_the_verdict_stands_in_the_first_line_and_all_settings_below(self):
        told = self.explain("cart", "payments", "/sent-on", "-X", "POST")
        done = self.mesh.ctl("explain", "cart", "payments", "/sent-on", "-X", "POST", check=False)
        self.assertEqual(done.stdout.splitlines()[0], "POST /sent-on from cart.default to payments.default: denied by default: 403")
        for setting in told["settings"]:
            self.assertIn(setting["path"].split(".")[-1], done.stdout)


class Refuses(Explained):
    def test_what_cannot_be_asked_is_told_with_its_value_and_what_to_do(self):
        bad = os.path.join(self.mesh.dir, "bad.yaml")
        with open(bad, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\ntimout: 3s\n")
        for code, args, says in ((1, ("cart", "payment", "/"), "no service payment.default has registered; did you mean payments.default?"),
                                 (1, ("cart", "xylophone", "/"), "no service xylophone.default has registered; `meshctl services` lists those that have"),
                                 (0, ("payment", "payments", "/"), "note: nobody has ever joined as payment.default; did you mean payments.default?"),
                                 (2, ("Cart", "payments", "/"), '"Cart"'), (2, ("cart", "payments", "pay"), 'path "pay": it begins with "/"'), (2, ("cart", "payments", "/", "-X", "GE T"), '-X "GE T" is no method'),
                                 (2, ("cart", "payments", "/", "-H", "x"), '-H "x": write it as "name: value"'), (2, ("cart", "payments", "/", "-H", "mesh-try: 2"), "the library sets this field"),
                                 (2, ("cart", "payments"), "usage: meshctl explain FROM TO PATH"), (2, ("cart", "payments", "/", "-f", bad + "x"), "bad.yamlx"),
                                 (5, ("cart", "payments", "/", "-f", bad), "bad.yaml:4:1: timout: unknown field; did you mean \"timeout\"?")):
            with self.subTest(args=args):
                done = self.mesh.ctl("explain", *args, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stderr)
        self.assertEqual(self.mesh.ctl("explain", "payments", "payments", "/").stderr, "")


class ExplainPage(pages.Page):
    def test_each_command_prints_what_the_page_says(self):
        self.run_page("EXPLAIN.md")
        self.assertGreater(len(self.steps), 10)

    def test_it_names_every_verdict_and_every_member(self):
        self.open_page("EXPLAIN.md")
        with open(os.path.join(support.SRC, "ctrl", "meshctl", "explain.h")) as f:
            words = re.findall(r'^\tX\(\w+, "([a-z-]+)"', f.read(), re.M)
        with open(os.path.join(support.SRC, "ctrl", "meshctl", "explain_json.c")) as f:
            words += re.findall(r'(?:put_\w+|open)\(&?(?:json|p->json), "(\w+)"', f.read())
        self.assertGreater(len(words), 30)
        self.assertEqual([w for w in words if f"`{w}`" not in self.page and w not in ("address", "version")], [])


if __name__ == "__main__":
    unittest.main()
