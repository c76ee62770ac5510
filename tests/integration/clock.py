"""A wall clock that a test sets while the program runs (preload_clock.c)."""

import os
import struct

from support import preload

HOUR = 3600
YEARS = 10 * 365 * 24 * HOUR


class Clock:
    """`env` starts a program whose wall clock `jump` moves."""

    def __init__(self, directory, name="clock"):
        self.path = os.path.join(directory, name)
        self.env = {"LD_PRELOAD": preload("preload_clock.so"), "TEST_CLOCK": self.path}
        self.jump(0)

    def jump(self, seconds):
        """The clock stands `seconds` off the true time from now on."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=q", seconds))
