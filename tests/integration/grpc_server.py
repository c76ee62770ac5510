"""A gRPC server of no mesh: `grpc_server.py`. Prints its port once it listens. Its methods are test.Mesh/NAME; messages are bytes as they are.

What it saw of a call it tells by later calls: /Seen, /Release.
"""

import concurrent.futures
import hashlib
import json
import threading

import grpc

PATIENCE_S = 60
DETAILS = bytes(range(256))  # of grpc-status-details-bin: any bytes


class Book:
    """What happened, by the name that a call gives itself in x-call: for whoever waits."""

    def __init__(self):
        self.changed = threading.Condition()
        self.facts = set()

    def put(self, *fact):
        with self.changed:
            self.facts.add(fact)
            self.changed.notify_all()

    def wait(self, *fact):
        with self.changed:
            return self.changed.wait_for(lambda: fact in self.facts, PATIENCE_S)


book = Book()


def name_of(context):
    return dict(context.invocation_metadata()).get("x-call", "")


def watch(context):
    """Tells of a call that its caller has given up, once it is over."""
    name = name_of(context)
    context.add_callback(lambda: book.put("over", name))
    book.put("begun", name)
    return name


def echo(request, context):
    """The message; and the caller's x-* metadata as initial and as trailing metadata."""
    mine = [(k, v) for k, v in context.invocation_metadata() if k.startswith("x-") and not k.startswith("x-forwarded-")]
    context.send_initial_metadata([(k.replace("x-", "x-first-", 1), v) for k, v in mine])
    context.set_trailing_metadata([(k.replace("x-", "x-last-", 1), v) for k, v in mine])
    return request


def gather(requests, context):
    """How many, and the SHA-256 of all: client streaming. The first message is told of at once, for who gives up in the middle."""
    name, n, digest = watch(context), 0, hashlib.sha256()
    for request in requests:
        book.put("first", name)
        n += 1
        digest.update(request)
    return json.dumps([n, digest.hexdigest()]).encode()


def scatter(request, context):
    """{"n": 5, "size": 9, "hold": true}: n messages of that size; with hold the second waits for /Release, with fail an error ends it."""
    wish, name = json.loads(request), watch(context)
    for i in range(wish["n"]):
        if i == 1 and wish.get("hold") and not book.wait("released", name):
            context.abort(grpc.StatusCode.INTERNAL, "never released")
        yield bytes([i % 256]) * wish["size"]
    if wish.get("fail"):
        context.abort(grpc.StatusCode.DATA_LOSS, "after the messages")


def ping(requests, context):
    """An answer to each message, when it has come."""
    watch(context)
    for request in requests:
        yield b"pong " + request


def after(requests, context):
    """Nothing before the caller has ended its side; then all, the last first."""
    watch(context)
    yield from reversed(list(requests))


def early(requests, context):
    """One message is enough: the status comes while the caller still sends."""
    watch(context)
    yield b"enough: " + next(iter(requests))


def fail(request, context):
    """{"code": "ABORTED", "text": …}: that status, with details."""
    wish = json.loads(request)
    context.set_trailing_metadata([("grpc-status-details-bin", DETAILS), ("x-why", "asked for")])
    context.abort(getattr(grpc.StatusCode, wish["code"]), wish["text"])


def left(_, context):
    """The time that the caller has left, in seconds."""
    return json.dumps(context.time_remaining()).encode()


def stall(_, context):
    """No answer before the call is over."""
    book.wait("over", watch(context))
    return b"late"


def seen(request, _):
    """["over", "name"]: whether that happened, waiting for it."""
    return json.dumps(book.wait(*json.loads(request))).encode()


def release(request, _):
    book.put("released", request.decode())
    return b""


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo), "Gather": grpc.stream_unary_rpc_method_handler(gather), "Scatter": grpc.unary_stream_rpc_method_handler(scatter),
    "Ping": grpc.stream_stream_rpc_method_handler(ping), "After": grpc.stream_stream_rpc_method_handler(after), "Early": grpc.stream_stream_rpc_method_handler(early),
    "Fail": grpc.unary_unary_rpc_method_handler(fail), "Left": grpc.unary_unary_rpc_method_handler(left), "Stall": grpc.unary_unary_rpc_method_handler(stall),
    "Seen": grpc.unary_unary_rpc_method_handler(seen), "Release": grpc.unary_unary_rpc_method_handler(release),
}


def main():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Mesh", METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening on", port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
