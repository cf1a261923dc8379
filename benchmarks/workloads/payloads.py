"""Large arguments, echoed: one call in flight, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks import wire
from benchmarks.model import TIME, Case, Measure, Workload
from benchmarks.server import Command
from benchmarks.stage import Stage, rate_of
from benchmarks.workloads.add import LINE_ECHO, POOLS

PAYLOADS: dict[str, Any] = {
    "10,000 ints": list(range(10_000)),
    "1,000 dicts of ten strings": [{f"key{i}": f"value {i} of {n}" for i in range(10)} for n in range(1000)],
    "a string of 1 MB": "0123456789abcdef" * 65536,
}


def _cases(stage: Stage) -> Iterator[Case]:
    for kind, (case, payload) in enumerate(PAYLOADS.items()):
        stock = wire.Stock([wire.function_tail("echo", payload)])
        (expected,) = wire.values(payload)
        offers = stage.of_servers(partial(_echo, stage, stock, expected))
        offers |= stage.of_helpers(POOLS, "echo", kind=kind)
        offers[LINE_ECHO] = partial(_line_echo, stage, stock)
        contestants = stage.gather(case, offers)
        yield Case(case, {name: _in_milliseconds(rate) for name, rate in contestants.items()}, (TIME,))


def _echo(stage: Stage, stock: wire.Stock, expected: Any, command: Command) -> Measure:
    return rate_of(stage.server(command), stock, 1, 1, expected)


def _line_echo(stage: Stage, stock: wire.Stock) -> Measure:
    return rate_of(stage.line_server("benchmarks.limits.line_echo"), stock, 1)


def _in_milliseconds(rate: Measure) -> Measure:
    return lambda seconds: {"time": 1000 / rate(seconds)["rate"]}


WORKLOAD = Workload("payloads", "large arguments echoed", _cases)
