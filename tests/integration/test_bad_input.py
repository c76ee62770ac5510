"""Bad input anywhere: one clear error with the place and a hint, nothing half-done."""

import json
import os
import re
import subprocess
import unittest

import support

USAGE, DENIED, CONFIGURATION, UNREACHABLE = 2, 4, 5, 3


class BadInput(support.MeshTest):
    def refused(self, args, codes, *said, env=None, stdin=None):
        """The command ends with one of the codes, with nothing on stdout and one line that says all this."""
        done = self.mesh.ctl(*args, env=env, check=False, stdin=stdin)
        self.assertIn(done.returncode, codes if isinstance(codes, tuple) else (codes,), done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("meshctl: "), done.stderr)
        for text in said:
            self.assertIn(text, done.stderr)

    def test_options_and_operands_of_meshctl(self):
        rows = [
            (["cal"], 'did you mean "call"?'),
            (["call"], "usage: meshctl call SERVICE PATH"),
            (["call", "payments", "/", "extra"], '"extra"'),
            (["call", "payments", "/", "--timeou", "5s"], '"--timeou"'),
            (["call", "payments", "/", "-n"], "--number N"),
            (["call", "payments", "/", "-n", "x"], '--number "x"'),
            (["call", "payments", "/", "-n", "0"], '--number "0"', "from 1 to"),
            (["call", "payments", "/", "-c", "-1"], '--concurrency "-1"'),
            (["call", "payments", "/", "--timeout", "5"], '--timeout "5"', "250ms"),
            (["call", "payments", "/", "--timeout", "25h"], '--timeout "25h"', "from 1ms to 24h"),
            (["call", "payments", "/", "--rate", "0"], '--rate "0"'),
            (["call", "payments", "/", "-H", "nocolon"], '"nocolon"', "name: value"),
            (["call", "payments", "/", "-H", "Host: x"], '"Host: x"'),
            (["call", "payments", "/", "-H", "mesh-try: 1"], '"mesh-try: 1"'),
            (["call", "payments", "path"], '"path"', '"/"'),
            (["call", "payments", "/a b"], '"/a b"', "percent-encoded"),
            (["call", "Pay ments", "/"], '"Pay ments"', "lower-case"),
            (["call", "a.b.c", "/"], '"a.b.c"'),
            (["call", "payments", "/", "-X", "G T"], '"G T"'),
            (["call", "payments", "/", "-d", "@/nonexistent"], "/nonexistent", "No such file"),
            (["call", "payments", "/", "--as", "No"], '"No"'),
            (["call", "payments", "/", "-o", "xml"], '"xml"', "text or json"),
            (["serve", "--service", "a"], "--echo", "--upstream"),
            (["serve", "--service", "a", "--echo", "--upstream", "http://127.0.0.1:1"], "--echo", "--upstream"),
            (["serve", "--service", "a", "--upstream", "127.0.0.1:1"], '"127.0.0.1:1"', "host:port"),
            (["serve", "--service", "a", "--upstream", "http://127.0.0.1:1/path"], "http://127.0.0.1:1/path"),
            (["serve", "--service", "a", "--echo", "--listen", "localhost:0"], '"localhost:0"', "ip:port"),
            (["serve", "--service", "a", "--echo", "--listen", "127.0.0.1:65536"], '"127.0.0.1:65536"', "65535"),
            (["serve", "--service", "a", "--echo", "--advertise", "127.0.0.1:0"], '"127.0.0.1:0"', "advertise"),
            (["serve", "--service", "a", "--echo", "--status", "99"], '--status "99"', "200 to 599"),
            (["serve", "--service", "a", "--echo", "--fail-percent", "101"], '"101"', "0 to 100"),
            (["serve", "--service", "a", "--echo", "--delay", "x"], '--delay "x"'),
            (["serve", "--service", "A_b", "--echo"], '"A_b"'),
            (["connect", "payments", "--as", "x"], "--listen 127.0.0.1:8080"),
            (["token", "create"], "--service NAME"),
            (["token", "create", "--service", "x y"], '"x y"'),
            (["token", "create", "--service", "x", "--ttl", "1y"], '--ttl "1y"', "2h"),
            (["token", "create", "--service", "x", "--ttl", "0s"], '--ttl "0s"'),
            (["token", "create", "--service", "x", "--uses", "-1"], '--uses "-1"'),
            (["token", "frob"], '"token frob"', "create"),
            (["cert", "issue", "--service", "x"], "--out DIR"),
            (["cert", "revoke", "zz"], '"zz"', "meshctl cert show"),
            (["get", "frob"], '"frob"', "Service, Endpoints, Namespace, Mesh and Fault"),
            (["apply"], "-f FILE"),
            (["apply", "-f", "/nonexistent"], "/nonexistent"),
            (["apply", "-f", "/tmp"], "/tmp", "directory"),
        ]
        tokens = self.mesh.ctl_json("token", "list")
        for args, *said in rows:
            with self.subTest(args):
                self.refused(args, USAGE, *said)
        self.assertEqual(self.mesh.ctl_json("token", "list"), tokens, "nothing was made on the way to a refusal")

    def test_what_is_not_there(self):
        for args, *said in [(["cert", "revoke", "12345678"], "12345678"), (["get", "service", "nothing"], "nothing", "meshctl get service"), (["delete", "service", "nothing"], "nothing"),
                            (["endpoints", "nobody"], "nobody.default", "never registered"), (["token", "delete", "0123456789abcdef"], "0123456789abcdef")]:
            with self.subTest(args):
                self.refused(args, 1, *said)
        self.refused(["token", "create", "--service", "x", "--namespace", "mesh-system"], DENIED, "mesh-system", "reserved")

    def test_settings_of_an_application_from_the_environment(self):
        token = self.mesh.token("cart", "--uses", "0")
        control = self.mesh.info["control"]
        rows = [
            ({"MESH_TOKEN": "garbage"}, "MESH_TOKEN", "meshctl token create"),
            ({"MESH_TOKEN": token[:-1]}, "MESH_TOKEN", "was it cut"),
            ({"MESH_TOKEN": token.upper()}, "MESH_TOKEN"),
            ({"MESH_CONTROL": "http://127.0.0.1:1"}, "MESH_CONTROL", '"http://127.0.0.1:1"', "https://host:port"),
            ({"MESH_CONTROL": "https://127.0.0.1"}, "MESH_CONTROL", "port"),
            ({"MESH_CONTROL": control + "/path"}, "MESH_CONTROL"),
            ({"MESH_CONTROL": control + ",,"}, "MESH_CONTROL"),
            ({"MESH_NAMESPACE": "A"}, 'namespace "A"'),
            ({"MESH_SERVICE": "Cart!"}, '"Cart!"'),
            ({"MESH_INSTANCE": "a b"}, "MESH_INSTANCE", '"a b"'),
            ({"MESH_VERSION": "v\n1"}, "MESH_VERSION", "control character"),
            ({"MESH_ZONE": "z" * 100}, "MESH_ZONE", "63"),
            ({"MESH_LISTEN": "x"}, "MESH_LISTEN", '"x"', "ip:port"),
            ({"MESH_ADVERTISE": "0.0.0.0:0"}, "MESH_ADVERTISE"),
            ({"MESH_PROBE_LISTEN": "127.0.0.1"}, "MESH_PROBE_LISTEN", "port"),
            ({"MESH_PROBE_METRICS": "yes"}, "MESH_PROBE_METRICS", '"yes"', "0 to 1"),
            ({"MESH_LOG": "loud"}, "MESH_LOG", '"loud"', "debug, info"),
            ({"MESH_WORKERS": "0"}, "MESH_WORKERS", "1 to 512"),
            ({"MESH_WORKERS": "513"}, "MESH_WORKERS", "1 to 512"),
            ({"MESH_MAX_BODY": "1g"}, "MESH_MAX_BODY", '"1g"'),
            ({"MESH_MAX_BODY": "-1"}, "MESH_MAX_BODY", '"-1"'),
            ({"MESH_STATE_DIR": "/dev/null/x"}, "/dev/null/x"),
            ({"MESH_CERTIFICATE": "/x"}, "belong together", "key is not set"),
            ({"MESH_ENDPOINTS": "/x"}, "/x", "No such file"),
            ({"MESH_CERTIFICATE": "/x", "MESH_KEY": "/y", "MESH_BUNDLE": "/z"}, "/x"),
        ]
        for i, (env, *said) in enumerate(rows):
            with self.subTest(env):
                state = os.path.join(self.mesh.dir, f"state-{i}")
                whole = {"MESH_CONTROL": control, "MESH_TOKEN": token, "MESH_SERVICE": "cart", "MESH_STATE_DIR": state, **env}
                self.refused(["call", "payments", "/"], (1, USAGE), *said, env=whole)
                self.assertFalse(os.path.exists(os.path.join(state, "default.cart", "0", "identity.pem")), "nothing half-done")
        self.assertEqual(json.loads(self.mesh.ctl("call", "payments", "/", "-o", "json", check=False, env={"MESH_CONTROL": control, "MESH_TOKEN": token, "MESH_SERVICE": "cart"}).stdout)["errors"],
                         {"MESH_E_NO_SERVICE": 1}, "the same settings without a fault work")

    def test_a_secret_is_never_told_back(self):
        token = self.mesh.token("cart")
        for bad in (token[:-1], token + "0", token.replace("mesh1.", "mesh2.")):
            done = self.mesh.ctl("call", "payments", "/", check=False, env={"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": bad})
            self.assertNotIn(token.split(".")[2], done.stderr)

    def test_a_token_of_another_mesh_or_of_nobody(self):
        other = support.Mesh()
        self.addCleanup(other.close)
        other.start()
        right = self.mesh.token("cart").split(".")
        state = os.path.join(self.mesh.dir, "state")
        rows = [(".".join([right[0], "0" * 16, *right[2:]]), "token"), (".".join([right[0], right[1], "0" * len(right[2]), right[3]]), "token"),
                (self.mesh.token("orders"), "orders")]
        for token, said in rows:
            with self.subTest(said):
                done = self.mesh.ctl("call", "payments", "/", "--timeout", "20s", check=False,
                                     env={"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": token, "MESH_SERVICE": "cart", "MESH_STATE_DIR": state})
                self.assertIn(done.returncode, (1, UNREACHABLE, DENIED), done.stderr)
                self.assertIn(said, done.stderr)
                self.assertEqual(done.stdout, "")
        done = subprocess.run([support.helper("calls"), "timeout=1000", "GET"], capture_output=True, text=True, timeout=60 * support.SLOW, check=False,
                              env={**{k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}, "MESH_LOG": "info",
                                   "MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": other.token("cart"), "MESH_SERVICE": "cart", "MESH_STATE_DIR": state})
        self.assertEqual(json.loads(done.stdout)["mayBeProcessed"], 0)
        self.assertNotEqual(json.loads(done.stdout)["code"], "MESH_OK")
        self.assertIn("pin", done.stderr, "a root that the token does not name is not taken")
        kept = [name for _, _, files in os.walk(state) for name in files if name.endswith(".pem")]
        self.assertEqual(kept, [], "no identity was kept")

    def test_configuration_is_refused_all_at_once_with_places(self):
        path = os.path.join(self.mesh.dir, "bad.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: payments\ntimout: 2s\nloadBalancer:\n  policy: rounddRobin\nconnectTimeout: 5\n---\n"
                    "apiVersion: mesh/v1\nkind: Endpoints\nname: legacy\nendpoints:\n- address: localhost:80\n")
        for command in ("validate", "apply"):
            with self.subTest(command):
                done = self.mesh.ctl(command, "-f", path, check=False)
                self.assertEqual((done.returncode, done.stdout), (CONFIGURATION, ""))
                lines = done.stderr.splitlines()
                for place, said in (("4:1", "did you mean"), ("6:11", "roundRobin"), ("7:17", "connectTimeout"), ("13:12", "localhost:80")):
                    self.assertTrue(any(f"bad.yaml:{place}:" in line and said in line for line in lines), (place, said, lines))

    def test_an_apply_is_atomic(self):
        generation = self.mesh.admin("GET", "/v1/status")[1]
        path = os.path.join(self.mesh.dir, "half.yaml")
        with open(path, "w") as f:
            f.write("apiVersion: mesh/v1\nkind: Service\nname: good\ntimeout: 2s\n---\napiVersion: mesh/v1\nkind: Service\nname: bad\ntimeout: never\n")
        self.assertEqual(self.mesh.ctl("apply", "-f", path, check=False).returncode, CONFIGURATION)
        self.refused(["get", "service", "good"], 1, "good")
        after = self.mesh.admin("GET", "/v1/status")[1]
        self.assertEqual(after.get("generation"), generation.get("generation"))

    def test_documents_that_are_none(self):
        """Each in one breath: refused as configuration, in bounded time, and meshd goes on."""
        rows = {"empty": "", "not a mapping": "- 1\n", "no kind": "apiVersion: mesh/v1\nname: a\n", "unknown kind": "apiVersion: mesh/v1\nkind: Sevice\nname: a\n", "other version": "apiVersion: mesh/v2\nkind: Service\nname: a\n",
                "an alias": "apiVersion: mesh/v1\nkind: Service\nname: &x a\nnamespace: *x\n", "a tag": "apiVersion: mesh/v1\nkind: !!str Service\nname: a\n", "a duplicate key": "apiVersion: mesh/v1\nkind: Service\nname: a\nname: b\n",
                "deep": "apiVersion: mesh/v1\nkind: Service\nname: a\nx: " + "[" * 10000 + "\n", "an escaped NUL": "apiVersion: mesh/v1\nkind: Service\nname: \"a\\0b\"\n",
                "a NUL": "apiVersion: mesh/v1\nkind: Service\nname: a\n\0---\nhalf of it\n", "comments alone": "# nothing\n---\n  \n...\n", "bad indentation": "apiVersion: mesh/v1\n kind: Service\n",
                "a laugh": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "json cut short": '{"apiVersion": "mesh/v1", "kind": "Service", "name": "a"'}
        for row, text in rows.items():
            with self.subTest(row):
                done = self.mesh.ctl("apply", "-f", "-", stdin=text, check=False)
                self.assertIn(done.returncode, (CONFIGURATION, USAGE), done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertLess(len(done.stderr), 4000)
                self.assertRegex(done.stderr, r"stdin:(\d+:\d+:)? ")
        self.assertEqual(self.mesh.ctl_json("get", "services"), [])

    def test_flags_of_meshd(self):
        rows = [(["--listen", "x"], '--listen "x"', "ip:port"), (["--listen", "127.0.0.1:99999"], "65535"), (["--listen"], "--listen needs a value"), (["--admin", "0.0.0.0:0"], '"0.0.0.0:0"', "loopback"),
                (["--trust-domain", "Mesh.Local"], '"Mesh.Local"', "lower-case"), (["--leaf-ttl", "1s"], '"1s"', "between 10s and"), (["--leaf-ttl", "x"], '"x"'), (["--log-level", "x"], "debug, info"),
                (["--liste", "x"], "did you mean --listen?"), (["extra"], '"extra"')]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH") or k.startswith("MESH_SAN")}
        data = os.path.join(self.mesh.dir, "new")
        for args, *said in rows:
            with self.subTest(args):
                done = subprocess.run([support.program("meshd"), "--data", data, *args], capture_output=True, text=True, timeout=30 * support.SLOW, env=clean, check=False)
                self.assertEqual((done.returncode, done.stdout, len(done.stderr.splitlines())), (USAGE, "", 1), done.stderr)
                for text in said:
                    self.assertIn(text, done.stderr)
                self.assertFalse(os.path.exists(data), "nothing half-done")
        for env, said in (({"MESHD_LISTEN": "x"}, "MESHD_LISTEN"), ({"MESHD_LEAF_TTL": "1"}, "MESHD_LEAF_TTL")):
            with self.subTest(env):
                done = subprocess.run([support.program("meshd"), "--data", data], capture_output=True, text=True, timeout=30 * support.SLOW, env={**clean, **env}, check=False)
                self.assertEqual(done.returncode, USAGE)
                self.assertIn(said, done.stderr)
                self.assertFalse(os.path.exists(data))

    def test_a_data_directory_that_cannot_be_used(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH") or k.startswith("MESH_SAN")}
        a_file = os.path.join(self.mesh.dir, "a-file")
        with open(a_file, "w") as f:
            f.write("precious")
        rows = [(a_file, "a-file"), (os.path.join(a_file, "below"), "a-file"), (self.mesh.data, self.mesh.data)]
        for data, said in rows:
            with self.subTest(data):
                done = subprocess.run([support.program("meshd"), "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], capture_output=True, text=True, timeout=30 * support.SLOW, env=clean, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stderr)
        with open(a_file) as f:
            self.assertEqual(f.read(), "precious")
        self.assertEqual(self.mesh.ctl("status").returncode, 0, "the meshd that runs there is unharmed")

    def test_a_port_in_use_is_named(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH") or k.startswith("MESH_SAN")}
        taken = self.mesh.info["control"].removeprefix("https://")
        done = subprocess.run([support.program("meshd"), "--data", os.path.join(self.mesh.dir, "second"), "--listen", taken, "--admin", "127.0.0.1:0"], capture_output=True, text=True,
                              timeout=30 * support.SLOW, env=clean, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(taken, done.stderr)
        self.assertRegex(done.stderr, re.compile("in use", re.I))
        self.assertFalse(os.path.exists(os.path.join(self.mesh.dir, "second", "meshd.json")))
        self.refused(["serve", "--service", "payments", "--echo", "--listen", taken], 1, taken, "in use")


class NoMeshd(unittest.TestCase):
    def test_meshctl_says_how_to_find_meshd(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH") or k.startswith("MESH_SAN")}
        for args, said in ((["services"], "MESH_ADMIN"), (["services", "--data", "/nonexistent"], "/nonexistent"), (["call", "payments", "/"], "MESH_")):
            with self.subTest(args):
                done = subprocess.run([support.program("meshctl"), *args], capture_output=True, text=True, timeout=30 * support.SLOW, env=clean, check=False)
                self.assertIn(done.returncode, (USAGE, UNREACHABLE), done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
