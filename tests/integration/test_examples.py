"""The examples: short, and they do what they say."""

import os
import re
import subprocess
import sys
import unittest

import support
import test_proxy_streams as streams

EXAMPLES = os.path.join(support.SRC, "examples")


class Store(streams.Handler):
    def do_PUT(self):
        self.post_digest()


class Examples(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.payments = self.mesh.spawn([support.program("example-payments")], "payments", env=self.env("payments"))
        self.mesh.wait_endpoints("payments", 1, 30)

    def env(self, service):
        return {"MESH_CONTROL": self.mesh.info["control"], "MESH_TOKEN": self.mesh.token(service), "MESH_LISTEN": "127.0.0.1:0"}

    def run_cart(self, *argv, env=None, input=""):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        return subprocess.run(argv, env={**clean, **self.env("cart"), **(env or {})}, capture_output=True, text=True, input=input, timeout=60 * support.SLOW, check=False)

    def test_cart_takes_a_payment(self):
        done = self.run_cart(support.program("example-cart"), "99 EUR")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "200 paid 99 EUR for cart\n", "payments knows who paid")

    def test_till_takes_many_payments_at_once(self):
        amounts = ["%d EUR" % n for n in range(1, 40)]
        done = self.run_cart(support.program("example-till"), input="\n".join(amounts) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(done.stdout.splitlines()), sorted("200 paid %s for cart" % amount for amount in amounts))

    def test_cart_in_python_does_the_same_by_ctypes_alone(self):
        env = {"MESHLIB": os.path.join(support.BUILD, "lib", "libmeshlib.so.0")}
        if support.SANITIZED:
            # Python itself was built without the sanitizer and leaks of its own are no concern here.
            env.update(LD_PRELOAD=":".join(filter(None, [os.environ.get("LD_PRELOAD"), os.environ["MESH_SAN_PRELOAD"]])), ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        done = self.run_cart(sys.executable, os.path.join(EXAMPLES, "cart.py"), "99 EUR", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "200 paid 99 EUR for cart\n")

    def test_payments_ends_in_order(self):
        self.assertEqual(self.payments.stop(), 0, self.payments.err())
        self.mesh.wait_endpoints("payments", 0)

    def test_pull_answers_from_its_own_loop(self):
        pull = self.mesh.spawn([support.program("example-pull")], "pull", env=self.env("pull"))
        self.mesh.wait_endpoints("pull", 1, 30)
        for n in (1, 2):
            self.assertEqual(self.mesh.ctl("call", "--as", "cart", "pull", "/").stdout, "request %d, from cart\n" % n)
        self.assertEqual(pull.stop(), 0, pull.err())

    def upload(self, size, by_pipe):
        """The exit code, what was printed, and how large the program has been in KiB."""
        path = os.path.join(self.mesh.dir, "file")
        with open(path, "wb") as f:
            f.writelines(streams.blocks(size))
        env = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        argv = [support.program("example-upload")] + ([] if by_pipe else [path])
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat, \
                subprocess.Popen(argv, env={**env, **self.env("cart")}, stdin=cat.stdout, stdout=subprocess.PIPE) as program:
            cat.stdout.close()
            out = program.stdout.read().decode()
            _, status, used = os.wait4(program.pid, 0)
            program.returncode = os.waitstatus_to_exitcode(status)
        return program.returncode, out, used.ru_maxrss

    def test_upload_sends_a_file_of_any_size_and_holds_no_more_than_a_piece(self):
        store = streams.Upstream(Store)
        self.addCleanup(store.server_close)
        self.addCleanup(store.shutdown)
        self.mesh.be_patient("store", timeout=f"{streams.BODY_S}s")
        self.mesh.serve("store", "--upstream", f"http://127.0.0.1:{store.server_address[1]}")
        small = streams.MIB
        code, out, small_kib = self.upload(small, by_pipe=True)
        self.assertEqual((code, out), (0, f'200 [{small}, "{streams.digest_of(small)}", null]\n'), "its end tells its length")
        code, out, big_kib = self.upload(streams.BIG, by_pipe=False)
        self.assertEqual((code, out), (0, f'200 [{streams.BIG}, "{streams.digest_of(streams.BIG)}", "{streams.BIG}"]\n'))
        if not support.SANITIZED:
            self.assertLess((big_kib - small_kib) * 1024, streams.GROWTH)

    def test_cart_says_what_is_wrong(self):
        self.payments.stop()
        self.mesh.wait_endpoints("payments", 0)
        done = self.run_cart(support.program("example-cart"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"^cart: MESH_E_NO_ENDPOINT: .*payments")
        done = self.run_cart(support.program("example-cart"), env={"MESH_TOKEN": "not a token"})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("token", done.stderr)


class Grpc(unittest.TestCase):
    def test_grpc_programs_that_know_of_no_mesh_meet_in_one(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        done = subprocess.run([os.path.join(EXAMPLES, "grpc.sh"), "ann", "ben"], env={**clean, "MESH_BUILD": support.BUILD}, capture_output=True, text=True, timeout=120 * support.SLOW, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "".join(f"hello {name} from a server that knows: you are spiffe://mesh.local/ns/default/svc/web\n" for name in ("ann", "ben")))


class Short(unittest.TestCase):
    def test_each_is_under_sixty_lines_and_uses_the_public_header_alone(self):
        for name in ("cart.c", "payments.c", "pull.c", "till.c", "upload.c", "cart.py"):
            with self.subTest(name), open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
                text = f.read()
                self.assertLess(len(text.splitlines()), 60)
                self.assertLess(max(map(len, text.splitlines())), 160)
                includes = re.findall(r'#include\s+[<"]([^>"]+)', text)
                self.assertEqual([i for i in includes if "/" in i and i != "meshlib/mesh.h" and not i.startswith("sys/")], [])
                self.assertEqual(set(re.findall(r"^(?:import|from) (\w+)", text, re.M)) - {"ctypes", "os", "sys"}, set())


if __name__ == "__main__":
    unittest.main()
