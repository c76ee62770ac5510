"""THREATS 26: the clock goes forward or back by an hour or ten years: leases and renewals do not mind; TLS does, and says so."""
# tests/run: not under thread: clocks jump here; the threads and their work are those of the other tests
# tests/run: timeout 600

import time
import unittest
import urllib.request

from clock import HOUR, YEARS, Clock
from control_client import Control, Refused, fetch_roots, join, new_key_and_csr
from support import SLOW, STRIDE, Mesh, MeshTest, program, wait_until

LEASE = max(2, SLOW)  # seconds, in which a heartbeat passes on any machine
JUMPS = {"an hour forward": HOUR, "an hour back": -HOUR, "ten years forward": YEARS, "ten years back": -YEARS}


def connect(mesh, service):
    return [program("meshctl"), "connect", service, "--as", "cart", "--listen", "127.0.0.1:0", "--data", mesh.data]


def get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + "/", timeout=30) as answer:
        return answer.status


class ClockTest(MeshTest):
    """Three replicas under a meshd with short leases, each program with a wall clock of its own."""

    def setUp(self):
        self.mesh = Mesh(heartbeat=f"{200 * SLOW}ms", lease=f"{LEASE}s", grace="0s")
        self.addCleanup(self.mesh.close)
        self.clock = Clock(self.mesh.dir)
        self.mesh.start(env=self.clock.env)

    def serve_three(self, env=None):
        replicas = [self.mesh.serve("payments", name=f"payments-{i}", env=env) for i in range(3)]
        self.mesh.wait_endpoints("payments", 3)
        return replicas

    def certificates(self):
        return len(self.mesh.admin("GET", "/v1/certificates")[1])

    def control(self, identity=None):
        control = Control(self.mesh, identity)
        self.addCleanup(control.close)
        return control

    def let_pass(self, leases):
        """Real time in which what must not happen would have happened, and no more: who was shut out for long is slow to come back, slower than a lease."""
        end = time.monotonic() + leases * LEASE
        wait_until(lambda: time.monotonic() > end, "the end of it", 60)

    def removals(self):
        return [line for line in self.mesh.audit() if line["event"] == "endpoint-removed"]


class Threat26Meshd(ClockTest):
    """The clock of meshd's machine."""

    def test_no_mass_deregistration_and_no_mass_reissue(self):
        self.serve_three()
        certificates = self.certificates()
        for name, seconds in list(JUMPS.items())[::STRIDE]:
            with self.subTest(jump=name):
                self.clock.jump(seconds)
                self.let_pass(1.5)
                self.assertEqual(self.removals(), [])
                self.assertEqual(len(self.mesh.endpoints("payments")), 3)
                self.assertEqual(self.certificates(), certificates, "certificates were issued anew")
                self.clock.jump(0)
                self.mesh.wait_endpoints("payments", 3)
                wait_until(lambda: all(e["state"] == "healthy" for e in self.mesh.endpoints("payments")), "all are healthy again once the clock is right", 30)

    def test_calls_go_on_whatever_meshd_takes_for_the_time(self):
        replicas = self.serve_three()
        gateway = self.mesh.spawn([*connect(self.mesh, "payments")], "gateway")
        url = gateway.wait_for_output(r"http://[0-9.:]+").group(0)
        for seconds in JUMPS.values():
            self.clock.jump(seconds)
            for _ in range(20):
                self.assertEqual(get(url), 200)
        self.assertTrue(all(r.running() for r in replicas))

    def test_a_dead_replicas_lease_still_ends_after_a_jump_once_the_others_were_heard(self):
        replicas = self.serve_three()
        self.clock.jump(HOUR)
        replicas[0].kill()
        self.mesh.wait_endpoints("payments", 2)
        self.clock.jump(-HOUR)
        replicas[1].kill()
        self.mesh.wait_endpoints("payments", 1)

    def test_no_mass_deregistration_by_a_meshd_that_starts_with_a_clock_half_an_hour_behind(self):
        """Then every certificate of the last half hour is not valid yet, and nobody gets in until the clock is right."""
        self.serve_three()
        self.mesh.meshd.kill()
        self.clock.jump(-HOUR // 2)
        self.mesh.start(env=self.clock.env)
        self.let_pass(1.5)
        self.assertEqual(self.removals(), [])
        self.mesh.meshd.wait_for_event("handshake refused", reason="not-yet-valid")
        self.clock.jump(0)
        wait_until(lambda: [e["state"] for e in self.mesh.endpoints("payments")] == ["healthy"] * 3, "all to be back", 60)
        self.assertEqual(self.removals(), [])

    def test_a_meshd_that_starts_years_off_refuses_with_that_reason_and_loses_nothing(self):
        self.serve_three()
        for seconds, words in ((YEARS, "life ended|expired"), (-YEARS, "not valid yet")):
            self.mesh.meshd.kill()
            self.clock.jump(seconds)
            refused = self.mesh.spawn([program("meshd"), "--data", self.mesh.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], f"off-{seconds}", env=self.clock.env)
            wait_until(lambda: not refused.running(), "meshd to refuse", 30)
            self.assertNotEqual(refused.child.returncode, 0)
            self.assertRegex(refused.err(), words)
            self.clock.jump(0)
            self.mesh.start(env=self.clock.env)
            self.mesh.wait_endpoints("payments", 3)

    def test_a_handshake_fails_with_the_clock_as_its_reason(self):
        fetch_roots(self.mesh)
        identity = join(self.mesh, "cart")
        for seconds, reason in ((YEARS, "expired"), (-YEARS, "not-yet-valid")):
            self.clock.jump(seconds)
            with self.assertRaises((OSError, Refused)):
                self.control(identity).must("GET", "/v1/none")
            event = self.mesh.meshd.wait_for_event("handshake refused", reason=reason)
            self.assertIn("clock", event["message"])
            self.clock.jump(0)

    def test_a_revocation_outlives_a_jump(self):
        """Its certificate seems long expired then; when the clock is put right it must not be forgotten."""
        fetch_roots(self.mesh)
        thief, other = join(self.mesh, "cart", name="thief"), join(self.mesh, "cart", name="other")
        self.mesh.ctl("cert", "revoke", thief.serial)
        self.clock.jump(YEARS)
        self.mesh.admin("POST", "/v1/certificates/revoke", {"serial": other.serial, "reason": "makes meshd read its list anew"})
        self.clock.jump(0)
        with self.assertRaises(OSError):  # in the handshake
            self.control(thief).must("GET", "/v1/none")
        self.mesh.meshd.wait_for_event("handshake refused", reason="revoked", message=thief.serial)

    def test_a_token_is_judged_by_the_wall_clock(self):
        fetch_roots(self.mesh)
        token = self.mesh.token("cart", "--ttl", "30m")
        _, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            csr = f.read()
        self.clock.jump(HOUR)
        with self.assertRaises(Refused) as caught:
            self.control().enroll(token, csr)
        self.assertEqual(caught.exception.code, "token-expired")
        self.clock.jump(0)
        self.control().enroll(token, csr)


class Threat26Client(ClockTest):
    """The clock of an application's machine."""

    def test_an_hour_either_way_renews_nothing_and_deregisters_nobody(self):
        clock = Clock(self.mesh.dir, "client-clock")
        self.serve_three(env=clock.env)
        certificates = self.certificates()
        for seconds in (HOUR, -HOUR, 0):
            clock.jump(seconds)
            self.let_pass(1.5)
            self.assertEqual(self.removals(), [])
            self.assertEqual(self.certificates(), certificates)

    def test_ten_years_either_way_end_no_lease_and_ask_for_no_certificates(self):
        clock = Clock(self.mesh.dir, "client-clock")
        self.serve_three(env=clock.env)
        certificates = self.certificates()
        for seconds in (YEARS, -YEARS):
            with self.subTest(seconds=seconds):
                clock.jump(seconds)
                self.let_pass(1.5)
                self.assertLessEqual(self.certificates(), certificates)
                clock.jump(0)
                self.mesh.wait_endpoints("payments", 3, 30)
        self.assertEqual(self.removals(), [], "replicas were deregistered because their clock was wrong")

    def test_a_call_from_a_host_years_off_fails_with_that_reason(self):
        self.mesh.serve("payments")
        hosts = []
        for name, seconds, words in (("ahead", YEARS, "expired"), ("behind", -YEARS, "not valid yet|not yet valid")):
            clock = Clock(self.mesh.dir, name + "-clock")
            clock.jump(seconds)
            hosts.append((self.mesh.spawn([program("meshctl"), "call", "payments", "/", "--data", self.mesh.data], name, env=clock.env), words))
        for host, words in hosts:
            wait_until(lambda: not host.running(), f"the call of {host.name} to fail", 60)
            self.assertNotEqual(host.child.returncode, 0)
            self.assertRegex(host.err(), words)


if __name__ == "__main__":
    unittest.main()
