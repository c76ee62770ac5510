"""THREATS 25: kill -9 of meshd at every write system call, a full disk, a failing fsync, a torn WAL: what was acknowledged is there, nothing is half applied."""
# tests/run: not under thread: meshd has one thread

# tests/run: timeout 900

import contextlib
import errno
import http.client
import json
import os
import shutil
import unittest

from control_client import Control, Refused, Session, fetch_roots, join, new_key_and_csr, serial_of
from disk import FAIL_SYNCS, FAIL_WRITES, KILL_BEFORE, KILL_HALFWAY, Disk
from support import SLOW, STRIDE, Mesh, MeshTest, program, wait_until

BROKEN = (OSError, http.client.HTTPException)


class Script:
    """One run of token create, enrol, register, move, apply, deregister, revoke. Names are the run's own, so that runs follow each other on one store."""

    STEPS = ("token", "enrol", "register", "move", "apply", "deregister", "revoke")

    def __init__(self, mesh, number, csr, key):
        self.mesh, self.number, self.csr, self.key = mesh, number, csr, key
        self.acked, self.failed = [], {}
        self.open = []

    def run(self, go_on=False):
        """Runs the steps until one finds meshd gone; with go_on, a step that is refused does not end it."""
        try:
            for step in self.STEPS:
                try:
                    getattr(self, step)()
                    self.acked.append(step)
                except Refused as e:
                    self.failed[step] = e
                    if not go_on:
                        raise
                except KeyError:
                    assert go_on  # what it stands on was refused
                    self.failed[step] = None
        except BROKEN:
            pass
        finally:
            for one in self.open:
                one.close()
        return self

    def admin(self, method, path, body=None):
        status, answer = self.mesh.admin(method, path, body)
        if status != 200:
            raise Refused(status, answer)
        return answer

    def token(self):
        self.made = self.admin("POST", "/v1/tokens", {"service": "payments"})

    def enrol(self):
        control = Control(self.mesh)
        self.open.append(control)
        self.chain = control.enroll(self.__dict__["made"]["token"], self.csr)["chain_pem"]

    def session(self):
        if "opened" not in self.__dict__:
            control = Control(self.mesh, self.mesh.identity)
            self.open.append(control)
            self.opened = Session(self.mesh, control, self.mesh.identity)
            self.open.append(self.opened)
        return self.opened

    def register(self):
        self.session().register(f"i{self.number}", "127.0.0.1:1001")

    def move(self):
        self.session().register(f"i{self.number}", "127.0.0.1:1002")

    def apply(self):
        text = "".join(f"---\napiVersion: mesh/v1\nkind: Service\nname: {c}{self.number}\ntimeout: 3s\n" for c in "ab")
        self.admin("POST", "/v1/config", {"file": "two.yaml", "text": text})

    def deregister(self):
        self.session().post("deregister", {"instance": f"i{self.number}", "reason": "deregistered"})

    def revoke(self):
        self.admin("POST", "/v1/certificates/revoke", {"serial": serial_of(self.__dict__["chain"]), "reason": "test"})

    # What is there now.

    def seen(self, state):
        """The steps whose effect the state shows; raises when one shows half."""
        name, found = f"i{self.number}", set()
        made = self.__dict__.get("made")
        chain = self.__dict__.get("chain")
        if made and made["id"] in state.tokens:
            found.add("token")
        if chain and serial_of(chain) in state.certs:
            found.add("enrol")
            if state.tokens[made["id"]]["used"] != 1:
                raise AssertionError("a certificate without its token's use")
            if state.certs[serial_of(chain)]["revoked"]:
                found.add("revoke")
        address = state.endpoints.get(name)
        found.update({"127.0.0.1:1001": ["register"], "127.0.0.1:1002": ["register", "move"], None: []}[address])
        documents = [c + str(self.number) in state.config for c in "ab"]
        if documents[0] != documents[1]:
            raise AssertionError(f"half of an apply: {documents}")
        if documents[0]:
            found.add("apply")
        return found


class State:
    """What meshd says it has."""

    def __init__(self, mesh):
        def get(path, absent=None):
            status, answer = mesh.admin("GET", path)
            if status == 404 and absent is not None:
                return absent
            assert status == 200, (path, status, answer)
            return answer
        self.tokens = {t["id"]: t for t in get("/v1/tokens")}
        self.certs = {c["serial"]: c for c in get("/v1/certificates")}
        self.endpoints = {e["instance"]: e["address"] for e in get("/v1/endpoints?service=payments.default", [])}
        self.config = {c["name"]: c["document"] for c in get("/v1/config")}
        self.generation = get("/v1/status")["generation"]
        self.history = get("/v1/history?limit=1000")
        self._check_history()

    def _check_history(self):
        """The history ends with the generation that is in force, lacks none, and says of the documents what is true."""
        numbers = [int(g["generation"]) for g in self.history]
        if numbers != list(range(int(self.generation), 0, -1)):
            raise AssertionError(f"generation {self.generation}, and a history of {numbers}")
        made = {c["name"] for g in self.history for c in g["changes"]}
        if made != set(self.config):
            raise AssertionError(f"the history tells of {made}, but there are {set(self.config)}")

    def __eq__(self, other):
        return self.__dict__ == other.__dict__


class DiskTest(MeshTest):

    def setUp(self):
        self.mesh = Mesh()
        self.addCleanup(self.mesh.close)
        self.disk = Disk(self.mesh.dir, self.mesh.data)
        self.addCleanup(self.disk.close)
        self.mesh.start(env=self.disk.env)
        fetch_roots(self.mesh)
        self.key, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            self.csr = f.read()
        self.mesh.identity = join(self.mesh, "payments")
        self.runs = 0

    def script(self, **kwargs):
        self.runs += 1
        return Script(self.mesh, self.runs, self.csr, self.key).run(**kwargs)

    def count_calls(self):
        """A run without a fault: how many write system calls there are to fail at."""
        self.disk.arm(KILL_BEFORE)
        done = self.script()
        self.assertEqual(done.acked, list(Script.STEPS))
        calls = self.disk.calls()
        self.disk.arm(0)
        self.assertGreater(calls, 20, "the faulty disk sees too few calls to be believed")
        return calls

    def check(self, script):
        """Every acknowledged step holds; the one that was under way holds or does not; none after it."""
        seen = script.seen(State(self.mesh))
        steps = list(Script.STEPS)
        under_way = steps[len(script.acked)] if len(script.acked) < len(steps) else None
        gone = "deregister" in script.acked or (under_way == "deregister" and "register" not in seen)
        want = [s for s in script.acked if s != "deregister" and not (gone and s in ("register", "move"))]
        self.assertEqual([s for s in want if s not in seen], [], f"acknowledged and lost; under way was {under_way}")
        self.assertEqual(seen - set(want) - {under_way}, set(), f"there, though never begun; under way was {under_way}")
        self.check_audit(script)

    def check_audit(self, script):
        """Each acknowledged step has a line of its own, whatever was torn before it."""
        lines = []
        with open(os.path.join(self.mesh.data, "audit.log")) as f:
            for line in f:
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        about = {(line["event"], line.get("token") or line.get("serial")) for line in lines}
        if "token" in script.acked:
            self.assertIn(("token-created", script.made["id"]), about)
        if "enrol" in script.acked:
            self.assertIn(("token-used", script.made["id"]), about)
            self.assertIn(serial_of(script.chain), [line.get("serial") for line in lines if line["event"] == "certificate-issued"])
        own = {c["serial"] for c in State(self.mesh).certs.values() if c["how"] == "meshd"}
        self.assertEqual(own - {line.get("serial") for line in lines}, set(), "the first line after a torn one is torn too")
        if "revoke" in script.acked:
            self.assertIn(("certificate-revoked", serial_of(script.chain)), about)


class Threat25Kill(DiskTest):

    def die_at_every_call(self, how, first):
        """With a stride, from the first on."""
        calls = self.count_calls()
        for at in range(first, calls + 1, STRIDE):
            with self.subTest(call=at, of=calls):
                self.disk.arm(how, at)
                script = self.script()
                wait_until(lambda: not self.mesh.meshd.running(), f"meshd to die at call {at}")
                self.disk.arm(0)
                self.mesh.start(env=self.disk.env)
                self.check(script)

    def test_killed_before_every_write_system_call(self):
        self.die_at_every_call(KILL_BEFORE, 1)

    def test_killed_with_every_write_half_done(self):
        self.die_at_every_call(KILL_HALFWAY, 1 + STRIDE // 2)


class Threat25Ca(MeshTest):
    """The CA dies while it signs: nobody is told of a certificate that is on no record, and it is back at once."""

    def setUp(self):
        self.mesh = Mesh()
        self.addCleanup(self.mesh.close)
        self.disk = Disk(self.mesh.dir, self.mesh.data, "meshca")
        self.addCleanup(self.disk.close)
        self.mesh.start(env=self.disk.env)
        fetch_roots(self.mesh)
        _, path = new_key_and_csr(self.mesh.dir)
        with open(path) as f:
            self.csr = f.read()

    def enroll(self, token):
        control = Control(self.mesh)
        try:
            return serial_of(control.enroll(token, self.csr)["chain_pem"])
        finally:
            control.close()

    def logged(self):
        """The serials in the CA's own log."""
        serials = set()
        with open(os.path.join(self.mesh.data, "ca", "issued.log")) as f:
            for line in f:
                with contextlib.suppress(ValueError):
                    serials.add(json.loads(line)["serial"])
        return serials

    def joins_again(self, token):
        """The same token, until the CA is back; its serial, or None when the token's use is gone."""
        def attempt():
            try:
                return [self.enroll(token)]
            except Refused as e:
                return [None] if e.code == "token-spent" else None
        return wait_until(attempt, "the CA to be back")[0]

    def test_killed_at_every_write_system_call(self):
        self.disk.arm(KILL_BEFORE)
        given = {self.enroll(self.mesh.token("payments"))}
        calls = self.disk.calls()
        self.assertGreater(calls, 1)
        for how in (KILL_BEFORE, KILL_HALFWAY):
            for at in range(1, calls + 1):
                with self.subTest(how=how, call=at, of=calls):
                    token = self.mesh.token("payments")
                    self.disk.arm(how, at)
                    with self.assertRaises(Refused) as caught:
                        self.enroll(token)
                    self.assertEqual(caught.exception.status, 503)
                    self.disk.arm(0)
                    again = self.joins_again(token)
                    given.add(again or self.joins_again(self.mesh.token("payments")))
                    self.assertTrue(self.mesh.meshd.running())
        known = {c["serial"] for c in self.mesh.admin("GET", "/v1/certificates")[1]}
        self.assertEqual(given - known, set())
        self.assertEqual(known - self.logged(), set(), "certificates without a line in the CA's log")

    def test_a_full_disk_under_the_ca_issues_nothing_and_burns_no_token(self):
        token = self.mesh.token("payments")
        for how, number in ((FAIL_WRITES, errno.ENOSPC), (FAIL_SYNCS, errno.EIO)):
            self.disk.arm(how, 1, number)
            with self.assertRaises(Refused) as caught:
                self.enroll(token)
            self.assertEqual(caught.exception.status, 503)
            self.assertGreater(self.disk.hits(), 0)
            self.disk.arm(0)
        self.assertIsNotNone(self.joins_again(token))


class Threat25FirstStart(unittest.TestCase):
    """meshd or its CA dies while the data directory is being made: the next start finishes it, or says what to do."""

    def die_at_every_call(self, which, how):
        at, ended = 0, False
        while not ended:
            at += STRIDE
            with self.subTest(program=which, call=at):
                mesh = Mesh()
                try:
                    disk = Disk(mesh.dir, mesh.data, which)
                    disk.arm(how, at)
                    argv = [program("meshd"), "--data", mesh.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
                    first = mesh.spawn(argv, "first", env=disk.env)
                    ready = os.path.join(mesh.data, "meshd.json")
                    wait_until(lambda: not first.running() or os.path.exists(ready), "the first start to end or to be ready", 10)
                    ended = disk.calls() < at
                    first.kill()
                    disk.close()
                    mesh.start()
                    self.assertEqual(mesh.admin("GET", "/v1/status")[0], 200)
                    mesh.token("payments")
                finally:
                    mesh.close()
        self.assertGreater(at, 3)

    def test_meshd_dies_at_every_write_of_its_first_start(self):
        self.die_at_every_call("meshd", KILL_HALFWAY)

    def test_meshca_dies_at_every_write_of_its_first_start(self):
        self.die_at_every_call("meshca", KILL_HALFWAY)


class Threat25Full(DiskTest):
    """A disk that is full or does not sync: writes fail, reads go on, and all is well when there is room again."""

    def fail_at_every_call(self, how, number):
        calls = self.count_calls()
        for at in range(1, calls + 1, STRIDE):
            with self.subTest(call=at, of=calls):
                self.disk.arm(how, at, number)
                script = self.script(go_on=True)
                self.assertTrue(self.mesh.meshd.running())
                if self.disk.hits():
                    self.assertLess(len(script.acked), len(Script.STEPS), "a write was acknowledged that cannot be on disk")
                for name, refused in script.failed.items():
                    if refused is not None:
                        self.assertIn(refused.status, (403, 404, 503), f"{name}: {refused}")
                State(self.mesh)  # reads go on
                self.disk.arm(0)
                after = State(self.mesh)
                seen = script.seen(after)
                for name in set(script.acked) - {"deregister", "register", "move"}:
                    self.assertIn(name, seen)
                for name in seen & set(script.failed):
                    self.assertIn("in force", script.failed[name].message, f"{name} was refused, yet it is there")
        healed = self.script()
        self.assertEqual(healed.acked, list(Script.STEPS), f"it does not recover: {healed.failed}")
        self.check(healed)
        before = State(self.mesh)
        self.mesh.meshd.kill()
        self.mesh.start(env=self.disk.env)
        after = State(self.mesh)
        for state in (before, after):  # meshd's own certificate, anew at each start
            state.certs = {k: v for k, v in state.certs.items() if v["how"] != "meshd"}
        self.assertEqual(before.__dict__, after.__dict__, "what it said and what it stored differ")

    def test_disk_full_at_every_write_system_call(self):
        self.fail_at_every_call(FAIL_WRITES, errno.ENOSPC)

    def test_every_sync_fails(self):
        self.fail_at_every_call(FAIL_SYNCS, errno.EIO)

    def test_the_error_and_the_log_say_that_the_disk_is_full(self):
        self.disk.arm(FAIL_WRITES, 1, errno.ENOSPC)
        status, answer = self.mesh.admin("POST", "/v1/tokens", {"service": "payments"})
        self.assertEqual(status, 503)
        self.assertRegex(json.dumps(answer), "full|space")
        done = self.mesh.ctl("token", "create", "--service", "payments", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "full|space")


class Threat25Torn(DiskTest):
    """A WAL that lost its end, or a store that was scribbled on."""

    def filled(self):
        """The data directory after eight acknowledged tokens and kill -9: a path, and the ids."""
        for i in range(8):
            self.mesh.token(f"s{i}")
        made = [t["id"] for t in self.mesh.admin("GET", "/v1/tokens")[1]]
        self.mesh.meshd.kill()
        wal = [name for name in os.listdir(self.mesh.data) if name.endswith("-wal")]
        self.assertEqual(len(wal), 1)
        return made, wal[0]

    def start_on_copy(self, damage):
        """A meshd on a damaged copy: its tokens' ids in order, or None when it refused to start, loudly."""
        copy = Mesh()
        self.addCleanup(copy.close)
        shutil.copytree(self.mesh.data, copy.data)
        os.chmod(copy.data, 0o700)
        damage(copy.data)
        argv = [program("meshd"), "--data", copy.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        copy.meshd = copy.spawn(argv, "meshd")
        ready = os.path.join(copy.data, "meshd.json")

        def look():
            if not copy.meshd.running():
                return True
            try:
                with open(ready) as f:
                    copy.info = json.load(f)
            except (OSError, ValueError):
                return False
            return copy.info["pid"] == copy.meshd.pid
        wait_until(look, "meshd to be ready or to refuse", 30)
        if not copy.meshd.running():
            self.assertNotEqual(copy.meshd.child.returncode, 0)
            self.assertRegex(copy.meshd.err(), "damaged|malformed|not a database", "it refused without saying why")
            self.assertNotIn("ERROR: AddressSanitizer", copy.meshd.err())
            copy.meshd = None
            return None
        return [t["id"] for t in copy.admin("GET", "/v1/tokens")[1]]

    def test_a_torn_wal_tail_leaves_a_prefix(self):
        made, wal = self.filled()
        size = os.path.getsize(os.path.join(self.mesh.data, wal))
        lengths = set()
        for cut in (0, 1, 24, 4096, 4120, 3 * 4120, size // 2, size - 32, size - 1, size):
            with self.subTest(cut=cut, size=size):
                found = self.start_on_copy(lambda data: os.truncate(os.path.join(data, wal), size - cut))
                if found is not None:
                    self.assertEqual(found, made[:len(found)], "not a prefix of what was written")
                    lengths.add(len(found))
        self.assertIn(len(made), lengths)
        self.assertGreater(len(lengths), 1, "no cut took anything: the test proves nothing")

    def test_flipped_bytes_in_the_wal_leave_a_prefix_or_a_loud_refusal(self):
        made, wal = self.filled()
        size = os.path.getsize(os.path.join(self.mesh.data, wal))
        for at in (size - 100, size // 2, size // 3, 40):
            with self.subTest(at=at):
                def scribble(data, at=at):
                    with open(os.path.join(data, wal), "r+b") as f:
                        f.seek(at)
                        byte = f.read(1)[0]
                        f.seek(at)
                        f.write(bytes([byte ^ 0xFF]))
                found = self.start_on_copy(scribble)
                if found is not None:
                    self.assertEqual(found, made[:len(found)])

    def test_a_scribbled_store_is_refused_loudly_and_with_a_remedy(self):
        self.assertEqual(self.mesh.meshd.stop(), 0)
        store = next(name for name in os.listdir(self.mesh.data) if name.endswith((".db", ".sqlite")))

        def scribble(data):
            size = os.path.getsize(os.path.join(data, store))
            with open(os.path.join(data, store), "r+b") as f:
                for at in range(100, size, 4096):
                    f.seek(at)
                    f.write(os.urandom(2000))
        self.assertIsNone(self.start_on_copy(scribble))

    def test_a_stranger_in_the_stores_place_is_refused_loudly(self):
        self.assertEqual(self.mesh.meshd.stop(), 0)
        store = next(name for name in os.listdir(self.mesh.data) if name.endswith((".db", ".sqlite")))

        def replace(data):
            with open(os.path.join(data, store), "w") as f:
                f.write("this is no database\n" * 1000)
        self.assertIsNone(self.start_on_copy(replace))


if __name__ == "__main__":
    unittest.main()
