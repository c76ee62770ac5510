"""A raw client of the control protocol (lib/wire/message.h): it says what the library says to meshd, and what the library never would."""

import http.client
import json
import os
import socket
import ssl
import tempfile

from support import SLOW, openssl

MESHD_NAME = "meshd.mesh-system.mesh.local"


def new_key_and_csr(directory, name="client", subject="/CN=client", extra=()):
    """A P-256 key and a request for it: paths of both."""
    key, csr = os.path.join(directory, name + ".key"), os.path.join(directory, name + ".csr")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", subject, "-out", csr, *extra)
    return key, csr


class Refused(AssertionError):
    """An answer that is no 2xx; .status, .code and .message say which."""

    def __init__(self, status, answer):
        super().__init__(f"{status}: {answer}")
        self.status = status
        self.code = (answer.get("code") or answer.get("error")) if isinstance(answer, dict) else None
        self.message = answer.get("message") if isinstance(answer, dict) else str(answer)


class Connection(http.client.HTTPSConnection):
    """A TLS connection to an address under a name that is not its own."""

    def connect(self):
        sock = socket.create_connection((self.host, self.port), timeout=20 * SLOW)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(sock, server_hostname=MESHD_NAME)


class Control:
    """Calls of the control interface, over one kept connection; with a certificate when `identity` is given."""

    def __init__(self, mesh, identity=None, verify=True):
        host, port = mesh.info["control"].removeprefix("https://").rsplit(":", 1)
        self.address = (host, int(port))
        self.context = ssl.create_default_context(cafile=os.path.join(mesh.dir, "roots.pem")) if verify else ssl._create_unverified_context()
        if identity:
            self.context.load_cert_chain(identity.chain_path, identity.key_path)
        self.connection = Connection(*self.address, context=self.context)

    def ask(self, method, path, body=None, headers=None):
        """Status and answer."""
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, body=text, headers={"Content-Type": "application/json", **(headers or {})})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def must(self, method, path, body=None, headers=None):
        """The answer of a call that succeeds; else Refused is raised."""
        status, answer = self.ask(method, path, body, headers)
        if status // 100 != 2:
            raise Refused(status, answer)
        return answer

    def enroll(self, token, csr_pem, instance=None):
        body = {"token": token, "csr_pem": csr_pem}
        if instance:
            body["instance"] = instance
        return self.must("POST", "/v1/enroll", body)

    def renew(self, csr_pem, instance=None):
        body = {"csr_pem": csr_pem}
        if instance:
            body["instance"] = instance
        return self.must("POST", "/v1/renew", body)

    def close(self):
        self.connection.close()


def fetch_roots(mesh):
    """Keeps the mesh's roots in its directory, as a client does after it has checked the token's pin."""
    client = Control(mesh, verify=False)
    bundle = client.must("GET", "/v1/bundle")
    client.close()
    with open(os.path.join(mesh.dir, "roots.pem"), "w") as f:
        f.write(bundle["roots_pem"])


def serial_of(chain_pem):
    """The serial number of a chain's leaf, as meshd writes it: lower-case hex without leading zeros."""
    leaf = chain_pem[:chain_pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")] + "\n"
    der = ssl.PEM_cert_to_DER_cert(leaf)

    def inside(at):  # where the contents of the element at `at` begin, and their length
        size = der[at + 1]
        wide = size & 0x7F if size & 0x80 else 0
        return at + 2 + wide, int.from_bytes(der[at + 2:at + 2 + wide], "big") if wide else size

    at, _ = inside(0)       # the certificate
    at, _ = inside(at)      # what is signed
    version, size = inside(at)
    at, size = inside(version + size)
    return der[at:at + size].hex().lstrip("0")


class Identity:
    """A certificate and its key, in files; made by joining or by renewal."""

    def __init__(self, directory, chain_pem, key_path):
        self.directory = directory
        self.key_path = key_path
        self.chain_pem = chain_pem
        handle, self.chain_path = tempfile.mkstemp(suffix=".pem", dir=directory)
        with os.fdopen(handle, "w") as f:
            f.write(chain_pem)

    @property
    def serial(self):
        return serial_of(self.chain_pem)


def join(mesh, service, token=None, name=None):
    """Joins as `service` by hand; the identity."""
    if not os.path.exists(os.path.join(mesh.dir, "roots.pem")):
        fetch_roots(mesh)
    key, csr = new_key_and_csr(mesh.dir, name or service)
    client = Control(mesh)
    with open(csr) as f:
        answer = client.enroll(token or mesh.token(service), f.read())
    client.close()
    return Identity(mesh.dir, answer["chain_pem"], key)


class Session:
    """A watch and its session. `post` goes over the given Control, which many sessions of one identity may share."""

    def __init__(self, mesh, control, identity):
        self.control = control
        self.watch = Control(mesh, identity)
        self.watch.connection.request("GET", "/v1/watch", headers={"mesh-protocol": "1"})
        self.stream = self.watch.connection.getresponse()
        if self.stream.status != 200:
            raise Refused(self.stream.status, self.stream.read().decode())
        self.hello = self.read()
        self.id = self.hello["session"]

    def read(self):
        """The next record; None at the stream's end."""
        line = self.stream.readline()
        return json.loads(line) if line else None

    def post(self, verb, body):
        return self.control.must("POST", f"/v1/session/{self.id}/{verb}", body)

    def register(self, instance, address, version=None):
        body = {"instance": instance, "addresses": [address]}
        if version:
            body["version"] = version
        return self.post("register", body)

    def close(self):
        self.watch.close()
