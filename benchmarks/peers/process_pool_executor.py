"""``concurrent.futures.ProcessPoolExecutor``, two processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.peers import Tasks, pools


def open_tasks() -> Tasks:
    """Start the pool."""
    executor = ProcessPoolExecutor(2)

    def submit(function: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        executor.submit(function, *arguments).add_done_callback(done)

    return pools.tasks(submit)
