"""THREATS 14: names. Two URI SANs; a SPIFFE string only in CN or DNS SAN; wildcard; /svc/a against /svc/ab; `..`, `//`, `%`, upper case, port, query, trailing slash; a NUL inside the URI."""

import unittest

import peers
import support
from peers import dns, spiffe

URI, DNS = 6, 2
GOOD = spiffe("payments")


def bad_uris(pki):
    """What must be refused on both sides, as not having the one URI name: row name, and how to make it."""
    def uri(text):
        return lambda name: pki.mint(name, uris=[text], names=[dns("payments")])

    def san(*general_names):
        return lambda name: pki.mint_san(name, *general_names)

    return {
        "two uris": lambda n: pki.mint(n, uris=[GOOD, spiffe("cart")], names=[dns("payments")]),
        "the same uri twice": lambda n: pki.mint(n, uris=[GOOD, GOOD], names=[dns("payments")]),
        "a second uri that is none of spiffe": lambda n: pki.mint(n, uris=[GOOD, "https://example.com/"], names=[dns("payments")]),
        "spiffe in cn only": lambda n: pki.mint(n, "--cn", GOOD, names=[dns("payments")]),
        "spiffe in dns only": lambda n: pki.mint(n, names=[dns("payments"), GOOD]),
        "spiffe as the one dns name": lambda n: pki.mint(n, names=[GOOD]),
        "no san at all": lambda n: pki.mint(n, "--cn", dns("payments")),
        "a wildcard in the uri": uri(spiffe("*")),
        "a wildcard service": uri(spiffe("pay*")),
        "dot dot": uri("spiffe://mesh.local/ns/default/svc/x/../payments"),
        "dot dot at the end": uri("spiffe://mesh.local/ns/default/svc/payments/.."),
        "dot": uri("spiffe://mesh.local/ns/default/./svc/payments"),
        "empty segment": uri("spiffe://mesh.local/ns/default//svc/payments"),
        "empty segment in front": uri("spiffe://mesh.local//ns/default/svc/payments"),
        "percent": uri("spiffe://mesh.local/ns/default/svc/p%61yments"),
        "percent nul": uri("spiffe://mesh.local/ns/default/svc/payments%00"),
        "upper case service": uri("spiffe://mesh.local/ns/default/svc/Payments"),
        "upper case scheme": uri("SPIFFE://mesh.local/ns/default/svc/payments"),
        "upper case domain": uri("spiffe://MESH.local/ns/default/svc/payments"),
        "upper case in ns": uri("spiffe://mesh.local/NS/default/svc/payments"),
        "port": uri("spiffe://mesh.local:443/ns/default/svc/payments"),
        "userinfo": uri("spiffe://x@mesh.local/ns/default/svc/payments"),
        "query": uri(GOOD + "?x=1"),
        "fragment": uri(GOOD + "#x"),
        "trailing slash": uri(GOOD + "/"),
        "more path": uri(GOOD + "/v1"),
        "less path": uri("spiffe://mesh.local/ns/default"),
        "no domain": uri("spiffe:///ns/default/svc/payments"),
        "another scheme": uri("https://mesh.local/ns/default/svc/payments"),
        "leading space": uri(" " + GOOD),
        "trailing dot of the domain": uri("spiffe://mesh.local./ns/default/svc/payments"),
        "over long service": uri(spiffe("p" * 64)),
        "nul inside the uri": san((URI, GOOD.encode() + b"\0.evil"), (DNS, dns("payments").encode())),
        "nul in front of the rest": san((URI, b"spiffe://mesh.local/ns/default/svc/pay\0ments"), (DNS, dns("payments").encode())),
        "nul at the end": san((URI, GOOD.encode() + b"\0"), (DNS, dns("payments").encode())),
        "newline inside the uri": san((URI, GOOD.encode() + b"\n"), (DNS, dns("payments").encode())),
        "not ascii": san((URI, GOOD.encode() + b"\xc3\xa9"), (DNS, dns("payments").encode())),
        "empty uri": san((URI, b""), (DNS, dns("payments").encode())),
        "a spiffe string as e-mail address": san((1, GOOD.encode()), (DNS, dns("payments").encode())),
    }


def bad_dns_names(pki):
    """What our client must refuse: by DNS name the TLS library checks that it is the service that was called."""
    return {
        "no dns name": lambda n: pki.mint(n, "--no-dns", uris=[GOOD]),
        "a dns name of another service": lambda n: pki.mint(n, uris=[GOOD], names=[dns("cart")]),
        "a wildcard dns name": lambda n: pki.mint(n, uris=[GOOD], names=["*.default.mesh.local"]),
        "a wildcard beside the right one": lambda n: pki.mint(n, uris=[GOOD], names=[dns("payments"), "*.default.mesh.local"]),
        "nul inside the dns name": lambda n: pki.mint_san(n, (URI, GOOD.encode()), (DNS, dns("payments").encode() + b"\0.evil")),
    }


def make_all(table, prefix):
    return {row: make(f"{prefix}{i}") for i, (row, make) in enumerate(table.items())}


class Threat14(support.MeshTest):
    def setUp(self):
        super().setUp()
        self.pki = peers.Pki.of(self.mesh)
        self.uris = make_all(bad_uris(self.pki), "uri")
        self.dns_names = make_all(bad_dns_names(self.pki), "dns")

    def test_our_server_refuses_each_bad_name_in_the_handshake(self):
        judge = peers.Judge(self.mesh)
        self.assertIsNone(judge.refusal_of(self.pki.good("cart")), "the honest one must get in, else the table proves nothing")
        for row, identity in self.uris.items():
            with self.subTest(row):
                self.assertEqual(judge.refusal_of(identity), "uri-san")
        for row in ("a wildcard dns name", "a wildcard beside the right one"):
            with self.subTest(row):
                self.assertEqual(judge.refusal_of(self.dns_names[row]), "name")
        self.assertIsNone(judge.refusal_of(self.pki.good("cart", name="again")))

    def test_our_client_refuses_each_bad_name_before_the_first_request_byte(self):
        caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"))
        self.assertIsNone(caller.error_of(self.pki.good("payments"))[0], "the honest one must be called, else the table proves nothing")
        for row, identity in {**self.uris, **self.dns_names}.items():
            with self.subTest(row):
                error, said = caller.error_of(identity)
                self.assertEqual(error, "MESH_E_IDENTITY", said)
                self.assertIn("reached no handler", said)

    def test_a_name_that_begins_like_the_right_one_is_another(self):
        caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"), service="a")
        for service in ("ab", "b", "a-a"):
            for row, identity in {
                "honest": self.pki.good(service, name=f"honest-{service}"),
                "with the dns name of the right one": self.pki.mint(f"dns-{service}", uris=[spiffe(service)], names=[dns("a")]),
                "right service, other namespace": self.pki.mint(f"ns-{service}", uris=[spiffe("a", namespace="ab")], names=[dns("a")]),
            }.items():
                with self.subTest(service=service, row=row):
                    error, said = caller.error_of(identity)
                    self.assertEqual(error, "MESH_E_IDENTITY", said)
        longer = peers.Caller(self.mesh, caller.identity, service="ab")
        self.assertEqual(longer.error_of(self.pki.good("a"))[0], "MESH_E_IDENTITY")
        self.assertIsNone(caller.error_of(self.pki.good("a", name="a-again"))[0])


if __name__ == "__main__":
    unittest.main()
