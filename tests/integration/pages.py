"""Pages of docs/ whose commands a test runs: one after the other in one shell, beside one meshd, and each prints what the page says."""

import os
import re
import signal
import subprocess

from support import BUILD, SRC, MeshTest

MARK = "--- the command has ended ---"


def variable(text):
    """Times, durations and ports are as they are, and columns as wide as what else stands in them."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"\b127\.0\.0\.1:\d+", "ADDRESS", text)
    return re.sub(r" +", " ", re.sub(r"\b[\d.]+ ms", "N ms", text))


class Page(MeshTest):
    """A page with ```console``` blocks: lines that begin with "$ ", each with what it prints. `cat FILE` shows a file that is there by then."""

    def open_page(self, name):
        with open(os.path.join(SRC, "docs", name)) as f:
            self.page = f.read()
        self.steps = [step for block in re.findall(r"^```console\n(.*?)^```$", self.page, re.M | re.S) for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MESH_", "MESHD_")) or k.startswith("MESH_SAN")}
        env = {**clean, "PATH": os.path.join(BUILD, "bin") + os.pathsep + os.environ["PATH"], "MESH_DATA": self.mesh.data}
        self.shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.mesh.dir, env=env, start_new_session=True)
        self.addCleanup(self.end)

    def end(self):
        """What the page leaves running ends with its shell: all of them have let go of the output then."""
        os.killpg(self.shell.pid, signal.SIGTERM)
        self.shell.stdin.close()
        self.shell.stdout.read()
        self.shell.stdout.close()
        self.shell.wait()

    def run_step(self, command):
        self.shell.stdin.write(f"{command}\necho '{MARK}'\n")
        self.shell.stdin.flush()
        said = ""
        for line in self.shell.stdout:
            if line.strip() == MARK:
                return said
            said += line
        raise AssertionError(f"{command}: the shell has ended; it said {said}")

    def write_shown(self):
        for command, text in self.steps:
            if command.startswith("cat "):
                with open(os.path.join(self.mesh.dir, command.split()[-1]), "w") as f:
                    f.write(text)

    def run_page(self, name):
        self.open_page(name)
        self.write_shown()
        for command, expected in self.steps:
            self.assertEqual(variable(self.run_step(command)), variable(expected), command)
