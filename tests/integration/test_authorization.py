"""Who may call whom, with real processes: rules by caller, namespace, method, path and header; what the refused are told; audit; and that a change bites at once, a start lets nobody in early, and `meshctl intention` writes and tells it."""

import errno
import json
import os
import socket
import unittest

import disk
import h2
import pages
import peers
import support
from support import wait_until

PAY = "authorization: {default: deny, rules: [{name: carts-pay, action: allow, from: [{service: cart}], methods: [POST], paths: [/make-payment]}]}"


def document(authorization, name="payments"):
    return f"apiVersion: mesh/v1\nkind: Service\nname: {name}\n{authorization}\n"


class Kept:
    """A connection of HTTP/1.1 that is kept: each request goes over it."""

    def __init__(self, test, address, identity):
        host, port = address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=30 * support.SLOW)
        test.addCleanup(plain.close)
        self.sock = peers.client_context(identity).wrap_socket(plain)
        test.addCleanup(self.sock.close)

    def ask(self, method="POST", path="/make-payment", fields=""):
        """Status, header, body."""
        self.sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: payments\r\n{fields}Content-Length: 0\r\n\r\n".encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += self.sock.recv(65536)
        head, _, body = heard.partition(b"\r\n\r\n")
        length = int(dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])[b"content-length"])
        while len(body) < length:
            body += self.sock.recv(65536)
        return int(head.split()[1]), head.decode(), body


class Stream:
    """The same over HTTP/2: a stream each."""

    def __init__(self, test, address, identity):
        self.client = h2.dial(address, peers.client_context(identity))
        test.addCleanup(self.client.close)
        self.next = 1

    def ask(self, method="POST", path="/make-payment", more=()):
        stream, self.next = self.next, self.next + 2
        self.client.say(h2.request(stream, method=method, path=path, more=more))
        self.client.until_over(stream)
        return self.client.status(stream), dict(self.client.fields[stream]), self.client.bodies[stream]


class Authorization(support.MeshTest):
    def apply(self, authorization, name="payments"):
        self.mesh.ctl("apply", "-f", "-", stdin=document(authorization, name))

    def serve(self, name="payments", **env):
        probe = f"127.0.0.1:{support.free_port()}"
        child = self.mesh.serve(name, env={"MESH_PROBE_LISTEN": probe, "MESH_PROBE_METRICS": "1", "MESH_LOG": "warn", **env})
        child.probe = probe
        return child

    def counted(self, child, family):
        """By rule."""
        return {key.split('"')[1]: int(value) for key, value in peers.metrics(child.probe).items() if key.startswith(family + "{")}

    def clients(self, child, identity):
        return Kept(self, child.info["address"], identity), Stream(self, child.info["address"], identity)

    def test_one_rule_over_default_deny_lets_in_what_it_says_and_tells_the_others_why_not(self):
        self.apply(PAY)
        payments = self.serve()
        cart, web, other = (peers.issued(self.mesh, *who) for who in (("cart",), ("web",), ("foreign", "--namespace", "shop")))
        for client in self.clients(payments, cart):
            self.assertEqual(client.ask()[0], 200)
            status, head, body = client.ask("GET")
            self.assertEqual((status, json.loads(body)), (403, {"error": "denied", "message": "denied by default: no rule lets this caller do this"}))
            self.assertIn("mesh-not-processed", head)
            self.assertEqual(client.ask(path="/")[0], 403)
            self.assertEqual(client.ask()[0], 200, "the connection goes on")
        for identity in (web, other):
            for client in self.clients(payments, identity):
                self.assertEqual(client.ask()[0], 403)
        self.assertEqual(self.counted(payments, "mesh_authorization_denied_total"), {"default": 8})
        self.assertEqual(self.counted(payments, "mesh_authorization_audited_total"), {})
        told = payments.wait_for_event("authorization denied", peer=peers.spiffe("foreign", namespace="shop"))
        self.assertEqual((told["method"], told["path"], told["rule"]), ("POST", "/make-payment", "default"))

    def test_a_grpc_caller_is_told_in_trailers_alone(self):
        self.apply("authorization: {rules: [{name: no-web, action: deny, from: [{service: web}]}]}")
        payments = self.serve()
        client = Stream(self, payments.info["address"], peers.issued(self.mesh, "web"))
        status, fields, body = client.ask(path="/pay.Payments/Pay", more=[("content-type", "application/grpc"), ("te", "trailers")])
        self.assertEqual((status, fields["grpc-status"], fields["grpc-message"], body), (200, "7", "denied: denied by rule no-web", b""))

    def test_callers_are_told_apart_by_namespace_and_requests_by_header(self):
        self.apply("""authorization:
  default: deny
  rules:
  - {name: no-debug, action: deny, headers: {x-debug: {present: true}}}
  - {name: shop, action: allow, from: [{namespace: shop}]}
  - {name: tenants, action: allow, from: [{service: cart}], headers: {x-tenant: {prefix: a-}}}""")
        payments = self.serve()
        shop, cart = peers.issued(self.mesh, "foreign", "--namespace", "shop"), peers.issued(self.mesh, "cart")
        rows = [(shop, "", 200), (shop, "x-debug: 1\r\n", 403), (shop, "X-DEBUG:\r\n", 403), (cart, "", 403), (cart, "x-tenant: a-1\r\n", 200), (cart, "x-tenant: b\r\n", 403), (cart, "X-Tenant: a-1\r\nx-tenant: b\r\n", 403),
                (cart, "x-tenant: b\r\nx-tenant: a-1\r\n", 403), (cart, "x-tenant: a-1\r\nX-Debug: 0\r\n", 403)]
        for identity, fields, status in rows:
            with self.subTest(identity=identity.cert, fields=fields):
                more = [tuple(line.lower().split(": ", 1)) if ": " in line else (line.lower().rstrip(":"), "") for line in fields.split("\r\n") if line]
                self.assertEqual(Kept(self, payments.info["address"], identity).ask(fields=fields)[0], status)
                self.assertEqual(Stream(self, payments.info["address"], identity).ask(more=more)[0], status)

    def test_a_change_bites_on_connections_that_are_open(self):
        self.apply(PAY)
        payments = self.serve()
        clients = self.clients(payments, peers.issued(self.mesh, "cart"))
        for authorization, status in (("authorization: {default: deny}", 403), (PAY, 200), ("", 200), ("authorization: {rules: [{name: nobody, action: deny}]}", 403), (PAY, 200)):
            self.apply(authorization)
            for client in clients:
                wait_until(lambda c=client, s=status: c.ask()[0] == s, f"{status} on the open connection after {authorization!r}", 5)
        self.mesh.ctl("delete", "service", "payments")
        for client in clients:
            wait_until(lambda c=client: c.ask("GET", "/x")[0] == 200, "200 once there is no document", 5)

    def test_the_mesh_s_and_the_namespace_s_default_hold_where_the_service_says_none(self):
        payments, cart = self.serve(), peers.issued(self.mesh, "cart")
        clients = self.clients(payments, cart)
        steps = [("Mesh", "mesh", "{default: deny}", 403, 403), ("Namespace", "default", "{default: allow}", 200, 200), ("Namespace", "default", "{mode: audit}", 200, 200), ("Namespace", "default", "{mode: enforce}", 403, 403),
                 ("Service", "payments", "{rules: [{name: pay, action: allow, paths: [/make-payment]}]}", 200, 403), ("Service", "payments", "{default: allow}", 200, 200)]
        for kind, name, authorization, pay, other in steps:
            self.mesh.ctl("apply", "-f", "-", stdin=f"apiVersion: mesh/v1\nkind: {kind}\nname: {name}\nauthorization: {authorization}\n")
            for client in clients:
                wait_until(lambda c=client, p=pay, o=other: (c.ask()[0], c.ask(path="/other")[0]) == (p, o), f"{pay} and {other} after {kind} {authorization}", 5)

    def test_in_audit_mode_what_would_be_denied_is_let_in_counted_and_logged(self):
        self.apply(PAY.replace("default: deny,", "default: deny, mode: audit,"))
        payments = self.serve()
        for client in self.clients(payments, peers.issued(self.mesh, "cart")):
            self.assertEqual([client.ask()[0], client.ask("GET", "/x")[0]], [200, 200])
        self.assertEqual((self.counted(payments, "mesh_authorization_audited_total"), self.counted(payments, "mesh_authorization_denied_total")), ({"default": 2}, {}))
        self.assertEqual(payments.wait_for_event("authorization would deny", path="/x")["rule"], "default")

    def test_nobody_is_let_in_before_the_policy_is_known(self):
        self.apply("authorization: {default: deny}")
        port, cart = support.free_port(), peers.issued(self.mesh, "cart")
        payments = self.mesh.serve("payments", "--listen", f"127.0.0.1:{port}", wait=False)
        seen = []

        def denied():
            try:
                seen.append(peers.knock(f"127.0.0.1:{port}", cart))
            except OSError:
                return False
            return seen[-1] == 403
        wait_until(denied, "the first refusal by the policy", 30)
        self.assertLessEqual(set(seen), {None, 503, 403})
        payments.wait_for_output(r"^\{", 30)

    def test_a_restarted_instance_knows_its_policy_without_meshd(self):
        self.apply(PAY)
        env = {"MESH_STATE_DIR": os.path.join(self.mesh.dir, "state"), "MESH_TOKEN": self.mesh.token("payments", "--uses", "0"), "MESH_CONTROL": self.mesh.info["control"]}
        first = self.serve(**env)
        cart = peers.issued(self.mesh, "cart")
        self.mesh.meshd.kill()
        first.kill()
        port = support.free_port()
        again = self.mesh.serve("payments", "--listen", f"127.0.0.1:{port}", name="again", env=env, wait=False)

        def ask():
            try:
                return Kept(self, f"127.0.0.1:{port}", cart).ask()[0]
            except OSError:
                return None
        wait_until(lambda: ask() == 200, "the restarted instance to let in what its policy says", 30)
        self.assertEqual(Kept(self, f"127.0.0.1:{port}", cart).ask("GET")[0], 403)
        self.assertTrue(again.running())

    def test_a_policy_that_cannot_be_kept_leaves_no_older_one_for_a_restart(self):
        self.apply("authorization: {default: allow}")
        state = os.path.join(self.mesh.dir, "state")
        os.mkdir(state)
        full = disk.Disk(self.mesh.dir, state, "meshctl")
        self.addCleanup(full.close)
        payments = self.serve(MESH_STATE_DIR=state, MESH_TOKEN=self.mesh.token("payments"), MESH_CONTROL=self.mesh.info["control"], **full.env)
        cart = Kept(self, payments.info["address"], peers.issued(self.mesh, "cart"))

        def kept():
            return "".join(open(os.path.join(at, "snapshot")).read() for at, _, files in os.walk(state) if "snapshot" in files)
        self.assertIn("allow", kept())
        full.arm(disk.FAIL_WRITES, 1, errno.ENOSPC)
        self.apply("authorization: {default: deny}")
        support.wait_until(lambda: cart.ask()[0] == 403, "the policy to bite")
        self.assertEqual(kept(), "")
        self.assertIn("remedy", payments.wait_for_event("snapshot not kept"))
        full.arm(disk.NOTHING)
        self.assertIn("deny", support.wait_until(kept, "the policy to be kept once there is room"))

    def test_without_a_control_plane_the_documents_hold_and_not_what_one_said_once(self):
        self.apply("authorization: {default: allow}")
        state = {"MESH_STATE_DIR": os.path.join(self.mesh.dir, "state")}
        first = self.serve(**state, MESH_TOKEN=self.mesh.token("payments"), MESH_CONTROL=self.mesh.info["control"])
        cart, own = peers.issued(self.mesh, "cart"), peers.issued(self.mesh, "payments")
        self.assertEqual(Kept(self, first.info["address"], cart).ask()[0], 200)
        first.kill()
        documents = os.path.join(self.mesh.dir, "static.yaml")
        with open(documents, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Mesh\nname: mesh\nauthorization: {default: deny}\n")
        alone = self.serve(**state, MESH_CERTIFICATE=own.cert, MESH_KEY=own.key, MESH_BUNDLE=own.bundle, MESH_ENDPOINTS=documents)
        self.assertEqual(Kept(self, alone.info["address"], cart).ask()[0], 403)

    def test_a_flood_of_refusals_is_counted_whole_and_logged_in_part(self):
        self.apply("authorization: {default: deny}")
        payments = self.serve()
        client = Stream(self, payments.info["address"], peers.issued(self.mesh, "cart"))
        fields = [(f"x-{n}", "v" * 100) for n in range(120)]
        for _ in range(300 if not support.SANITIZED else 30):
            self.assertEqual(client.ask(more=fields)[0], 403)
        self.assertEqual(self.counted(payments, "mesh_authorization_denied_total"), {"default": 300 if not support.SANITIZED else 30})
        self.assertEqual(client.ask(more=[(f"x-{n}", "v") for n in range(200)])[0], 431, "more than a header may hold")
        self.assertEqual(Stream(self, payments.info["address"], peers.issued(self.mesh, "web")).ask()[0], 403)


class Intentions(support.MeshTest):
    def rules(self, name="payments"):
        return self.mesh.ctl_json("get", "service", name)["document"]["authorization"]

    def check(self, *args):
        done = self.mesh.ctl("intention", "check", *args, "-o", "json", check=False)
        return done.returncode, json.loads(done.stdout)

    def test_an_intention_is_a_rule_of_the_called_one_s_document_and_holds_at_once(self):
        payments = self.mesh.serve("payments")
        kept, other = (Kept(self, payments.info["address"], peers.issued(self.mesh, who)) for who in ("cart", "web"))
        self.assertEqual(kept.ask()[0], 200)
        self.assertEqual(self.mesh.ctl("intention", "allow", "cart", "payments", "--method", "POST", "--path", "/make-payment", "--default", "deny").stdout, "Service payments created\n")
        wait_until(lambda: other.ask()[0] == 403, "web to be refused", 5)
        self.assertEqual([kept.ask()[0], kept.ask("GET")[0]], [200, 403])
        self.assertEqual(self.rules(), {"default": "deny", "rules": [{"name": "allow-cart", "action": "allow", "from": [{"service": "cart", "namespace": "default"}], "methods": ["POST"], "paths": [{"exact": "/make-payment"}]}]})
        self.assertEqual(self.mesh.ctl("intention", "deny", "cart", "payments", "-X", "POST", "--path", "/make-payment").stdout, "Service payments updated\n")
        wait_until(lambda: kept.ask()[0] == 403, "cart to be refused", 5)
        self.assertEqual([(r["name"], r["action"]) for r in self.rules()["rules"]], [("deny-cart", "deny")], "it took the other's place")

    def test_what_else_the_document_says_stays_and_narrow_rules_come_first(self):
        self.mesh.ctl("apply", "-f", "-", stdin=document("timeout: 3s\nauthorization: {mode: audit, rules: [{name: by-hand, action: deny, from: [{service: web}], methods: [PUT]}]}"))
        for words in (("allow", "web"), ("deny", "*"), ("allow", "*.shop"), ("allow", "cart", "--path-prefix", "/files"), ("allow", "web", "--method", "GET")):
            done = self.mesh.ctl("intention", words[0], words[1], "payments", *words[2:])
            self.assertIn("its mode is audit", done.stderr)
        found = self.mesh.ctl_json("get", "service", "payments")["document"]
        self.assertEqual((found["timeout"], found["authorization"]["mode"]), ("3s", "audit"))
        self.assertEqual([r["name"] for r in found["authorization"]["rules"]], ["allow-web-2", "allow-cart", "by-hand", "allow-web", "allow-namespace-shop", "deny-all"])
        before = self.rules()
        self.assertEqual(self.mesh.ctl("intention", "allow", "web", "payments").stdout.split()[-1], "unchanged")
        self.mesh.ctl("intention", "deny", "*", "payments", "--dry-run")
        self.assertEqual(self.rules(), before)

    def test_check_tells_which_rule_decides_or_on_what_it_depends(self):
        self.assertEqual(self.check("web", "payments")[0], 0, "without a document everybody may")
        self.mesh.ctl("apply", "-f", "-", stdin=document("""authorization:
  default: deny
  rules:
  - {name: no-admin, action: deny, paths: [{prefix: /admin}]}
  - {name: carts-pay, action: allow, from: [{service: cart}], methods: [POST], paths: [/make-payment]}
  - {name: tenants, action: allow, from: [{service: tenant}], headers: {x-tenant: a}}
  - {name: shop, action: allow, from: [{namespace: shop}]}"""))
        rows = [(("cart", "-X", "POST", "--path", "/make-payment"), 0, "allowed", "carts-pay"), (("cart", "-X", "POST", "--path", "/x/%2e%2e//make-payment"), 0, "allowed", "carts-pay"),
                (("cart", "-X", "GET", "--path", "/make-payment"), 1, "denied", None), (("cart", "--path", "/make-payment"), 1, "depends", None), (("cart",), 1, "depends", None), (("web",), 1, "denied", None),
                (("cart", "--path", "/%61dmin/x"), 1, "denied", "no-admin"), (("cart.shop", "--path", "/x"), 0, "allowed", "shop"), (("cart.shop",), 1, "depends", "shop"), (("tenant", "--path", "/"), 1, "depends", None)]
        for args, code, answer, rule in rows:
            with self.subTest(args):
                found = self.check(args[0], "payments", *args[1:])
                self.assertEqual((found[0], found[1]["answer"], found[1].get("rule"), found[1]["byDefault"]), (code, answer, rule, rule is None))
        self.assertEqual(self.mesh.ctl("intention", "check", "cart", "payments", check=False).stdout,
                         "it depends on the request:\n  rule no-admin denies /admin and below\n  rule carts-pay allows POST /make-payment\n  otherwise denied by default\n")

    def test_check_says_that_the_audit_mode_lets_everybody_in(self):
        self.mesh.ctl("apply", "-f", "-", stdin=document("authorization: {default: deny, mode: audit, rules: [{name: pay, action: allow, from: [{service: cart}], methods: [POST]}]}"))
        for args, perhaps in ((("web",), []), (("cart",), ["pay"]), (("cart", "-X", "GET"), [])):
            with self.subTest(args):
                code, found = self.check(args[0], "payments", *args[1:])
                self.assertEqual((code, found["answer"], found["perhaps"], found["otherwise"]), (0, "audited", perhaps, "denied"))
        self.assertEqual(self.check("cart", "payments", "-X", "POST")[1]["answer"], "allowed")
        self.assertEqual(self.mesh.ctl("intention", "check", "cart", "payments").stdout,
                         "allowed, though it depends on the request whether it is denied: the mode is audit\n  rule pay allows POST\n  otherwise denied by default\n")

    def test_what_the_mesh_says_counts_in_check_and_stays_out_of_the_document(self):
        self.mesh.ctl("apply", "-f", "-", stdin="apiVersion: mesh/v1\nkind: Mesh\nname: mesh\nauthorization: {default: deny}\n")
        self.assertEqual(self.check("cart", "payments")[1]["answer"], "denied")
        self.assertNotIn("note:", self.mesh.ctl("intention", "allow", "cart", "payments").stderr)
        self.assertEqual(self.check("cart", "payments")[1]["answer"], "allowed")
        self.assertEqual(list(self.rules()), ["rules"])

    def test_what_is_no_intention_is_refused_and_writes_nothing(self):
        rows = [(("allow", "cart", "payments", "--path", "x"), 5), (("allow", "cart", "payments", "--path", "/a%2fb"), 5), (("allow", "cart", "payments", "--method", "get"), 5), (("allow", "Cart", "payments"), 2), (("deny", "*.x.y", "payments"), 2),
                (("deny", "cart", "pay_ments"), 2), (("allow", "cart", "payments", "--default", "maybe"), 2), (("allow", "cart"), 2), (("check", "*", "payments"), 2), (("check", "cart", "payments", "--path", "/%2f"), 2)]
        for args, code in rows:
            with self.subTest(args):
                done = self.mesh.ctl("intention", *args, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertTrue(done.stderr.startswith("meshctl: "), done.stderr)
        self.assertEqual(self.mesh.ctl_json("get", "services"), [])


class ThePage(pages.Page):
    def test_each_command_prints_what_the_page_says(self):
        self.run_page("AUTHORIZATION.md")


if __name__ == "__main__":
    unittest.main()
