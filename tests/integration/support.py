"""What the tests with real processes share: a mesh in a temporary directory, and waiting for events with a deadline."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BUILD = os.environ.get("MESH_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SRC = os.environ.get("MESH_SRC", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
SANITIZED = bool(os.environ.get("MESH_SAN"))
SLOW = 6 if "thread" in os.environ.get("MESH_SAN", "") else 4 if SANITIZED else 1  # a sanitized program takes its time; promised bounds are not held against it
STRIDE = 3 if SANITIZED else 1  # of a walk through places, rows or rounds; the plain program walks all, and a sanitizer looks at how a path runs rather than at where it ends
PATIENCE = {"connectTimeout": "10s", "timeout": "60s"} if SANITIZED else {}  # a sanitized handshake among many may miss the second that it has


def program(name):
    """The path of a built program."""
    return os.path.join(BUILD, "bin", name)


def helper(name):
    """The path of a built test helper."""
    return os.path.join(BUILD, "tests", "integration", name)


def preload(name):
    """LD_PRELOAD for a program that runs with a built preload_*.so, before what the tests themselves run with."""
    return ":".join(filter(None, [helper(name), os.environ.get("LD_PRELOAD")]))


def wait_until(happened, what, seconds=15):
    """Looks for an event until it has happened (and returns what `happened` returned), at most `seconds`."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        seen = happened()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SLOW} s: {what}")
        time.sleep(0.01)  # lint: waits for an event


def free_port():
    """A port of 127.0.0.1 that was free a moment ago, for programs that cannot be given port 0."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child with its output kept in files; it is killed at the end of the test if it still runs."""

    def __init__(self, argv, directory, name, env=None, cwd=None, preexec=None):
        self.name = name
        self.out_path = os.path.join(directory, name + ".out")
        self.err_path = os.path.join(directory, name + ".err")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MESH_", "MESHD_")) or k.startswith("MESH_SAN")}
        clean.update(env or {})
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=clean, cwd=cwd, preexec_fn=preexec)

    @property
    def pid(self):
        return self.child.pid

    def out(self):
        with open(self.out_path, errors="replace") as f:
            return f.read()

    def err(self):
        with open(self.err_path, errors="replace") as f:
            return f.read()

    def running(self):
        return self.child.poll() is None

    def events(self, event=None):
        """The JSON lines of stderr, those of one event when it is named."""
        found = []
        for line in self.err().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and (event is None or record.get("event") == event):
                    found.append(record)
        return found

    def wait_for_output(self, pattern, seconds=15):
        """Waits for a line of stdout that matches; returns the match."""
        def look():
            match = re.search(pattern, self.out(), re.M)
            if not match and not self.running():
                raise AssertionError(f"{self.name} ended with {self.child.returncode}: {self.err()[-2000:]}")
            return match
        return wait_until(look, f"{pattern!r} from {self.name}", seconds)

    def wait_for_event(self, event, seconds=15, **fields):
        """Waits for a log event whose fields contain the given texts; returns it."""
        def look():
            for e in self.events(event):
                if all(text in str(e.get(key, "")) for key, text in fields.items()):
                    return e
            return None
        return wait_until(look, f"event {event!r} {fields} from {self.name}; it said: {self.err()[-1500:]}", seconds)

    def signal(self, number):
        if self.running():
            self.child.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=20):
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop: {self.err()[-2000:]}") from None


class Mesh:
    """A meshd with its data directory, and whatever joins it."""

    def __init__(self, directory=None, **options):
        self.dir = directory or tempfile.mkdtemp(prefix="mesh-")
        self.data = os.path.join(self.dir, "data")
        self.options = options
        self.children = []
        self.meshd = None
        self.info = None

    def start(self, *extra, env=None, preexec=None):
        """Starts meshd and waits until it is ready. After the first start it keeps its ports."""
        listen = self.info["control"].removeprefix("https://") if self.info else "127.0.0.1:0"
        admin = self.info["admin"].removeprefix("http://") if self.info else "127.0.0.1:0"
        argv = [program("meshd"), "--data", self.data, "--listen", listen, "--admin", admin]
        for key, value in self.options.items():
            argv += ["--" + key.replace("_", "-"), str(value)]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.data, "meshd.json"))
        self.meshd = self.spawn(argv + list(extra), "meshd", env=env, preexec=preexec)
        self.info = wait_until(self._ready, f"meshd ready; it said {self.meshd.err()[-3000:]}", 30)
        return self

    def _ready(self):
        if not self.meshd.running():
            raise AssertionError(f"meshd ended with {self.meshd.child.returncode}: {self.meshd.err()[-3000:]}")
        try:
            with open(os.path.join(self.data, "meshd.json")) as f:
                return json.load(f)
        except (FileNotFoundError, ValueError):
            return None

    def spawn(self, argv, name, env=None, preexec=None):
        child = Process([str(a) for a in argv], self.dir, name, env=env, preexec=preexec)
        self.children.append(child)
        return child

    def ctl(self, *args, env=None, check=True, timeout=60, stdin=None):
        """Runs meshctl against this meshd; returns the finished process."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MESH_", "MESHD_")) or k.startswith("MESH_SAN")}
        clean.update(env or {})
        done = subprocess.run([program("meshctl"), *map(str, args), "--data", self.data], env=clean, capture_output=True, text=True,
                              timeout=timeout * SLOW, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None)
        if check and done.returncode != 0:
            raise AssertionError(f"meshctl {' '.join(map(str, args))}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done

    def ctl_json(self, *args, **kwargs):
        return json.loads(self.ctl(*args, "-o", "json", **kwargs).stdout)

    def token(self, service, *more):
        return self.ctl("token", "create", "--service", service, *more).stdout.strip()

    def serve(self, service, *args, name=None, env=None, wait=True):
        """meshctl serve; .info has what it printed once it serves."""
        name = name or f"{service}-{sum(c.name.startswith(service) for c in self.children)}"
        listen = [] if "--listen" in args else ["--listen", "127.0.0.1:0"]
        mode = [] if "--upstream" in args or "--echo" in args else ["--echo"]
        child = self.spawn([program("meshctl"), "serve", "--service", service, *listen, *mode, *args, "-o", "json", "--data", self.data], name, env=env)
        if wait:
            child.info = json.loads(child.wait_for_output(r"^\{.*\}$", 30).group(0))
        return child

    def call(self, service, path="/", *args, **kwargs):
        """meshctl call -o json, whatever its exit code."""
        done = self.ctl("call", service, path, *args, "-o", "json", check=False, **kwargs)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"meshctl call: {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}") from None

    def be_patient(self, service, **more):
        """Before load on a service, whose calls are to be answered all of them: sanitized handshakes have more than the built-in second. `more` of its document goes along."""
        if PATIENCE or more:
            path = os.path.join(self.dir, f"patience-{service}.json")
            with open(path, "w") as f:
                json.dump({"apiVersion": "mesh/v1", "kind": "Service", "name": service, **PATIENCE, **more}, f)
            self.ctl("apply", "-f", path)

    def endpoints(self, service):
        done = self.ctl("endpoints", service, "-o", "json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def wait_endpoints(self, service, count, seconds=15):
        return wait_until(lambda: (lambda e: (e,) if len(e) == count else None)(self.endpoints(service)), f"{count} endpoints of {service}", seconds)[0]

    def admin(self, method, path, body=None, headers=None):
        """A raw call of the admin API: status and parsed (or plain) answer."""
        with open(os.path.join(self.data, "admin.token")) as f:
            token = f.read().strip()
        request = urllib.request.Request(self.info["admin"] + path, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("Authorization", "Bearer " + token)
        request.add_header("Content-Type", "application/json")
        for key, value in (headers or {}).items():
            request.add_header(key, value)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def audit(self):
        with open(os.path.join(self.data, "audit.log")) as f:
            return [json.loads(line) for line in f]

    def close(self):
        for child in reversed(self.children):
            if child is not self.meshd:
                child.signal(signal.SIGTERM)
        for child in reversed(self.children):
            if child is not self.meshd:
                with contextlib.suppress(AssertionError):
                    child.stop()
        if self.meshd:
            self.meshd.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class MeshTest(unittest.TestCase):
    """A test with a meshd of its own in self.mesh; `options` are meshd's flags."""

    options = {}

    def setUp(self):
        self.mesh = Mesh(**self.options)
        self.addCleanup(self.mesh.close)
        self.mesh.start()


def openssl(*args, stdin=None, check=True):
    done = subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, args))}: {done.stderr.decode()}")
    return done


def readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])
