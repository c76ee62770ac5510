"""HTTP/2 to the byte (RFC 9113, RFC 7541), as a client that keeps no rule: frames go out as they are written here, and what the server made of them is noted. The C side's twin is tests/support/h2_frames.h.

    client = h2.dial(address, peers.client_context(identity))
    client.say(h2.request(1), h2.rst_stream(1))
    client.until(lambda: client.goaway, "the server to have had enough")
"""

import collections
import ctypes
import select
import socket
import ssl
import struct
import time

import support

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR,
 ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
FRAME_MAX = 16384
FIRST_INDEX = 62  # of the dynamic table


# ---- frames ----

def frame(kind, flags=0, stream=0, payload=b"", claimed=None):
    """Any frame at all; `claimed`: the length that its head says, whatever follows."""
    return struct.pack(">I", len(payload) if claimed is None else claimed)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def settings_ack():
    return frame(SETTINGS, ACK)


def data(stream, payload=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def rst_stream(stream, error=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def goaway(last=0, error=NO_ERROR):
    return frame(GOAWAY, payload=struct.pack(">II", last, error))


def ping(flags=0):
    return frame(PING, flags, payload=bytes(8))


def priority(stream, depends_on=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends_on, weight))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


# ---- field blocks ----

def integer(value, bits, mark=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([mark | value])
    out, value = [mark | most], value - most
    while value >= 128:
        out.append(0x80 | value & 0x7f)
        value >>= 7
    return bytes(out + [value])


def raw(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def string(text):
    return integer(len(raw(text)), 7) + raw(text)


def field(name, value, mark=0):
    """A literal with a new name, without index (0x40: put into the table)."""
    return bytes([mark]) + string(name) + string(value)


def index(number):
    return integer(number, 7, 0x80)


def block(fields):
    return b"".join(field(name, value) for name, value in fields)


def fields_of(method="GET", path="/", more=(), authority="payments", scheme="https"):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *more]


def headers(stream, fragment, end=True, flags=END_HEADERS):
    """`fragment`: the bytes of a field block, or its fields; over as many frames as it takes."""
    fragment = fragment if isinstance(fragment, bytes) else block(fragment)
    parts = [fragment[at:at + FRAME_MAX] for at in range(0, len(fragment), FRAME_MAX)] or [b""]
    first = frame(HEADERS, (flags if len(parts) == 1 else 0) | (END_STREAM if end else 0), stream, parts[0])
    return first + b"".join(frame(CONTINUATION, flags if part is parts[-1] else 0, stream, part) for part in parts[1:])


def continuation(stream, fragment=b"", end=False):
    return frame(CONTINUATION, END_HEADERS if end else 0, stream, fragment)


def request(stream, end=True, **kwargs):
    return headers(stream, fields_of(**kwargs), end)


# ---- what the server's field blocks say: nghttp2 inflates them ----

class _Field(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_uint8)), ("value", ctypes.POINTER(ctypes.c_uint8)), ("name_len", ctypes.c_size_t), ("value_len", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


class Inflater:
    EMIT, FINAL = 2, 1

    def __init__(self):
        self.lib = ctypes.CDLL("libnghttp2.so.14")
        self.lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        self.lib.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Field), ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
        self.lib.nghttp2_hd_inflate_end_headers.argtypes = self.lib.nghttp2_hd_inflate_del.argtypes = [ctypes.c_void_p]
        self.hd = ctypes.c_void_p()
        assert self.lib.nghttp2_hd_inflate_new(ctypes.byref(self.hd)) == 0

    def __del__(self):
        self.lib.nghttp2_hd_inflate_del(self.hd)

    def fields(self, bytes_of_block):
        found, flags = [], ctypes.c_int(0)
        while not flags.value & self.FINAL:
            one = _Field()
            n = self.lib.nghttp2_hd_inflate_hd2(self.hd, ctypes.byref(one), ctypes.byref(flags), bytes_of_block, len(bytes_of_block), 1)
            assert n >= 0, f"the server's field block is none: {n}"
            bytes_of_block = bytes_of_block[n:]
            if flags.value & self.EMIT:
                found.append((ctypes.string_at(one.name, one.name_len).decode(), ctypes.string_at(one.value, one.value_len).decode()))
        self.lib.nghttp2_hd_inflate_end_headers(self.hd)
        return found


# ---- a connection ----

class Client:
    """Notes what the server says while it talks. It answers SETTINGS and gives windows back, as far as `behaves` says."""

    def __init__(self, sock, greeting=PREFACE + settings(), behaves=True):
        self.sock, self.behaves, self.inflater = sock, behaves, Inflater()
        self.buffer, self.out = b"", b""
        self.goaway = None                      # (last stream, error), the last that came
        self.closed = False                     # the server has ended the connection
        self.resets = {}                        # stream: error
        self.fields = {}                        # stream: [(name, value)], of trailers too
        self.bodies = collections.defaultdict(bytes)
        self.ended = set()                      # streams with END_STREAM
        self.count = collections.Counter()      # frames, by type
        self.windows = collections.Counter()    # bytes that WINDOW_UPDATE gave, by stream
        self.settings = {}
        self.block = b""
        sock.setblocking(False)
        self.say(greeting)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def status(self, stream):
        """Of its answer; None before it came."""
        return next((int(value) for name, value in self.fields.get(stream, ()) if name == ":status"), None)

    def error(self):
        """GOAWAY's; None for none, and for a farewell in order."""
        return self.goaway[1] if self.goaway and self.goaway[1] != NO_ERROR else None

    def refused(self, stream):
        """How the request was refused: an error code (of the stream or the connection) or a status of 400 and above; None when it was not."""
        status = self.status(stream)
        return self.error() or self.resets.get(stream) or (status if status and status >= 400 else None)

    def over(self, stream):
        """The server has done with it."""
        return stream in self.ended or stream in self.resets or self.closed

    # -- bytes --

    def say(self, *frames, seconds=30):
        """Sends them all, reading what comes meanwhile. False when the server has ended the connection before."""
        self.out += b"".join(frames)
        deadline = time.monotonic() + seconds * support.SLOW
        while self.out and not self.closed:
            self.step(deadline)
        self.out = b"" if self.closed else self.out
        return not self.closed

    def until(self, happened, what, seconds=15):
        """Reads until it has happened; the connection's end is no failure, if it has happened then. Returns what `happened` does."""
        deadline = time.monotonic() + seconds * support.SLOW
        while not happened():
            if self.closed:
                raise AssertionError(f"the server ended the connection before: {what}; {self!r}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds * support.SLOW} s: {what}; {self!r}")
            self.step(deadline)
        return happened()

    def until_over(self, *streams, seconds=15):
        self.until(lambda: all(self.over(s) for s in streams), f"streams {streams[:5]} to be over", seconds)
        return self

    def upload(self, size, *streams, seconds=15):
        """Bodies of so many zeros for streams that are open, a multiple of a frame's size, frame by frame in turns and as fast as the windows allow, until all are over."""
        sent, turns, deadline = dict.fromkeys(streams, 0), collections.deque(streams), time.monotonic() + seconds * support.SLOW
        while not all(self.over(s) for s in streams):
            if self.closed or time.monotonic() > deadline:
                raise AssertionError(f"the server ended the connection, or not within {seconds * support.SLOW} s: streams {[s for s in streams if not self.over(s)][:5]} to be over; {self!r}")
            for s in list(turns):
                if sent[s] == size or self.over(s):
                    turns.remove(s)
                elif len(self.out) < 65536 and sum(sent.values()) + FRAME_MAX <= 65535 + self.windows[0] and sent[s] + FRAME_MAX <= self.settings[INITIAL_WINDOW_SIZE] + self.windows[s]:
                    sent[s] += FRAME_MAX
                    self.out += data(s, bytes(FRAME_MAX), end=sent[s] == size)
                    turns.remove(s)
                    turns.append(s)
            self.step(deadline)
        return self

    def until_closed(self, seconds=15):
        self.until(lambda: self.closed, "the connection to end", seconds)
        return self

    def __repr__(self):
        return f"closed={self.closed} goaway={self.goaway} resets={dict(list(self.resets.items())[:5])} statuses={[(s, self.status(s)) for s in list(self.fields)[:5]]} frames={dict(self.count)}"

    def step(self, deadline):
        """Writes and reads what can be now; waits, when neither can."""
        moved = self._write() if self.out else False
        moved = self._read() or moved
        if not moved and not self.closed:
            select.select([self.sock], [self.sock] if self.out else [], [], max(0, min(0.25, deadline - time.monotonic())))

    def _write(self):
        try:
            n = self.sock.send(self.out[:65536])
            self.out = self.out[n:]
            return True
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            self._drain()
            return True

    def _drain(self):
        """It can be written to no more: what it said is still to be read."""
        try:
            while self._read() and not self.closed:
                pass
        finally:
            self.closed = True

    def _read(self):
        try:
            chunk = self.sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
            return True
        self.buffer += chunk
        self._split()
        return True

    # -- frames --

    def _split(self):
        at = 0
        while len(self.buffer) - at >= 9:
            length = int.from_bytes(self.buffer[at:at + 3], "big")
            if len(self.buffer) - at - 9 < length:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self.buffer, at + 3)
            self._note(kind, flags, stream & 0x7fffffff, self.buffer[at + 9:at + 9 + length])
            at += 9 + length
        self.buffer = self.buffer[at:]

    def _note(self, kind, flags, stream, payload):
        self.count[kind] += 1
        if kind == GOAWAY:
            self.goaway = struct.unpack_from(">II", payload)
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif kind == WINDOW_UPDATE:
            self.windows[stream] += struct.unpack(">I", payload)[0]
        elif kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.unpack_from(">HI", payload, at) for at in range(0, len(payload), 6))
            self.out += settings_ack() if self.behaves else b""
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, payload=payload) if self.behaves else b""
        elif kind in (HEADERS, CONTINUATION):
            self.block += payload
            if flags & END_HEADERS:
                self.fields.setdefault(stream, []).extend(self.inflater.fields(self.block))
                self.block = b""
        elif kind == DATA:
            self.bodies[stream] += payload
            if self.behaves and payload:
                self.out += window_update(0, len(payload)) + window_update(stream, len(payload))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)


def dial(address, context, resume=None, **kwargs):
    """Over TLS, where the server must have chosen h2; `context` None: in plaintext, by prior knowledge."""
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=30 * support.SLOW)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return Client(plain, **kwargs)
    context.set_alpn_protocols(["h2", "http/1.1"])
    tls = context.wrap_socket(plain, session=resume)
    assert tls.selected_alpn_protocol() == "h2", f"ALPN chose {tls.selected_alpn_protocol()}"
    return Client(tls, **kwargs)
