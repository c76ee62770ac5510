"""A meshd on a disk that fails at the test's choosing (preload_disk.c)."""

import mmap
import os
import struct

from support import helper

NOTHING, KILL_BEFORE, KILL_HALFWAY, KILL_AFTER, FAIL_WRITES, FAIL_SYNCS, SHORT_WRITES = range(7)


class Disk:
    """The plan of what goes wrong under `directory` for `program`; `env` starts a program with it."""

    def __init__(self, directory, under, program="meshd"):
        path = os.path.join(directory, "disk-plan-" + program)
        with open(path, "wb") as f:
            f.write(bytes(20))
        with open(path, "r+b") as f:
            self.plan = mmap.mmap(f.fileno(), 20)
        self.env = {"LD_PRELOAD": helper("preload_disk.so"), "TEST_DISK": path, "TEST_DISK_UNDER": under, "TEST_DISK_PROGRAM": program}

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
