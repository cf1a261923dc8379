"""``multiprocessing.managers``: objects in a process of their own behind proxies, one call after the other."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.managers import BaseManager
from typing import Any

from benchmarks.model import Unavailable
from benchmarks.peers import Tasks, pools


class _Manager(BaseManager):
    pass


def open_tasks() -> Tasks:
    """Start the manager's process."""
    _Manager.register("Counter", pools.working.Counter)
    manager: Any = _Manager()
    manager.start()
    counter = manager.Counter(0)

    def method(depth: int) -> Callable[[int], float]:
        if depth != 1:
            raise Unavailable("a proxy runs one call at a time")
        return pools.sequence(lambda: counter.increment(3))

    return {"method": method, "object": lambda: pools.sequence(lambda: manager.Counter(0))}
