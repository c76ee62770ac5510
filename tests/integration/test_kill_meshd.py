"""kill -9 of meshd during a hundred registrations and token uses, twenty times: nothing acknowledged is lost, no token is used more often than it may be."""

# tests/run: timeout 600

import http.client
import random
import threading
import unittest

from control_client import Control, Refused, Session, fetch_roots, join, new_key_and_csr, serial_of
from support import STRIDE, MeshTest

ROUNDS = 20 // STRIDE
REGISTRARS, REGISTRATIONS = 10, 10  # sessions, and writes of each
JOINERS, USES, TRIES = 4, 20, 15    # of a reusable token; and each joiner uses tokens of one use beside it
BROKEN = (OSError, http.client.HTTPException)


class Acknowledged:
    """What meshd said yes to; and the trigger, which pulls at one of these yeses."""

    def __init__(self, after, pull):
        self.mu = threading.Lock()
        self.n, self.after, self.pull = 0, after, pull
        self.addresses = {}   # instance -> the last acknowledged
        self.asked = {}       # instance -> the last one sent
        self.joined = {}      # token id -> chains
        self.tokens = {}      # token id -> uses
        self.surprises = []

    def count(self):
        with self.mu:
            self.n += 1
            now = self.n == self.after
        if now:
            self.pull()

    def surprise(self, what):
        with self.mu:
            self.surprises.append(what)


def register(session, instance, acked):
    """Registers the instance again and again, each time at another address."""
    for i in range(REGISTRATIONS):
        address = f"127.0.0.1:{1000 + i}"
        acked.asked[instance] = address
        try:
            session.register(instance, address)
        except BROKEN:
            return
        except Refused as e:
            return acked.surprise(e)
        acked.addresses[instance] = address
        acked.count()


def use(control, csr, token, acked):
    """One join with a token; False when meshd is gone or has refused."""
    ident = token.split(".")[1]
    try:
        answer = control.enroll(token, csr)
    except Refused as e:
        if e.code != "token-spent":
            acked.surprise(e)
        return e.code == "token-spent"
    except BROKEN:
        return False
    with acked.mu:
        acked.joined.setdefault(ident, []).append(answer["chain_pem"])
    acked.count()
    return True


class KillMeshd(MeshTest):

    def setUp(self):
        super().setUp()
        fetch_roots(self.mesh)
        _, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            self.csr = f.read()
        self.identity = join(self.mesh, "payments")
        self.dice = random.Random(1)
        self.history = {}    # instance -> its last acknowledged address, of all rounds
        self.serials = set()  # of all rounds
        self.tokens = {}

    def joiner(self, shared, acked):
        control = Control(self.mesh)
        try:
            for _ in range(TRIES):
                status, made = self.mesh.admin("POST", "/v1/tokens", {"service": "cart", "uses": 1})
                if status != 200:
                    return acked.surprise(made)
                acked.tokens[made["id"]] = 1
                acked.count()
                if not (use(control, self.csr, shared, acked) and use(control, self.csr, made["token"], acked) and use(control, self.csr, made["token"], acked)):
                    return
        except BROKEN:
            return
        finally:
            control.close()

    def round(self, number):
        """A hundred registrations and token uses, and in their midst the end of meshd."""
        after = self.dice.randrange(1, 2 * REGISTRARS * REGISTRATIONS)
        acked = Acknowledged(after, self.mesh.meshd.child.kill)
        shared = self.mesh.token("cart", "--uses", USES)
        acked.tokens[shared.split(".")[1]] = USES
        control = Control(self.mesh, self.identity)
        sessions = [Session(self.mesh, control, self.identity) for _ in range(REGISTRARS)]
        posts = [Control(self.mesh, self.identity) for _ in range(REGISTRARS)]
        threads = [threading.Thread(target=self.joiner, args=(shared, acked)) for _ in range(JOINERS)]
        for i, session in enumerate(sessions):
            session.control = posts[i]
            threads.append(threading.Thread(target=register, args=(session, f"r{number}-{i}", acked)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.mesh.meshd.kill()
        for open_one in [control, *sessions, *posts]:
            open_one.close()
        self.assertEqual(acked.surprises, [])
        return acked

    def check(self, acked):
        found = {e["instance"]: e["address"] for e in self.mesh.admin("GET", "/v1/endpoints?service=payments.default")[1]}
        for instance, address in acked.addresses.items():
            self.assertIn(found.get(instance), (address, acked.asked[instance]), instance)
            self.history[instance] = found[instance]
        for instance, address in self.history.items():
            self.assertEqual(found.get(instance), address, instance)
        self.tokens.update(acked.tokens)
        tokens = {t["id"]: t for t in self.mesh.admin("GET", "/v1/tokens")[1]}
        for ident, uses in self.tokens.items():
            self.assertIn(ident, tokens, "an acknowledged token is lost")
            self.assertLessEqual(tokens[ident]["used"], uses)
        for ident, chains in acked.joined.items():
            self.assertLessEqual(len(chains), acked.tokens[ident], "a token was used more often than it may be")
            self.assertGreaterEqual(tokens[ident]["used"], len(chains), "an acknowledged use is lost")
            self.serials.update(serial_of(chain) for chain in chains)
        known = {c["serial"] for c in self.mesh.admin("GET", "/v1/certificates")[1]}
        self.assertEqual(self.serials - known, set(), "certificates that were given out and are not on record")

    def test_nothing_acknowledged_is_lost_and_no_token_is_used_too_often(self):
        cut = 0
        for number in range(ROUNDS):
            acked = self.round(number)
            cut += acked.n >= acked.after
            self.mesh.start()
            self.check(acked)
        self.assertGreater(cut, ROUNDS / 2, "meshd died after the work rather than during it")


if __name__ == "__main__":
    unittest.main()
