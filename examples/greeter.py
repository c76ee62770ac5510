#!/usr/bin/env python3
"""A gRPC service and its client, which know of no mesh (grpc.sh puts them into one). Messages are bytes as they are: nothing is generated.

greeter.py serve           prints the port that it listens on
greeter.py greet HOST:PORT NAME...   greets all of them in one stream, each when the one before has answered
"""
import concurrent.futures
import queue
import sys

import grpc


def greet(names, context):
    told = dict(context.invocation_metadata())
    caller = told.get("x-forwarded-client-cert", "URI=nobody that is known").rpartition("URI=")[2]
    for name in names:
        yield b"hello " + name + b" from a server that knows: you are " + caller.encode()


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    methods = {"Greet": grpc.stream_stream_rpc_method_handler(greet)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("example.Greeter", methods),))
    print("listening on", server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def call(target, names):
    names_to_send = queue.SimpleQueue()
    with grpc.insecure_channel(target) as channel:
        answers = channel.stream_stream("/example.Greeter/Greet")(iter(names_to_send.get, None), timeout=20)
        for name in names:
            names_to_send.put(name.encode())
            print(next(answers).decode())
        names_to_send.put(None)
        list(answers)


if sys.argv[1:2] == ["serve"]:
    serve()
elif len(sys.argv) > 3 and sys.argv[1] == "greet":
    call(sys.argv[2], sys.argv[3:])
else:
    sys.exit(__doc__)
