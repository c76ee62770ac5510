"""make install, and a program built against what it installed, by pkg-config alone: shared and static."""
# tests/run: not under sanitizers: a sanitized library is not installed

import os
import shutil
import subprocess
import tempfile
import unittest

from support import BUILD, SRC

PROGRAM = """
#include <meshlib/mesh.h>
#include <stdio.h>
int main(void)
{
	mesh_error *error = NULL;
	mesh *m = NULL;
	printf("%s %d\\n", mesh_version(), (int)mesh_open(NULL, &m, &error));
	puts(mesh_error_message(error));
	mesh_error_free(error);
	return 0;
}
"""


class Install(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="mesh-install-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.make("install")

    def make(self, target):
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(["make", "-C", SRC, target, f"BUILD={BUILD}", f"DESTDIR={self.root}", "PREFIX=/usr"], capture_output=True, text=True, env=env)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def files(self):
        return sorted(os.path.relpath(os.path.join(d, f), self.root) for d, _, names in os.walk(self.root) for f in names)

    def pkg_config(self, *what):
        # The installed tree stands somewhere else for now: --define-prefix finds it.
        env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(self.root, "usr/lib/pkgconfig")}
        return subprocess.run(["pkg-config", "--define-prefix", *what, "meshlib"], env=env, check=True, capture_output=True, text=True).stdout.split()

    def build_and_run(self, *flags):
        source, binary = os.path.join(self.root, "t.c"), os.path.join(self.root, "t")
        with open(source, "w") as f:
            f.write(PROGRAM)
        done = subprocess.run(["gcc", source, "-o", binary, *flags], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        env = {k: v for k, v in os.environ.items() if not k.startswith("MESH_")}
        env["LD_LIBRARY_PATH"] = os.path.join(self.root, "usr/lib")
        return subprocess.run([binary], env=env, check=True, capture_output=True, text=True).stdout

    def test_a_program_links_the_shared_library(self):
        said = self.build_and_run(*self.pkg_config("--cflags", "--libs"))
        self.assertRegex(said, r"^\d+\.\d+\.\d+ 1\n.*MESH_CONTROL")

    def test_a_program_links_the_static_library(self):
        libs = [os.path.join(self.root, "usr/lib/libmeshlib.a") if flag == "-lmeshlib" else flag for flag in self.pkg_config("--static", "--cflags", "--libs")]
        self.assertRegex(self.build_and_run(*libs), r"^\d+\.\d+\.\d+ 1\n.*MESH_CONTROL")

    def test_uninstall_leaves_no_file(self):
        self.assertIn("usr/include/meshlib/mesh.h", self.files())
        self.make("uninstall")
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main()
