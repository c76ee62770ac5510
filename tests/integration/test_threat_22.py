"""THREATS 22: a write without a credential, a workload's certificate for an admin call, one service speaking for another, somebody else's session: refused, audited with who and what, and nothing done."""

import http.client
import json
import os
import ssl
import unittest

import peers
from control_client import Control, Refused, Session, fetch_roots, join
from support import MeshTest, wait_until

WRITES = (("POST", "/v1/tokens", {"service": "payments"}), ("DELETE", "/v1/tokens/0123456789abcdef", None), ("DELETE", "/v1/endpoints?service=payments.default&instance=p", None),
          ("POST", "/v1/config", {"file": "x", "text": "apiVersion: mesh/v1\nkind: Service\nname: payments\ntimeout: 1s\n"}), ("DELETE", "/v1/config?kind=Service&namespace=default&name=payments", None),
          ("POST", "/v1/rollback", {"to": 0}), ("POST", "/v1/certificates", {"service": "payments", "csr": "x"}), ("POST", "/v1/certificates/revoke", {"serial": "1", "reason": "x"}))
READS = (("GET", "/v1/tokens", None), ("GET", "/v1/members", None), ("GET", "/v1/audit", None), ("GET", "/metrics", None), ("GET", "/v1/config", None), ("GET", "/v1/history", None))
VERBS = (("subscribe", {"services": [], "replace": True}), ("register", {"instance": "evil", "addresses": ["127.0.0.1:666"]}), ("deregister", {"instance": "p", "reason": "deregistered"}),
         ("heartbeat", {}), ("ack", {"sequence": "1", "generation": "9", "service": "payments.default", "refused": "evil"}), ("report", {"services": []}))


class Threat22(MeshTest):
    def setUp(self):
        super().setUp()
        fetch_roots(self.mesh)
        self.payments, self.session = self.opened("payments")
        self.orders, self.other = self.opened("orders")
        self.session.register("p", "127.0.0.1:1001")
        self.session.post("subscribe", {"services": [{"service": "payments.default"}], "replace": True})
        self.mesh.admin("POST", "/v1/config", WRITES[3][2])
        self.before = self.state()
        self.read = 0

    def opened(self, service):
        """An identity and its session, with a connection for its calls."""
        identity = join(self.mesh, service)
        control = Control(self.mesh, identity)
        self.addCleanup(control.close)
        session = Session(self.mesh, control, identity)
        self.addCleanup(session.close)
        return identity, session

    def state(self):
        """All that a write could change."""
        members = [{k: m[k] for k in ("spiffeId", "instance", "refused", "subscriptions")} for m in self.mesh.admin("GET", "/v1/members")[1] if m["spiffeId"].endswith("/payments")]
        return [self.mesh.admin("GET", path)[1] for path in ("/v1/tokens", "/v1/endpoints?service=payments.default", "/v1/config")] + [members] + [
            [c for c in self.mesh.admin("GET", "/v1/certificates?service=payments.default")[1]]]

    def nothing_was_done(self):
        self.assertTrue(self.session.post("heartbeat", {})["registered"])
        after = self.state()
        for one in after[1]:
            one["state"] = "healthy"
        self.assertEqual(after, self.before)

    def check_audited(self, event, **fields):
        """The last line of the audit log is about this, and is the only new one of its kind."""
        lines = self.mesh.audit()
        fresh = [line for line in lines[self.read:] if line["result"] == "refused"]
        self.read = len(lines)
        self.assertEqual(len(fresh), 1, fresh)
        self.assertEqual(fresh[0]["event"], event)
        self.assertTrue(fresh[0]["reason"] and fresh[0]["time"])
        for key, value in fields.items():
            self.assertIn(value, fresh[0].get(key, ""), key)

    def test_a_write_without_a_credential_on_the_admin_interface(self):
        for method, path, body in WRITES:
            with self.subTest(f"{method} {path}"):
                self.read = len(self.mesh.audit())
                self.assertEqual(self.mesh.admin(method, path, body, {"Authorization": ""})[0], 401)
                self.check_audited("admin-unauthorized", method=method, path=path.partition("?")[0], address="127.0.0.1:")
        with open(os.path.join(self.mesh.data, "admin.token")) as f:
            secret = f.read().strip()
        self.assertEqual(self.mesh.admin("POST", "/v1/tokens", {"service": "x"}, {"Authorization": "Bearer " + secret[:-1] + chr(ord(secret[-1]) ^ 1)})[0], 401)
        self.assertNotIn(secret[:-1], json.dumps(self.mesh.audit()) + self.mesh.meshd.err())
        self.nothing_was_done()

    def test_a_write_without_a_credential_on_the_control_interface(self):
        nobody = Control(self.mesh)
        self.addCleanup(nobody.close)
        calls = [("POST", f"/v1/session/{self.session.id}/{verb}", body) for verb, body in VERBS] + [("POST", "/v1/renew", {"csr_pem": "x"}), WRITES[0], WRITES[3]]
        for method, path, body in calls:
            with self.subTest(path):
                self.read = len(self.mesh.audit())
                status, answer = nobody.ask(method, path, body)
                self.assertEqual((status, answer["code"]), (401, "denied"))
                self.check_audited("control-unauthorized", method=method, path=path, address="127.0.0.1:")
        for token in ("", "mesh1." + "0" * 16 + "." + "0" * 64 + "." + "0" * 64):
            self.read = len(self.mesh.audit())
            self.assertIn(nobody.ask("POST", "/v1/enroll", {"token": token, "csr_pem": "-----BEGIN CERTIFICATE REQUEST-----\n"})[0], (400, 403))
            self.check_audited("token-refused", address="127.0.0.1:")
        self.nothing_was_done()

    def test_what_is_long_is_audited_all_the_same(self):
        long = "/v1/tokens/" + '"' * 8000
        self.assertEqual(self.mesh.admin("DELETE", long, None, {"Authorization": ""})[0], 401)
        self.read = len(self.mesh.audit()) - 1
        self.check_audited("admin-unauthorized", path='/v1/tokens/"""')
        self.assertEqual(self.mesh.admin("POST", "/v1/tokens", {"service": "payments"}, {"Origin": "\xff" * 8000, "Host": self.mesh.info["admin"].removeprefix("http://")})[0], 403)
        self.check_audited("admin-refused", path="/v1/tokens")
        self.assertFalse(self.mesh.meshd.events("audit failed"))
        self.nothing_was_done()

    def test_a_workloads_certificate_is_no_credential_of_an_admin(self):
        control = self.session.control
        for method, path, body in WRITES + READS:
            with self.subTest(f"{method} {path}"):
                self.read = len(self.mesh.audit())
                status, answer = control.ask(method, path, body)
                self.assertEqual((status, answer["code"]), (404, "invalid"))
                self.check_audited("control-refused", method=method, path=path.partition("?")[0], spiffeId=peers.spiffe("payments"), serial=self.payments.serial)
        host, port = self.mesh.info["admin"].removeprefix("http://").rsplit(":", 1)
        identity = peers.Identity(self.payments.chain_path, self.payments.key_path)
        with self.assertRaises((ssl.SSLError, ConnectionError)), peers.socket.create_connection((host, int(port)), timeout=20) as plain:
            peers.client_context(identity).wrap_socket(plain)
        with open(self.payments.key_path) as f:
            key = "".join(f.read().split("\n")[1:-2])
        for secret in (self.payments.serial, key, peers.spiffe("payments")):
            self.read = len(self.mesh.audit())
            self.assertEqual(self.mesh.admin("POST", "/v1/tokens", {"service": "payments"}, {"Authorization": "Bearer " + secret})[0], 401)
            self.check_audited("admin-unauthorized", method="POST", path="/v1/tokens")
        self.nothing_was_done()

    def test_no_service_registers_or_removes_an_endpoint_as_another(self):
        orders, session = self.orders, self.other
        for verb, body in (("register", {"instance": "p", "addresses": ["127.0.0.1:666"], "service": "payments.default"}), ("deregister", {"instance": "p", "service": "payments.default"}),
                           ("register", {"instance": "o", "addresses": ["127.0.0.1:666"], "service": "orders.other"})):
            with self.subTest(f"{verb} {body}"):
                self.read = len(self.mesh.audit())
                with self.assertRaises(Refused) as caught:
                    session.post(verb, body)
                self.assertEqual((caught.exception.status, caught.exception.code), (403, "denied"))
                self.check_audited("session-refused", spiffeId=peers.spiffe("orders"), serial=orders.serial, session=session.id, call=verb, service=body["service"], instance=body["instance"])
        self.assertEqual(self.mesh.endpoints("orders"), [])
        session.post("register", {"instance": "p", "addresses": ["127.0.0.1:666"], "service": "orders.default"})  # its own name it may say
        self.assertEqual([e["address"] for e in self.mesh.endpoints("orders")], ["127.0.0.1:666"])
        session.post("deregister", {"instance": "p", "reason": "deregistered"})  # the same id in another service is another instance
        self.nothing_was_done()

    def test_no_session_reports_of_what_it_does_not_watch(self):
        evil = {"services": [{"service": "payments.default", "endpoints": [{"instance": "p", "ejected": True}]}]}
        self.read = len(self.mesh.audit())
        with self.assertRaises(Refused) as caught:
            self.other.post("report", evil)
        self.assertEqual((caught.exception.status, caught.exception.code), (403, "denied"))
        self.check_audited("session-refused", spiffeId=peers.spiffe("orders"), serial=self.orders.serial, session=self.other.id, call="report", reason="payments.default")
        self.nothing_was_done()
        self.session.post("report", evil)  # which watches it
        self.assertEqual([(e["callers"], e["ejectedBy"]) for e in self.mesh.endpoints("payments")], [(1, 1)])

    def test_threat_24_a_flood_of_reports_is_capped_and_counted(self):
        answers = [self.session.control.ask("POST", f"/v1/session/{self.session.id}/report", {"services": []}) for _ in range(40)]
        statuses = [status for status, _ in answers]
        self.assertEqual(statuses[:5], [200] * 5)
        self.assertEqual({(status, answer["code"]) for status, answer in answers[5:] if status != 200}, {(429, "rate-limited")})
        self.assertEqual(self.mesh.admin("GET", "/metrics")[1].count(f'mesh_reports_total{{result="rate-limited"}} {statuses.count(429)}\n'), 1)
        other = {"services": [{"service": "payments.default", "endpoints": [{"instance": "p"}] * 257}]}
        self.other.post("subscribe", {"services": [{"service": "payments.default"}], "replace": True})
        for body, wanted in ((other, (413, "too-large")), ({"services": [], "x": "y" * 128 * 1024}, (413, "too-large"))):
            status, answer = self.other.control.ask("POST", f"/v1/session/{self.other.id}/report", body)
            self.assertEqual((status, answer["code"]), wanted)
        self.assertEqual(self.mesh.admin("GET", "/v1/reports?service=payments.default"), (200, []))

    def test_somebody_elses_session_is_of_no_use(self):
        orders, other = self.orders, self.other
        for verb, body in VERBS:
            with self.subTest(verb):
                self.read = len(self.mesh.audit())
                status, answer = other.control.ask("POST", f"/v1/session/{self.session.id}/{verb}", body)
                self.assertEqual((status, answer["code"]), (403, "denied"))
                self.check_audited("session-refused", spiffeId=peers.spiffe("orders"), serial=orders.serial, session=self.session.id, owner=peers.spiffe("payments"))
        for wrong in (self.session.id[:-1], self.session.id + "0", "../session/0" + self.session.id, "", "0" * 32):
            status, answer = self.session.control.ask("POST", f"/v1/session/{wrong}/heartbeat", {})
            self.assertEqual((status, answer["code"]), (404, "no-session"), wrong)
        for path, said in ((f"{self.session.id}%00", (400, "target")), ("%2e%2e", (404, None))):  # no path, and that of another call
            status, answer = self.session.control.ask("POST", f"/v1/session/{path}/heartbeat", {})
            self.assertEqual((status, answer.get("error")), said)
        self.nothing_was_done()

    def test_a_revoked_certificate_writes_nothing_more(self):
        orders, session = self.orders, self.other
        session.register("o", "127.0.0.1:1002")
        self.mesh.ctl("cert", "revoke", orders.serial, "--reason", "stolen")
        wait_until(lambda: session.read() is None, "the end of its watch")
        control = session.control
        for path, body in ((f"/v1/session/{session.id}/register", {"instance": "o", "addresses": ["127.0.0.1:666"]}), ("/v1/renew", {"csr_pem": "x"})):
            self.read = len(self.mesh.audit())
            try:
                self.assertEqual(control.ask("POST", path, body)[0], 403)
                self.check_audited("session-refused", spiffeId=peers.spiffe("orders"), serial=orders.serial)
            except (OSError, http.client.HTTPException):
                self.assertTrue(any(orders.serial in e["message"] or "revoked" in e["message"] for e in self.mesh.meshd.events("request refused") + self.mesh.meshd.events("handshake refused")))
        self.assertNotIn("127.0.0.1:666", json.dumps(self.mesh.endpoints("orders")))


if __name__ == "__main__":
    unittest.main()
