"""Certificates of twenty seconds and calls for a minute: renewed in place, no failed call, three generations."""
# tests/run: timeout 600

import time
import unittest

from load import Gateway, Load
from support import SANITIZED, SLOW, Mesh, MeshTest, wait_until

SECONDS = 30 if SANITIZED else 60  # three generations come within twenty
RATE = 200 // SLOW


class Rotation(MeshTest):

    def setUp(self):
        self.mesh = Mesh(leaf_ttl="20s")
        self.addCleanup(self.mesh.close)
        self.mesh.start()
        self.mesh.be_patient("payments")

    def generations(self, service):
        """Serials of the service's certificates, per first ancestor, oldest first."""
        certs = sorted(self.mesh.admin("GET", f"/v1/certificates?service={service}.default")[1], key=lambda c: int(c["issued"]))
        lines = []
        for cert in certs:
            line = next((line for line in lines if line[-1]["serial"] == cert["parent"]), None)
            if line is None:
                lines.append([cert])
            else:
                line.append(cert)
        return lines

    def serials_of_members(self):
        return {m["serial"] for m in self.mesh.admin("GET", "/v1/members")[1] if m["spiffeId"].endswith("/svc/cart")}

    def test_a_minute_of_calls_over_three_generations_and_no_failed_call(self):
        replicas = [self.mesh.serve("payments", name=f"payments-{i}") for i in range(2)]
        load = Load(self.mesh, "payments", SECONDS * RATE, RATE, 4)
        seen = set()
        wait_until(lambda: seen.update(self.serials_of_members()) or not load.under_way(), "the minute to pass", SECONDS + 60)
        result = load.result()
        self.assertEqual((result["calls"], result["ok"], result["failed"]), (SECONDS * RATE, SECONDS * RATE, 0), f"{result}\n{load.child.err()[-2000:]}")
        self.assertEqual(result["tries"], result["calls"], "a renewal cost tries")
        self.assertGreaterEqual(result["seconds"], SECONDS * 0.95)
        for service, processes in (("cart", 1), ("payments", 2)):
            lines = self.generations(service)
            self.assertEqual(len(lines), processes, f"{service} joined anew instead of renewing: {lines}")
            for line in lines:
                self.assertGreaterEqual(len(line), 3, f"{service}: too few generations in {SECONDS} s")
                self.assertTrue(all(c["how"] == "renewal" for c in line[1:]))
                for before, after in zip(line, line[1:]):
                    self.assertLess(int(after["issued"]), int(before["notAfter"]), "it was renewed too late")
                    share = (int(after["issued"]) - int(before["issued"])) / 20000
                    self.assertGreater(share, 0.2, "it was renewed too early: at this pace the CA is stormed")
                    self.assertLess(share, 0.75 * SLOW, "it was renewed too late to be at ease")
        self.assertGreaterEqual(len(seen), 3, "meshd saw the caller with fewer than three certificates")
        self.assertTrue(all(r.running() for r in replicas))

    def test_revoked_while_running_it_is_cut_off_and_its_renewal_refused(self):
        self.mesh.serve("payments")
        gateway = Gateway(self.mesh, "payments")
        gateway.ask()
        serial = self.generations("cart")[0][-1]["serial"]
        self.mesh.ctl("cert", "revoke", serial)

        def refused():
            try:
                gateway.ask()
                return False
            except OSError:
                return True
        wait_until(refused, "calls of the revoked process to fail", 30)
        self.assertTrue(any(line["event"] == "certificate-revoked" and line["serial"] == serial for line in self.mesh.audit()))
        end = time.monotonic() + 10
        wait_until(lambda: time.monotonic() > end, "the moment of its renewal to pass")
        self.assertEqual(len(self.generations("cart")[0]), 1, "it renewed with a revoked certificate")
        self.assertTrue(refused())


if __name__ == "__main__":
    unittest.main()
