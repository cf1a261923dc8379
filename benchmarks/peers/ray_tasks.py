"""Ray on this machine, two CPUs: tasks, and an actor for what has state."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.pace import timed
from benchmarks.peers import Task, Tasks, needed, pools


def open_tasks() -> Tasks:
    """Start Ray, which takes some seconds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = needed("ray", "pip install 'scriptling[bench-ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, address="local")

    def window(start: Callable[[], Any]) -> Task:
        return lambda depth: lambda count: timed(lambda: _run(ray, start, count, depth))

    add, fib = ray.remote(pools.handlers.add), ray.remote(pools.working.fib)
    counter = ray.remote(pools.working.Counter).remote(0)
    return {
        "add": window(lambda: add.remote(3, 4)),
        "fib": window(lambda: fib.remote(20)),
        "method": window(lambda: counter.increment.remote(3)),
    }


def _run(ray: Any, start: Callable[[], Any], count: int, depth: int) -> None:
    if depth >= count:
        ray.get([start() for _ in range(count)])
        return
    waiting: deque[Any] = deque()
    for _ in range(count):
        if len(waiting) == depth:
            ray.get(waiting.popleft())
        waiting.append(start())
    ray.get(list(waiting))
