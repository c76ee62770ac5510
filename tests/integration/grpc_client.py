"""A gRPC client of no mesh: `grpc_client.py HOST:PORT` makes the calls below and prints what came of each, as one JSON object. Run directly at the server and through the mesh the two must be the same.

`grpc_client.py HOST:PORT DIR NAME` speaks mutual TLS, with cert.pem, key.pem and bundle.pem of DIR, to the server NAME.
"""

import concurrent.futures
import hashlib
import json
import os
import sys
import threading

import grpc

PATIENCE_S = 60
ALL_BYTES = bytes(range(256))
ROWS = {}


def row(function):
    ROWS[function.__name__] = function
    return function


class Peer:
    """A channel, and its methods by kind."""

    def __init__(self, target, directory=None, name=None):
        options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        if directory is None:
            self.channel = grpc.insecure_channel(target, options=options)
        else:
            pem = [open(os.path.join(directory, file), "rb").read() for file in ("bundle.pem", "key.pem", "cert.pem")]
            self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem), options=options + [("grpc.ssl_target_name_override", name)])

    def unary(self, name):
        return self.channel.unary_unary("/test.Mesh/" + name)

    def seen(self, *fact):
        return json.loads(self.unary("Seen")(json.dumps(fact).encode(), timeout=PATIENCE_S))


def named(name):
    return [("x-call", name)]


def own(metadata):
    """Metadata of the two programs' own, in order; bytes as lists."""
    return [(k, list(v) if isinstance(v, bytes) else v) for k, v in metadata or () if k.startswith("x-") or k == "grpc-status-details-bin"]


def failure(error):
    return {"code": error.code().name, "details": error.details(), "trailing": own(error.trailing_metadata())}


def outcome(call):
    """Of a call that is made: its messages' sizes and sum, or the status."""
    digest, sizes = hashlib.sha256(), []
    try:
        for message in call:
            sizes.append(len(message))
            digest.update(message)
    except grpc.RpcError as error:
        return {"sizes": sizes, **failure(error)}
    return {"sizes": sizes, "sum": digest.hexdigest(), "code": call.code().name}


def attempt(method, message, **more):
    try:
        return method(message, timeout=more.pop("timeout", PATIENCE_S), **more).decode("latin-1")
    except grpc.RpcError as error:
        return failure(error)


@row
def unary(peer):
    return [attempt(peer.unary("Echo"), b"hello"), attempt(peer.unary("Echo"), b"")]


@row
def unary_metadata_both_ways(peer):
    sent = [("x-text", "a value, with; marks"), ("x-twice", "1"), ("x-twice", "2"), ("x-any-bin", ALL_BYTES), ("x-empty", "")]
    message, call = peer.unary("Echo").with_call(b"m", metadata=sent, timeout=PATIENCE_S)
    return [message.decode(), own(call.initial_metadata()), own(call.trailing_metadata()), call.code().name]


@row
def unary_large_messages(peer):
    message = ALL_BYTES * (12 * 1024 + 7)  # 3 MiB: both ways over any window
    return peer.unary("Echo")(message, timeout=PATIENCE_S) == message


@row
def unary_compressed(peer):
    return attempt(peer.unary("Echo"), b"again and " * 1000, compression=grpc.Compression.Gzip)


@row
def many_at_once(peer):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda i: attempt(peer.unary("Echo"), b"%d" % i), range(100)))


@row
def client_streaming(peer):
    method = peer.channel.stream_unary("/test.Mesh/Gather")
    return [json.loads(method(iter(messages), timeout=PATIENCE_S)) for messages in ([], [b"one"], [b"m%d" % i for i in range(500)], [bytes([i]) * 100000 for i in range(60)])]


@row
def server_streaming(peer):
    method = peer.channel.unary_stream("/test.Mesh/Scatter")
    return [outcome(method(json.dumps(wish).encode(), timeout=PATIENCE_S)) for wish in ({"n": 0, "size": 1}, {"n": 500, "size": 3}, {"n": 60, "size": 100000})]


@row
def server_streaming_comes_as_it_is_sent(peer):
    """The second message is sent when the first has come here."""
    call = peer.channel.unary_stream("/test.Mesh/Scatter")(b'{"n": 2, "size": 5, "hold": true}', metadata=named("held"), timeout=PATIENCE_S)
    first = next(call)
    peer.unary("Release")(b"held", timeout=PATIENCE_S)
    return [len(first), outcome(call)]


@row
def ping_pong(peer):
    """Each message goes when the answer to the one before has come; the header alone before the first."""
    answered = threading.Semaphore(0)

    def messages():
        for i in range(100):
            yield b"%d" % i
            if not answered.acquire(timeout=PATIENCE_S):
                return

    answers = []
    for answer in peer.channel.stream_stream("/test.Mesh/Ping")(messages(), timeout=PATIENCE_S):
        answers.append(answer.decode())
        answered.release()
    return answers


@row
def half_close(peer):
    """The server answers when this side has ended."""
    return outcome(peer.channel.stream_stream("/test.Mesh/After")(iter([b"a", b"bb", b"ccc"]), timeout=PATIENCE_S))


def one_until(over):
    """One message, behind which the sender holds on until it is told."""
    yield b"one"
    over.wait(PATIENCE_S)


@row
def early_answer(peer):
    """The status comes while this side still has something to send."""
    over = threading.Event()
    result = outcome(peer.channel.stream_stream("/test.Mesh/Early")(one_until(over), timeout=PATIENCE_S))
    over.set()
    return result


@row
def error_with_details(peer):
    texts = ("plain", "per%cent, \u00fcber \u4e16\u754c", "")
    return [attempt(peer.unary("Fail"), json.dumps({"code": code, "text": text}).encode()) for code in ("ABORTED", "UNAVAILABLE", "PERMISSION_DENIED") for text in texts]


@row
def error_after_messages(peer):
    return outcome(peer.channel.unary_stream("/test.Mesh/Scatter")(b'{"n": 3, "size": 7, "fail": true}', timeout=PATIENCE_S))


@row
def deadline_is_told(peer):
    left = json.loads(peer.unary("Left")(b"", timeout=20))
    return 0 < left <= 20.1  # the server rounds up


@row
def deadline_ends_the_call_on_both_sides(peer):
    code = attempt(peer.unary("Stall"), b"", timeout=0.5, metadata=named("late"))["code"]
    return [code, peer.seen("over", "late")]


@row
def cancelled_while_waiting(peer):
    call = peer.unary("Stall").future(b"", timeout=PATIENCE_S, metadata=named("waits"))
    begun = peer.seen("begun", "waits")
    call.cancel()
    return [begun, call.cancelled(), peer.seen("over", "waits")]


@row
def cancelled_while_receiving(peer):
    call = peer.channel.unary_stream("/test.Mesh/Scatter")(b'{"n": 2, "size": 5, "hold": true}', metadata=named("receives"), timeout=PATIENCE_S)
    first = next(call)
    call.cancel()
    result = [len(first), peer.seen("over", "receives")]
    peer.unary("Release")(b"receives", timeout=PATIENCE_S)  # its thread is free again
    return result


@row
def cancelled_while_sending(peer):
    over = threading.Event()
    call = peer.channel.stream_unary("/test.Mesh/Gather").future(one_until(over), metadata=named("sends"), timeout=PATIENCE_S)
    result = [peer.seen("first", "sends"), call.cancel(), peer.seen("over", "sends")]
    over.set()
    return result


def main():
    peer = Peer(*sys.argv[1:])
    grpc.channel_ready_future(peer.channel).result(PATIENCE_S)
    results = {}
    for name in ROWS:
        if name in os.environ.get("GRPC_WITHOUT", "").split():
            continue
        try:
            results[name] = ROWS[name](peer)
        except grpc.RpcError as error:  # a row that was to succeed: the test shows it
            results[name] = failure(error)
        except Exception as error:
            results[name] = repr(error)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
