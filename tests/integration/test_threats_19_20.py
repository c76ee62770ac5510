"""THREATS 19 and 20: a token opens the door as often as it says and for the service it says; a revoked certificate gets no successor."""

import base64
import http.client
import json
import threading
import time
import unittest

from control_client import Control, Identity, Refused, Session, fetch_roots, join, new_key_and_csr
from support import MeshTest, wait_until


class ControlTest(MeshTest):
    """A meshd, its roots, and one key with its request."""

    def setUp(self):
        super().setUp()
        fetch_roots(self.mesh)
        self.key, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            self.csr = f.read()
        self.control = Control(self.mesh)
        self.addCleanup(self.control.close)

    def enroll(self, token, **kwargs):
        return self.control.enroll(token, self.csr, **kwargs)

    def identity(self, answer):
        return Identity(self.mesh.dir, answer["chain_pem"], self.key)

    def as_service(self, identity):
        control = Control(self.mesh, identity)
        self.addCleanup(control.close)
        return control

    def refusal(self, what, *args, **kwargs):
        with self.assertRaises(Refused) as caught:
            what(*args, **kwargs)
        return caught.exception

    def audit_of(self, event):
        return [line for line in self.mesh.audit() if line["event"] == event]

    def tokens(self):
        status, tokens = self.mesh.admin("GET", "/v1/tokens")
        self.assertEqual(status, 200)
        return {t["id"]: t for t in tokens}

    def certificates(self, service):
        return self.mesh.admin("GET", f"/v1/certificates?service={service}.default")[1]

    def shut_out(self, what, *args):
        """Asserts that a revoked peer gets nothing: its connections are ended and new ones refused, or it is answered why."""
        with self.assertRaises((OSError, http.client.HTTPException, Refused)) as caught:
            what(*args)
        if isinstance(caught.exception, Refused):
            self.assertEqual(caught.exception.code, "revoked")


def race(n, attempt):
    """Runs attempt(i) on n threads that begin at once; what each returned."""
    together = threading.Barrier(n)
    results = [None] * n

    def run(i):
        together.wait()
        results[i] = attempt(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Threat19(ControlTest):
    """A join token replayed, expired, or used twice at once: exactly `uses` successes."""

    def test_a_replayed_token_is_refused_with_a_reason_a_remedy_and_an_audit_line(self):
        token = self.mesh.token("payments")
        self.enroll(token)
        e = self.refusal(self.enroll, token)
        self.assertEqual((e.status, e.code), (403, "token-spent"))
        self.assertIn("MESH_STATE_DIR", e.message)
        self.assertIn("--uses 0", e.message)
        line = self.audit_of("token-refused")[-1]
        self.assertEqual((line["code"], line["service"], line["result"]), ("token-spent", "payments", "refused"))
        self.assertNotIn(token.split(".")[2], json.dumps(self.mesh.audit()), "the secret is in the audit log")

    def test_an_expired_token_is_refused_with_a_reason_and_an_audit_line(self):
        token = self.mesh.token("payments", "--ttl", "1s")
        expires = int(self.tokens()[token.split(".")[1]]["expires"])
        wait_until(lambda: time.time() * 1000 > expires, "the token's end")
        e = self.refusal(self.enroll, token)
        self.assertEqual((e.status, e.code), (403, "token-expired"))
        line = self.audit_of("token-refused")[-1]
        self.assertEqual((line["code"], line["service"]), ("token-expired", "payments"))
        self.assertEqual(self.certificates("payments"), [])

    def test_exactly_uses_of_many_joins_at_once_succeed(self):
        for uses in (1, 3, 7):
            with self.subTest(uses=uses):
                token = self.mesh.token(f"s{uses}", "--uses", uses)
                controls = [Control(self.mesh) for _ in range(16)]
                for control in controls:
                    control.must("GET", "/v1/bundle")  # the handshakes are over when the race begins

                def attempt(i):
                    try:
                        controls[i].enroll(token, self.csr, instance=f"i{i}")
                        return "joined"
                    except Refused as e:
                        return e.code

                results = race(len(controls), attempt)
                for control in controls:
                    control.close()
                self.assertEqual(results.count("joined"), uses, results)
                self.assertEqual(results.count("token-spent"), len(controls) - uses, results)
                self.assertEqual(self.tokens()[token.split(".")[1]]["used"], uses)
                self.assertEqual(len(self.certificates(f"s{uses}")), uses)

    def test_a_use_that_was_acknowledged_survives_kill_9(self):
        once, twice = self.mesh.token("once"), self.mesh.token("twice", "--uses", 2)
        self.enroll(once)
        self.enroll(twice)
        self.mesh.meshd.kill()
        self.mesh.start()
        self.control.close()
        self.assertEqual(self.refusal(self.enroll, once).code, "token-spent")
        self.enroll(twice)
        self.assertEqual(self.refusal(self.enroll, twice).code, "token-spent")

    def test_a_token_of_uses_0_joins_any_number(self):
        token = self.mesh.token("many", "--uses", 0)
        for _ in range(5):
            self.enroll(token)
        self.assertEqual(len(self.certificates("many")), 5)

    def test_a_deleted_or_forged_token_is_unknown_and_burns_nothing(self):
        token = self.mesh.token("payments")
        head, ident, secret, pin = token.split(".")
        forged = ".".join([head, ident, secret[:-1] + ("0" if secret[-1] != "0" else "1"), pin])
        stranger = ".".join([head, ident[::-1], secret, pin])
        for text in (forged, stranger):
            self.assertEqual(self.refusal(self.enroll, text).code, "token-unknown")
        self.assertEqual(self.tokens()[ident]["used"], 0)
        self.mesh.ctl("token", "delete", ident)
        self.assertEqual(self.refusal(self.enroll, token).code, "token-unknown")

    def test_a_request_that_is_refused_for_another_reason_burns_no_use(self):
        token = self.mesh.token("payments")
        _, path = new_key_and_csr(self.mesh.dir, "thief", "/CN=thief", ("-addext", "subjectAltName=URI:spiffe://mesh.local/ns/default/svc/admin"))
        with open(path) as f:
            e = self.refusal(self.control.enroll, token, f.read())
        self.assertEqual(e.code, "denied")
        self.assertEqual(self.refusal(self.control.enroll, token, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n").code, "invalid")
        e = self.refusal(self.control.enroll, token, self.signed_by_nobody())
        self.assertEqual((e.code, "not signed by its own key" in e.message), ("invalid", True), e.message)
        self.enroll(token)

    def signed_by_nobody(self):
        """The request with a bit of its signature turned."""
        head, *lines, end = self.csr.splitlines()
        der = bytearray(base64.b64decode("".join(lines)))
        der[-1] ^= 1
        return "\n".join([head, base64.b64encode(der).decode(), end, ""])

    def test_meshctl_says_why_a_spent_token_is_refused(self):
        token = self.mesh.token("cart")
        self.enroll(token)
        done = self.mesh.ctl("call", "--as", "cart", "payments", "/", "--timeout", "3s", env={"MESH_TOKEN": token, "MESH_CONTROL": self.mesh.info["control"]}, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("MESH_STATE_DIR", done.stderr)


class Threat20(ControlTest):
    """Renewal with a revoked certificate or a descendant of one; two services that share a token."""

    def test_a_renewal_succeeds_and_is_recorded_with_its_parent(self):
        first = self.identity(self.enroll(self.mesh.token("payments"), instance="p1"))
        second = self.identity(self.as_service(first).renew(self.csr, instance="p1"))
        certs = {c["serial"]: c for c in self.certificates("payments")}
        self.assertEqual(certs[second.serial]["parent"], first.serial)
        self.assertEqual((certs[second.serial]["how"], certs[second.serial]["instance"]), ("renewal", "p1"))

    def test_a_revoked_certificate_is_not_renewed_and_opens_no_session(self):
        identity = self.identity(self.enroll(self.mesh.token("payments")))
        kept = self.as_service(identity)
        kept.ask("GET", "/v1/none")  # a connection from before the revocation
        self.mesh.ctl("cert", "revoke", identity.serial)
        self.shut_out(kept.renew, self.csr)
        self.shut_out(self.as_service(identity).renew, self.csr)
        self.shut_out(Session, self.mesh, kept, identity)
        self.assertEqual(len(self.certificates("payments")), 1)
        self.mesh.meshd.wait_for_event("handshake refused", reason="revoked", message=identity.serial)

    def test_the_descendants_of_a_revoked_certificate_are_not_renewed(self):
        first = self.identity(self.enroll(self.mesh.token("payments")))
        second = self.identity(self.as_service(first).renew(self.csr))
        third = self.identity(self.as_service(second).renew(self.csr))
        sibling = self.identity(self.enroll(self.mesh.token("payments")))
        kept = self.as_service(third)
        kept.ask("GET", "/v1/none")
        _, answer = self.mesh.admin("POST", "/v1/certificates/revoke", {"serial": first.serial, "reason": "stolen"})
        self.assertEqual(sorted(answer["revoked"]), sorted([first.serial, second.serial, third.serial]))
        self.shut_out(kept.renew, self.csr)
        for identity in (first, second, third):
            self.shut_out(self.as_service(identity).renew, self.csr)
        self.as_service(sibling).renew(self.csr)
        self.assertEqual(len(self.certificates("payments")), 5)

    def test_a_revocation_survives_kill_9_and_covers_what_is_renewed_meanwhile(self):
        first = self.identity(self.enroll(self.mesh.token("payments")))
        self.mesh.ctl("cert", "revoke", first.serial)
        self.mesh.meshd.kill()
        self.mesh.start()
        self.shut_out(self.as_service(first).renew, self.csr)
        self.assertEqual(len(self.certificates("payments")), 1)

    def test_a_revoked_peer_loses_its_open_session(self):
        identity = self.identity(self.enroll(self.mesh.token("payments")))
        session = Session(self.mesh, self.as_service(identity), identity)
        self.addCleanup(session.close)
        session.register("p1", "127.0.0.1:1000")
        self.mesh.ctl("cert", "revoke", identity.serial)
        while session.read():  # ends, or this test does not
            pass
        self.shut_out(session.register, "p1", "127.0.0.1:1001")

    def test_two_services_that_share_a_token_are_told_apart_by_its_record(self):
        token = self.mesh.token("payments", "--uses", 2)
        self.enroll(token)
        done = self.mesh.serve("cart", env={"MESH_TOKEN": token, "MESH_CONTROL": self.mesh.info["control"]}, wait=False)
        wait_until(lambda: not done.running(), "meshctl serve to give up", 30)
        self.assertNotEqual(done.child.returncode, 0)
        self.assertIn("payments", done.err())
        self.assertEqual(self.certificates("cart"), [])
        self.assertEqual(self.mesh.endpoints("cart"), [])

    def test_a_renewal_cannot_change_the_name(self):
        identity = self.identity(self.enroll(self.mesh.token("payments")))
        _, path = new_key_and_csr(self.mesh.dir, "other", "/CN=other", ("-addext", "subjectAltName=URI:spiffe://mesh.local/ns/default/svc/cart"))
        with open(path) as f:
            self.assertEqual(self.refusal(self.as_service(identity).renew, f.read()).code, "denied")

    def test_a_renewal_without_a_certificate_is_denied(self):
        self.assertEqual(self.refusal(self.control.renew, self.csr).status, 401)


if __name__ == "__main__":
    unittest.main()
