"""Where the time of a call goes: CPU time by process while calls run, and the parts of a call by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial

from benchmarks import memory, wire
from benchmarks.load import UNLIMITED
from benchmarks.model import OURS, Case, Measure, Metric, Workload
from benchmarks.pace import Pace
from benchmarks.server import Command
from benchmarks.stage import Stage

_NAMES = ("elapsed", "CPU of the process that was started", "CPU of those below it", "CPU of the load generator")
METRICS = tuple(Metric(name, "µs/call", False) for name in _NAMES)
PART = (Metric("time", "µs", False),)
PARTS = {
    "envelope": "a request's envelope is read",
    "arguments": "its params and arguments are decoded",
    "evaluator": "a fresh evaluator begins and ends",
    "result": "the result is encoded",
    "answer": "the answer is put together",
}


def _cases(stage: Stage) -> Iterator[Case]:
    for case, depth in {"1 in flight": 1, "32 in flight": 32, "all in flight": UNLIMITED}.items():
        offers = stage.of_servers(partial(_cpu, stage, depth))
        yield Case(case, stage.gather(case, offers), METRICS)
    for part, case in PARTS.items():
        offers = stage.of_helpers({OURS: "benchmarks.limits.in_process"}, part)
        contestants = {name: _microseconds(measure) for name, measure in stage.gather(case, offers).items()}
        yield Case(case, contestants, PART)


def _microseconds(rate: Measure) -> Measure:
    return lambda seconds: {"time": 1e6 / rate(seconds / 4)["rate"]}


def _cpu(stage: Stage, depth: int, command: Command) -> Measure:
    server = stage.server(command)
    stock = wire.Stock([wire.function_tail("add", 3, 4)])

    def run(count: int) -> float:
        return server.drive(stock.take(count), depth).elapsed

    pace = Pace(run)

    def measure(seconds: float) -> Mapping[str, float]:
        count = max(1000, int(pace.rate(min(seconds, 0.1)) * seconds))
        requests = stock.take(count)
        before = _used(server.pid)
        elapsed = server.drive(requests, depth).elapsed
        taken = [after - earlier for after, earlier in zip(_used(server.pid), before, strict=True)]
        return {name: value * 1e6 / count for name, value in zip(_NAMES, (elapsed, *taken), strict=True)}

    return measure


def _used(pid: int) -> tuple[float, float, float]:
    first, *others = memory.tree(pid)
    return memory.cpu_seconds(first), sum(map(memory.cpu_seconds, others)), time.process_time()


WORKLOAD = Workload("where", "where the time goes", _cases)
