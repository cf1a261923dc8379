"""Whether a process of user code may go on: the memory that it may have, and what handlers may leave behind in it."""

from __future__ import annotations

import _thread
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_THREADS = 100  # that calls may leave behind, until a worker asks to be replaced
_HEADROOM = 64 << 20  # bytes; the stack of a thread takes 8 MiB
_STACK = 2 << 20  # bytes of a thread's stack where the limit of stacks is none
_FEWEST_THREADS = 4
_INTERVAL = 5_000_000  # ns between looks while calls follow one another
_STATM = Path("/proc/self/statm")


def limit_memory(most: int) -> None:
    """Let this process, and each that it starts, have so much writable private memory and no more (MiB; 0 is no bound).

    RLIMIT_DATA counts what ``malloc`` and Python take, and the stacks of threads. Unlike RLIMIT_AS it leaves out what
    is only mapped: libraries, the sparse files of key-value stores, and address space that is reserved but not used.
    """
    if most:
        resource.setrlimit(resource.RLIMIT_DATA, (most << 20, (most << 20) + _HEADROOM))


def memory_limit() -> int:
    """Return how much writable private memory this process may have (MiB); 0 if there is no bound."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return 0 if most == resource.RLIM_INFINITY else most >> 20


def most_threads(wanted: int) -> int:
    """Return how many of the threads that are wanted may be had: their stacks take half of the memory at most."""
    memory = memory_limit()
    if not memory:
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    stack = threading.stack_size() or (_STACK if soft == resource.RLIM_INFINITY else soft)
    return max(_FEWEST_THREADS, min(wanted, (memory << 20) // 2 // stack))


@contextmanager
def headroom() -> Iterator[None]:
    """Have some memory more for what must not fail because user code has taken all there was."""
    most, with_headroom = resource.getrlimit(resource.RLIMIT_DATA)
    if most == with_headroom:  # there is no limit, or another thread has this just now
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (with_headroom, with_headroom))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (most, with_headroom))


class Fitness:
    """What a worker asks itself between calls.

    :param max_rss: MiB that may be resident, not counting what is mapped from files and stores; 0 is no bound
    """

    def __init__(self, max_rss: int) -> None:
        self._most_pages = (max_rss << 20) // resource.getpagesize()
        self._next = 0

    def is_due(self, now: int) -> bool:
        """Whether it is time for another look (``now`` in ns); one look takes 2 µs."""
        return now >= self._next

    def is_lost(self, now: int) -> bool:
        """Look whether handlers have left too much in this process for it to go on."""
        self._next = now + _INTERVAL
        return _thread._count() > _MOST_THREADS or (bool(self._most_pages) and self._is_too_large())

    def _is_too_large(self) -> bool:
        try:
            _, resident, shared, *_ = map(int, _STATM.read_bytes().split())
        except OSError:  # a handler has left no descriptor free
            return True
        return resident - shared > self._most_pages
