"""What the processes of a server have, from /proc."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.memory import proportional, tree

_PER_ASKER = 2  # descriptors in the object store: the connection, and what wakes its thread
_TICK = 0.01  # seconds; the least that can be told of CPU time


class Sample(NamedTuple):
    """One look at one server; a number that could not be had is None. Memory is in MiB, and without mapped files.

    :ivar when: in seconds
    :ivar cpu: seconds that all processes have computed, those that have ended included
    :ivar answers: beside those in floods
    :ivar front_end_fds: but those of connections to threads of the object store that have asked for something
    :ivar store_fds: but those of these connections
    :ivar setup_fds: of the process of the setup script
    :ivar most_fds: of any worker
    :ivar tree_memory: of all processes, pages that several share counted once
    :ivar zombies: which processes have ended and not been buried
    """

    when: float
    cpu: float
    answers: float
    processes: float
    front_end_fds: float | None
    nursery_fds: float | None
    setup_fds: float | None
    store_fds: float | None
    most_fds: float | None
    front_end_memory: float | None
    nursery_memory: float | None
    setup_memory: float | None
    store_memory: float | None
    tree_memory: float | None
    zombies: frozenset[int]


def take(front_end: int, setup: int, store: int, answers: int) -> Sample:
    """Look at a server, of which these processes are known by their numbers."""
    pids = tree(front_end)
    nursery = pids[1] if len(pids) > 1 else 0
    asking = askers(store)
    others = [count for pid in pids[2:] if pid not in {setup, store} and (count := descriptors(pid)) is not None]
    return Sample(
        time.monotonic(),
        sum(filter(None, map(cpu_seconds, pids))),
        answers,
        len(pids),
        _less(descriptors(front_end), asking),
        descriptors(nursery),
        descriptors(setup),
        _less(descriptors(store), asking, _PER_ASKER),
        max(others, default=None),
        memory(front_end),
        memory(nursery),
        memory(setup),
        memory(store),
        proportional(front_end),
        frozenset(filter(is_zombie, pids)),
    )


def _of(read: Callable[[str], float | None]) -> Callable[[int], float | None]:
    def reading(pid: int) -> float | None:
        try:
            return read(f"/proc/{pid}")
        except OSError:  # it has ended meanwhile
            return None

    return reading


@_of
def descriptors(folder: str) -> float | None:
    """Count the open descriptors of a process."""
    return len(os.listdir(f"{folder}/fd"))  # noqa: PTH208


@_of
def askers(folder: str) -> float | None:
    """Count the threads of an object store that have asked for something; each keeps a connection to the front-end.

    What it has more of either descriptor, or has more of both than it has threads, is left over from something else.
    """
    kinds = Counter(_kind(f"{folder}/fd/{number}") for number in os.listdir(f"{folder}/fd"))  # noqa: PTH208
    return min(kinds["socket"], kinds["anon_inode:[eventfd]"], len(os.listdir(f"{folder}/task")))  # noqa: PTH208


def _kind(link: str) -> str:
    try:
        return re.sub(r":\[\d+\]$", "", os.readlink(link))  # noqa: PTH115
    except OSError:  # it was closed meanwhile
        return ""


def _less(number: float | None, threads: float | None, each: int = 1) -> float | None:
    return None if number is None or threads is None else number - each * threads


@_of
def memory(folder: str) -> float | None:
    """Return the MiB that a process has resident, without what is mapped from files."""
    status = Path(f"{folder}/status").read_text()
    found = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.MULTILINE)
    return sum(map(int, found)) / 1024 if found else None


@_of
def cpu_seconds(folder: str) -> float | None:
    """Return how long a process has computed, and those of its children that it has buried."""
    ticks = Path(f"{folder}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and not been buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


class Period(NamedTuple):
    """One period of a server.

    :ivar loaded: from its beginning to the beginning of its rest
    :ivar rest: at the end of its rest
    """

    loaded: Sequence[Sample]
    rest: Sample

    @property
    def rate(self) -> float:
        """Answers a second under load, beside floods."""
        first, *_, last = self.loaded
        return (last.answers - first.answers) / (last.when - first.when)

    @property
    def yielded(self) -> float:
        """Answers for each second that the server has computed, whatever else the machine has done."""
        first, *_, last = self.loaded
        return (last.answers - first.answers) / max(last.cpu - first.cpu, _TICK)
