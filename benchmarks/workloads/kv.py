"""The key-value store inside a handler: microseconds of one operation, seen by the handler."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import wire
from benchmarks.model import Case, Measure, Metric, PeerFailed, Unavailable, Workload
from benchmarks.server import Command
from benchmarks.stage import Stage

_CASES = {
    "get": ("kv_get", 2000),
    "set": ("kv_set", 2000),
    "incr": ("kv_incr", 2000),
    "update": ("kv_update", 2000),
    "durable set": ("kv_set_durable", 50),
    "get among 1,000,000 keys": ("kv_get_among_many", 2000),
}
"""What is measured: the handler, and how often it does it in one call, of which the median counts."""
OPERATION = Metric("time", "µs", False)


def _measure(stage: Stage, function: str, times: int, command: Command) -> Measure:
    server = stage.server(command)

    def measure(_: float) -> dict[str, float]:
        params = {"name": function, "args": wire.values(times)}
        return {"time": float(server.ask("function.call", params)["value"]) * 1e6}

    try:
        measure(0)
    except PeerFailed as error:
        raise Unavailable(f"no scriptling.runtime.kv: {error}") from None
    return measure


def _cases(stage: Stage) -> Iterator[Case]:
    for case, (function, times) in _CASES.items():
        offers = stage.of_servers(partial(_measure, stage, function, times))
        yield Case(case, stage.gather(case, offers), (OPERATION,))


WORKLOAD = Workload("kv", "scriptling.runtime.kv inside a handler", _cases)
