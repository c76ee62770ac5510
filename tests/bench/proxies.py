"""The peers that are not ours: nginx as the application, and pairs of sidecars before it, each as one would run it in production.

All of them keep connections, write no access log, take as many threads or workers as there are cores, and speak the same TLS.
"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.request

import support

HOST = "payments.default.mesh.local"
TLS = "TLSv1.2"
CURVE = "prime256v1"
CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"  # OpenSSL's fastest; our server has an order of its own
SIZES = {"0": 0, "1k": 1024, "10k": 10240, "1m": 1048576}
CORES = len(os.sched_getaffinity(0))  # what our server counts its loops by, too


def find_program(name):
    """nginx and haproxy live in sbin, which not every PATH has."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def missing_programs():
    return [name for name in ("nginx", "haproxy") if find_program(name) is None]


def version_of(name, *args):
    done = subprocess.run([find_program(name), *args], capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout + done.stderr).splitlines()[0].strip()


def negotiated(port, identity=None):
    """[version, cipher] of TLS with this listener, or None when it refuses whoever comes with this identity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"GET /0 HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n\r\n")
            answer = tls.recv(4096)
            return [tls.version(), tls.cipher()[0]] if answer.startswith(b"HTTP/1.1 200") else None
    except (ssl.SSLError, ConnectionError):
        return None


def accepts_connections(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Peer:
    """A running program, and the processes that its work's CPU is in."""

    def __init__(self, child, ports=()):
        self.child = child
        for port in ports:
            support.wait_until(lambda p=port: self.alive() and accepts_connections(p), f"{child.name} on port {port}; it said {child.err()[-2000:]}", 30)

    def alive(self):
        if not self.child.running():
            raise AssertionError(f"{self.child.name} ended with {self.child.child.returncode}: {self.child.err()[-2000:]}")
        return True

    def pids(self):
        """The process and its children."""
        found, front = [self.child.pid], [self.child.pid]
        while front:
            pid = front.pop()
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                front += [int(p) for p in f.read().split()]
            found += [p for p in front if p not in found]
        return found

    def rss_kb(self):
        """Memory of all its processes; what they share is counted once, by proportion."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        return total


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def bodies(directory):
    """The files that the application serves: /0, /1k, /10k, /1m."""
    root = os.path.join(directory, "html")
    os.makedirs(root, exist_ok=True)
    for name, size in SIZES.items():
        with open(os.path.join(root, name), "wb") as f:
            f.write(b"x" * size)
    return root


# ---- nginx ----

def nginx(mesh, name, ports, servers, workers=CORES):
    """One nginx with these server blocks."""
    home = os.path.join(mesh.dir, name)
    os.makedirs(home, exist_ok=True)
    temp = "".join(f"    {kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = write(os.path.join(home, "nginx.conf"), f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
pid {home}/pid;
error_log {home}/error.log error;
worker_processes {workers};
worker_rlimit_nofile 8192;
events {{
    worker_connections 2048;
}}
http {{
{temp}
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    open_file_cache max=100;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    ssl_protocols {TLS};
    ssl_ciphers {CIPHER};
    ssl_ecdh_curve {CURVE};
    ssl_session_cache shared:sessions:10m;
{servers}
}}
""")
    return Peer(mesh.spawn([find_program("nginx"), "-c", conf, "-p", home], name), ports)


def nginx_mtls(addresses, identity, inside):
    """A server block that takes only clients with a certificate of this mesh."""
    listen = "".join(f"        listen {address} ssl;\n" for address in addresses)
    return f"""
    server {{
{listen}
        ssl_certificate {identity.cert};
        ssl_certificate_key {identity.key};
        ssl_client_certificate {identity.bundle};
        ssl_verify_client on;
        ssl_verify_depth 4;
{inside}
    }}
"""


def nginx_status(port):
    return f"    server {{ listen 127.0.0.1:{port}; location / {{ stub_status; }} }}\n"


def nginx_accepted(port):
    """Connections that this nginx has taken so far, this one left out."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        return int(answer.read().split(b"requests")[1].split()[0]) - 1


class App:
    """The application: the same files with mutual TLS at .tls and in plaintext at .plain."""

    def __init__(self, mesh, identity, name="nginx"):
        self.tls, self.plain, self.status = (support.free_port() for _ in range(3))
        files = f"        root {bodies(mesh.dir)};\n"
        plain = f"    server {{\n        listen 127.0.0.1:{self.plain} backlog=4096;\n{files}    }}\n"
        self.identity = identity
        self.peer = nginx(mesh, name, [self.tls, self.plain, self.status], nginx_mtls([f"127.0.0.1:{self.tls}"], identity, files) + plain + nginx_status(self.status))


class ManyNames:
    """An nginx with a certificate for each of several services, at several addresses of the loopback."""

    def __init__(self, mesh, identities, addresses):
        files = f"        root {bodies(mesh.dir)};\n"
        servers = [nginx_mtls(addresses, identity, f"        server_name {name}.default.mesh.local;\n{files}") for name, identity in identities.items()]
        self.peer = nginx(mesh, "many-names", [int(addresses[0].rsplit(":", 1)[1])], "".join(servers), workers=1)


class NginxSidecars:
    """plaintext -> nginx -> mutual TLS -> nginx -> plaintext application."""

    def __init__(self, mesh, client, server, app):
        self.port, self.tls, self.status = (support.free_port() for _ in range(3))
        common = """
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_buffer_size 16k;
            proxy_buffers 8 64k;
            proxy_busy_buffers_size 128k;
            proxy_max_temp_file_size 0;
"""
        def upstream(port):
            return f"    upstream next {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }}\n"
        inner = upstream(app.plain) + nginx_mtls([f"127.0.0.1:{self.tls}"], server, f"        location / {{ proxy_pass http://next;{common} }}\n") + nginx_status(self.status)
        outer = upstream(self.tls) + f"""
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass https://next;
{common}
            proxy_ssl_certificate {client.cert};
            proxy_ssl_certificate_key {client.key};
            proxy_ssl_trusted_certificate {client.bundle};
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 4;
            proxy_ssl_name {HOST};
            proxy_ssl_server_name on;
            proxy_ssl_protocols {TLS};
            proxy_ssl_ciphers {CIPHER};
        }}
    }}
"""
        self.peers = [nginx(mesh, "nginx-inner", [self.tls, self.status], inner), nginx(mesh, "nginx-outer", [self.port], outer)]

    def tls_accepted(self):
        return nginx_accepted(self.status)


# ---- haproxy ----

HAPROXY = """
global
    maxconn 2048
    stats socket {home}/stats level user
    nbthread {threads}
    ssl-default-bind-ciphers {cipher}
    ssl-default-bind-curves {curve}
    ssl-default-bind-options ssl-min-ver {tls} ssl-max-ver {tls}
    ssl-default-server-ciphers {cipher}
    ssl-default-server-options ssl-min-ver {tls} ssl-max-ver {tls}
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend in
    bind 127.0.0.1:{port} {bind}
    default_backend out
backend out
    server next 127.0.0.1:{to} {server}
"""


def haproxy(mesh, name, port, to, bind="", server=""):
    home = os.path.join(mesh.dir, name)
    os.makedirs(home, exist_ok=True)
    conf = write(os.path.join(home, "haproxy.cfg"), HAPROXY.format(home=home, threads=CORES, cipher=CIPHER, curve=CURVE, tls=TLS, port=port, to=to, bind=bind, server=server))
    return Peer(mesh.spawn([find_program("haproxy"), "-f", conf, "-db"], name), [port])


def pair(identity):
    """Certificate and key in one file, as haproxy wants them."""
    path = os.path.join(os.path.dirname(identity.cert), "pair.pem")
    with open(identity.cert) as cert, open(identity.key) as key, open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(cert.read() + key.read())
    return path


class HaproxySidecars:
    """plaintext -> haproxy -> mutual TLS -> haproxy -> plaintext application."""

    def __init__(self, mesh, client, server, app):
        self.port, self.tls = support.free_port(), support.free_port()
        self.stats = os.path.join(mesh.dir, "haproxy-inner", "stats")
        self.peers = [
            haproxy(mesh, "haproxy-inner", self.tls, app.plain, bind=f"ssl crt {pair(server)} ca-file {server.bundle} verify required"),
            haproxy(mesh, "haproxy-outer", self.port, self.tls,
                    server=f"ssl crt {pair(client)} ca-file {client.bundle} verify required verifyhost {HOST} sni str({HOST})"),
        ]

    def tls_accepted(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.stats)
            s.sendall(b"show info\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return int(re.search(r"^CumSslConns: (\d+)", text, re.M)[1])
