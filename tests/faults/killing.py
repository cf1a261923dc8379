"""Writers that are killed with SIGKILL again and again, and one that is not; run as a program.

Arguments: folder, kills, writes. Each writer says which writes have returned. Prints how many there were, which of them
are not there as they were written, and the longest time that the survivor, which writes all the while, waited for one.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from scriptling.stores import places
from scriptling.stores.registry import open_memory
from scriptling.stores.store import Store

WRITERS = 3


def value(key: str) -> list[str]:
    return [key] * 300  # some pages


def write_for_ever(store: Store, name: str, said: int) -> NoReturn:
    number = 0
    while True:
        key = f"{name} {number}"
        store.set(key, value(key), ttl=1000 if number % 2 else 0)
        os.write(said, f"{key}\n".encode())
        number += 1


def survive(store: Store, said: int) -> NoReturn:
    longest = 0.0
    while os.getppid() == PARENT and not store.get("stop"):
        before = time.perf_counter()
        store.incr("survivor")
        longest = max(longest, time.perf_counter() - before)
    os.write(said, f"{longest * 1000:.1f}\n".encode())
    os._exit(0)


class Writer:
    """A writer's process, and what it has said."""

    def __init__(self, store: Store, name: str) -> None:
        heard, said = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            write_for_ever(store, name, said)
        os.close(said)
        self._heard = heard
        self._text = b""

    def hear(self, writes: int) -> None:
        while self._text.count(b"\n") < writes:
            data = os.read(self._heard, 1 << 16)
            if not data:
                raise RuntimeError("a writer has ended by itself")
            self._text += data

    def kill(self) -> list[str]:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while data := os.read(self._heard, 1 << 16):
            self._text += data
        os.close(self._heard)
        return self._text.decode().splitlines()


def main(folder: Path, kills: int, writes: int) -> None:
    places.configure(folder, "")
    store = open_memory("test", "killing")
    heard, said = os.pipe()
    if not os.fork():
        survive(store, said)
    acknowledged: list[str] = []
    writers = [Writer(store, f"first {number}") for number in range(WRITERS)]
    for kill in range(kills):
        place = random.randrange(WRITERS)
        writers[place].hear(random.randrange(1, 2 * writes // kills))
        acknowledged += writers[place].kill()
        writers[place] = Writer(store, str(kill))
    for writer in writers:
        acknowledged += writer.kill()
    store.set("stop", True)
    os.wait()
    torn = [key for key in acknowledged if store.get(key) != value(key)]
    sys.stdout.write(f"{len(acknowledged)} {torn} {os.read(heard, 100).decode()}")


if __name__ == "__main__":
    PARENT = os.getpid()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
