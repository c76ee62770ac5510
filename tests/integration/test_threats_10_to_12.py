"""THREATS 10 to 12 against a real process under mutual TLS: resets, floods and malformed requests over HTTP/2 end the stream or the connection, reach no handler, take no memory and leave others alone. What bytes each
attack is, h2_attacks.py says. (What takes a server's own time to show, deadlines above all, is in tests/unit/http/test_threats_10_to_12.c under a clock of its own.)"""
# tests/run: alone plain

import contextlib
import os
import re
import select
import subprocess
import sys
import time
import unittest

import h2
import h2_attacks
import peers
import support
from h2_attacks import BOMBS, CHEAP, FLOODS, RESETS

STREAMS = 100       # at a time on a connection
HANDLERS = 3 * 100  # what may have been begun before a hundred resets were too much
GROWTH_KIB = 8 * 1024
BODIES_KIB = 112 * 1024  # 32 MiB, a half of that, one body more, the streams' first windows; and what a buffer that grows has too much


class World:
    """One mesh for the whole file; an echo server, and one that takes a minute for each answer."""

    def __init__(self):
        self.mesh = support.Mesh().start()
        self.fast, self.slow = peers.Judge(self.mesh), None
        self.context = peers.client_context(peers.issued(self.mesh, "cart"))

    def dial(self, judge=None, **kwargs):
        return h2.dial((judge or self.fast).address, self.context, **kwargs)

    def refused(self):
        """Requests that were refused before any handler saw them, for whatever reason."""
        return sum(n for key, n in peers.metrics(self.fast.probe).items() if key.startswith("mesh_requests_refused_total"))

    def memory_kib(self, what="VmRSS"):
        with open(f"/proc/{self.fast.child.pid}/status") as f:
            return int(re.search(rf"{what}:\s+(\d+)", f.read()).group(1))

    def served(self):
        """An honest request on a connection of its own is answered."""
        with self.dial() as client:
            client.say(h2.request(1))
            return client.until_over(1).status(1) == 200


WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.mesh.close()


class Threats(unittest.TestCase):
    def ended(self, frames):
        """Says all that to a server that must end the connection; the client, with what it has heard."""
        client = WORLD.dial()
        self.addCleanup(client.close)
        client.say(frames)
        return client if client.closed else client.until_closed()

    def all_end(self, rows, count, handlers):
        """Each row said so often ends its connection, for a reason of its own, and reaches the handler at most so often; nobody else is harmed."""
        for row, (make, errors) in rows.items():
            with self.subTest(row):
                handled = WORLD.fast.handled()
                client = self.ended(make(count))
                self.assertIn(client.error(), errors, client)
                self.assertLessEqual(WORLD.fast.handled() - handled, handlers)
        self.assertTrue(WORLD.served())

    def flat(self, attack, rounds=3):
        """After the first time, which fills what is kept, the same again takes no memory."""
        attack()
        before = WORLD.memory_kib()
        for _ in range(rounds):
            attack()
        if not support.SANITIZED:
            self.assertLess(WORLD.memory_kib() - before, GROWTH_KIB)


class AHonestClient(Threats):
    """So that the rows below are refused for what they say, and not for how they are written."""

    def test_is_answered_with_its_streams_interleaved(self):
        handled = WORLD.fast.handled()
        with WORLD.dial() as client:
            client.say(h2.request(1, end=False, method="POST"), h2.request(3, path="/three"), h2.data(1, b"one"), h2.data(1, b"", end=True), h2.ping(), h2.priority(5), h2.request(5, path="/five"))
            client.until_over(1, 3, 5)
            self.assertEqual([client.status(s) for s in (1, 3, 5)], [200] * 3)
            self.assertIn(b'"body":"one"', client.bodies[1].replace(b'": "', b'":"'))
            self.assertIn(b"/three", client.bodies[3])
            client.until(lambda: client.count[h2.PING], "the ping's answer")
        self.assertEqual(WORLD.fast.handled(), handled + 3)

    def test_may_cancel_a_few_of_many(self):
        with WORLD.dial() as client:
            for at in range(1, 1001, 10):
                client.say(*(h2.request(s) for s in range(at, at + 8, 2)), h2.request(at + 8, end=False, method="POST"), h2.rst_stream(at + 8))
                client.until_over(*range(at, at + 8, 2))
            self.assertIsNone(client.goaway)
            client.say(h2.request(2001))
            self.assertEqual(client.until_over(2001).status(2001), 200)


class Uploads(Threats):
    def test_a_hundred_bodies_at_once_come_whole_in_less_memory_than_they_are_long(self):
        """The rule, and that it cannot lock up, is in tests/unit/http/test_h2_bodies.c."""
        size, streams = (2 << 20) // (4 if support.SANITIZED else 1), range(1, 2 * STREAMS, 2)
        before = WORLD.memory_kib("VmHWM")
        with WORLD.dial() as client:
            client.until(lambda: client.settings, "the server's settings")
            client.say(*(h2.request(s, end=False, method="POST") for s in streams))
            client.upload(size, *streams, seconds=60)
            self.assertEqual([s for s in streams if client.status(s) != 200 or f"{size}".encode() not in client.bodies[s]], [])
        if not support.SANITIZED:
            self.assertLess(WORLD.memory_kib("VmHWM") - before, BODIES_KIB)


class Threat10(Threats):
    def test_resets_by_the_peer_and_by_us_at_its_bidding_end_the_connection(self):
        self.all_end(RESETS, 2000, HANDLERS - 1)

    def test_ten_thousand_resets_take_no_memory(self):
        resets = RESETS["requests, each reset at once"][0](2500)
        self.flat(lambda: self.ended(resets), 4)

    def test_a_handler_still_running_counts_as_a_stream(self):
        slow = peers.Judge.__new__(peers.Judge)
        slow.probe = f"127.0.0.1:{support.free_port()}"
        slow.child = WORLD.mesh.serve("slow", "--delay", "60s", env={"MESH_PROBE_LISTEN": slow.probe, "MESH_PROBE_METRICS": "1"})
        slow.address = slow.child.info["address"]
        self.addCleanup(slow.child.kill)
        first, second = range(1, 121, 2), range(121, 241, 2)
        with WORLD.dial(slow) as client:
            client.say(*(h2.request(s) for s in first), *(h2.rst_stream(s) for s in first), *(h2.request(s) for s in second))
            client.until(lambda: client.closed or len(client.resets) >= 20, "what is too much to be refused")
            self.assertIsNone(client.goaway)
            self.assertEqual(client.resets, {s: h2.REFUSED_STREAM for s in list(second)[STREAMS - 60:]})


class Threat11(Threats):
    def test_floods_end_the_connection(self):
        self.all_end(FLOODS, 20_000, 0)

    def test_floods_whose_answers_are_not_read_take_no_memory(self):
        for row in ("PING", "SETTINGS"):
            with self.subTest(row):
                before = WORLD.memory_kib()
                with WORLD.dial() as client:
                    client.sock.settimeout(30 * support.SLOW)
                    end = select.poll()
                    end.register(client.sock, select.POLLRDHUP)
                    with contextlib.suppress(OSError):  # or it ends when all has been said: the sockets hold that much
                        for _ in range(20):
                            client.sock.sendall(FLOODS[row][0](20_000))
                    self.assertTrue(end.poll(30_000 * support.SLOW), "nobody stopped it")
                if not support.SANITIZED:
                    self.assertLess(WORLD.memory_kib() - before, GROWTH_KIB)

    def test_what_costs_no_more_than_its_bytes_harms_nobody(self):
        for row, make in CHEAP.items():
            with self.subTest(row), WORLD.dial() as client:
                handled, before = WORLD.fast.handled(), WORLD.memory_kib()
                client.say(make(20_000))
                if not client.closed:
                    client.say(h2.request(101))
                    self.assertEqual(client.until_over(101).status(101), 200)
                self.assertLessEqual(WORLD.fast.handled(), handled + 1)
                if not support.SANITIZED:
                    self.assertLess(WORLD.memory_kib() - before, GROWTH_KIB)
        self.assertTrue(WORLD.served())

    def test_field_blocks_that_grow_are_refused_in_flat_memory(self):
        for row, make in BOMBS.items():
            with self.subTest(row):
                handled, bomb = WORLD.fast.handled(), make()

                def attack(bomb=bomb, row=row):
                    with WORLD.dial() as client:
                        client.say(bomb)
                        if not client.closed:
                            client.until(lambda: client.over(1) or client.closed, row)
                        self.assertIn(client.refused(1), (431, h2.ENHANCE_YOUR_CALM, h2.PROTOCOL_ERROR, h2.INTERNAL_ERROR, h2.COMPRESSION_ERROR), client)
                self.flat(attack)
                self.assertEqual(WORLD.fast.handled(), handled)

    def test_frames_between_the_parts_of_a_field_block_end_the_connection(self):
        part = h2.headers(1, h2.fields_of(), flags=0)
        for row, frames in {"a ping": part + h2.ping(), "data": part + h2.data(1, b"x"), "another stream's part": part + h2.continuation(3, end=True), "another request": part + h2.request(3), "a reset": part + h2.rst_stream(1),
                            "what nobody knows": part + h2.frame(0xfa), "a part of nothing": h2.continuation(1, end=True), "a part of what is whole": h2.request(1) + h2.continuation(1, end=True)}.items():
            with self.subTest(row):
                self.assertEqual(self.ended(frames).error(), h2.PROTOCOL_ERROR)

    def test_blocks_that_do_not_decode_end_the_connection(self):
        start = h2.block(h2.fields_of())
        for row, fragment in {"an index that is not": start + h2.index(200), "the index zero": start + h2.index(0), "an integer without end": start + b"\xff" * 50, "a field cut off": start + h2.field("name", "value")[:-2],
                              "a table larger than was allowed": h2.integer(1 << 20, 5, 0x20) + start, "a change of the table behind a field": start + h2.integer(0, 5, 0x20),
                              "Huffman code with an end of string": start + b"\0\1a\x84\xff\xff\xff\xff", "Huffman code with long padding": start + b"\0\1a\x82\xff\xff"}.items():
            with self.subTest(row):
                handled = WORLD.fast.handled()
                self.assertEqual(self.ended(h2.headers(1, fragment)).error(), h2.COMPRESSION_ERROR)
                self.assertEqual(WORLD.fast.handled(), handled)

    def test_changes_of_the_table_without_end_are_refused(self):
        client = self.ended(h2.headers(1, h2.integer(0, 5, 0x20) * 16000, flags=0) + h2.continuation(1, h2.integer(0, 5, 0x20) * 16000) * 1000)
        self.assertIsNotNone(client.error(), client)


class Others(Threats):
    ROUNDS, CALLS, EVERY_SECONDS = 3, 700, 0.001

    def flood(self, kind):
        cart = WORLD.mesh.dir + "/issued-cart/"
        child = subprocess.Popen([sys.executable, h2_attacks.__file__, WORLD.fast.address, cart + "cert.pem", cart + "key.pem", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.addCleanup(child.stdin.close)
        os.set_blocking(child.stdout.fileno(), False)
        return child

    def beside(self, child, client, stream):
        """How long each call took, one a millisecond, while the other one made connections at its pace; and how many those were."""
        child.stdout.read()
        took, made = [], 0
        for s in range(stream, stream + 2 * self.CALLS, 2):
            began = time.monotonic()
            client.say(h2.request(s))
            client.until_over(s, seconds=30)
            took.append(time.monotonic() - began)
            self.assertEqual(client.status(s), 200)
            if select.select([child.stdout], [], [], max(0, began + self.EVERY_SECONDS - time.monotonic()))[0]:
                made += len(child.stdout.read() or b"")
        return took, made

    def test_p99_of_another_peer_is_not_doubled(self):
        took = {"honest": [], "attack": []}
        made = {"honest": 0, "attack": 0}
        stream = 1
        before = WORLD.memory_kib()
        with WORLD.dial() as client:
            for _ in range(self.ROUNDS):
                for kind in took:
                    child = self.flood(kind)
                    support.wait_until(lambda child=child: child.stdout.read(), "its first connection to end", 30)
                    some, n = self.beside(child, client, stream)
                    stream += 2 * self.CALLS
                    took[kind] += some
                    made[kind] += n
                    child.kill()
                    child.wait()
        p99 = {kind: sorted(all_of)[len(all_of) * 99 // 100] * 1000 for kind, all_of in took.items()}
        print(f"p99 beside {made['honest']} honest connections {p99['honest']:.2f} ms, beside {made['attack']} attacks {p99['attack']:.2f} ms; memory {before} KiB, then {WORLD.memory_kib()} KiB")
        self.assertGreater(made["attack"], 0)
        if not support.SANITIZED:
            self.assertLess(p99["attack"], 2 * p99["honest"])
            self.assertLess(WORLD.memory_kib() - before, GROWTH_KIB)


GET, POST = h2.fields_of(), h2.fields_of(method="POST")


def without(name):
    return [f for f in GET if f[0] != name]


def instead(name, value):
    return [(n, value if n == name else v) for n, v in GET]


MALFORMED_FIELDS = {
    "no method": without(":method"), "no scheme": without(":scheme"), "no path": without(":path"), "no authority and no host": without(":authority"),
    "two methods": [*GET, (":method", "GET")], "two paths": [(":path", "/"), *GET], "two authorities": [(":authority", "payments"), *GET], "two schemes": [(":scheme", "https"), *GET],
    "a pseudo-header behind a field": [*without(":path"), ("a", "b"), (":path", "/")], "an unknown pseudo-header": [*GET, (":proto", "x")], "a response's": [*GET, (":status", "200")],
    "RFC 8441, which was not offered": [(":method", "CONNECT"), (":protocol", "websocket"), *without(":method")],
    "an empty path": instead(":path", ""), "a path without a slash": instead(":path", "a"), "a path with a space": instead(":path", "/a b"), "a path with a line end": instead(":path", "/a\r\nb: c"),
    "a path with NUL": instead(":path", "/a\0b"), "a path of an absolute URI": instead(":path", "http://payments/"), "a fragment": instead(":path", "/a#b"), "an asterisk": instead(":path", "*"),
    "OPTIONS of everything": [(":method", "OPTIONS"), *instead(":path", "*")[1:]],
    "a method with a space": instead(":method", "GET /x"), "an empty method": instead(":method", ""), "a method with a line end": instead(":method", "GET\r\n"), "a scheme that is none": instead(":scheme", "ht tp"),
    "CONNECT with a path": instead(":method", "CONNECT"), "CONNECT": [(":method", "CONNECT"), (":authority", "payments:80")],
    "a host that disagrees": [*GET, ("host", "evil")], "two hosts": [*without(":authority"), ("host", "a"), ("host", "a")], "userinfo": instead(":authority", "user@payments"), "an empty authority": instead(":authority", ""),
    "an authority with a space": instead(":authority", "pay ments"), "an authority with a path": instead(":authority", "payments/x"),
    "an upper-case name": [*GET, ("Name", "v")], "an upper-case pseudo-header": [(":Method", "GET"), *GET], "an empty name": [*GET, ("", "v")], "a name with a space": [*GET, ("a b", "v")],
    "a name with a colon": [*GET, ("a:b", "v")], "a name with NUL": [*GET, ("a\0b", "v")], "a name with a line end": [*GET, ("a\r\nb", "v")], "a name beyond ASCII": [*GET, ("\xe9", "v")],
    "a value with NUL": [*GET, ("a", "v\0w")], "a value with CR": [*GET, ("a", "v\rw")], "a value with LF": [*GET, ("a", "v\nhost: evil")], "a value that begins with a space": [*GET, ("a", " v")], "a value that ends with a tab": [*GET, ("a", "v\t")],
    "a value with a control": [*GET, ("a", "v\x01w")], "a value with DEL": [*GET, ("a", "v\x7fw")],
    **{f"the field {name}: {value}": [*GET, (name, value)] for name, value in (("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, gzip"))},
    "a length that is no number": [*GET, ("content-length", "+0")], "two lengths": [*GET, ("content-length", "0"), ("content-length", "1")], "a list of lengths": [*GET, ("content-length", "0, 0")], "a length that overflows": [*GET, ("content-length", "18446744073709551616")],
    "a length of what has no body": [*GET, ("content-length", "5")],
    "129 fields": [*GET, *(("a", "b") for _ in range(129))], "65 KiB of fields": [*GET, ("a", "x" * 8000), ("b", "x" * 8100)] + [("c", "x" * 7000)] * 8,
    "no fields at all": [],
}
SIZES = ("129 fields", "65 KiB of fields")
ANSWERED = ("a host that disagrees", "userinfo", "an asterisk", "OPTIONS of everything", "CONNECT", "a fragment", "two hosts", "no authority and no host", "an empty authority", "an authority with a space", "an authority with a path")

BEGUN = h2.headers(1, POST, end=False)


def declared(length):
    return h2.headers(1, [*POST, ("content-length", str(length))], end=False)


MALFORMED_STREAMS = {
    "a body longer than its length": declared(1) + h2.data(1, b"xy", end=True), "a body shorter than its length": declared(3) + h2.data(1, b"xy", end=True), "no body where a length is": declared(3) + h2.data(1, end=True),
    "a length that trailers end too early": declared(3) + h2.data(1, b"xy") + h2.headers(1, [("t", "1")]),
    "trailers that end nothing": BEGUN + h2.headers(1, [("t", "1")], end=False), "a pseudo-header in trailers": BEGUN + h2.data(1, b"x") + h2.headers(1, [(":path", "/admin")]),
    "an upper-case name in trailers": BEGUN + h2.headers(1, [("Trailer", "1")]), "connection in trailers": BEGUN + h2.headers(1, [("connection", "close")]), "a window of nothing more": BEGUN + h2.window_update(1, 0),
    "a window that overflows": BEGUN + h2.window_update(1, 0x7fffffff),
}

# By RFC 9113 these end the connection.
MALFORMED_CONNECTIONS = {
    "a stream of even number": (h2.request(2), h2.PROTOCOL_ERROR), "the stream zero": (h2.request(0), h2.PROTOCOL_ERROR), "the same stream twice": (h2.request(1) + h2.request(1), {h2.PROTOCOL_ERROR, h2.STREAM_CLOSED}), "data of the stream zero": (h2.data(0, b"x"), h2.PROTOCOL_ERROR), "data of a stream that never was": (h2.data(1, b"x"), h2.PROTOCOL_ERROR),
    "a reset of a stream that never was": (h2.rst_stream(1), h2.PROTOCOL_ERROR), "a window of a stream that never was": (h2.window_update(1, 1), h2.PROTOCOL_ERROR), "a reset of the connection": (h2.rst_stream(0), h2.PROTOCOL_ERROR),
    "a connection's window of nothing more": (h2.window_update(0, 0), h2.PROTOCOL_ERROR), "a connection's window that overflows": (h2.window_update(0, 0x7fffffff), h2.FLOW_CONTROL_ERROR),
    "a frame larger than was allowed": (h2.frame(h2.DATA, 0, 1, bytes(h2.FRAME_MAX + 1)), h2.FRAME_SIZE_ERROR), "a header larger than was allowed": (h2.frame(h2.HEADERS, h2.END_HEADERS, 1, bytes(h2.FRAME_MAX + 1)), h2.FRAME_SIZE_ERROR),
    "a frame of 16 MB": (h2.frame(h2.DATA, 0, 1, claimed=0xffffff), h2.FRAME_SIZE_ERROR),
    "more padding than data": (BEGUN + h2.frame(h2.DATA, h2.PADDED, 1, b"\xff"), h2.PROTOCOL_ERROR), "padding of nothing": (BEGUN + h2.frame(h2.DATA, h2.PADDED, 1, b""), {h2.PROTOCOL_ERROR, h2.FRAME_SIZE_ERROR}),
    "a header of padding": (h2.frame(h2.HEADERS, h2.PADDED | h2.END_HEADERS, 1, b"\x09abc"), h2.PROTOCOL_ERROR), "priority without room": (h2.frame(h2.HEADERS, h2.HAS_PRIORITY | h2.END_HEADERS, 1, b"abc"), {h2.FRAME_SIZE_ERROR, h2.PROTOCOL_ERROR}),
    "a ping of seven": (h2.frame(h2.PING, payload=bytes(7)), h2.FRAME_SIZE_ERROR), "a ping of a stream": (h2.frame(h2.PING, 0, 1, bytes(8)), h2.PROTOCOL_ERROR), "a reset of three": (BEGUN + h2.frame(h2.RST_STREAM, 0, 1, bytes(3)), h2.FRAME_SIZE_ERROR),
    "a window of five": (h2.frame(h2.WINDOW_UPDATE, payload=bytes(5)), h2.FRAME_SIZE_ERROR), "settings of five": (h2.frame(h2.SETTINGS, payload=bytes(5)), h2.FRAME_SIZE_ERROR), "settings of a stream": (h2.frame(h2.SETTINGS, 0, 1), h2.PROTOCOL_ERROR),
    "an acknowledgement that says something": (h2.frame(h2.SETTINGS, h2.ACK, payload=bytes(6)), h2.FRAME_SIZE_ERROR), "a window larger than there is": (h2.settings((h2.INITIAL_WINDOW_SIZE, 0x80000000)), h2.FLOW_CONTROL_ERROR),
    "frames smaller than there are": (h2.settings((h2.MAX_FRAME_SIZE, 16383)), h2.PROTOCOL_ERROR), "push that is neither": (h2.settings((h2.ENABLE_PUSH, 2)), h2.PROTOCOL_ERROR), "a client's promise": (h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, bytes(4)), h2.PROTOCOL_ERROR),
    "a farewell of a stream": (h2.frame(h2.GOAWAY, 0, 1, bytes(8)), h2.PROTOCOL_ERROR), "a farewell of seven": (h2.frame(h2.GOAWAY, payload=bytes(7)), h2.FRAME_SIZE_ERROR),
}


class Threat12(Threats):
    def refusal_of(self, frames):
        """How stream 1 was refused; what comes behind it on the connection is answered, where that still stands."""
        handled = WORLD.fast.handled()
        with WORLD.dial() as client:
            client.say(frames)
            client.until(lambda: client.closed or client.over(1) or client.goaway, "stream 1 to be over")
            refusal, stream_alone = client.refused(1), not client.closed and not client.goaway
            if stream_alone:
                client.say(h2.request(3))
                self.assertEqual(client.until_over(3).status(3), 200, f"a stream's error is no other's: {client!r}")
        self.assertEqual(WORLD.fast.handled() - handled, int(stream_alone), f"a handler ran: {client!r}")
        return refusal

    def test_malformed_requests_never_reach_a_handler(self):
        refused = WORLD.refused()
        for row, fields in MALFORMED_FIELDS.items():
            with self.subTest(row):
                allowed = {h2.PROTOCOL_ERROR}
                allowed |= {431, h2.ENHANCE_YOUR_CALM, h2.REFUSED_STREAM} if row in SIZES else {400} if row in ANSWERED else set()
                self.assertIn(self.refusal_of(h2.headers(1, fields)), allowed)
        self.assertGreaterEqual(WORLD.refused() - refused, len(MALFORMED_FIELDS), "what was refused is counted")

    def test_malformed_streams_never_reach_a_handler(self):
        for row, frames in MALFORMED_STREAMS.items():
            with self.subTest(row):
                self.assertIn(self.refusal_of(frames), (h2.PROTOCOL_ERROR, h2.FLOW_CONTROL_ERROR))

    def test_malformed_connections_end(self):
        for row, (frames, error) in MALFORMED_CONNECTIONS.items():
            with self.subTest(row):
                client = self.ended(frames)
                self.assertIn(client.error(), error if isinstance(error, set) else {error})
        self.assertTrue(WORLD.served())

    def test_what_is_no_preface_is_no_connection(self):
        for row, greeting in {"no preface": h2.settings(), "another preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + h2.settings(), "a preface without settings": h2.PREFACE + h2.ping(), "a request before the settings": h2.PREFACE + h2.request(1),
                              "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n", "an acknowledgement for settings": h2.PREFACE + h2.settings_ack()}.items():
            with self.subTest(row):
                handled = WORLD.fast.handled()
                with WORLD.dial(greeting=greeting, behaves=False) as client:
                    client.until_closed()
                    self.assertIsNone(client.status(1))
                self.assertEqual(WORLD.fast.handled(), handled)

    def test_settings_that_seem_odd_and_are_allowed_harm_nobody(self):
        odd = [h2.settings((h2.HEADER_TABLE_SIZE, 0)), h2.settings((h2.HEADER_TABLE_SIZE, 0xffffffff)), h2.settings((h2.MAX_CONCURRENT_STREAMS, 0)), h2.settings((h2.MAX_HEADER_LIST_SIZE, 0)), h2.settings((0xffff, 0xffffffff)),
               h2.settings((h2.MAX_FRAME_SIZE, 0xffffff)), h2.settings((h2.INITIAL_WINDOW_SIZE, 1)), h2.settings((h2.INITIAL_WINDOW_SIZE, 0x7fffffff)), h2.frame(0xfa, 0xff, 0, b"whatever"), h2.frame(0xfa, 0xff, 99, b"whatever")]
        for frames in odd:
            with self.subTest(frames=frames), WORLD.dial() as client:
                client.say(frames, h2.request(1), h2.window_update(1, 0x7fffffff - 70_000) if h2.settings((h2.INITIAL_WINDOW_SIZE, 1)) == frames else b"")
                self.assertEqual(client.until_over(1).status(1), 200)


if __name__ == "__main__":
    unittest.main()
