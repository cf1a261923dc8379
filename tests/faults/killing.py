"""Writers that are killed with SIGKILL again and again, and one that is not; run as a program.

Arguments: folder, kills, writes. Each writer says which writes have returned. Prints how many there were, which of them
are not there as they were written, and the longest time that the survivor, which writes all the while, waited for one.
All that writers say is read all the while: they are killed while they write, not while they wait to be heard.
"""

from __future__ import annotations

import ctypes
import os
import random
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from scriptling.stores import places
from scriptling.stores.registry import open_memory
from scriptling.stores.store import Store

WRITERS = 3
PR_SET_PDEATHSIG = 1
OTHERS = {"stop", "survivor"}


def value(key: str) -> list[str]:
    return [key] * 300  # some pages


def write_for_ever(store: Store, name: str, said: int) -> NoReturn:
    number = 0
    while True:
        key = f"{name} {number}"
        store.set(key, value(key), ttl=1000 if number % 2 else 0)
        os.write(said, f"{key}\n".encode())
        number += 1


def survive(store: Store, said: int) -> None:
    longest = 0.0
    while not store.get("stop"):
        before = time.perf_counter()
        store.incr("survivor")
        longest = max(longest, time.perf_counter() - before)
    os.write(said, f"{longest * 1000:.1f}\n".encode())


class Child:
    """A process that ends with this one, and what it has said."""

    def __init__(self, action: Callable[[int], None]) -> None:
        heard, said = os.pipe()
        self.lines = 0
        self._text = b""
        self._heard = heard
        self.pid = os.fork()
        if not self.pid:
            _run(action, said)
        os.close(said)
        SELECTOR.register(heard, selectors.EVENT_READ, self)

    def read(self) -> bool:
        """Read what it has said, and return whether it has more to say."""
        data = os.read(self._heard, 1 << 16)
        self._text += data
        self.lines += data.count(b"\n")
        return bool(data)

    def kill(self) -> list[str]:
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> list[str]:
        """Wait for its end, and return the lines that it has said."""
        while self.read():
            pass
        SELECTOR.unregister(self._heard)
        os.close(self._heard)
        os.waitpid(self.pid, 0)
        return self._text.decode().splitlines()


def _run(action: Callable[[int], None], said: int) -> NoReturn:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        if os.getppid() == PARENT:
            action(said)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def writer(store: Store, name: str) -> Child:
    return Child(lambda said: write_for_ever(store, name, said))


def hear(child: Child, lines: int) -> None:
    """Wait until a writer has said so many more lines, and read those of others meanwhile."""
    wanted = child.lines + lines
    while child.lines < wanted:
        for key, _ in SELECTOR.select():
            if not key.data.read():
                raise RuntimeError("a writer has ended by itself")


def main(folder: Path, kills: int, writes: int) -> None:
    places.configure(folder, "")
    store = open_memory("test", "killing")
    survivor = Child(lambda said: survive(store, said))
    acknowledged: list[str] = []
    writers = [writer(store, f"first {number}") for number in range(WRITERS)]
    for kill in range(kills):
        place = random.randrange(WRITERS)
        hear(writers[place], random.randrange(1, max(2, 2 * writes // kills // WRITERS)))
        acknowledged += writers[place].kill()
        writers[place] = writer(store, str(kill))
    for each in writers:
        acknowledged += each.kill()
    store.set("stop", True)
    [longest] = survivor.end()
    written = {*acknowledged, *store.keys()} - OTHERS  # those that were being written are whole as well, or not there
    torn = [key for key in written if store.get(key) != value(key)]
    sys.stdout.write(f"{len(acknowledged)} {torn} {longest}\n")


if __name__ == "__main__":
    PARENT = os.getpid()
    SELECTOR = selectors.DefaultSelector()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
