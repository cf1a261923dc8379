"""Callbacks: a handler calls a function of the host's a number of times; one such call at once, and 16."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.callback_load import drive_callbacks
from benchmarks.model import Case, Measure, Metric, Workload
from benchmarks.pace import Pace
from benchmarks.server import Command
from benchmarks.stage import Stage

CALLBACK_RATE = Metric("rate", "callbacks/s", True)


def _measure(stage: Stage, outer: int, command: Command) -> Measure:
    pipes = stage.server(command).pipes
    pace = Pace(lambda count: drive_callbacks(pipes, outer, count // outer), least=outer, most=100_000)
    return lambda seconds: {"rate": pace.rate(seconds)}


def _cases(stage: Stage) -> Iterator[Case]:
    for outer in (1, 16):
        offers = stage.of_servers(partial(_measure, stage, outer))
        if outer == 1:
            offers |= stage.of_helpers({"rpyc": "benchmarks.peers.rpyc_connection"}, "callbacks", depth=1)
        case = f"{outer} in flight"
        yield Case(case, stage.gather(case, offers), (CALLBACK_RATE,))


WORKLOAD = Workload("callbacks", "functions of the host called by a handler", _cases)
