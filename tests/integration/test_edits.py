"""What a route does to a request, as docs/EDITS.md has it: through programs that know of no mesh on either side."""

import http.client
import json
import os
import re
import unittest

import support


def page(name):
    with open(os.path.join(support.SRC, "docs", name), encoding="utf-8") as f:
        return f.read()


class Edits(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.text = page("EDITS.md")
        path = os.path.join(self.mesh.dir, "edits.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.search(r"^```yaml\n(.*?)^```$", self.text, re.M | re.S).group(1))
        self.mesh.ctl("apply", "-f", path)
        self.mesh.serve("payments")
        port = support.free_port()
        child = self.mesh.spawn([support.program("meshctl"), "connect", "--as", "cart", "--listen", f"127.0.0.1:{port}", "payments", "--data", self.mesh.data], "connect")
        child.wait_for_output("connected")
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=30 * support.SLOW)
        self.addCleanup(self.client.close)

    def ask(self, method, path, body=None, **headers):
        self.client.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.client.getresponse()
        return answer, answer.read()

    def test_each_request_of_the_page_has_its_end(self):
        rows = re.findall(r"^(GET) (\S+) +(\d{3}), (payments got|location:|)\s*(.*)$", re.search(r"^```text\n(.*?)^```$", self.text, re.M | re.S).group(1), re.M)
        self.assertEqual(len(rows), 6)
        for method, path, status, what, expected in rows:
            with self.subTest(path):
                answer, body = self.ask(method, path)
                self.assertEqual(answer.status, int(status))
                if what == "payments got":
                    self.assertEqual(json.loads(body)["path"], expected)
                elif what == "location:":
                    self.assertEqual((answer.headers["location"], body), (expected, b""))
                else:
                    self.assertEqual((body.decode(), answer.headers["content-type"]), (expected, "application/json"))

    def test_header_edits_reach_server_and_client_and_nothing_else_changes(self):
        answer, body = self.ask("POST", "/v1/pay", b"12 EUR", x_debug="1", x_tier="tin", x_via="edge", x_kept="1")
        seen = json.loads(body)
        self.assertEqual({k: v for k, v in seen["headers"].items() if k.startswith("x-") and not k.startswith("x-forwarded")}, {"x-tier": "gold", "x-via": "edge, mesh", "x-kept": "1"})
        self.assertEqual((seen["method"], seen["path"], seen["body"]), ("POST", "/v2/pay", "12 EUR"))
        self.assertEqual((answer.headers["cache-control"], answer.headers["content-type"]), ("no-store", None))

    def test_an_upload_is_answered_by_the_route_and_the_next_request_finds_its_place(self):
        pieces = [b"x" * 65536] * 16
        self.client.putrequest("POST", "/refunds/7")
        self.client.putheader("Transfer-Encoding", "chunked")
        self.client.endheaders()
        try:
            for piece in pieces:
                self.client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.client.send(b"0\r\n\r\n")
        except OSError:
            pass  # the answer came first
        answer = self.client.getresponse()
        self.assertEqual((answer.status, answer.read()), (503, b'{"error":"closed"}'))
        self.client.close()
        self.assertEqual(self.ask("GET", "/v1")[0].status, 200)

    def test_a_grpc_program_gets_a_status_alone(self):
        for path, fields in (("/refunds/Pay", ("14", '{"error":"closed"}')), ("/make-payment", ("2", "redirected to /v2/pay"))):
            with self.subTest(path):
                answer, body = self.ask("POST", path, b"\0\0\0\0\0", content_type="application/grpc", te="trailers")
                self.assertEqual((answer.status, answer.headers["content-type"], body), (200, "application/grpc", b""))
                self.assertEqual((answer.headers["grpc-status"], answer.headers["grpc-message"]), fields)

    def test_an_answer_by_a_route_needs_no_endpoint(self):
        self.mesh.children[-2].stop()
        self.mesh.wait_endpoints("payments", 0)
        self.assertEqual(self.ask("GET", "/refunds/7")[0].status, 503)
        self.assertEqual(self.ask("GET", "/make-payment")[0].status, 308)

    def test_a_changed_document_holds_for_the_next_request(self):
        path = os.path.join(self.mesh.dir, "other.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": "payments", "routes": [{"name": "all", "directResponse": {"status": 418, "body": "short and stout"}}]}, f)
        self.mesh.ctl("apply", "-f", path)
        answer, body = support.wait_until(lambda: (lambda pair: pair if pair[0].status == 418 else None)(self.ask("GET", "/v1")), "the other document in force", 10)
        self.assertEqual((body, answer.headers["content-type"]), (b"short and stout", "text/plain"))


if __name__ == "__main__":
    unittest.main()
