"""The generations of the configuration: who changed what, going back, and writers who do not overwrite one another; with a real meshd and meshctl."""

import threading

from support import MeshTest

CONFLICT, USAGE, CONFIGURATION = 1, 2, 5


def service(name, **fields):
    return "".join(f"{k}: {v}\n" for k, v in {"apiVersion": "mesh/v1", "kind": "Service", "name": name, **fields}.items())


class HistoryTest(MeshTest):
    def apply(self, *documents, args=(), who="alice", check=True):
        return self.mesh.ctl("apply", "-f", "-", *args, stdin="---\n".join(documents), env={"MESH_OPERATOR": who}, check=check)

    def config(self):
        """Each document in force: its fields by its name."""
        return {c["name"]: c["document"].get("timeout") for c in self.mesh.ctl_json("get", "services")}

    def history(self, *args):
        """(generation, by whom, {name: change}), the newest first."""
        return [(int(g["generation"]), g["operator"], {c["name"]: c["change"] for c in g["changes"]}) for g in self.mesh.ctl_json("history", *args)]


class History(HistoryTest):
    def test_it_says_who_changed_what_and_meshd_keeps_it(self):
        self.apply(service("payments", timeout="1s"), service("orders"))
        self.apply(service("payments", timeout="2s"), who="bob")
        self.mesh.ctl("delete", "service", "orders", env={"MESH_OPERATOR": "carol"})
        want = [(3, "carol", {"orders": "deleted"}), (2, "bob", {"payments": "updated"}), (1, "alice", {"payments": "created", "orders": "created"})]
        self.assertEqual(self.history(), want)
        self.mesh.meshd.kill()
        self.mesh.start()
        self.assertEqual(self.history(), want)
        self.assertEqual(self.history("-n", "1"), want[:1])
        self.assertEqual(self.history("orders"), [(3, "carol", {"orders": "deleted"}), (1, "alice", {"orders": "created"})])
        self.assertEqual(self.history("orders.elsewhere"), [])
        table = self.mesh.ctl("history", "payments").stdout.splitlines()
        self.assertEqual(table[0].split(), ["GENERATION", "AT", "BY", "CHANGE", "KIND", "NAME", "ROLLBACK", "TO"])
        self.assertRegex(table[1], r"^2 +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +bob +updated +Service +payments +-$")
        self.assertEqual([line.get("operator") for line in self.mesh.audit() if line["event"].startswith("config-")], ["alice", "bob", "carol"])

    def test_an_apply_with_one_bad_document_applies_nothing_and_names_each_place(self):
        self.apply(service("payments", timeout="1s"))
        documents = [service(f"s{i}", timeout="3s") for i in range(20)]
        documents[3] = service("s3", timout="3s")
        documents[17] = service("s17", timeout="soon")
        for args in ((), ("--dry-run",)):
            done = self.apply(*documents, args=args, check=False)
            self.assertEqual((done.returncode, done.stdout), (CONFIGURATION, ""))
            lines = done.stderr.splitlines()
            self.assertRegex(lines[0], r'^stdin:19:1: timout: unknown field; did you mean "timeout"\?$')
            self.assertRegex(lines[1], r'^stdin:89:10: timeout: "soon" is no duration')
            self.assertEqual(lines[2:], ["meshctl: nothing was changed: 2 faults"])
        self.assertEqual(self.config(), {"payments": "1s"})
        self.assertEqual(len(self.history()), 1)

    def test_a_dry_run_says_what_would_change_and_changes_nothing(self):
        self.apply(service("payments", timeout="1s"))
        for command in (("apply", "-f", "-"), ("delete", "service", "payments"), ("rollback", "--to", "0")):
            done = self.mesh.ctl(*command, "--dry-run", stdin=service("payments", timeout="2s"))
            self.assertRegex(done.stdout, r"^Service payments (updated|deleted) \(not applied: --dry-run\)\n$")
        self.assertEqual(self.config(), {"payments": "1s"})
        self.assertEqual(len(self.history()), 1)


class Rollback(HistoryTest):
    def test_it_brings_all_of_an_earlier_generation_back_as_a_new_one(self):
        self.apply(service("payments", timeout="1s"), service("orders", timeout="1s"))
        self.apply(service("payments", timeout="2s"), service("new", timeout="2s"))
        self.mesh.ctl("delete", "service", "orders")
        done = self.mesh.ctl("rollback", "--to", "1", env={"MESH_OPERATOR": "bob"})
        self.assertEqual(sorted(done.stdout.splitlines()), ["Service new deleted", "Service orders created", "Service payments updated"])
        self.assertEqual(self.config(), {"payments": "1s", "orders": "1s"})
        newest = self.mesh.ctl_json("history")[0]
        self.assertEqual((newest["generation"], newest["restored"], newest["operator"], newest["who"]), ("4", "1", "bob", "admin"))
        self.assertEqual([(line["generation"], line["restored"]) for line in self.mesh.audit() if line["event"] == "config-rolled-back"], [("4", "1")])
        done = self.mesh.ctl("rollback", "--to", "1")
        self.assertEqual((done.stdout, done.stderr), ("", "meshctl: nothing to change: the configuration is the same as in generation 1\n"))
        self.mesh.ctl("rollback", "--to", "3")
        self.assertEqual(self.config(), {"payments": "2s", "new": "2s"})

    def test_a_generation_that_cannot_be_gone_back_to_is_named(self):
        self.apply(service("payments"))
        for args, code, said in ((("--to", "9"), CONFLICT, "there is no generation 9 yet; the newest is 1"), ((), USAGE, "--to GENERATION"), (("--to", "-1"), USAGE, "--to")):
            done = self.mesh.ctl("rollback", *args, check=False)
            self.assertEqual(done.returncode, code)
            self.assertIn(said, done.stderr)
        self.assertEqual(self.mesh.admin("POST", "/v1/rollback", {})[0], 400)


class TwoOperators(HistoryTest):
    def test_nobody_overwrites_what_he_has_not_seen(self):
        self.apply(service("payments", timeout="1s"))
        seen = self.mesh.ctl_json("get", "service", "payments")["generation"]
        self.apply(service("payments", timeout="2s"), args=("--if-generation", seen), who="alice")
        for command in (("apply", "-f", "-"), ("delete", "service", "payments"), ("rollback", "--to", "0"), ("apply", "-f", "-", "--dry-run")):
            done = self.mesh.ctl(*command, "--if-generation", seen, stdin=service("payments", timeout="3s"), check=False)
            self.assertEqual((done.returncode, done.stdout), (CONFLICT, ""))
            self.assertIn("Service payments.default was changed in generation 2, after generation 1", done.stderr)
        self.assertEqual(self.config(), {"payments": "2s"})
        self.apply(service("orders"), args=("--if-generation", seen))  # what nobody has touched
        self.assertEqual(self.mesh.admin("POST", "/v1/config", {"text": service("x"), "ifGeneration": 99})[0], 400)

    def test_a_query_that_cannot_be_read_deletes_nothing(self):
        self.apply(service("payments", timeout="1s"))
        for query in ("&namespace=%zz", "&namespace=" + "n" * 64, "&ifGeneration=%zz", "&ifGeneration=" + "1" * 30, "&dryRun=%zz", "&dryRun=" + "true" * 9):
            with self.subTest(query):
                self.assertEqual(self.mesh.admin("DELETE", "/v1/config?kind=Service&name=payments" + query)[0], 400)
        self.assertEqual(self.config(), {"payments": "1s"})

    def test_of_many_at_once_exactly_one_wins(self):
        self.apply(service("payments", timeout="1s"))
        answers = []

        def write(number):
            answers.append(self.mesh.admin("POST", "/v1/config", {"text": service("payments", timeout=f"{number}s"), "ifGeneration": "1"})[0])
        threads = [threading.Thread(target=write, args=(n,)) for n in range(2, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), [200] + [409] * 7)
        self.assertEqual(len(self.history()), 2)


if __name__ == "__main__":
    import unittest
    unittest.main()
