"""docs/: what a machine can check. The documents validate, the examples compile, the lists are those of the code."""
# tests/run: not under sanitizers: pages and sources are read here, and no program runs but meshctl to validate

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("MESH_BUILD", os.path.join(SRC, "build")))
MESHCTL = os.path.join(BUILD, "bin", "meshctl")
DEADLINE_S = 120


def read(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as f:
        return f.read()


def pages():
    for name in sorted(os.listdir(os.path.join(SRC, "docs"))):
        if name.endswith(".md"):
            yield name


def blocks(text, info):
    return re.findall(r"^```%s\n(.*?)^```$" % re.escape(info), text, re.M | re.S)


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="docs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
            f.write(text)
        return name

    def run_here(self, *argv):
        return subprocess.run(argv, cwd=self.dir, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


class Configuration(Case):
    @classmethod
    def setUpClass(cls):
        cls.page = read("docs", "CONFIGURATION.md")

    def test_every_document_is_valid(self):
        found = blocks(self.page, "yaml")
        self.assertGreaterEqual(len(found), 4)
        for text in found:
            done = self.run_here(MESHCTL, "validate", "-f", self.write("document.yaml", text))
            self.assertEqual(done.returncode, 0, text + done.stderr)
            self.assertIn("is valid", done.stdout)

    def test_every_invalid_document_is_refused_in_the_words_of_the_page(self):
        found = re.findall(r"^```yaml invalid\n(.*?)^```\n\n((?:    [^\n]+\n)+)", self.page, re.M | re.S)
        self.assertEqual(len(found), len(blocks(self.page, "yaml invalid")))
        self.assertGreaterEqual(len(found), 3)
        for text, told in found:
            expected = [line.strip() for line in told.strip().split("\n")]
            done = self.run_here(MESHCTL, "validate", "-f", self.write(expected[0].split(":")[0], text))
            self.assertEqual(done.returncode, 5, text)
            self.assertEqual(done.stderr.strip().split("\n"), expected)

    def test_it_names_every_field(self):
        names = re.findall(r'\.name = "(\w+)"', read("lib", "policy", "fields.c"))
        self.assertGreaterEqual(len(names), 15)
        for name in names:
            self.assertTrue(re.search(r"\b%s\b" % name, self.page), "%s is not in CONFIGURATION.md" % name)


class Api(Case):
    @classmethod
    def setUpClass(cls):
        cls.page = read("docs", "API.md")
    header = read("include", "meshlib", "mesh.h")

    def test_every_example_compiles(self):
        found = blocks(self.page, "c")
        self.assertGreaterEqual(len(found), 3)
        for text in found:
            done = self.run_here(os.environ.get("CC", "gcc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c",
                                 "-I" + os.path.join(SRC, "include"), self.write("example.c", text), "-o", "example.o")
            self.assertEqual(done.returncode, 0, text + done.stderr)

    def test_page_and_man_page_name_every_function(self):
        man = re.sub(r"\\(.)", r"\1", read("docs", "man", "mesh.3"))
        prototypes = [squeezed(m) for m in re.findall(r"^MESH_API\s+([^;{]*?\);)", self.header, re.M)]
        self.assertGreater(len(prototypes), 50)
        for prototype in prototypes:
            name = re.search(r"\b(mesh_[a-z_]+)\(", prototype).group(1)
            self.assertTrue(re.search(r"\b%s\(" % name, self.page), "%s is not in API.md" % name)
            self.assertTrue('.B "%s"' % prototype in man, "%s is not in mesh.3" % prototype)

    def test_the_error_codes_are_those_of_the_header(self):
        codes = re.findall(r"^\t(MESH_E_\w+) = (\d+)", self.header, re.M)
        self.assertEqual(re.findall(r"^\| `(MESH_E_\w+)` \| (\d+) \|", self.page, re.M), codes)

    def test_the_options_are_those_of_the_code(self):
        table = re.findall(r'\bX\(\w+, "(\w+)", "(\w+)", (?:NULL|"([^"]*)")\)', read("lib", "api", "settings.h"))
        self.assertGreater(len(table), 15)
        man = read("docs", "man", "mesh.3")
        for key, variable, preset in table:
            row = re.search(r"^\|[^|]*`%s`[^|]*\|[^|]*`%s`[^|]*\|([^|]*)\|" % (key, variable), self.page, re.M)
            self.assertTrue(row, key)
            self.assertTrue(key in man and variable in man, "%s is not in mesh.3" % key)
            if preset:
                self.assertIn("`%s`" % preset, row.group(1))


class Operations(Case):
    @classmethod
    def setUpClass(cls):
        cls.page = read("docs", "OPERATIONS.md")

    def test_every_metric_is_listed(self):
        for folder in ("lib", os.path.join("ctrl", "meshd")):
            for top, _, names in os.walk(os.path.join(SRC, folder)):
                for name in names:
                    if name.endswith(".c"):
                        for metric in re.findall(r'"(mesh(?:d)?_[a-z_]+)"', read(os.path.relpath(top, SRC), name)):
                            self.assertTrue("`%s`" % metric in self.page, "%s of %s is not in OPERATIONS.md" % (metric, name))

    def test_every_reason_of_a_refusal_is_listed(self):
        words = re.findall(r'^\tX\([A-Z_]+, \d+, "([a-z-]+)"', read("lib", "http", "refusal.h"), re.M)
        self.assertGreater(len(words), 10)
        row = re.search(r"^\| `mesh_requests_refused_total` .*$", self.page, re.M).group(0)
        for word in words:
            self.assertIn("`%s`" % word, row)

    def test_it_names_every_setting_of_meshd(self):
        help_text = re.search(r'meshd_options_help\[\] =\n(.*?);\n', read("ctrl", "meshd", "options.c"), re.S).group(1)
        flags = re.findall(r"--([a-z-]+) [A-Z]", help_text)
        self.assertGreater(len(flags), 5)
        for flag in flags:
            self.assertTrue("`--%s " % flag in self.page, "--%s is not in OPERATIONS.md" % flag)


class Protocol(Case):
    @classmethod
    def setUpClass(cls):
        cls.page = read("docs", "PROTOCOL.md")
    header = read("lib", "wire", "message.h")

    def test_it_names_every_call_and_record(self):
        for verb, path in re.findall(r"^ \*   (GET|POST) +(/v1/\S+)", self.header, re.M):
            call = "`%s %s`" % (verb, path.replace("{id}", "ID"))
            self.assertTrue(call in self.page, "%s is not in PROTOCOL.md" % call)
        for record in re.findall(r'^\tX\([A-Z]+, "([a-z]+)"\)', self.header, re.M):
            self.assertTrue("`%s`" % record in self.page, "record %s is not in PROTOCOL.md" % record)


class Links(Case):
    def test_every_link_between_pages_leads_somewhere(self):
        for name in pages():
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", re.sub(r"`[^`\n]*`", "", read("docs", name))):
                self.assertTrue(os.path.exists(os.path.join(SRC, "docs", target)), "%s: %s" % (name, target))

    def test_the_readme_leads_to_every_page(self):
        missing = [name for name in pages() if f"(docs/{name})" not in read("README.md")]
        self.assertEqual(missing, [])

    def test_every_file_that_a_page_names_is_there(self):
        for name in pages():
            for path in re.findall(r"`((?:lib|ctrl|tests|examples|include)/[\w./*]+)`", read("docs", name)):
                if "h2*" not in path:  # its place, as the page says
                    self.assertTrue(glob.glob(os.path.join(SRC, path)), "%s: %s" % (name, path))

    def test_every_command_that_a_page_names_exists(self):
        commands = set()
        for path in glob.glob(os.path.join(SRC, "ctrl", "meshctl", "cmd_*.c")):
            commands.update(re.findall(r'const struct ctl_command ctl_\w+ = \{\s*"([a-z -]+)"', read(os.path.relpath(path, SRC))))
        self.assertGreater(len(commands), 15)
        groups = {c.split(" ")[0] for c in commands if " " in c}
        texts = [("README.md", read("README.md"))] + [(name, read("docs", name)) for name in pages()]
        for name, text in texts:
            text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)  # those are run
            shown = "\n".join(re.findall(r"`[^`]+`|^    .*$", text, re.M))
            for first, second in re.findall(r"\bmeshctl (?:--data \S+ )?([a-z][a-z-]*)(?: ([a-z-]+))?", shown):
                said = "%s %s" % (first, second) if first in groups and second else first
                if first != "help":
                    self.assertTrue(said in commands or said in groups, "%s: meshctl %s" % (name, said))


class Architecture(Case):
    def test_the_picture_has_every_folder(self):
        page = read("docs", "ARCHITECTURE.md")
        for top in ("lib", "ctrl"):
            for name in os.listdir(os.path.join(SRC, top)):
                if os.path.isdir(os.path.join(SRC, top, name)):
                    found = re.search(r"(?m)^    .*\b%s/%s\b" % (top, name), page)
                    self.assertTrue(found, "%s/%s is not in the picture" % (top, name))


if __name__ == "__main__":
    unittest.main()
