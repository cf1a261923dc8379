"""``loky``'s reusable executor, two processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.peers import Tasks, needed, pools


def open_tasks() -> Tasks:
    """Start the pool."""
    executor = needed("loky").get_reusable_executor(max_workers=2, timeout=None)

    def submit(function: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        executor.submit(function, *arguments).add_done_callback(done)

    return pools.tasks(submit)
