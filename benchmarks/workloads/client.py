"""The project's own client: calls of ``add`` through a loaded plugin, from one thread and from eight."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.model import OURS, Case, Workload
from benchmarks.stage import Stage


def _cases(stage: Stage) -> Iterator[Case]:
    for threads in (1, 8):
        case = f"{threads} thread{'s' * (threads > 1)}"
        offers = stage.of_helpers({OURS: "benchmarks.peers.python_client"}, "add", threads=threads)
        yield Case(case, stage.gather(case, offers))


WORKLOAD = Workload("client", "add(3, 4) through scriptling.plugin", _cases)
