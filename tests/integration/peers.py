"""Peers that our programs must refuse, or must get along with: certificates from mint, a TLS client, and a TLS server that counts what it was sent."""

import contextlib
import http.server
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import support

DOMAIN = "mesh.local"
LOG_LINES_A_SECOND = 20


def spiffe(service, domain=DOMAIN, namespace="default"):
    return f"spiffe://{domain}/ns/{namespace}/svc/{service}"


def dns(service, domain=DOMAIN, namespace="default"):
    return f"{service}.{namespace}.{domain}"


class Identity:
    """Files of a certificate (with its chain) and its key."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key


class Pki:
    """Mints under the CA of a meshd, or under one of its own; every file goes into `directory`."""

    def __init__(self, directory, ca_cert=None, ca_key=None):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        if ca_cert is None:
            ca_cert, ca_key = self.path("root.pem"), self.path("root-key.pem")
            self.mint_raw("--self-signed", "--ca", "--cert-sign", "--cn", "another root", "--out-cert", ca_cert, "--out-key", ca_key)
        self.ca_cert, self.ca_key = ca_cert, ca_key

    @classmethod
    def of(cls, mesh):
        ca = os.path.join(mesh.data, "ca")
        return cls(os.path.join(mesh.dir, "minted"), os.path.join(ca, "issuer.crt"), os.path.join(ca, "issuer.key"))

    def path(self, name):
        return os.path.join(self.dir, name)

    @staticmethod
    def mint_raw(*args):
        subprocess.run([support.helper("mint"), *map(str, args)], check=True, timeout=60 * support.SLOW)

    def mint(self, name, *args, uris=None, names=None, ca=None):
        """A leaf with these URIs and DNS names; `args` are mint's; the chain follows it."""
        made = Identity(self.path(name + ".pem"), self.path(name + "-key.pem"))
        given = [a for u in ([] if uris is None else uris) for a in ("--uri", u)] + [a for d in ([] if names is None else names) for a in ("--dns", d)]
        ca = ca or Identity(self.ca_cert, self.ca_key)
        self.mint_raw("--ca-cert", ca.cert, "--ca-key", ca.key, "--chain", *given, *args, "--out-cert", made.cert, "--out-key", made.key)
        return made

    def good(self, service, *args, name=None):
        return self.mint(name or service, *args, uris=[spiffe(service)], names=[dns(service)])

    def mint_san(self, name, *general_names):
        """A leaf whose SAN extension has these (tag, bytes), whatever they are: for what no writer of names lets through."""
        body = b"".join(bytes([0x80 | tag, len(value)]) + value for tag, value in general_names)
        der = bytes([0x30, len(body)] if len(body) < 128 else [0x30, 0x81, len(body)]) + body
        made, request, extensions = Identity(self.path(name + ".pem"), self.path(name + "-key.pem")), self.path(name + ".csr"), self.path(name + ".cnf")
        with open(extensions, "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                    "subjectAltName=critical,DER:" + ":".join(f"{b:02x}" for b in der) + "\n")
        support.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made.key, "-subj", "/", "-out", request)
        support.openssl("x509", "-req", "-in", request, "-CA", self.ca_cert, "-CAkey", self.ca_key, "-set_serial", "0x" + os.urandom(15).hex(), "-days", "2",
                        "-extfile", extensions, "-out", made.cert)
        with open(made.cert, "a") as out, open(self.ca_cert) as ca:
            out.write(ca.read())
        return made


def issued(mesh, service, *args):
    """meshctl cert issue: an honest identity, with the bundle beside it."""
    directory = os.path.join(mesh.dir, "issued-" + service)
    done = mesh.ctl_json("cert", "issue", "--service", service, "--out", directory, *args)
    made = Identity(os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem"))
    made.bundle, made.serial = os.path.join(directory, "bundle.pem"), done["serial"]
    return made


# ---- the client ----

def client_context(identity=None):
    """A client that takes any server: here the server's judgement is tested."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    return context


def knock(address, identity=None, path="/"):
    """The status of a GET made with this identity, or None when the server ended the connection without an answer."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=20 * support.SLOW) as plain, client_context(identity).wrap_socket(plain) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {dns('payments')}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := tls.recv(4096):
                answer += chunk
    except (ssl.SSLError, ConnectionError):
        return None
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(match.group(1)) if match else None


# ---- bytes, both ways ----

def hear(sock):
    """All that comes until the server ends the connection; a reset is an error."""
    heard = []
    while chunk := sock.recv(65536):
        heard.append(chunk)
    return b"".join(heard)


def exchange(sock, request, stubborn=False):
    """Writes as long as the other side takes it, reads when it does not (stubborn: when it has taken nothing for half a second), until it ends the connection; what it said. A reset is an error."""
    sock.setblocking(False)
    left, heard = memoryview(request), []
    while True:
        try:
            if left:
                left = left[sock.send(left[:65536]):]
                continue
        except (ssl.SSLWantWriteError, BlockingIOError):
            stubborn = stubborn and any(select.select([], [sock], [], 0.5))
            if stubborn:
                continue
        try:
            chunk = sock.recv(65536)
            if not chunk:
                return b"".join(heard)
            heard.append(chunk)
        except (ssl.SSLWantReadError, BlockingIOError):
            if not any(select.select([sock], [sock] if left else [], [], 30 * support.SLOW)):
                raise AssertionError(f"nothing more happened; {len(left)} bytes are left, heard {heard}") from None


def answers(heard):
    """[(status, header, body)] of a stream of answers with Content-Length."""
    found, at = [], 0
    while at < len(heard):
        end = heard.index(b"\r\n\r\n", at)
        head = heard[at:end].decode("latin-1")
        length = re.search(r"\r\nContent-Length: (\d+)", head)
        at = end + 4 + (int(length.group(1)) if length else 0)
        found.append((int(re.match(r"HTTP/1\.1 (\d{3}) ", head).group(1)), head, heard[end + 4:at]))
    return found


# ---- the server ----

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read_request(tls):
    """One request's bytes (header, and a body of Content-Length), or b'' at the end."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        chunk = tls.recv(65536)
        if not chunk:
            return b""
        seen += chunk
    head, _, body = seen.partition(b"\r\n\r\n")
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    while len(body) < (int(match.group(1)) if match else 0):
        chunk = tls.recv(65536)
        if not chunk:
            break
        body += chunk
    return head + b"\r\n\r\n" + body


def answer_ok(server, tls):
    """A script: answers each request of a connection."""
    while request := read_request(tls):
        server.saw(request)
        tls.sendall(OK)


class TlsServer:
    """A server with one identity and one script; it records connections, handshakes and every request byte."""

    def __init__(self, identity, script=answer_ok, address="127.0.0.1"):
        self.become(identity)
        self.script = script
        self.mu = threading.Lock()
        self.connections = self.handshakes = self.closed = 0
        self.requests = []
        self.live = set()
        self.listener = socket.create_server((address, 0), backlog=64)
        self.address = "%s:%d" % self.listener.getsockname()[:2]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def become(self, identity):
        """Another process at the address from here on: with an identity of its own, and none of the sessions that the one before made."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, identity.key)
        self.context = context  # whole: another thread may be taking a connection with it

    def saw(self, request):
        with self.mu:
            self.requests.append(request)
            return len(self.requests)

    def _accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            with self.mu:
                self.connections += 1
                self.live.add(plain)
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with plain, contextlib.suppress(OSError):
            plain.settimeout(60 * support.SLOW)
            tls = self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True)
            with tls:
                tls.do_handshake()
                with self.mu:
                    self.handshakes += 1
                    self.live.discard(plain)
                    self.live.add(tls)
                self.script(self, tls)
        with self.mu:
            self.closed += 1

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.mu:
            live = list(self.live)
        for one in live:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)


def reset(tls):
    """Ends a connection with a TCP reset, and no word of TLS."""
    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    plain = socket.socket(fileno=os.dup(tls.fileno()))
    plain.close()
    os.close(tls.detach())


# ---- static endpoints ----

ONE_TRY = {"retries": {"attempts": 0}}


def endpoints_file(path, service, *addresses, patient=False, fields=None):
    """A `kind: Endpoints` document for MESH_ENDPOINTS; patient: with the time to connect that a sanitized handshake may need; `fields` of the service's document."""
    fields = {**({"connectTimeout": support.PATIENCE["connectTimeout"]} if patient and support.PATIENCE else {}), **(fields or {})}
    with open(path, "w") as f:
        f.write(f"apiVersion: mesh/v1\nkind: Endpoints\nname: {service}\nendpoints:\n" + "".join(f"- address: {a}\n" for a in addresses))
        if fields:
            f.write("---\n" + json.dumps({"apiVersion": "mesh/v1", "kind": "Service", "name": service, **fields}) + "\n")
    return path


def static_env(identity, path, **more):
    """The environment of a caller that needs no control plane."""
    return {"MESH_CERTIFICATE": identity.cert, "MESH_KEY": identity.key, "MESH_BUNDLE": identity.bundle, "MESH_ENDPOINTS": path, **more}


# ---- what a process counts ----

def metrics(address):
    """Prometheus text as {'name{labels}': value}."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/metrics", timeout=20 * support.SLOW) as answer:
        text = answer.read().decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and not line.startswith("#")}


def refused_handshakes(address, reason):
    return int(metrics(address).get('mesh_handshakes_refused_total{reason="%s"}' % reason, 0))


class AppHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        app = self.server
        check = self.path == "/healthz"
        status = 500 if check and not app.well else 200
        with app.mu:
            app.checks[status] = app.checks.get(status, 0) + check
            app.calls += not check
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class App(http.server.ThreadingHTTPServer):
    """An unchanged HTTP server that is well, or says that it is not."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), AppHandler)
        self.mu, self.well, self.checks, self.calls = threading.Lock(), True, {}, 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Whoever hangs up has its reasons."""

    def close(self):
        self.shutdown()
        self.server_close()


class Judge:
    """An echo server of ours, before which certificates are shown: says what it made of each."""

    def __init__(self, mesh, service="payments"):
        self.probe = f"127.0.0.1:{support.free_port()}"
        self.child = mesh.serve(service, env={"MESH_PROBE_LISTEN": self.probe, "MESH_PROBE_METRICS": "1", "MESH_LOG": "info"})
        self.address = self.child.info["address"]
        self.window_began, self.lines = time.monotonic(), 0

    def leave_room_in_the_log(self):
        """The server logs at most so many refusals a second; the rest is counted alone."""
        if self.lines == LOG_LINES_A_SECOND // 2:
            support.wait_until(lambda: time.monotonic() - self.window_began > 1, "the next second")
        if time.monotonic() - self.window_began > 1:
            self.window_began, self.lines = time.monotonic(), 0
        self.lines += 1

    def handled(self):
        return metrics(self.probe).get("mesh_inbound_requests_total", 0)

    def reasons(self):
        """Reason to count, of handshakes refused."""
        found = {}
        for key, value in metrics(self.probe).items():
            match = re.fullmatch(r'mesh_handshakes_refused_total\{reason="(.*)"\}', key)
            if match:
                found[match.group(1)] = int(value)
        return found

    def refusal_of(self, identity):
        """The reason for which the identity is refused; None when it is let in. Checks that it was counted once, logged once, and that no handler ran."""
        self.leave_room_in_the_log()
        before, events, handled = self.reasons(), len(self.child.events("handshake refused")), self.handled()
        status = knock(self.address, identity)
        if status is not None:
            return None
        def news():
            fresh = {k: n - before.get(k, 0) for k, n in self.reasons().items() if n != before.get(k, 0)}
            return fresh or None
        fresh = support.wait_until(news, "a refusal that is counted")
        logged = support.wait_until(lambda: self.child.events("handshake refused")[events:], "a refusal that is logged")
        assert list(fresh.values()) == [1], f"counted {fresh}"
        assert len(logged) == 1 and logged[0]["reason"] == list(fresh)[0], f"logged {logged}, counted {fresh}"
        assert logged[0]["message"] and logged[0]["peer"].startswith("127.0.0.1:"), f"logged {logged}"
        assert self.handled() == handled, "a handler ran"
        return list(fresh)[0]


class Caller:
    """meshctl call as `cart` against one static endpoint, without any control plane."""

    def __init__(self, mesh, identity, service="payments"):
        self.mesh, self.identity, self.service = mesh, identity, service
        self.path = os.path.join(mesh.dir, f"static-{service}.yaml")

    def call(self, *addresses, args=(), env=None):
        """The finished process and its summary."""
        endpoints_file(self.path, self.service, *addresses, patient=True)
        done = self.mesh.ctl("call", self.service, "/", "-o", "json", "--as", "cart", *args, env=static_env(self.identity, self.path, **(env or {})), check=False)
        try:
            return done, json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"meshctl call: {done.returncode}\n{done.stdout}\n{done.stderr}") from None

    def error_of(self, server_identity):
        """The error with which a server of this identity is refused (None: it was called), after checking that it was sent nothing."""
        server = TlsServer(server_identity, script=swallow)
        try:
            done, summary = self.call(server.address, args=("--timeout", "10s"))
            assert server.connections >= 1, "the server was not even asked"
            if server.requests:
                return None, done.stderr
            assert summary["failed"] == 1 and summary["ok"] == 0, summary
            (error,) = summary["errors"]
            return error, done.stderr
        finally:
            server.close()


def swallow(server, tls):
    """A script: records every byte of what comes, and answers the first of it."""
    while chunk := tls.recv(65536):
        if server.saw(chunk) == 1:
            tls.sendall(OK)
