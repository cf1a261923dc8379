"""The key-value store inside a handler: microseconds of one operation, seen by the handler."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import wire
from benchmarks.model import Case, Measure, Metric, PeerFailed, Unavailable, Workload
from benchmarks.server import Command
from benchmarks.stage import Stage

TIMES = 2000
OPERATION = Metric("time", "µs", False)


def _measure(stage: Stage, function: str, command: Command) -> Measure:
    server = stage.server(command)

    def measure(_: float) -> dict[str, float]:
        params = {"name": function, "args": wire.values(TIMES)}
        return {"time": float(server.ask("function.call", params)["value"]) * 1e6}

    try:
        measure(0)
    except PeerFailed as error:
        raise Unavailable(f"no scriptling.runtime.kv: {error}") from None
    return measure


def _cases(stage: Stage) -> Iterator[Case]:
    for case in ("get", "set"):
        offers = stage.of_servers(partial(_measure, stage, f"kv_{case}"))
        yield Case(case, stage.gather(case, offers), (OPERATION,))


WORKLOAD = Workload("kv", "scriptling.runtime.kv inside a handler", _cases)
