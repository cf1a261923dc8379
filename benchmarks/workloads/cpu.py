"""CPU-bound calls, and what more workers bring: ``fib(20)`` on one worker and on two, in turns."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import wire
from benchmarks.model import Case, Measure, Metric, Workload
from benchmarks.server import Command
from benchmarks.stage import Stage, rate_of
from benchmarks.workloads.add import POOLS

METRICS = (
    Metric("1 worker", "calls/s", True),
    Metric("2 workers", "calls/s", True),
    Metric("speed-up", "times", True),
)
EXPECTED = {"type": "int", "value": 6765}


def _offer(stage: Stage, command: Command) -> Measure:
    stock = wire.Stock([wire.function_tail("fib", 20)])
    one, two = (rate_of(stage.server(command, workers), stock, 32, 1, EXPECTED) for workers in (1, 2))

    def measure(seconds: float) -> dict[str, float]:
        slow, fast = one(seconds)["rate"], two(seconds)["rate"]
        return {"1 worker": slow, "2 workers": fast, "speed-up": fast / slow}

    return measure


def _cases(stage: Stage) -> Iterator[Case]:
    yield Case("fib(20)", stage.gather("fib(20)", stage.of_servers(lambda command: _offer(stage, command))), METRICS)
    case = "fib(20), 2 processes"
    peers = stage.of_servers(lambda command: _two(stage, command)) | stage.of_helpers(POOLS, "fib", depth=32)
    yield Case(case, stage.gather(case, peers))


def _two(stage: Stage, command: Command) -> Measure:
    return rate_of(stage.server(command), wire.Stock([wire.function_tail("fib", 20)]), 32, 1, EXPECTED)


WORKLOAD = Workload("cpu", "CPU-bound calls, 32 in flight", _cases)
