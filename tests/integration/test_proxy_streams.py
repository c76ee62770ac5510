"""Bodies that pass the proxies while they come: of any size in flat memory, with backpressure, half-close, early answers, and ends that are told both ways."""

import contextlib
import hashlib
import http.client
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import unittest

import peers
import support

MIB = 1024 * 1024
GIVEN = int(os.environ.get("MESH_TEST_STREAM_BYTES", 0))  # 0: as many as an ordinary run has the time for
BIG = GIVEN or (16 if support.SANITIZED else 64) * MIB
GROWTH = 8 * MIB  # promised
WAIT_S = 60 * support.SLOW
BODY_S = WAIT_S * max(1, BIG // (64 * MIB))  # for a whole one to pass
BLOCK = bytes(range(256)) * 256  # 64 KiB; each block of a body begins with its number
SLOW_S = 0.2 * support.SLOW  # for a block: slow, and not so idle that it is taken for dead


def blocks(size):
    """The bytes of a body of that size, by blocks: no two of them are the same."""
    for at in range(0, size, len(BLOCK)):
        yield (at.to_bytes(8, "big") + BLOCK[8:])[:size - at]


def digest_of(size):
    total = hashlib.sha256()
    for block in blocks(size):
        total.update(block)
    return total.hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """The server behind: each path is a way of behaving."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        self.trailers = []  # of the request
        with self.server.lock:
            self.server.n_connections += 1
        try:
            super().handle()
        except ConnectionError:
            pass

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def begin(self, **fields):
        self.send_response(200)
        for name, value in (fields or {"Transfer-Encoding": "chunked"}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def pieces(self):
        """The request's body as it comes."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                self.trailers.append(line)
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read(min(left, len(BLOCK)))):
                left -= len(piece)
                yield piece

    def do_GET(self):
        what, _, arg = self.path[1:].partition("/")
        getattr(self, "get_" + what)(arg)

    def do_POST(self):
        getattr(self, "post_" + self.path[1:].partition("/")[0])()

    def get_sized(self, arg):
        self.begin(Content_Length=arg)
        for block in blocks(int(arg)):
            self.wfile.write(block)

    def get_chunked(self, arg):
        self.begin()
        for block in blocks(int(arg)):
            self.chunk(block)
        self.chunk(b"")

    def get_trailers(self, _):
        self.begin(Transfer_Encoding="chunked", Trailer="X-Sum")
        self.chunk(b"body")
        self.wfile.write(b"0\r\nX-Sum: 42\r\nX-Other: b\r\nContent-Length: 9\r\nmesh-load: 1\r\n\r\n")

    def get_events(self, _):
        """One event; the next when it has been seen at the other end."""
        self.begin(Content_Type="text/event-stream", Transfer_Encoding="chunked")
        for i in range(5):
            self.chunk(b"data: %d\n\n" % i)
            if not self.server.go_on.acquire(timeout=WAIT_S):
                return
        self.chunk(b"")

    def get_cut(self, arg):
        """Ends in the middle: of a length that was told, of the chunks, or of one of them."""
        if arg == "sized":
            self.begin(Content_Length=100000)
            self.wfile.write(BLOCK)
        else:
            self.begin()
            self.chunk(BLOCK)
            if arg == "chunk":
                self.wfile.write(b"1000\r\nhalf")
        self.close_connection = True

    def get_endless(self, _):
        self.begin()
        try:
            while True:
                self.chunk(BLOCK)
        except ConnectionError:
            self.server.told("gone")
            raise

    def get_closes(self, _):
        """A whole answer, and then the connection ends without a word."""
        self.begin(Content_Length=2)
        self.wfile.write(b"ok")
        self.close_connection = True

    def get_hold(self, _):
        self.server.holding.release()
        self.server.go_on.acquire(timeout=WAIT_S)
        self.begin(Content_Length=0)

    def post_digest(self, slowly=False):
        total, n = hashlib.sha256(), 0
        for piece in self.pieces():
            total.update(piece)
            n += len(piece)
            slowly = slowly and not self.server.go_on.acquire(timeout=SLOW_S)
        text = json.dumps([n, total.hexdigest(), self.headers.get("Content-Length")]).encode()
        self.begin(Content_Length=len(text))
        self.wfile.write(text)

    def post_slow(self):
        """Reads slowly until it is let go faster."""
        self.server.holding.release()
        self.post_digest(slowly=True)

    def post_trailers(self):
        """Says which trailers came, in lower case."""
        n = sum(map(len, self.pieces()))
        text = json.dumps([n, sorted(line.decode().strip().lower() for line in self.trailers)]).encode()
        self.begin(Content_Length=len(text), Connection="close")
        self.wfile.write(text)

    def post_early(self):
        """Answers what it has not read."""
        self.begin(Content_Length=5, Connection="close")
        self.wfile.write(b"early")
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.close_connection = True
        while self.connection.recv(65536):
            pass

    def post_upper(self):
        """A piece back for each that comes."""
        self.begin()
        for piece in self.pieces():
            self.chunk(piece.upper())
        self.chunk(b"")

    def post_aborted(self):
        """Tells of a body that has not become whole."""
        try:
            for _ in self.pieces():
                self.server.told("piece")
        except (ConnectionError, ValueError):
            pass
        self.server.told("gone")
        self.close_connection = True

    def log_message(self, *args):
        pass


class Upstream(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.lock, self.n_connections, self.facts = threading.Lock(), 0, []
        self.go_on, self.holding = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def told(self, fact):
        with self.lock:
            self.facts.append(fact)

    def knows(self, fact):
        with self.lock:
            return fact in self.facts

    def handle_error(self, request, client_address):
        """A proxy that hangs up is what some tests are about."""


def memory_of(child, field="VmHWM"):
    with open(f"/proc/{child.pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":"))


def threads_of(child):
    return len(os.listdir(f"/proc/{child.pid}/task"))


class Way(unittest.TestCase):
    """A mesh, an upstream, and `meshctl serve` before it, for all tests of a class."""

    service_document = {}

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.server_close)
        cls.addClassCleanup(cls.upstream.shutdown)
        cls.mesh = support.Mesh()
        cls.addClassCleanup(cls.mesh.close)
        cls.mesh.start()
        cls.mesh.be_patient("files", timeout=f"{5 * BODY_S}s", **cls.service_document)  # a body may take its time, on a loaded machine too: what is held here is not how fast it passes
        cls.server = cls.mesh.serve("files", "--upstream", f"http://127.0.0.1:{cls.upstream.server_address[1]}")
        cls.watched = [cls.server]

    def setUp(self):
        self.upstream.facts, self.upstream.go_on, self.upstream.holding = [], threading.Semaphore(0), threading.Semaphore(0)

    def open(self):
        """A connection of a client, as http.client has them."""
        raise NotImplementedError

    def get(self, path):
        client = self.open()
        client.request("GET", path)
        return client.getresponse()

    def flat(self):
        """What the processes have used at most until now, to be held against the same later: each must stay within the promise."""
        return [(child, memory_of(child)) for child in self.watched]

    def assert_flat(self, before):
        for child, bytes_before in before:
            grown = memory_of(child) - bytes_before
            self.tell(f"{child.name} grew by {grown // 1024} KiB")
            if not support.SANITIZED:  # a sanitizer keeps what is freed for a while
                self.assertLess(grown, GROWTH, child.name)

    def tell(self, figure):
        """For who asks for a size: what was measured with it."""
        if GIVEN:
            print(f"{self.id()}: {BIG} bytes: {figure}", file=sys.stderr)

    @contextlib.contextmanager
    def timed(self, what):
        began = time.monotonic()
        yield
        self.tell(f"{what} took {time.monotonic() - began:.1f} s")


class Rules:
    """What holds on every way."""

    def read_and_digest(self, answer, size):
        total, n = hashlib.sha256(), 0
        while piece := answer.read(len(BLOCK)):
            total.update(piece)
            n += len(piece)
        self.assertEqual((n, total.hexdigest()), (size, digest_of(size)))

    def read_slowly(self, answer, go_on):
        """Until it is let go faster; the digest of all."""
        total, slowly = hashlib.sha256(), True
        while piece := answer.read(len(BLOCK)):
            total.update(piece)
            slowly = slowly and not go_on.acquire(timeout=SLOW_S)
        return total.hexdigest()

    def warm(self):
        self.assertEqual(self.get("/sized/1000000").read()[:8], bytes(8))

    def test_a_big_download_passes_in_flat_memory_and_a_slow_reader_holds_nobody_up(self):
        self.warm()
        before, go_on, read = self.flat(), threading.Semaphore(0), []
        slow = self.get(f"/chunked/{BIG}")
        thread = threading.Thread(target=lambda: read.append(self.read_slowly(slow, go_on)), daemon=True)
        thread.start()
        for kind in ("sized", "chunked"):
            with self.timed(kind + ", beside a slow reader,"):
                fast = self.get(f"/{kind}/{BIG}")
                self.assertEqual(fast.getheader("Content-Length"), str(BIG) if kind == "sized" else None)
                self.read_and_digest(fast, BIG)
        self.assert_flat(before)
        self.assertEqual(read, [], "the slow one is not through yet")
        go_on.release()
        thread.join(BODY_S)
        self.assertEqual(read, [digest_of(BIG)])
        self.assert_flat(before)

    def upload(self, path, size, chunked):
        client = self.open()
        client.request("POST", path, body=blocks(size), headers={} if chunked else {"Content-Length": str(size)}, encode_chunked=chunked)
        return json.loads(client.getresponse().read())

    def test_a_big_upload_passes_in_flat_memory_and_a_slow_upstream_holds_nobody_up(self):
        self.warm()
        before, slow = self.flat(), []
        thread = threading.Thread(target=lambda: slow.append(self.upload("/slow", BIG, True)), daemon=True)
        thread.start()
        self.assertTrue(self.upstream.holding.acquire(timeout=WAIT_S))
        with self.timed("sized, beside a slow upstream,"):
            self.assertEqual(self.upload("/digest", BIG, False), [BIG, digest_of(BIG), str(BIG)], "a length that is known is told")
        with self.timed("chunked, beside a slow upstream,"):
            self.assertEqual(self.upload("/digest", BIG, True), [BIG, digest_of(BIG), None])
        self.assert_flat(before)
        self.assertEqual(slow, [], "the slow one is not through yet")
        self.upstream.go_on.release()
        thread.join(BODY_S)
        self.assertEqual(slow, [[BIG, digest_of(BIG), None]])
        self.assert_flat(before)

    def test_events_come_one_by_one(self):
        answer = self.get("/events")
        self.assertEqual(answer.getheader("Content-Type"), "text/event-stream")
        for i in range(5):
            self.assertEqual(answer.read1(), b"data: %d\n\n" % i)
            self.upstream.go_on.release()
        self.assertEqual(answer.read(), b"")

    def test_both_bodies_pass_at_once(self):
        client = self.open()
        client.putrequest("POST", "/upper")
        client.putheader("Transfer-Encoding", "chunked")
        client.endheaders()
        client.send(b"3\r\nabc\r\n")
        answer = client.getresponse()
        self.assertEqual(answer.read1(), b"ABC")
        for word in (b"de", b"fgh"):
            client.send(b"%x\r\n%s\r\n" % (len(word), word))
            self.assertEqual(answer.read1(), word.upper())
        client.send(b"0\r\n\r\n")
        self.assertEqual(answer.read(), b"")

    def test_trailers_come_behind_the_body_and_none_that_forge_the_header(self):
        client = self.open()
        client.connect()
        client.sock.sendall(b"GET /trailers HTTP/1.1\r\nHost: files.default.mesh.local\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        heard = b""
        while not heard.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in heard:
            piece = client.sock.recv(65536)
            self.assertTrue(piece, heard)
            heard += piece
        trailers = heard.rpartition(b"\r\n0\r\n")[2].lower()
        self.assertIn(b"x-sum: 42\r\n", trailers)
        self.assertIn(b"x-other: b\r\n", trailers)
        self.assertNotIn(b"content-length", trailers)
        self.assertNotIn(b"mesh-", trailers)

    def upload_with_trailers(self, *pieces):
        client = self.open()
        client.putrequest("POST", "/trailers")
        client.putheader("Transfer-Encoding", "chunked")
        client.endheaders()
        for piece in pieces:
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.send(b"0\r\nX-Sum: 42\r\nAuthorization: forged\r\nmesh-peer: forged\r\nX-Other: b\r\n\r\n")
        return client.getresponse()

    def test_trailers_of_a_request_pass_behind_a_small_body_and_a_large_one(self):
        for size in (3, MIB):
            with self.subTest(size):
                self.assertEqual(json.loads(self.upload_with_trailers(*blocks(size)).read()), [size, ["x-other: b", "x-sum: 42"]])

    def test_half_a_response_never_looks_whole(self):
        for how in ("sized", "chunks", "chunk"):
            with self.subTest(how), self.assertRaises((http.client.IncompleteRead, ConnectionError)):
                answer = self.get("/cut/" + how)
                if answer.status == 502:  # it broke before its head had passed
                    raise http.client.IncompleteRead(b"")
                self.assertEqual(answer.status, 200)
                answer.read()
        self.warm()

    def test_an_upstream_hears_of_a_client_that_goes(self):
        client = self.open()
        client.request("GET", "/endless")
        answer = client.getresponse()
        self.assertEqual(len(answer.read(100000)), 100000)
        answer.close()
        client.sock.close() if client.sock else None
        support.wait_until(lambda: self.upstream.knows("gone"), "the end of what nobody reads", WAIT_S)
        self.warm()

    def test_an_upstream_hears_of_half_a_request(self):
        client = self.open()
        client.putrequest("POST", "/aborted")
        client.putheader("Content-Length", "1000000")
        client.endheaders()
        client.send(BLOCK)
        support.wait_until(lambda: self.upstream.knows("piece"), "the first piece", WAIT_S)
        client.close()
        support.wait_until(lambda: self.upstream.knows("gone"), "the end", WAIT_S)
        self.warm()

    def test_an_early_answer_passes(self):
        client = self.open()
        client.putrequest("POST", "/early")
        client.putheader("Content-Length", str(64 * MIB))
        client.endheaders()
        client.send(BLOCK)
        answer = client.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b"early"))
        self.warm()

    def test_connections_to_the_upstream_are_kept_and_one_that_died_costs_no_call(self):
        self.warm()
        n = self.upstream.n_connections
        for _ in range(20):
            self.warm()
        self.assertLess(self.upstream.n_connections - n, 5, "but for the looks whether it is there")
        for _ in range(20):
            self.assertEqual(self.get("/closes").read(), b"ok")

    def test_no_thread_waits_for_a_request(self):
        self.warm()
        before = [threads_of(child) for child in self.watched]
        waiting = [self.open() for _ in range(60)]
        for client in waiting:
            client.request("GET", "/hold")
        for _ in waiting:
            self.assertTrue(self.upstream.holding.acquire(timeout=WAIT_S))
        self.assertEqual([threads_of(child) for child in self.watched], before)
        self.upstream.go_on.release(len(waiting))
        self.assertEqual([client.getresponse().status for client in waiting], [200] * len(waiting))


class Serve(Rules, Way):
    """A caller by mutual TLS, `meshctl serve --upstream`, an unchanged server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cart = peers.issued(cls.mesh, "cart")

    def open(self, server=None):
        host, port = (server or self.server).info["address"].rsplit(":", 1)
        client = http.client.HTTPSConnection(host, int(port), context=peers.client_context(self.cart), timeout=WAIT_S)
        self.addCleanup(client.close)
        return client

    def test_told_to_end_it_lets_bodies_pass_for_the_drain_and_cuts_what_is_left(self):
        for path, whole in (("/events", True), ("/endless", False)):
            with self.subTest(path):
                server = self.mesh.serve("files", "--upstream", f"http://127.0.0.1:{self.upstream.server_address[1]}", "--drain", "20s" if whole else "1500ms")
                client = self.open(server)
                client.request("GET", path)
                answer = client.getresponse()
                self.assertTrue(answer.read1(8))
                server.signal(signal.SIGTERM)
                self.mesh.wait_endpoints("files", 1)
                if whole:
                    self.upstream.go_on.release(5)
                    self.assertEqual(answer.read().count(b"data"), 4)
                else:
                    with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
                        while answer.read1(65536):
                            pass
                        raise http.client.IncompleteRead(b"")  # read1() does not tell of what is missing
                self.assertEqual(server.child.wait(WAIT_S), 0, server.err())


class Connect(Rules, Way):
    """An unchanged client, `meshctl connect`, mutual TLS, `meshctl serve --upstream`, an unchanged server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        port = support.free_port()
        cls.gate = cls.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "files", "--data", cls.mesh.data], "connect")
        cls.gate.wait_for_output("connected", 30)
        cls.port, cls.watched = port, [cls.server, cls.gate]

    def open(self):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        self.addCleanup(client.close)
        return client


class ConnectByHttp2(Connect):
    """The same, HTTP/2 between the two."""

    service_document = {"protocol": "http2"}
    test_an_early_answer_passes = None  # libcurl 7.88 may lose what came before the end of a stream on which it still sends

    def test_trailers_of_a_request_pass_behind_a_small_body_and_a_large_one(self):
        """There is no way to send them: the request does not succeed without."""
        for size in (3, MIB):
            with self.subTest(size):
                answer = self.upload_with_trailers(*blocks(size))
                self.assertEqual((answer.status, "protocol: http" in answer.read().decode()), (502, True))


if __name__ == "__main__":
    unittest.main()
