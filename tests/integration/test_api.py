"""The public header: a tour of every function, held to what the header says of it."""

import os
import re
import shutil
import subprocess
import unittest

import support


class Tour(support.MeshTest):
    def test_every_function_keeps_what_the_header_promises(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        done = subprocess.run([support.helper("api_tour"), self.mesh.info["control"], self.mesh.token("payments"), self.mesh.token("cart")], env=clean, capture_output=True, text=True,
                              timeout=120 * support.SLOW, check=False)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.returncode, 0)


class Header(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(support.SRC, "include", "meshlib", "mesh.h"), encoding="utf-8") as f:
            self.text = f.read()
        self.functions = re.findall(r"^MESH_API [^;(]*?\b(mesh_\w+)\(", self.text, re.M)

    def test_the_tour_uses_every_function(self):
        with open(os.path.join(support.SRC, "tests", "integration", "api_tour.c"), encoding="utf-8") as f:
            tour = f.read()
        self.assertGreater(len(self.functions), 40)
        self.assertEqual([name for name in self.functions if not re.search(rf"\b{name}\b", tour)], [])

    def test_every_function_stands_below_a_comment(self):
        """One comment may tell of several functions in a row, but no function stands alone."""
        blocks = re.split(r"\n\s*\n", self.text)
        for block in blocks:
            for name in re.findall(r"^MESH_API [^;(]*?\b(mesh_\w+)\(", block, re.M):
                with self.subTest(name):
                    self.assertRegex(block, r"^\s*/\*|typedef")

    def test_it_compiles_alone_in_each_language(self):
        for compiler, standard in (("cc", "c99"), ("cc", "c11"), ("cc", "c17"), ("c++", "c++11"), ("c++", "c++20")):
            with self.subTest(standard):
                if shutil.which(compiler) is None:
                    self.skipTest(f"there is no {compiler} here")
                done = subprocess.run([compiler, "-x", "c" if compiler == "cc" else "c++", "-std=" + standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                                       "-I", os.path.join(support.SRC, "include"), "-"], input="#include <meshlib/mesh.h>\n", capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
