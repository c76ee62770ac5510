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


if __name__ == "__main__":
    unittest.main()
