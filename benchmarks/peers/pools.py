"""Pools of processes: calls are submitted one by one, as by independent callers; a window bounds those in flight."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pace import timed
from benchmarks.peers import Task, Tasks

handlers: Any = importlib.import_module("benchmarks.served.handlers")
working: Any = importlib.import_module("benchmarks.served.work")

Submit = Callable[[Callable[..., Any], tuple[Any, ...], Callable[[Any], None]], None]
"""Takes a function, its arguments, and whom to tell of the result."""


def tasks(submit: Submit) -> Tasks:
    """Return the tasks of a pool that ``submit`` sends work to."""

    def window(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Task:
        return lambda depth: lambda count: _run(submit, function, arguments, count, depth)

    return {"add": window(handlers.add, (3, 4)), "fib": window(working.fib, (20,)), "echo": _echo(submit)}


def _echo(submit: Submit) -> Task:
    def task(kind: int) -> Callable[[int], float]:
        payload = payloads()[kind]
        return lambda count: _run(submit, handlers.echo, (payload,), count, 1)

    return task


def payloads() -> list[Any]:
    """Return the large arguments, in the order of :mod:`benchmarks.workloads.payloads`."""
    return list(importlib.import_module("benchmarks.workloads.payloads").PAYLOADS.values())


def _run(submit: Submit, function: Callable[..., Any], arguments: tuple[Any, ...], count: int, depth: int) -> float:
    free = threading.Semaphore(min(depth, count))
    finished = threading.Event()
    left = [count]  # only the thread that brings results counts

    def done(_: Any) -> None:
        left[0] -= 1
        free.release()
        if not left[0]:
            finished.set()

    began = time.perf_counter()
    for _ in range(count):
        free.acquire()
        submit(function, arguments, done)
    finished.wait()
    return time.perf_counter() - began


def sequence(call: Callable[[], object]) -> Callable[[int], float]:
    """Return what calls one after the other."""

    def work(count: int) -> None:
        for _ in range(count):
            call()

    return lambda count: timed(lambda: work(count))
