"""THREATS 16: a session that is resumed after rotation, revocation, expiry or a change of trust opens no door that a whole handshake would not."""

import socket
import ssl
import unittest

import peers
from support import SLOW, MeshTest, wait_until


class Client:
    """A client on OpenSSL that offers the session of its first connection whenever it likes."""

    def __init__(self, judge, identity):
        self.judge, self.identity, self.session = judge, identity, None
        self.context = peers.client_context(identity)
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2

    def connect(self):
        """Whether the session was resumed; None when the server ended the connection without an answer. What the server says of its peer is checked."""
        host, port = self.judge.address.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), timeout=20 * SLOW) as plain, self.context.wrap_socket(plain, session=self.session) as tls:
                tls.sendall(f"GET /whoami HTTP/1.1\r\nHost: {peers.dns('payments')}\r\nConnection: close\r\n\r\n".encode())
                heard = b""
                while chunk := tls.recv(4096):
                    heard += chunk
                self.session, self.leaf = self.session or tls.session, tls.getpeercert(True)
                reused = tls.session_reused
        except (ssl.SSLError, ConnectionError):
            return None
        if not heard:
            return None
        assert peers.spiffe("cart").encode() in heard, heard
        return reused


class Threat16(MeshTest):
    options = {"leaf_ttl": "20s"}

    def setUp(self):
        super().setUp()
        self.judge = peers.Judge(self.mesh)

    def handshakes(self):
        counted = peers.metrics(self.judge.probe)
        return tuple(int(counted[f'mesh_handshakes_total{{resumed="{how}"}}']) for how in ("no", "yes"))

    def client(self, identity):
        """One that holds a session, and has resumed it."""
        client = Client(self.judge, identity)
        whole, resumed = self.handshakes()
        self.assertIs(client.connect(), False)
        self.assertIs(client.connect(), True)
        self.assertEqual(self.handshakes(), (whole + 1, resumed + 1))
        return client

    def shown_to(self, identity):
        """The server's certificate, from a whole handshake."""
        newcomer = Client(self.judge, identity)
        self.assertIs(newcomer.connect(), False)
        return newcomer.leaf

    def refusals(self, reason):
        return self.judge.reasons().get(reason, 0)

    def test_revoked_since(self):
        identity = peers.issued(self.mesh, "cart")
        client = self.client(identity)
        self.mesh.ctl("cert", "revoke", identity.serial)
        # What was resumed just before the word came is cut off at its request; from then on there is no handshake.
        wait_until(lambda: client.connect() is None and self.refusals("revoked"), "the revocation to be in force")
        before, handled = self.refusals("revoked"), self.judge.handled()
        self.assertIsNone(client.connect())
        self.assertEqual((self.refusals("revoked"), self.judge.handled()), (before + 1, handled))

    def test_after_a_change_of_trust_that_does_not_concern_it_a_whole_handshake_is_made(self):
        client, other = self.client(peers.issued(self.mesh, "cart")), peers.issued(self.mesh, "orders")
        self.mesh.ctl("cert", "revoke", other.serial)
        wait_until(lambda: client.connect() is False, "the session to be forgotten")

    def test_expired_since_and_resumed_after_the_servers_rotation(self):
        soon = self.client(peers.Pki.of(self.mesh).good("cart", "--not-after", 6 * SLOW))
        client = self.client(peers.Pki.of(self.mesh).good("cart", name="cart-2"))
        wait_until(lambda: soon.connect() is None and self.refusals("expired"), "the certificate to expire")
        wait_until(lambda: self.shown_to(client.identity) != client.leaf, "the server's certificate to be renewed", 30)
        self.assertIs(client.connect(), True, "the server's own new certificate cost its peers their sessions")


if __name__ == "__main__":
    unittest.main()
