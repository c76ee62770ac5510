"""Faults that are injected on purpose, with real processes: docs/FAULTS.md, run, and what they do to calls with retries above them."""

import json
import math
import os
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

import pages
import support
from clock import HOUR, Clock

# Five standard deviations of the calls that end with the fault are half a point, as is promised; a program that is slowed down makes fewer, within as many deviations of theirs.
ABORTS, RETRIES = 0.3, 2
SHARE = ABORTS ** (1 + RETRIES)
CALLS = 2000 if support.SANITIZED else 27000
STRAY = 5 * math.sqrt(SHARE * (1 - SHARE) / CALLS)


class Page(pages.Page):
    """docs/FAULTS.md, run."""

    def test_the_page(self):
        self.run_page("FAULTS.md")


class ForAWhile(support.MeshTest):
    """meshctl fault: by the wall clocks of meshd and of who calls, each under the test's hand."""

    def setUp(self):
        self.clock = Clock(tempfile.mkdtemp(prefix="mesh-"))
        self.mesh = support.Mesh(os.path.dirname(self.clock.path))
        self.addCleanup(self.mesh.close)
        self.mesh.start(env=self.clock.env)
        self.mesh.serve("payments")

    def connect(self, service, clock):
        child = self.mesh.spawn([support.program("meshctl"), "connect", "payments", "--as", service, "--listen", "127.0.0.1:0", "--data", self.mesh.data], service, env=clock.env)
        url = child.wait_for_output(r"^connected (http://\S+)").group(1)

        def call():
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + "/", timeout=30) as answer:
                    return answer.status, answer.headers.get("x-fault-injected")
            except urllib.error.HTTPError as e:
                with e:
                    return e.code, e.headers.get("x-fault-injected")
        return call

    def newest(self):
        newest = self.mesh.ctl_json("history", "-n", 1)[0]
        return newest["who"], [(c["kind"], c["name"], c["change"]) for c in newest["changes"]]

    def test_it_removes_itself_and_where_meshd_is_not_there_callers_stop_by_themselves(self):
        cart_clock = Clock(self.mesh.dir, "cart-clock")
        cart, web = self.connect("cart", cart_clock), self.connect("web", self.clock)
        self.assertEqual(cart(), (200, None))
        self.mesh.ctl("fault", "payments", "abort=503@100%", "--from", "cart", "--for", "1h")
        support.wait_until(lambda: cart() == (503, "Fault payments.default"), "the fault at who calls")
        self.assertEqual(web(), (200, None))
        self.assertEqual(self.newest(), ("admin", [("Fault", "payments", "created")]))
        self.mesh.meshd.kill()
        self.assertEqual(cart()[0], 503)
        cart_clock.jump(HOUR + 1)
        self.assertEqual(cart(), (200, None))
        cart_clock.jump(0)
        self.assertEqual(cart()[0], 503)
        self.clock.jump(HOUR + 1)
        self.mesh.start(env=self.clock.env)
        support.wait_until(lambda: self.newest() == ("meshd (expired)", [("Fault", "payments", "deleted")]), "meshd to take it back")
        self.assertIn(("config-deleted", "expired", "payments.default"), [(line["event"], line.get("reason"), line.get("service")) for line in self.mesh.audit()])

    def test_what_does_not_fit_is_refused_and_the_verbs_know_the_kind(self):
        rows = [  # the arguments, the exit code, what is said
            (["abort=503@1%", "--route", "nope", "--for", "1m"], 5, 'fault.route: service payments.default has no route "nope"'),
            (["abort=503@101%", "--for", "1m"], 5, "fault.abort.percent: 101 is out of range"),
            (["abort=200@1%", "--for", "1m"], 5, "fault.abort.status: 200 is out of range"),
            (["delay=2h@1%", "--for", "1m"], 5, "fault.delay.duration: 2h is out of range"),
            (["abort=503@1%"], 2, "--for is missing"),
            (["abort=503", "--for", "1m"], 2, "abort=503@1.5%"),
            (["abort=frob@1%", "--for", "1m"], 2, '"frob" is nothing to abort with'),
            (["abort=ok@1%", "--for", "1m"], 2, '"ok" is nothing to abort with'),
            (["delay=@1%", "--for", "1m"], 2, "delay=200ms@5%"),
            (["delay=1s@1%", "delay=2s@1%", "--for", "1m"], 2, "that is said already"),
            (["frob", "--for", "1m"], 2, '"frob" is no fault'),
            (["abort=503@1%", "--for", "1m", "--header", "x"], 2, '"x" is no header'),
            (["clear", "--for", "1m"], 2, "stands alone"),
            (["clear", "--from", "cart"], 2, "stands alone"),
            (["abort=503@1%", "--for", "1m", *(f"--from=c{i}" for i in range(65))], 5, "fault.match"),
            (["clear"], 1, "there is no Fault payments.default"),
        ]
        for args, code, said in rows[::support.STRIDE]:
            with self.subTest(args):
                done = self.mesh.ctl("fault", "payments", *args, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(said, done.stderr)
        self.mesh.ctl("fault", "payments", "abort=deadline-exceeded@1.5%", "delay=200ms@0.0001%", "--from", "cart", "--from", "web.shop", "--header", "x-tester=1", "--for", "1h")
        document = self.mesh.ctl_json("get", "fault", "payments")["document"]
        until = document["fault"].pop("until")
        headers = {"headers": {"x-tester": {"exact": "1"}}}
        self.assertEqual(document, {"apiVersion": "mesh/v1", "kind": "Fault", "name": "payments", "namespace": "default", "fault": {
            "match": [{**headers, "source": {"service": "cart", "namespace": "default"}}, {**headers, "source": {"service": "web", "namespace": "shop"}}],
            "delay": {"percent": 0.0001, "duration": "200ms"}, "abort": {"percent": 1.5, "grpcStatus": 4}}})
        self.assertIn(until, self.mesh.ctl("get", "--effective", "payments").stdout)
        self.assertEqual(self.mesh.ctl("intention", "check", "cart", "payments").stdout, "allowed by default\n")
        for header, said in (([], None), (["-H", "x-tester: 1"], "Fault payments.default")):
            settings = self.mesh.ctl_json("explain", "cart", "payments", "/", *header)["settings"]
            self.assertEqual([s["from"] for s in settings if s["path"] == "fault"], [said] if said else [])
        effective = json.dumps(self.mesh.ctl_json("get", "--effective", "payments")["document"])
        done = self.mesh.ctl("apply", "-f", "-", stdin=effective, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("fault: belongs to one of its routes, or for a while to a document of kind Fault", done.stderr)
        self.assertEqual(self.mesh.ctl("fault", "payments", "clear").stdout, "Fault payments deleted\n")
        self.mesh.ctl("rollback", "--to", 1)
        self.assertEqual(self.mesh.ctl_json("get", "fault", "payments")["document"]["fault"]["until"], until)
        self.mesh.ctl("delete", "faults", "payments")
        self.assertEqual(self.mesh.ctl_json("get", "faults"), [])


class Faults(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.mesh.serve("payments")

    def apply(self, **fields):
        path = os.path.join(self.mesh.dir, "payments.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", **support.PATIENCE, **fields}, f)
        self.mesh.ctl("apply", "-f", path)

    def test_of_30_percent_of_tries_two_retries_leave_2_7_percent_of_calls(self):
        self.apply(retries={"attempts": RETRIES, "backoff": {"base": "0s"}, "budget": {"percent": 100, "minPerSecond": 1000000}},
                   routes=[{"name": "all", "fault": {"abort": {"percent": 100 * ABORTS, "status": 503}}}])
        done = self.mesh.ctl("call", "--as", "cart", "-n", CALLS, "-c", 8, "-o", "json", "payments", "/", check=False)
        result = json.loads(done.stdout)
        share = result["status"]["503"] / CALLS
        print(f"faults: 30% of tries aborted, {RETRIES} retries: {100 * share:.2f}% of {CALLS} calls, at most {100 * STRAY:.2f} points off", file=sys.stderr)
        self.assertEqual((result["calls"], result["errors"], sorted(result["status"])), (CALLS, {}, ["200", "503"]))
        self.assertLessEqual(abs(share - SHARE), STRAY)


if __name__ == "__main__":
    unittest.main()
