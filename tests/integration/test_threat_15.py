"""THREATS 15: purposes, times and chains. A CA certificate, or a leaf with keyCertSign, as peer; EKU missing or wrong; expired, not yet valid; pathlen violated; an intermediate that issues for another domain."""

import os
import unittest

import peers
import support
from peers import dns, spiffe

NAMES = {"uris": [spiffe("payments")], "names": [dns("payments")]}
FOREIGN = {"uris": [spiffe("payments", "other.local")], "names": [dns("payments", "other.local"), dns("payments")]}


def bare(cert):
    """The first certificate of a file alone, in a file of its own."""
    path = cert + ".bare"
    with open(cert) as whole, open(path, "w") as out:
        out.write(whole.read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    return path


def own_ca(pki, name, *args, uris=None, ca=None):
    """A CA under the mesh's (or under `ca`), with its chain."""
    return pki.mint(name, "--ca", "--cert-sign", "--cn", name, *args, uris=uris, ca=ca)


def refused(pki, root):
    """Row name: the reason that our server counts, and the identity."""
    below = own_ca(pki, "below")                                                # the mesh's intermediate has pathlen 0
    loose = own_ca(pki, "loose", ca=root)
    narrow = own_ca(pki, "narrow", "--pathlen", 0, ca=root)
    under_narrow = own_ca(pki, "under-narrow", ca=narrow)
    no_sign = pki.mint("no-sign", "--cn", "no-sign", ca=root)                  # no CA at all
    foreign_ca = own_ca(pki, "foreign-ca", uris=["spiffe://other.local"], ca=root)
    stranger = peers.Pki(pki.path("stranger"))
    return {
        "the CA itself": ("ca", peers.Identity(pki.ca_cert, pki.ca_key)),
        "a CA with a service's names": ("ca", pki.mint("ca-leaf", "--ca", "--cert-sign", **NAMES)),
        "CA:TRUE without keyCertSign": ("ca", pki.mint("ca-only", "--ca", **NAMES)),
        "a leaf with keyCertSign": ("ca", pki.mint("sign-leaf", "--cert-sign", **NAMES)),
        "no EKU": ("eku", pki.mint("no-eku", "--no-eku", **NAMES)),
        "EKU for servers alone": ("eku", pki.mint("server-only", "--server-only", **NAMES)),
        "EKU for clients alone": ("eku", pki.mint("client-only", "--client-only", **NAMES)),
        "expired": ("expired", pki.mint("expired", "--not-before", -7200, "--not-after", -60, **NAMES)),
        "not yet valid": ("not-yet-valid", pki.mint("future", "--not-before", 3600, "--not-after", 7200, **NAMES)),
        "under a CA that the intermediate's pathlen forbids": ("chain", pki.mint("deep", ca=below, **NAMES)),
        "under a CA that a pathlen of ours forbids": ("chain", pki.mint("deep-narrow", ca=under_narrow, **NAMES)),
        "issued by a leaf": ("chain", pki.mint("by-leaf", ca=no_sign, **NAMES)),
        "under an intermediate of another domain": ("trust-domain", pki.mint("foreign-issuer", ca=foreign_ca, **NAMES)),
        "our intermediate, for another domain": ("name", pki.mint("foreign-leaf", **FOREIGN)),
        "an intermediate under our root, for another domain": ("name", pki.mint("foreign-loose", ca=loose, **FOREIGN)),
        "without an intermediate that we know not": ("chain", peers.Identity(bare(pki.mint("bare", ca=loose, **NAMES).cert), pki.path("bare-key.pem"))),
        "of another CA": ("chain", stranger.mint("stranger", **NAMES)),
        "of another CA, with our intermediate behind it": ("chain", spliced(stranger, pki)),
        "self-signed": ("chain", self_signed(pki)),
        # A client may find that the server asks for ECDSA alone, and show nothing (OpenSSL 3.5 does).
        "an RSA key": ("key or no-certificate", pki.mint("rsa", "--key-type", "rsa2048", **NAMES)),
        "a P-384 key": ("key or no-certificate", pki.mint("p384", "--key-type", "p384", **NAMES)),
    }


def spliced(stranger, pki):
    made = stranger.mint("spliced", **NAMES)
    first = bare(made.cert)
    with open(first, "a") as out, open(pki.ca_cert) as ours:
        out.write(ours.read())
    return peers.Identity(first, made.key)


def self_signed(pki):
    made = peers.Identity(pki.path("self.pem"), pki.path("self-key.pem"))
    pki.mint_raw("--self-signed", "--uri", NAMES["uris"][0], "--dns", NAMES["names"][0], "--out-cert", made.cert, "--out-key", made.key)
    return made


class Threat15(support.MeshTest):
    def setUp(self):
        super().setUp()
        ca = os.path.join(self.mesh.data, "ca")
        self.pki = peers.Pki.of(self.mesh)
        self.table = refused(self.pki, peers.Identity(os.path.join(ca, "root.crt"), os.path.join(ca, "root.key")))

    def test_our_server_refuses_each_in_the_handshake(self):
        judge = peers.Judge(self.mesh)
        self.assertIsNone(judge.refusal_of(self.pki.good("cart")), "the honest one must get in, else the table proves nothing")
        for row, (reason, identity) in self.table.items():
            with self.subTest(row):
                self.assertIn(judge.refusal_of(identity), reason.split(" or "))
        self.assertIsNone(judge.refusal_of(self.pki.good("cart", name="again")))

    def test_our_client_refuses_each_before_the_first_request_byte(self):
        caller = peers.Caller(self.mesh, peers.issued(self.mesh, "cart"))
        self.assertIsNone(caller.error_of(self.pki.good("payments"))[0], "the honest one must be called, else the table proves nothing")
        for row, (_, identity) in self.table.items():
            with self.subTest(row):
                error, said = caller.error_of(identity)
                self.assertEqual(error, "MESH_E_IDENTITY", said)
                self.assertIn("reached no handler", said)


if __name__ == "__main__":
    unittest.main()
