"""README.md: its quickstart runs as it stands there, and its program compiles, links and calls."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("MESH_BUILD", os.path.join(SRC, "build")))
BIN = os.path.join(BUILD, "bin")
DEADLINE_S = 120

with open(os.path.join(SRC, "README.md"), encoding="utf-8") as f:
    README = f.read()


def block(info):
    """The one fenced block with this info string."""
    found = re.findall(r"^```%s\n(.*?)^```$" % re.escape(info), README, re.M | re.S)
    if len(found) != 1:
        raise AssertionError("README.md has %d blocks ```%s, not one" % (len(found), info))
    return found[0]


def clean_environment():
    """Ports of the system's choice, and nothing of the caller's own mesh."""
    env = {k: v for k, v in os.environ.items() if k == "MESH_SAN" or not k.startswith(("MESH_", "MESHD_"))}
    return dict(env, PATH=BIN + os.pathsep + env.get("PATH", ""),
                MESHD_LISTEN="127.0.0.1:0", MESHD_ADMIN="127.0.0.1:0", MESHD_LOG_LEVEL="warn")


class Readme(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="readme-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = clean_environment()

    def run_script(self, script, env=None):
        """Runs a script in the scratch directory; what it leaves behind is ended with its process group."""
        with open(os.path.join(self.dir, "output"), "w+b") as out:
            proc = subprocess.Popen(["sh", "-euc", script], cwd=self.dir, env=env or self.env, stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=out, start_new_session=True)
            try:
                code = proc.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                code = "none: stopped after %d s" % DEADLINE_S
            finally:
                try:
                    os.killpg(proc.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                proc.wait()
            out.seek(0)
            text = out.read().decode(errors="replace")
        self.assertEqual(code, 0, text)
        return text

    def compile(self):
        source, program = os.path.join(self.dir, "cart.c"), os.path.join(self.dir, "cart")
        with open(source, "w", encoding="utf-8") as out:
            out.write(block("c"))
        san = os.environ.get("MESH_SAN", "")
        flags = ["-fsanitize=" + san] if san else []
        include, lib = os.path.join(SRC, "include"), os.path.join(BUILD, "lib")
        argv = [os.environ.get("CC", "gcc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags, "-I" + include,
                source, "-L" + lib, "-lmeshlib", "-Wl,-rpath," + lib, "-o", program]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return program

    def test_the_quickstart_runs_as_it_stands(self):
        # What it started must be gone before the script counts as done.
        text = self.run_script(block("sh quickstart") + "wait\n")
        self.assertRegex(text, r'"peer":"spiffe://mesh\.local/ns/default/svc/cart"')
        self.assertEqual(len(re.findall(r"^1000 calls in .*: 1000 ok, 0 failed", text, re.M)), 2, text)
        self.assertIn("serving payments as", text)
        self.assertRegex(text, r"(?m)^service payments created$|^Service payments created$")
        self.assertNotRegex(text, r"(?m)^fail ")

    def test_the_program_takes_a_payment(self):
        program = self.compile()
        text = self.run_script(
            "meshd --data mesh & pids=$!\n"
            "until [ -e mesh/meshd.json ]; do sleep 0.1; done\n"
            "export MESH_DATA=$PWD/mesh\n"
            "meshctl serve --service payments --echo & pids=\"$pids $!\"\n"
            "until meshctl endpoints payments >/dev/null 2>&1; do sleep 0.1; done\n"
            "MESH_CONTROL=$(%s -c 'import json; print(json.load(open(\"mesh/meshd.json\"))[\"control\"])')\n"
            "MESH_TOKEN=$(meshctl token create --service cart)\n"
            "export MESH_CONTROL MESH_TOKEN\n"
            "./%s > answer\n"
            "kill $pids\n"
            "wait\n" % (sys.executable, os.path.basename(program)))
        with open(os.path.join(self.dir, "answer"), encoding="utf-8") as answer:
            status, _, body = answer.read().partition(" ")
        self.assertEqual(status, "200", text)
        seen = json.loads(body)
        self.assertEqual((seen["method"], seen["path"], seen["peer"]),
                         ("POST", "/make-payment", "spiffe://mesh.local/ns/default/svc/cart"))

    def test_the_program_tells_why_it_fails(self):
        program = self.compile()
        done = subprocess.run([program], env=self.env, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_the_program_is_about_fifteen_lines(self):
        body = block("c").split("{\n", 1)[1]
        self.assertLessEqual(len([line for line in body.split("\n") if line.strip()]), 15)

    def test_every_link_leads_somewhere(self):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
            self.assertTrue(os.path.exists(os.path.join(SRC, target)), target)


if __name__ == "__main__":
    unittest.main()
