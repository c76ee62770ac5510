"""What the library itself makes of gRPC: its deadline, and refusals that a gRPC program can read. gRPC programs on both ends have a file of their own."""

import re
import socket
import unittest

import peers
import support


class Inbound(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.server = self.mesh.serve("payments")
        self.cart = peers.issued(self.mesh, "cart")

    def ask(self, *fields):
        """Status and fields of the answer to a POST with these fields, as a peer of the mesh makes it that has no library."""
        host, port = self.server.info["address"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as plain, peers.client_context(self.cart).wrap_socket(plain) as tls:
            tls.sendall("".join(line + "\r\n" for line in ("POST /shop.Carts/Pay HTTP/1.1", "Host: " + peers.dns("payments"), "Connection: close", "Content-Length: 0", *fields, "")).encode())
            heard = peers.hear(tls).decode()
        return int(heard.split(" ")[1]), dict((k.lower(), v) for k, v in re.findall(r"^([\w-]+): (.*?)\r$", heard.split("\r\n\r\n")[0] + "\r\n", re.M))

    def test_a_grpc_timeout_that_has_passed_is_answered_in_grpcs_form(self):
        for timeout in ("0S", "1n", "1u"):
            with self.subTest(timeout):
                status, fields = self.ask("Content-Type: application/grpc+proto", "TE: trailers", "grpc-timeout: " + timeout)
                self.assertEqual((status, fields["content-type"], fields["grpc-status"], fields["mesh-not-processed"]), (200, "application/grpc", "4", "1"))
                self.assertEqual(fields["grpc-message"], "late: the caller's deadline had passed before the handler began")

    def test_it_is_the_deadline_where_the_mesh_says_none_and_where_it_is_one(self):
        grpc = "Content-Type: application/grpc"
        for fields in ([grpc, "grpc-timeout: 30S"], [grpc, "grpc-timeout: 0S", "mesh-deadline-ms: 30000"], [grpc, "grpc-timeout: 0s"], [grpc, "grpc-timeout: 99999999H"], [grpc, "grpc-timeout: -1S"],
                       [grpc], ["Content-Type: application/json", "grpc-timeout: 0S"], ["grpc-timeout: 0S"]):
            with self.subTest(fields):
                status, seen = self.ask(*fields)
                self.assertEqual((status, seen.get("grpc-status")), (200, None))  # the handler's
        status, seen = self.ask(grpc, "grpc-timeout: 30S", "mesh-deadline-ms: 0")
        self.assertEqual((status, seen.get("grpc-status")), (200, "4"))
        self.assertEqual(self.ask("Content-Type: application/json", "mesh-deadline-ms: 0")[0], 504)


REFUSED = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: overloaded: the queue is full\r\nmesh-not-processed: 1\r\nContent-Length: 0\r\n\r\n"
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 13\r\n\r\n"


def answers(bytes_):
    def script(server, tls):
        while request := peers.read_request(tls):
            server.saw(request)
            tls.sendall(bytes_)
    return script


class Outbound(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.payments = peers.issued(self.mesh, "payments")
        self.caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"))

    def server(self, script):
        server = peers.TlsServer(self.payments, script)
        self.addCleanup(server.close)
        return server

    def call(self, n, *servers, fields=()):
        args = ["-X", "POST", "-d", "frame", "-n", n, "-H", "content-type: application/grpc"]
        return self.caller.call(*(s.address for s in servers), args=args + [a for f in fields for a in ("-H", f)])[1]

    def test_what_a_mesh_refuses_in_grpcs_form_is_asked_elsewhere_also_a_post(self):
        full, free = self.server(answers(REFUSED)), self.server(answers(ANSWERED.replace(b"grpc-status: 13", b"grpc-status: 0")))
        result = self.call(40, full, free)
        refused = len(full.requests)
        self.assertGreater(refused, 0)
        self.assertEqual((result["ok"], result["tries"], len(free.requests)), (40, 40 + refused, 40))

    def test_where_all_refuse_the_caller_gets_the_answer_as_it_is(self):
        result = self.call(1, self.server(answers(REFUSED)))
        self.assertEqual((result["ok"], result["status"], result["tries"]), (1, {"200": 1}, 3))

    def test_a_status_that_may_follow_on_processing_is_not_asked_again(self):
        for answer in (REFUSED.replace(b"mesh-not-processed: 1\r\n", b""), REFUSED.replace(b"grpc-status: 14", b"grpc-status: 13"), ANSWERED):
            servers = [self.server(answers(answer)) for _ in range(2)]
            with self.subTest(answer):
                self.assertEqual(self.call(10, *servers)["tries"], 10)

    def test_the_callers_grpc_timeout_bounds_the_call_and_what_is_left_of_it_goes_out(self):
        server = self.server(answers(ANSWERED))
        self.call(1, server, fields=["grpc-timeout: 20S"])
        self.call(1, server)
        for request, most_us in zip(server.requests, (20000000, 60000000)):
            head = request.split(b"\r\n\r\n")[0].lower() + b"\r\n"
            said = [int(n) for n in re.findall(rb"\r\ngrpc-timeout: (\d{1,8})u\r", head)]
            left_ms = [int(n) for n in re.findall(rb"\r\nmesh-deadline-ms: (\d+)\r", head)]
            self.assertEqual((len(said), len(left_ms)), (1, 1), head)
            self.assertTrue(0 < said[0] <= most_us and (left_ms[0] - 1) * 1000 < said[0] <= left_ms[0] * 1000, head)
        silent = self.server(lambda server, tls: all(iter(lambda: tls.recv(65536), b"")))
        result = self.call(1, silent, fields=["grpc-timeout: 300m"])
        self.assertEqual(result["errors"], {"MESH_E_TIMEOUT": 1})


if __name__ == "__main__":
    unittest.main()
