"""A meshd on a disk that fails at the test's choosing (preload_disk.c), or on one that is truly small."""

import ctypes
import mmap
import os
import struct

from support import Mesh, preload

NOTHING, KILL_BEFORE, KILL_HALFWAY, KILL_AFTER, FAIL_WRITES, FAIL_SYNCS, SHORT_WRITES = range(7)


class Disk:
    """The plan of what goes wrong under `directory` for `program`; `env` starts a program with it."""

    def __init__(self, directory, under, program="meshd"):
        path = os.path.join(directory, "disk-plan-" + program)
        with open(path, "wb") as f:
            f.write(bytes(20))
        with open(path, "r+b") as f:
            self.plan = mmap.mmap(f.fileno(), 20)
        self.env = {"LD_PRELOAD": preload("preload_disk.so"), "TEST_DISK": path, "TEST_DISK_UNDER": under, "TEST_DISK_PROGRAM": program}

    def arm(self, what, at=0, error=0):
        """From now on: `what` happens at the at-th call; with at 0 nothing does, and calls are counted."""
        self.plan[0:20] = struct.pack("=iiiii", NOTHING, at, 0, error, 0)
        self.plan[0:4] = struct.pack("=i", what)

    def calls(self):
        return struct.unpack("=i", self.plan[8:12])[0]

    def hits(self):
        """How many calls failed."""
        return struct.unpack("=i", self.plan[16:20])[0]

    def close(self):
        self.plan.close()


CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


class SmallDiskMesh(Mesh):
    """A mesh whose meshd keeps its data on a tmpfs of so many bytes, mounted where nobody else sees it: the others go there through /proc/PID/root. Needs root."""

    def __init__(self, size, **options):
        super().__init__(**options)
        self.size, self.mounted_at = size, os.path.join(self.dir, "small")
        os.mkdir(self.mounted_at)

    def start(self, *extra, **kwargs):
        self.data = os.path.join(self.mounted_at, "data")
        return super().start(*extra, preexec=self._mount, **kwargs)

    def _ready(self):
        self.data = f"/proc/{self.meshd.pid}/root{self.mounted_at}/data"
        return super()._ready()

    def _mount(self):
        libc = ctypes.CDLL(None, use_errno=True)
        for call in (lambda: libc.unshare(CLONE_NEWNS), lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
                     lambda: libc.mount(b"tmpfs", self.mounted_at.encode(), b"tmpfs", 0, b"size=%d" % self.size)):
            if call() != 0:
                raise OSError(ctypes.get_errno(), "no disk of its own for meshd")

    def fill(self):
        """Not a byte more fits, and not a file."""
        with open(os.path.join(os.path.dirname(self.data), "filler"), "ab", buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        f.write(bytes(size))
                except OSError:
                    pass

    def free(self):
        os.unlink(os.path.join(os.path.dirname(self.data), "filler"))
