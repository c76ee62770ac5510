"""Routes, splits and subsets, set by documents, in processes that run on: who gets which call, before, while and after a document changes."""

import http.client
import json
import os
import unittest

import load
import pages
import peers
import support

CALLS = 10000 // support.SLOW
KEYS = 600 // support.STRIDE
SUBSETS = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]


def split(**weights):
    return [{"subset": name, "weight": weight} for name, weight in weights.items()]


def default(**more):
    return {"name": "default", **more}


def setUpModule():
    """One mesh for all of them: each test begins with a document of its own."""
    mesh = Routed.mesh = support.Mesh()
    unittest.addModuleCleanup(mesh.close)
    mesh.start()
    for version in ("v1", "v2"):
        mesh.serve("payments", "--version", version, "--zone", f"z{version[1]}")
    mesh.wait_endpoints("payments", 2)


class Routed(unittest.TestCase):
    def apply(self, *routes, name="payments", **more):
        """Puts the document in force in every process that runs it now."""
        path = os.path.join(self.mesh.dir, f"{name}.json")
        with open(path, "w") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": name, "subsets": SUBSETS, "routes": routes, **support.PATIENCE, **more}, f)
        self.mesh.ctl("apply", "-f", path)
        support.wait_until(self.all_current, "the document to be taken by all")

    def all_current(self):
        return all(client["state"] == "current" for client in self.mesh.ctl_json("sync-status", check=False)["clients"])

    def gateway(self):
        """A process that stays, and where it tells its metrics."""
        probe = f"127.0.0.1:{support.free_port()}"
        gateway = load.Gateway(self.mesh, "payments", env={"MESH_PROBE_LISTEN": probe, "MESH_PROBE_METRICS": "1"}, name=f"gateway-{probe[10:]}")
        self.addCleanup(gateway.child.stop)
        gateway.ask()
        return gateway, probe

    def versions(self, *args, calls=CALLS, path="/"):
        """Of a process of its own, in which no call fails."""
        result = self.mesh.call("payments", path, "--as", "cart", "-n", calls, *args)
        self.assertEqual((result["ok"], result["errors"]), (calls, {}))
        return result["versions"]


class Splits(Routed):
    def test_90_10_over_10000_calls_stays_within_a_point(self):
        self.apply(default(split=split(v1=90, v2=10)))
        for way in ((), ("-c", "8"), ("--async", "-c", "8")):
            versions = self.versions(*way)
            self.assertAlmostEqual(versions["v2"], CALLS / 10, delta=CALLS / 100, msg=f"{way}: {versions}")

    def sides(self, gateway):
        """The version that each of the keys gets."""
        connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
        seen = []
        for i in range(KEYS):
            connection.request("GET", "/", headers={"x-user": f"user-{i}"})
            seen.append(json.loads(connection.getresponse().read())["version"])
        connection.close()
        return seen

    def test_a_key_stays_on_its_side_and_a_change_of_weights_moves_the_keys_that_it_must(self):
        self.apply(default(split=split(v1=90, v2=10), stickyOn={"header": "x-user"}))
        gateway, _ = self.gateway()
        nine = self.sides(gateway)
        self.assertEqual(self.sides(gateway), nine)
        for i in (nine.index("v1"), nine.index("v2")):  # and in every other process
            self.assertEqual(self.versions("-H", f"x-user: user-{i}", calls=50), {nine[i]: 50})
        self.apply(default(split=split(v1=80, v2=20), stickyOn={"header": "x-user"}))
        moves = [(was, now) for was, now in zip(nine, self.sides(gateway)) if was != now]
        self.assertEqual(set(moves), {("v1", "v2")})
        self.assertAlmostEqual(len(moves) / KEYS, 0.1, delta=0.04)  # of these keys, which are always the same, 12.5 %; of 20,000, 9.9 (tests/unit/policy/test_split.c)
        self.apply(default(split=split(v1=90, v2=10), stickyOn={"header": "x-user"}))
        self.assertEqual(self.sides(gateway), nine)

    def test_a_split_may_lead_to_another_service_also_before_anybody_has_called_it(self):
        self.mesh.serve("payments-next", "--version", "next")
        self.mesh.wait_endpoints("payments-next", 1)
        self.apply(default(split=[{"subset": "v1", "weight": 75}, {"service": "payments-next", "weight": 25}]))
        versions = self.versions(calls=400)
        self.assertAlmostEqual(versions["next"], 100, delta=4)
        self.assertEqual(versions["v1"] + versions["next"], 400)
        self.apply(default(split=[{"service": "payments-next", "weight": 1}]))
        for way in ((), ("--async", "-c", "8")):  # the first calls of a process wait for its first word
            self.assertEqual(self.versions(*way, calls=20), {"next": 20})

    def test_who_is_sent_where_nobody_is_gets_told(self):
        self.apply(default(match=[{"path": "/nobody"}], split=[{"service": "payments-later", "weight": 1}]), {"name": "empty", "match": [{"path": "/empty"}], "split": [{"subset": "v3", "weight": 1}]},
                   subsets=[{"name": "v3", "labels": {"version": "v3"}}])
        for path, code, says in (("/nobody", "MESH_E_NO_SERVICE", "no service payments-later.default"),
                                 ("/empty", "MESH_E_NO_ENDPOINT", "subset v3 of service payments.default, to which route empty leads, has no endpoint at present: none of 2 has its labels")):
            done = self.mesh.ctl("call", "payments", path, "--as", "cart", check=False)
            self.assertIn(code, done.stderr)
            self.assertIn(says, done.stderr)
        self.assertEqual(sum(self.versions(calls=20).values()), 20)  # no route: all endpoints


class Changes(Routed):
    def test_a_change_is_in_force_in_processes_that_run_and_no_call_fails(self):
        self.apply(default(split=split(v1=100)))
        gateway, probe = self.gateway()
        many = load.Load(self.mesh, "payments", 1000000, 400)
        another = load.Load(self.mesh, "payments", 1000000, 200, args=("--async",))
        for version in ("v2", "v1", "v2"):
            self.apply(default(split=split(**{version: 100})))
            self.assertEqual({gateway.ask()["version"] for _ in range(20)}, {version})
        self.apply(loadBalancer={"policy": "roundRobin"})
        self.assertEqual({gateway.ask()["version"] for _ in range(20)}, {"v1", "v2"})
        for one in (many, another):
            result = one.stop()
            self.assertEqual((result["failed"], result["errors"], sorted(result["versions"])), (0, {}, ["v1", "v2"]))
            self.assertGreater(result["ok"], 0)
        counts = peers.metrics(probe)
        self.assertGreaterEqual(counts['mesh_routed_calls_total{to="payments.default/default/v2"}'], 40)


class Matches(Routed):
    TABLE = (
        # (what leads to v2), (a request that it takes: path, method, headers), (requests that it does not)
        ({"headers": {"x-canary": {"exact": "1"}}}, ("/", "GET", {"X-Canary": "1"}), (("/", "GET", {}), ("/", "GET", {"X-Canary": "11"}))),
        ({"headers": {"x-canary": {"present": True}}, "methods": ["POST"]}, ("/", "POST", {"x-canary": "0"}), (("/", "POST", {}), ("/", "GET", {"x-canary": "0"}))),
        ({"headers": {"x-a": {"prefix": "b"}, "x-c": {"suffix": "d"}, "x-e": {"present": False}}}, ("/", "GET", {"x-a": "bb", "x-c": "dd"}),
         (("/", "GET", {"x-a": "bb"}), ("/", "GET", {"x-a": "bb", "x-c": "dd", "x-e": ""}), ("/", "GET", {"x-a": "ab", "x-c": "dd"}))),
        ({"path": "/pay"}, ("/pay", "GET", {}), (("/pay/", "GET", {}), ("/pay/now", "GET", {}))),
        ({"path": {"prefix": "/pay"}}, ("/x/..//%70ay/now", "GET", {}), (("/payments", "GET", {}), ("/x/pay", "GET", {}))),
        ({"path": {"regex": "/users/[0-9]+(/.*)?"}}, ("/users/17/orders", "GET", {}), (("/users/me", "GET", {}), ("/v1/users/17", "GET", {}))),
        ({"query": {"beta": {"exact": "yes please"}}}, ("/?a=1&beta=yes%20please", "GET", {}), (("/?beta=yes", "GET", {}), ("/", "GET", {}))),
        ({"source": {"service": "cart"}}, ("/", "GET", {}), ()),
        ({"source": {"service": "orders"}}, None, (("/", "GET", {}),)),
        ({"source": {"namespace": "default", "labels": {"version": "v9"}}}, None, (("/", "GET", {}),)),
    )

    def test_the_first_route_that_a_request_fits_is_its_way(self):
        self.apply(default(split=split(v1=1)))
        gateway, _ = self.gateway()
        for match, taken, passed in self.TABLE:
            self.apply({"name": "canary", "match": [{"path": "/never"}, match], "split": split(v2=1)}, default(split=split(v1=1)))
            for request, version in [(taken, "v2")] * (taken is not None) + [(one, "v1") for one in passed]:
                path, method, headers = request
                with self.subTest(match=match, request=request):
                    self.assertEqual(gateway.ask(path, method, headers=headers)["version"], version)

    def test_a_route_has_retries_and_a_timeout_of_its_own(self):
        for name in ("failing-1", "failing-2", "failing-3"):
            self.mesh.serve("failing", "--status", "503", "--delay", "1ms", name=name)
        self.mesh.wait_endpoints("failing", 3)
        self.apply({"name": "once", "match": [{"path": "/once"}], "retries": {"attempts": 0}}, {"name": "soon", "match": [{"path": "/soon"}], "timeout": "1ms"}, default(),
                   name="failing", subsets=[], retries={"attempts": 2})
        self.assertEqual([self.mesh.call("failing", path, "--as", "cart")["tries"] for path in ("/once", "/")], [1, 3])
        self.assertEqual(self.mesh.call("failing", "/soon", "--as", "cart")["errors"], {"MESH_E_TIMEOUT": 1})

    def test_a_canary_header_takes_all_calls_there(self):
        self.apply({"name": "canary", "match": [{"headers": {"x-canary": {"exact": "1"}}}], "split": split(v2=1)}, default(split=split(v1=90, v2=10)))
        self.assertEqual(self.versions("-H", "x-canary: 1", calls=CALLS // 10), {"v2": CALLS // 10})

    def test_a_subset_may_be_of_a_zone(self):
        self.apply(default(split=[{"subset": "east", "weight": 1}]), subsets=[{"name": "east", "labels": {"zone": "z2"}}])
        self.assertEqual(self.versions(calls=50), {"v2": 50})


class RegexBudget(Routed):
    def test_a_regex_and_a_path_chosen_to_be_slow_cost_bounded_time(self):
        slow = [{"path": {"regex": f"/(?:(?=[^b]*+b)|[^b])*+c{i}"}} for i in range(8)]  # the slowest known: 9 ms each on the machine of docs/DEPENDENCIES.md
        self.apply({"name": "slow", "match": slow, "split": split(v2=1)}, default(split=split(v1=1)))
        gateway, probe = self.gateway()
        path = "/" + "a" * 8100
        self.assertEqual(gateway.ask(path)["version"], "v1")
        self.assertEqual(peers.metrics(probe)["mesh_regex_given_up_total"], 4)  # then the others are not tried
        result = self.mesh.call("payments", path, "--as", "cart", "-n", 20)
        self.assertEqual(result["versions"], {"v1": 20})
        if not support.SANITIZED:
            self.assertLess(result["latencyMs"]["p50"], 1000)

    def test_a_bad_regex_is_refused_with_its_place(self):
        path = os.path.join(self.mesh.dir, "bad.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\nroutes:\n- name: a\n  match: [{path: {regex: '/(a'}}]\n")
        done = self.mesh.ctl("apply", "-f", path, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("bad.yaml:6:26: routes[0].match[0].path.regex: not a regular expression: missing closing parenthesis (at character 4)", done.stderr)


class References(Routed):
    def test_a_service_that_is_named_and_has_not_registered_is_warned_of_in_its_place(self):
        path = os.path.join(self.mesh.dir, "ahead.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\nroutes:\n- name: a\n"
                    "  split: [{service: payments, weight: 1}, {service: payment, weight: 1}, {service: drawn-up.later, weight: 1}]\n"
                    "---\napiVersion: mesh/v1\nkind: Endpoints\nname: drawn-up\nnamespace: later\nendpoints: [{address: \"127.0.0.1:9\"}]\n")
        told = self.mesh.ctl("apply", "--dry-run", "-f", path).stderr
        self.assertEqual(told.strip(), "meshctl: warning: %s:6:53: routes[0].split[1].service: service payment.default has not registered yet" % path)


class RoutesPage(pages.Page):
    def test_each_command_prints_what_the_page_says(self):
        self.run_page("ROUTES.md")
        self.assertGreater(len(self.steps), 10)


if __name__ == "__main__":
    unittest.main()
