"""meshctl serve --upstream before an unchanged HTTP server, and meshctl connect for an unchanged client."""

import http.client
import http.server
import json
import os
import socket
import socketserver
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

import peers
import support

BOUND = 16 * 1024 * 1024  # MESH_MAX_BODY's default


def curl(*args):
    return subprocess.run(["curl", "-sS", "--noproxy", "*", *args], capture_output=True, text=True, timeout=60 * support.SLOW, check=True).stdout


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what it saw; some paths misbehave."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, self.headers.items(), body))
        if self.path.startswith("/slow"):
            self.server.release.wait(60 * support.SLOW)
        if self.path.startswith("/status/"):
            self.send_response(int(self.path.rsplit("/", 1)[1]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"a part")
            self.close_connection = True
            return
        text = body if self.path == "/echo" else json.dumps({"method": self.command, "path": self.path, "body": len(body)}).encode()
        if self.path.startswith("/big/"):
            text = b"x" * int(self.path.rsplit("/", 1)[1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-From", "upstream")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "keep-alive, X-Hop")
        self.send_header("Keep-Alive", "timeout=5")
        self.send_header("X-Hop", "for one connection")
        self.send_header("Mesh-Load", "forged")
        self.send_header("mesh-not-processed", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

    def log_message(self, *args):
        pass


class Upstream(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address=("127.0.0.1", 0)):
        super().__init__(address, Handler)
        self.seen = []
        self.release = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        """A proxy that hangs up is what some tests are about."""

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]

    def close(self):
        self.release.set()
        self.shutdown()
        self.server_close()


class ProxyTest(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.upstream = Upstream()
        self.addCleanup(self.upstream.close)

    def connect(self, service, *args):
        """An unchanged client's way to the service; its URL."""
        port = support.free_port()
        child = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", service, "--data", self.mesh.data, *args], "connect-" + service)
        child.wait_for_output("connected")
        return f"http://127.0.0.1:{port}"

    @staticmethod
    def fetch(url, method="GET", data=None, headers=None, timeout=30):
        """Status, header items, body, as urllib sees them."""
        request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout * support.SLOW) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read()


class UnchangedServer(ProxyTest):
    """Client program, connect, mutual TLS, serve --upstream, server program: neither program knows of a mesh."""

    def setUp(self):
        super().setUp()
        self.mesh.serve("files", "--upstream", self.upstream.url)
        self.url = self.connect("files")

    def test_methods_paths_queries_and_bodies_pass_unchanged(self):
        rows = [("GET", "/", None), ("GET", "/a/b?x=1&y=%20z", None), ("GET", "/p%C3%A4th/x;y=1?q=//%2f..%61", None), ("POST", "/form", b"a=1&b=2"), ("PUT", "/thing", b"\x00\xff" * 50), ("DELETE", "/thing", None),
                ("POST", "/empty", b""), ("OPTIONS", "/x", None), ("PATCH", "/x", b"p")]
        for method, path, body in rows:
            with self.subTest(method=method, path=path):
                status, _, text = self.fetch(self.url + path, method, body)
                self.assertEqual(status, 200)
                self.assertEqual(json.loads(text), {"method": method, "path": path, "body": len(body or b"")})
                self.assertEqual(self.upstream.seen[-1][3], body or b"")

    def test_a_path_comes_in_its_one_spelling(self):
        for path, arrives in (("/p%61th/%2e/x;y=1?q", "/path/x;y=1?q"), ("//a/../b//", "/b/"), ("/%c3%a4", "/%C3%A4")):
            with self.subTest(path=path):
                self.assertEqual(json.loads(self.fetch(self.url + path)[2])["path"], arrives)
        self.assertEqual(self.fetch(self.url + "/a%2fb")[0], 400)

    def test_head_has_the_length_and_no_body(self):
        status, headers, body = self.fetch(self.url + "/big/12345", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "12345", b""))
        self.assertEqual(self.fetch(self.url + "/after")[0], 200, "the connection is still in step")

    def test_statuses_pass(self):
        for status in (201, 204, 304, 400, 404, 409, 500, 503):
            with self.subTest(status):
                self.assertEqual(self.fetch(f"{self.url}/status/{status}")[0], status)

    def test_bytes_come_back_as_they_were_sent(self):
        body = os.urandom(3 * 1024 * 1024 + 7)
        status, _, text = self.fetch(self.url + "/echo", "POST", body)
        self.assertEqual((status, text == body), (200, True))

    def test_headers_of_one_connection_stay_there_and_the_mesh_s_own_are_not_forged(self):
        raw = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30 * support.SLOW)
        self.addCleanup(raw.close)
        raw.request("GET", "/", headers={"X-Mine": "1", "Connection": "X-Secret-Hop, close", "X-Secret-Hop": "1", "Keep-Alive": "300", "Proxy-Connection": "keep-alive", "TE": "trailers",
                                         "Mesh-Try": "9", "mesh-peer": "spiffe://forged", "Mesh-Anything": "1", "X-Forwarded-Client-Cert": "forged"})
        answer = raw.getresponse()
        headers = answer.headers
        self.assertEqual(answer.status, 200)
        seen = {k.lower(): v for k, v in self.upstream.seen[-1][2]}
        self.assertEqual(seen["x-mine"], "1")
        for name in ("x-secret-hop", "keep-alive", "proxy-connection", "te", "mesh-peer", "mesh-anything"):
            self.assertNotIn(name, seen)
        self.assertNotEqual(seen.get("mesh-try"), "9")
        self.assertEqual(seen["x-forwarded-client-cert"], f"By={peers.spiffe('files')};URI={peers.spiffe('cart')}", "what the caller claims to be is not what is passed on")
        self.assertEqual(headers["X-From"], "upstream")
        self.assertEqual(headers.get_all("Set-Cookie"), ["a=1", "b=2"], "fields of one name stay apart")
        for name in ("X-Hop", "Keep-Alive", "Mesh-Load", "mesh-not-processed"):
            self.assertNotIn(name, headers)

    def test_the_server_behind_is_told_who_calls_and_from_where(self):
        self.fetch(self.url + "/")
        seen = {k.lower(): v for k, v in self.upstream.seen[-1][2]}
        self.assertEqual(seen["x-forwarded-client-cert"], f"By={peers.spiffe('files')};URI={peers.spiffe('cart')}")
        self.assertEqual((seen["x-forwarded-for"], seen["x-forwarded-proto"], seen["x-forwarded-host"]), ("127.0.0.1", "https", "files.default.mesh.local"))
        self.assertEqual(seen["host"], self.upstream.url.removeprefix("http://"), "the upstream's own")
        self.assertNotIn("via", seen)
        self.fetch(self.url + "/", headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example", "Via": "1.1 edge"})
        seen = {k.lower(): v for k, v in self.upstream.seen[-1][2]}
        self.assertEqual((seen["x-forwarded-for"], seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["via"]), ("192.0.2.7, 127.0.0.1", "http", "shop.example", "1.1 edge"))

    def test_a_body_over_the_bound_of_whole_ones_passes_on_either_way(self):
        big = os.path.join(self.mesh.dir, "big")
        with open(big, "wb") as f:
            f.truncate(BOUND + 1)
        self.assertEqual(curl("-o", os.path.join(self.mesh.dir, "back"), "-w", "%{http_code} %{size_download}", "--data-binary", "@" + big, self.url + "/echo"), f"200 {BOUND + 1}")

    def test_a_response_that_ends_early_never_looks_whole(self):
        """Its head may have passed when the end comes: then its body breaks off, else it is a 502."""
        try:
            status, _, text = self.fetch(self.url + "/cut")
        except (http.client.IncompleteRead, ConnectionError):
            return
        self.assertEqual(status, 502)
        self.assertNotIn(b"a part", text)

    def test_an_upstream_that_is_down_is_503_and_then_works_again(self):
        address = self.upstream.server_address
        self.upstream.close()
        status, _, text = self.fetch(self.url + "/")
        self.assertEqual(status, 503)
        self.assertTrue(text, "it says why")
        again = Upstream(address)
        self.addCleanup(again.close)
        support.wait_until(lambda: self.fetch(self.url + "/")[0] == 200, "the upstream is back")

    def test_a_slow_upstream_is_504_at_the_deadline(self):
        url = self.connect_with_timeout()
        status, _, text = self.fetch(url + "/slow")
        self.assertEqual((status, json.loads(text)["error"]), (504, "gateway-timeout"))

    def connect_with_timeout(self):
        port = support.free_port()
        child = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "hasty", "--listen", f"127.0.0.1:{port}", "files", "--timeout", "300ms", "--data", self.mesh.data], "hasty")
        child.wait_for_output("connected")
        return f"http://127.0.0.1:{port}"

    def test_many_at_once(self):
        answers, mu = [], threading.Lock()

        def one(i):
            got = self.fetch(f"{self.url}/n/{i}")
            with mu:
                answers.append((got[0], json.loads(got[2]).get("path", got[2])))
        n = 40 // support.SLOW
        self.mesh.be_patient("files")
        threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), sorted((200, f"/n/{i}") for i in range(n)))


class UnixUpstream(Upstream):
    """The same on a UNIX socket."""

    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        return self.socket.accept()[0], ("unix", 0)


class UnixSocket(ProxyTest):
    def test_both_spellings_lead_to_it(self):
        path = os.path.join(self.mesh.dir, "app.sock")
        behind = UnixUpstream(path)
        self.addCleanup(behind.close)
        for service, url in (("one", "unix:" + path), ("two", "unix://" + path)):
            with self.subTest(url):
                self.mesh.serve(service, "--upstream", url)
                to = self.connect(service)
                body = os.urandom(100000)
                self.assertEqual(self.fetch(to + "/echo", "POST", body)[2], body)
                self.assertEqual([self.fetch(f"{to}/n/{i}")[0] for i in range(5)], [200] * 5)
                self.assertEqual(dict(behind.seen[-1][2])["Host"], "localhost")

    def test_what_is_no_address_is_a_usage_error(self):
        for url in ("unix:", "unix:app.sock", "unix://", "unix:/" + "x" * 108, "https://127.0.0.1:1", "127.0.0.1:80", "http://127.0.0.1", "ftp://127.0.0.1:1"):
            with self.subTest(url):
                done = self.mesh.ctl("serve", "--service", "files", "--upstream", url, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(url[:20], done.stderr)


class Readiness(ProxyTest):
    """An instance is there for callers while its upstream takes connections."""

    def probe(self, port):
        return self.fetch(f"http://127.0.0.1:{port}/readyz", timeout=5)

    def serve_with_probe(self, wait=True):
        port = support.free_port()
        return self.mesh.serve("files", "--upstream", self.upstream.url, env={"MESH_PROBE_LISTEN": f"127.0.0.1:{port}"}, wait=wait), port

    def test_it_registers_when_the_upstream_is_there_and_leaves_when_it_goes(self):
        address = self.upstream.server_address
        self.upstream.close()
        child, port = self.serve_with_probe(wait=False)
        child.wait_for_event("not ready", upstream=self.upstream.url)
        support.wait_until(lambda: self.probe(port)[0] == 503, "the probe port")
        self.assertIn(self.upstream.url.encode(), self.probe(port)[2])
        self.assertEqual((self.mesh.endpoints("files"), child.out()), ([], ""), "neither registered nor announced")
        for _ in range(2):
            upstream = Upstream(address)
            self.addCleanup(upstream.close)
            self.mesh.wait_endpoints("files", 1)
            support.wait_until(lambda: self.probe(port)[0] == 200, "ready")
            child.wait_for_output("files")
            self.assertEqual(self.mesh.call("files", "/")["ok"], 1)
            upstream.close()
            self.mesh.wait_endpoints("files", 0)
            status, _, text = self.probe(port)
            self.assertEqual(status, 503)
            self.assertIn(b"takes no connection", text)
        self.assertEqual(child.stop(), 0)

    def test_a_caller_goes_elsewhere_when_an_upstream_goes(self):
        """From its end on: what was on its way to it had surely not been processed."""
        self.mesh.serve("files", "--upstream", self.upstream.url)
        stays = Upstream()
        self.addCleanup(stays.close)
        self.mesh.serve("files", "--upstream", stays.url)
        url = self.connect("files")
        for i in range(100):
            if i == 20:
                self.upstream.close()
            self.assertEqual(self.fetch(url + "/")[0], 200, f"call {i}")
        self.assertGreater(len(self.upstream.seen), 0)
        self.mesh.wait_endpoints("files", 1)


class RealPrograms(ProxyTest):
    def test_python_s_own_file_server_and_curl(self):
        www = os.path.join(self.mesh.dir, "www")
        os.mkdir(www)
        with open(os.path.join(www, "hello.txt"), "w") as f:
            f.write("a file\n")
        files = self.mesh.spawn(["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", www], "files-server")
        port = files.wait_for_output(r"port (\d+)").group(1)
        self.mesh.serve("files", "--upstream", f"http://127.0.0.1:{port}")
        url = self.connect("files")
        self.assertEqual(curl(url + "/hello.txt"), "a file\n")
        self.assertEqual(curl("-o", "/dev/null", "-w", "%{http_code}", url + "/nothing"), "404")
        self.assertEqual(curl("-o", "/dev/null", "-w", "%{http_code}", "-d", "x=1", url + "/hello.txt"), "501", "http.server knows no POST, and says so")
        self.assertIn("Content-Length: 7", curl("-I", url + "/hello.txt"))
        self.assertEqual(curl(url + "/hello.txt", url + "/hello.txt"), "a file\na file\n", "keep-alive")
        self.assertIn("hello.txt", curl(url + "/"))
        self.assertEqual(curl("-T", "-", "-o", "/dev/null", "-w", "%{http_code}", url + "/x") , "501")

    def test_what_does_not_answer_is_told_apart(self):
        url = self.connect("nobody")
        status, _, text = self.fetch(url + "/")
        self.assertEqual((status, json.loads(text)["error"]), (502, "bad-gateway"))
        self.assertIn("no service nobody.default", json.loads(text)["message"])
        self.mesh.serve("nobody").stop()
        self.mesh.wait_endpoints("nobody", 0)
        status, _, text = self.fetch(url + "/")
        self.assertEqual((status, json.loads(text)["error"]), (503, "unavailable"))

    def test_meshctl_call_prints_the_body_alone_byte_for_byte(self):
        self.mesh.serve("files", "--upstream", self.upstream.url)
        body = bytes(range(256)) * 300
        path = os.path.join(self.mesh.dir, "body")
        with open(path, "wb") as f:
            f.write(body)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k.startswith("MESH_SAN")}
        for data, stdin in (("@" + path, None), ("-", body)):
            with self.subTest(data):
                done = subprocess.run([support.program("meshctl"), "call", "--as", "cart", "files", "/echo", "-d", data, "--data", self.mesh.data], input=stdin, env=clean, capture_output=True,
                                      timeout=60 * support.SLOW, check=False)
                self.assertEqual((done.returncode, done.stdout == body, done.stderr), (0, True, b""))
        done = self.mesh.ctl("call", "files", "/status/404", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("404", done.stderr)
        self.assertEqual(self.mesh.call("files", "/status/302")["ok"], 1, "2xx and 3xx are fine")
        self.assertEqual(self.mesh.ctl("call", "files", "/status/302").returncode, 0)

    def test_connect_takes_a_loopback_address_alone(self):
        for address in ("0.0.0.0:0", "192.0.2.1:80", "[::]:0", "localhost:0", "127.0.0.1", "127.0.0.1:99999"):
            with self.subTest(address):
                done = self.mesh.ctl("connect", "--as", "cart", "--listen", address, "payments", check=False)
                self.assertIn(done.returncode, (1, 2))
                self.assertEqual(done.stdout, "")
                self.assertIn(address.rsplit(":", 1)[0], done.stderr)

    def test_a_web_page_cannot_name_the_port_by_a_host_of_its_own(self):
        """Nothing that the client says of itself changes who is called."""
        self.mesh.serve("payments")
        url = self.connect("payments")
        status, _, text = self.fetch(url + "/x", headers={"Host": "orders.default.mesh.local"})
        if status == 200:
            self.assertEqual(json.loads(text)["service"], "payments")
            self.assertNotIn("orders", json.loads(text)["headers"]["host"])
        else:
            self.assertIn(status, (400, 403, 421))

    def test_smuggling_does_not_pass_the_proxy(self):
        """Two lengths, both codings: refused before anything is called."""
        self.mesh.serve("payments", "--upstream", self.upstream.url)
        host, port = self.connect("payments").removeprefix("http://").split(":")
        for row, head in {"both": "Content-Length: 4\r\nTransfer-Encoding: chunked", "two lengths": "Content-Length: 4\r\nContent-Length: 5", "odd coding": "Transfer-Encoding: xchunked"}.items():
            with self.subTest(row), socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as plain:
                plain.sendall(f"POST /x HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                answer = b""
                while chunk := plain.recv(4096):
                    answer += chunk
                self.assertRegex(answer, rb"^HTTP/1\.1 400 ")
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        self.assertEqual(self.upstream.seen, [])


class MisbehavingEcho(support.MeshTest):
    def test_echo_shows_what_it_saw(self):
        served = self.mesh.serve("payments", "--version", "v7", "--zone", "z1")
        done = json.loads(self.mesh.ctl("call", "--as", "cart", "payments", "/a/b?c=d", "-H", "X-One: 1", "-d", "hello", "-X", "PUT").stdout)
        self.assertEqual((done["service"], done["instance"], done["version"], done["peer"]), ("payments", served.info["instance"], "v7", peers.spiffe("cart")))
        self.assertEqual((done["method"], done["path"], done["headers"]["x-one"], done["tryNumber"]), ("PUT", "/a/b?c=d", "1", 1))

    def test_status_delay_and_fail_percent(self):
        self.mesh.serve("s418", "--status", "418")
        self.assertEqual(self.mesh.call("s418")["status"], {"418": 1})
        self.mesh.serve("slow", "--delay", "200ms")
        self.assertGreaterEqual(self.mesh.call("slow")["latencyMs"]["max"], 200)
        self.mesh.serve("flaky", "--fail-percent", "30")
        done = self.mesh.call("flaky", "/", "-n", 600, "-c", 4)
        self.assertEqual(set(done["status"]), {"200", "500"})
        self.assertAlmostEqual(done["status"]["500"] / 600, 0.30, delta=0.10)
        self.assertEqual((done["ok"], done["failed"]), (done["status"]["200"], done["status"]["500"]))


if __name__ == "__main__":
    unittest.main()
