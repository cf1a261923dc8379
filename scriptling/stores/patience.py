"""Waiting for LMDB's write lock, with an end.

LMDB waits for its lock for as long as it takes: while its holder is stopped, for ever. Nor is everybody woken who waits
in such a lock, a robust mutex: if one that was just woken is killed, and another takes the lock before it is dead, the
rest sleep on although the lock is free. So whoever finds the lock held looks again until it is free, and gives up when
its holder has not gone on for long. What remains is who begins at the very moment in which another begins too.

The lock's word in the lock file is the holder's thread id, as it is for every robust mutex of Linux. Where it is
depends on LMDB's format and on glibc; where these are not what they are known to be, nobody looks.
"""

from __future__ import annotations

import mmap
import platform
import struct
import time
from contextlib import suppress
from pathlib import Path

_FORMAT = struct.pack("=II", 0xBEEFC0DE, 0x10001)  # what a lock file of LMDB 0.9 begins with
_PLACES = {"x86_64": 64, "aarch64": 128}  # bytes before the writers' lock
HOLDER = 0x3FFFFFFF  # the bits of the word that are a thread; others say that somebody waits or has died
_SHORTEST, _LONGEST = 20e-6, 10e-3  # seconds between looks, which become rarer
_FORGET = 1.0  # seconds after which those who look begin anew; before, they know what others have waited
NEVER_HELD = memoryview(bytes(4)).cast("I")

STOPPED = 5.0  # seconds that a stopped holder is waited for
BUSY = 60.0  # seconds that a running one is waited for: a slow disk, a large transaction


class WriteLock:
    """What the lock file of an environment says of the lock for writing.

    It must be made before LMDB opens the environment and closed after that, because what a process closes of a file
    takes along the locks which LMDB has on it.
    """

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._map = mmap.mmap(opened.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._words = memoryview(self._map).cast("I")
        self._held = (0, 0)
        self._since = self._looked = 0.0

    def word(self) -> memoryview:
        """Return the word that is 0 while nobody holds the lock; LMDB must have opened the file."""
        place = _PLACES.get(platform.machine(), 0) if platform.libc_ver()[0] == "glibc" else 0
        return self._words[place // 4 :][:1] if place and self._map[:8] == _FORMAT else NEVER_HELD

    def close(self) -> None:
        """Give the map back, of which nobody may have a word any more."""
        self._words.release()
        self._map.close()

    def wait(self, thread: int, written: int) -> int:
        """Wait a moment for the lock, and return which thread has held it too long; 0 if it is to be looked at again.

        :param thread: who holds it
        :param written: the number of the last transaction, by which a holder is seen to go on
        """
        now = time.monotonic()
        if (thread, written) != self._held or now - self._looked > _FORGET:
            self._held, self._since = (thread, written), now
        self._looked = now
        waited = now - self._since
        if waited > STOPPED and (waited > BUSY or is_stopped(thread)):
            return thread
        time.sleep(min(max(_SHORTEST, waited / 8), _LONGEST))
        return 0


def is_stopped(thread: int) -> bool:
    """Whether a thread is stopped by a signal or a debugger; False if it cannot be told."""
    with suppress(OSError):
        return Path(f"/proc/{thread}/stat").read_text().rpartition(") ")[2][:1] in "Tt"
    return False


def process_of(thread: int) -> int:
    """Return the process of a thread, or the thread if it cannot be told."""
    with suppress(OSError):
        for line in Path(f"/proc/{thread}/status").read_text().splitlines():
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    return thread
