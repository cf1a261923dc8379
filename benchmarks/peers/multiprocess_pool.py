"""``multiprocess.Pool``, two processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.peers import Tasks, needed, pools


def open_tasks() -> Tasks:
    """Start the pool."""
    pool = needed("multiprocess").Pool(2)

    def submit(function: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        pool.apply_async(function, arguments, callback=done)

    return pools.tasks(submit)
