"""docs/CHANGING.md: its commands print what it says, one after the other in one shell, beside one meshd."""

import os
import re
import signal
import subprocess
import unittest

from support import BUILD, SRC, MeshTest

MARK = "--- the command has ended ---"


def variable(text):
    """Times and durations are as they are, and columns as wide as what else stands in them."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    return re.sub(r" +", " ", re.sub(r"\b[\d.]+ ms", "N ms", text))


class Changing(MeshTest):
    def setUp(self):
        super().setUp()
        with open(os.path.join(SRC, "docs", "CHANGING.md")) as f:
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

    def test_each_command_prints_what_the_page_says(self):
        self.assertGreater(len(self.steps), 20)
        for command, contents in self.steps:
            if command.startswith("cat "):
                with open(os.path.join(self.mesh.dir, command.split()[-1]), "w") as f:
                    f.write(contents)
        for command, expected in self.steps:
            self.assertEqual(variable(self.run_step(command)), variable(expected), command)


if __name__ == "__main__":
    unittest.main()
