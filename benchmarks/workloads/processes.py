"""The server as processes: how long until the first answer, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from benchmarks import load, memory, wire
from benchmarks.model import Case, Measure, Metric, Workload
from benchmarks.server import SETUP, Command, Server
from benchmarks.stage import WORKERS, Stage, start

STARTUP_METRICS = (Metric("handshake", "ms", False), Metric("first call", "ms", False), Metric("stop", "ms", False))
MEMORY_METRICS = (Metric("idle", "MiB", False), Metric("loaded", "MiB", False))
PER_WORKER = (
    Metric("each worker beyond the first, idle", "MiB", False),
    Metric("each worker beyond the first, loaded", "MiB", False),
)
_COUNTS = (1, 2, 4)


def _first_answers(command: Command) -> Measure:
    def measure(_: float) -> dict[str, float]:
        began = time.perf_counter()
        server = Server(command.filled(SETUP, WORKERS))
        try:
            server.handshake()
            greeted = time.perf_counter()
            server.ask("function.call", {"name": "add", "args": wire.values(3, 4)})
            answered = time.perf_counter()
        finally:
            stopping = time.perf_counter()
            server.close()
        stopped = time.perf_counter() - stopping
        seconds = {"handshake": greeted - began, "first call": answered - began, "stop": stopped}
        return {name: value * 1000 for name, value in seconds.items()}

    return measure


def _startup(stage: Stage) -> Iterator[Case]:
    yield Case("from nothing", stage.gather("from nothing", stage.of_servers(_first_answers)), STARTUP_METRICS)


def _used(command: Command, workers: int) -> dict[str, float]:
    server = start(command, workers)
    try:
        server.ask("function.call", {"name": "add", "args": wire.values(3, 4)})
        idle = memory.proportional(server.pid)
        for name, argument in (("add", 3), ("echo", list(range(1000)))):
            arguments = [argument] * (2 if name == "add" else 1)
            requests = wire.Stock([wire.function_tail(name, *arguments)]).take(2000)
            load.check(server.drive(requests, 256), 2000)
        return {"idle": idle, "loaded": memory.proportional(server.pid)}
    finally:
        server.close()


def _offer(workers: int, command: Command) -> Measure:
    return lambda _: _used(command, workers)


def _memory(stage: Stage) -> Iterator[Case]:
    for workers in _COUNTS:
        case = f"{workers} worker{'s' * (workers > 1)}"
        offers = stage.of_servers(partial(_offer, workers))
        yield Case(case, stage.gather(case, offers), MEMORY_METRICS, rounds=2)
    case = "per worker"
    yield Case(
        case, stage.gather(case, stage.of_servers(lambda command: lambda _: _each(command))), PER_WORKER, rounds=2
    )


def _each(command: Command) -> dict[str, float]:
    first, last = (_used(command, workers) for workers in (_COUNTS[0], _COUNTS[-1]))
    more = _COUNTS[-1] - _COUNTS[0]
    return {f"each worker beyond the first, {when}": (last[when] - first[when]) / more for when in first}


STARTUP = Workload("startup", "start, handshake, first call, stop", _startup)
MEMORY = Workload("memory", "proportional memory of the whole tree", _memory)
