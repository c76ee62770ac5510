"""meshctl sync-status: who runs which generation of the configuration, who refused it and why, who has not answered since when, and how fast it spread; with real clients and with ones that misbehave."""

import json
import time
import unittest

from control_client import Control, Session, fetch_roots, join
from load import Gateway
from support import SLOW, MeshTest, wait_until


class SyncTest(MeshTest):
    def setUp(self):
        super().setUp()
        fetch_roots(self.mesh)
        self.identity = join(self.mesh, "cart")
        self.control = Control(self.mesh, self.identity)
        self.addCleanup(self.control.close)

    def watcher(self, *services):
        """A client by hand that watches these services and has answered what it was told at once."""
        session = Session(self.mesh, self.control, self.identity)
        self.addCleanup(session.close)
        session.post("subscribe", {"services": [{"service": s} for s in services], "replace": True})
        for _ in services:
            self.answer(session)
        return session

    def config(self, session):
        """The next CONFIG record."""
        while True:
            record = session.read()
            if record["type"] == "config":
                return record

    def answer(self, session, refused=None):
        record = self.config(session)
        session.post("ack", {"sequence": record["sequence"], "generation": record["version"], "service": record["service"], **({"refused": refused} if refused else {})})
        return record

    def apply(self, timeout, name="payments"):
        """The generation that it makes."""
        answer = self.mesh.ctl_json("apply", "-f", "-", stdin=f"apiVersion: mesh/v1\nkind: Service\nname: {name}\ntimeout: {timeout}\n")
        return int(answer["generation"])

    def sync(self, *args, code=0):
        """The whole answer, and its clients by their session."""
        done = self.mesh.ctl("sync-status", "-o", "json", *args, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        answer = json.loads(done.stdout)
        return answer, {c["session"]: c for c in answer["clients"]}

    def metric(self, name):
        text = self.mesh.admin("GET", "/metrics")[1]
        return {line.split(" ")[0]: int(line.split(" ")[1]) for line in text.splitlines() if line.startswith(name)}


class SyncStatus(SyncTest):
    def test_it_says_who_runs_what_who_refused_it_and_why_and_who_has_not_answered(self):
        takes, refuses, silent, elsewhere = (self.watcher(s) for s in ("payments.default", "payments.default", "payments.default", "orders.default"))
        before = self.apply("1s")
        for session in (takes, refuses, silent):
            self.answer(session)
        generation = self.apply("2s")
        now_ms = time.time() * 1000
        self.answer(takes)
        self.answer(refuses, refused="payments.default: I would rather not")
        self.config(silent)
        answer, clients = self.sync(code=1)
        self.assertEqual(answer["generation"], str(generation))
        self.assertEqual([clients[s.id]["state"] for s in (takes, refuses, silent, elsewhere)], ["current", "refused", "waiting", "current"])
        self.assertEqual([clients[s.id]["generation"] for s in (takes, refuses, silent, elsewhere)], [str(g) for g in (generation, before, before, generation)])
        refusal, = clients[refuses.id]["refused"]
        self.assertEqual((refusal["service"], refusal["generation"], refusal["reason"]), ("payments.default", str(generation), "payments.default: I would rather not"))
        waiting, = clients[silent.id]["waiting"]
        self.assertEqual((waiting["service"], waiting["generation"]), ("payments.default", str(generation)))
        self.assertLess(abs(int(waiting["since"]) - now_ms), 5000 * SLOW)
        row = answer["generations"][0]
        self.assertEqual([row[k] for k in ("generation", "told", "acknowledged", "refused", "waiting", "gone")], [str(generation), 3, 1, 1, 1, 0])
        self.assertLessEqual(row["p50Ms"], row["maxMs"])
        self.assertEqual(self.metric("mesh_clients"), {'mesh_clients{state="current"}': 2, 'mesh_clients{state="waiting"}': 1, 'mesh_clients{state="refused"}': 1})
        self.assertEqual(self.metric("mesh_config_answers_total")['mesh_config_answers_total{result="refused"}'], 1)
        self.assertGreater(self.metric("mesh_config_propagation_us")['mesh_config_propagation_us{quantile="0.99"}'], 0)
        table = self.mesh.ctl("sync-status", check=False).stdout.splitlines()
        self.assertRegex(table[0], rf"^generation {generation}: told 3 processes; 1 took it, 1 refused it, 1 have not answered; p50 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms$")
        self.assertRegex("\n".join(table), r"(?m) refused +\S+Z +payments\.default +payments\.default: I would rather not$")

        # An older generation has reached all of them; one that is not there is refused.
        answer, clients = self.sync("--generation", before, code=1)
        self.assertEqual({c["state"] for c in clients.values()}, {"current"})
        self.assertEqual([(g["generation"], g["acknowledged"]) for g in answer["generations"]], [(str(before), 3)])
        done = self.mesh.ctl("sync-status", "--generation", generation + 1, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))

        # Who goes is no longer waited for, and who takes the next has refused nothing.
        silent.close()
        self.apply("3s")
        self.answer(takes)
        self.answer(refuses)
        wait_until(lambda: self.sync("--generation", generation)[0]["generations"][0]["gone"] == 1, "the session's end to be counted")
        answer, clients = self.sync()
        self.assertEqual({c["state"] for c in clients.values()}, {"current"})

    def test_real_processes_take_a_change_and_its_time_is_told(self):
        self.mesh.serve("payments")
        gateways = [Gateway(self.mesh, "payments", name=f"gateway-{n}") for n in range(3)]
        for gateway in gateways:
            gateway.ask()
        generation = self.apply("2s")
        row = wait_until(lambda: (lambda g: g if g["acknowledged"] == 4 else None)(self.sync("--generation", generation)[0]["generations"][0]), "three that call it, and the one that is it, to take it")
        self.assertEqual((row["told"], row["refused"], row["waiting"]), (4, 0, 0))
        self.assertLess(row["p99Ms"], 1000 * SLOW)
        self.assertEqual({c["state"] for c in self.sync()[1].values()}, {"current"})

    def test_after_a_restart_of_meshd_who_is_up_to_date_is_current(self):
        session = self.watcher("payments.default")
        generation = self.apply("2s")
        self.answer(session)
        self.mesh.meshd.kill()
        self.mesh.start()
        self.control.close()
        back = Session(self.mesh, self.control, self.identity)
        self.addCleanup(back.close)
        back.post("subscribe", {"services": [{"service": "payments.default", "generation": str(generation)}], "replace": True})
        answer, clients = self.sync()
        self.assertEqual((clients[back.id]["state"], clients[back.id]["generation"], answer["generations"]), ("current", str(generation), []))
        self.assertIn("is not known any more", self.mesh.ctl("sync-status", "--generation", generation).stderr)
        self.apply("3s")
        _, clients = self.sync()
        self.assertEqual((clients[back.id]["state"], clients[back.id]["generation"]), ("waiting", str(generation)))


if __name__ == "__main__":
    unittest.main()
