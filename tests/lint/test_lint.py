"""Each house rule, shown to fire on a bad snippet and to spare a good one."""
import os
import shutil
import subprocess
import tempfile
import unittest

import lint

GOOD_HEADER = """#ifndef MESHLIB_MESH_H
#define MESHLIB_MESH_H
#ifdef __cplusplus
extern "C" {
#endif
#define MESH_API
/* The version. */
MESH_API const char *mesh_version(void);
#ifdef __cplusplus
}
#endif
#endif
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="mesh-lint-")
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)

    def found(self):
        return ["%s:%d: %s; %s" % f for f in lint.findings(self.root, os.path.join(self.root, "build"))]

    def expect(self, path, text, *parts):
        """The snippet alone gives one finding, and it says this."""
        self.write(path, text)
        found = self.found()
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def expect_clean(self, path, text):
        self.write(path, text)
        self.assertEqual(self.found(), [])


class Includes(Tree):
    def test_a_room_may_not_include_upwards(self):
        self.expect("lib/wire/url.c", '#include "base/str.h"\n#include "io/loop.h"\n',
                    "lib/wire/url.c:2:", "wire/ may not include io/")

    def test_inbound_and_outbound_do_not_know_each_other(self):
        self.expect("lib/inbound/x.c", '#include "outbound/call.h"\n', "inbound/ may not include outbound/")

    def test_ctrl_never_uses_identity(self):
        self.expect("ctrl/meshd/issue.c", '#include "identity/svid.h"\n', "meshd/ may not include identity/")

    def test_meshca_uses_base_wire_io_alone(self):
        self.expect("ctrl/meshca/sign.c", '#include "io/pki.h"\n#include "http/server.h"\n', "sign.c:2:")

    def test_one_program_does_not_use_anothers_files(self):
        self.expect("ctrl/meshctl/x.c", '#include "meshd/store.h"\n', "meshctl/ may not include meshd/")

    def test_meshd_does_not_use_the_public_header(self):
        self.expect("ctrl/meshd/x.c", "#include <meshlib/mesh.h>\n", "only ctrl/meshctl")

    def test_meshctl_uses_the_public_header(self):
        self.expect_clean("ctrl/meshctl/x.c", '#include <meshlib/mesh.h>\n#include "meshctl/y.h"\n#include "policy/document.h"\n')

    def test_an_include_names_its_room(self):
        self.expect("lib/base/mem.c", '#include "mem.h"\n', 'write "base/mem.h"')

    def test_an_unknown_room(self):
        self.expect("lib/misc/x.c", "\n", "not in the design's table")

    def test_an_include_in_a_comment_is_none(self):
        self.expect_clean("lib/wire/url.c", '/*\n#include "io/loop.h"\n*/\n')

    def test_each_dependency_has_one_adapter(self):
        for header, good in (("curl/curl.h", "lib/http/curl_pool.c"), ("mbedtls/ssl.h", "lib/io/mbed_tls.c"),
                             ("psa/crypto.h", "lib/io/mbed_pki.h"), ("uv.h", "lib/io/uv_loop.c"),
                             ("llhttp.h", "lib/http/h1.c"), ("nghttp2/nghttp2.h", "lib/http/h2_session.c"),
                             ("cjson/cJSON.h", "lib/wire/json.c"), ("yaml.h", "lib/wire/yaml.c"), ("pcre2.h", "lib/policy/regex.c"), ("xxhash.h", "lib/policy/hash.c"),
                             ("sqlite3.h", "ctrl/meshd/store_sqlite.c"), ("sqlite3.h", "ctrl/meshd/store_sqlite_config.c")):
            with self.subTest(header):
                self.expect_clean(good, "#include <%s>\n" % header)
                self.expect("lib/api/bad.c", "#include <%s>\n" % header, "go through its adapter")
                os.remove(os.path.join(self.root, "lib/api/bad.c"))


class Size(Tree):
    def body(self, n):
        return "int f(void)\n{\n" + "    g();\n" * n + "}\n"

    def test_a_function_of_eighty_lines_is_the_longest(self):
        self.expect_clean("lib/base/a.c", self.body(77))
        self.expect("lib/base/a.c", self.body(78), "f() has 81 lines")

    def test_each_function_is_measured_for_itself(self):
        self.expect("tests/unit/base/a.c", self.body(50) + "static int t[] = {\n" + "1,\n" * 90 + "};\n" +
                    "struct s {\n" + "int a;\n" * 90 + "};\n" + self.body(100).replace("f(", "long_one("),
                    "long_one() has 103 lines")

    def test_extern_c_is_no_function(self):
        self.expect_clean("lib/base/a.h", 'extern "C" {\n' + "int f(void);\n" * 100 + "}\n")

    def test_a_file_of_eight_hundred_lines_is_the_longest(self):
        self.expect_clean("lib/base/a.c", "int x;\n" * 800)
        self.expect("lib/base/a.c", "int x;\n" * 801, "801 lines")


class Calls(Tree):
    def test_banned_calls(self):
        for name in lint.BANNED:
            with self.subTest(name):
                self.expect("lib/base/a.c", "void f(void) {\n    %s(x);\n}\n" % name, "a.c:2: calls %s()" % name)

    def test_comments_strings_and_longer_names_are_no_calls(self):
        self.expect_clean("lib/base/a.c", '/* strcpy(a) */ void f(void) { g("atoi(x)"); my_rand(1); o->free(p); vsnprintf(b); }\n')

    def test_memory_comes_from_base_mem(self):
        for name in lint.RAW_MEMORY:
            with self.subTest(name):
                self.expect_clean("lib/base/mem.c", "void *f(void) { return %s(x); }\n" % name)
                self.expect("ctrl/meshd/a.c", "void *f(void) { return %s(x); }\n" % name, "use base/mem.h")
                os.remove(os.path.join(self.root, "ctrl/meshd/a.c"))

    def test_tests_do_not_sleep(self):
        for name in lint.SLEEPS:
            with self.subTest(name):
                self.expect("tests/unit/base/test_a.c", "void f(void) { %s(1); }\n" % name, "wait for the event")

    def test_python_tests_do_not_sleep(self):
        self.expect("tests/integration/test_a.py", "import time\ntime.sleep(1)\n", "test_a.py:2:")
        self.expect("tests/integration/test_a.py", "from time import monotonic, sleep\n", "test_a.py:1:")

    def test_a_marked_wait_is_allowed(self):
        self.expect_clean("tests/integration/support.py", "time.sleep(0.01)  # lint: waits for an event\n")
        self.expect_clean("tests/support/a.c", "void f(void) { usleep(1); } /* lint: waits for an event */\n")


class Preprocessor(Tree):
    def test_ifdef_outside_an_adapter(self):
        self.expect("lib/base/a.c", "#ifdef DEBUG\n#endif\n", "a.c:1: #ifdef DEBUG outside an adapter")
        self.expect("lib/base/a.c", "#if defined(__linux__)\n#endif\n", "outside an adapter")

    def test_guards_and_adapters_are_spared(self):
        self.expect_clean("lib/base/a.h", "#ifndef BASE_A_H\n#define BASE_A_H\n#ifdef __cplusplus\n#endif\n#endif\n")
        self.expect_clean("lib/io/mbed_tls.c", "#if MBEDTLS_VERSION_MAJOR >= 3\n#endif\n")


class PublicFace(Tree):
    def setUp(self):
        super().setUp()
        self.write("include/meshlib/mesh.h", GOOD_HEADER)
        self.write("docs/api.md", "`mesh_version`\n")
        self.write("tests/unit/api/test_a.c", "int f(void) { return mesh_version() != 0; }\n")

    def test_a_good_header_is_clean(self):
        self.assertEqual(self.found(), [])

    def test_an_undocumented_function(self):
        self.expect("docs/api.md", "mesh_versions\n", "mesh_version() is not in docs/")

    def test_an_untested_function(self):
        self.expect("tests/unit/api/test_a.c", "\n", "mesh_version() is used by no test")

    def test_a_header_that_is_not_c99(self):
        self.write("include/meshlib/mesh.h", GOOD_HEADER.replace("/* The", "static_assert(1); /* The"))
        self.assertIn("does not compile as c99", "\n".join(self.found()))

    @unittest.skipUnless(shutil.which("g++"), "there is no g++")
    def test_a_header_that_is_not_cpp(self):
        self.write("include/meshlib/mesh.h", GOOD_HEADER.replace("/* The", "struct s { int class; }; /* The"))
        found = "\n".join(self.found())
        self.assertIn("does not compile as c++11", found)
        self.assertNotIn("does not compile as c99", found)

    def test_a_private_name_that_leaves_the_library(self):
        self.write("a.c", "int mesh_ok(void) { return 0; } int mesh__private(void) { return 0; }\n")
        lib = os.path.join(self.root, "build/lib")
        os.makedirs(lib)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", lib + "/libmeshlib.so", self.root + "/a.c"], check=True)
        self.assertEqual(["exports mesh__private"], [f.split(": ")[1].split(";")[0] for f in self.found()])
        os.remove(lib + "/libmeshlib.so")
        subprocess.run(["gcc", "-c", "-o", lib + "/a.o", self.root + "/a.c"], check=True)
        subprocess.run(["ar", "rcs", lib + "/libmeshlib.a", lib + "/a.o"], check=True)
        self.assertEqual(["exports mesh__private"], [f.split(": ")[1].split(";")[0] for f in self.found()])


if __name__ == "__main__":
    unittest.main()
