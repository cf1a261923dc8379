"""One slow call among a hundred: what the fast ones feel of it.

Two kinds of load. *In flight*: 32 calls at any time; as soon as one is answered the next is sent, so slow ones gather
and the rate is bounded by how many of them can wait at once. *Paced*: 1,000 calls a second whatever is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import load, wire
from benchmarks.model import Case, Measure, Metric, PeerFailed, Workload
from benchmarks.paced import drive_paced
from benchmarks.server import Command, Server
from benchmarks.stage import Stage
from benchmarks.stats import percentile

SLOW = 0.05  # seconds
EVERY = 100  # calls, of which one is slow
PACE = 1000.0  # calls/s

_SHARES = {"50th": 0.5, "99th": 0.99, "99.9th": 0.999}
METRICS = (
    Metric("rate, fast only", "calls/s", True),
    Metric("rate, 1 % slow", "calls/s", True),
    *(Metric(f"{name} percentile, {kind}", "ms", False) for kind in ("fast only", "1 % slow") for name in _SHARES),
    Metric("99th percentile, against fast only", "times", False),
)


def _tails(slow: bool) -> list[bytes]:
    fast = wire.function_tail("add", 3, 4)
    middle = EVERY // 2
    return [wire.function_tail("pause", SLOW) if slow and i == middle else fast for i in range(EVERY)]


def _cases(stage: Stage) -> Iterator[Case]:
    loads = {"32 in flight": partial(load.drive, depth=32), "1,000 calls/s": partial(drive_paced, rate=PACE)}
    for case, drive in loads.items():
        offers = stage.of_servers(partial(_measure, stage, drive))
        yield Case(case, stage.gather(case, offers), METRICS, seconds=3.0)


def _measure(stage: Stage, drive: partial[load.Run], command: Command) -> Measure:
    server = stage.server(command)
    mixed, plain = wire.Stock(_tails(True)), wire.Stock(_tails(False))

    def measure(seconds: float) -> dict[str, float]:
        figures: dict[str, float] = {}
        for kind, stock in (("fast only", plain), ("1 % slow", mixed)):
            # Never fewer than show a 99.9th percentile, nor so many that slow ones alone make it last.
            count = max(1000, min(20_000, int(seconds * 2000) // EVERY * EVERY))
            figures |= _one(server, drive, stock, count, kind)
        without, within = (figures[f"99th percentile, {kind}"] for kind in ("fast only", "1 % slow"))
        figures["99th percentile, against fast only"] = within / without
        return figures

    return measure


def _one(server: Server, drive: partial[load.Run], stock: wire.Stock, count: int, kind: str) -> dict[str, float]:
    requests = stock.take(count)
    run = drive(server.pipes, requests)
    load.check(run, count)
    middle = EVERY // 2
    fast = [taken * 1000 for index, taken in load.latencies(run, requests) if index % EVERY != middle]
    if not fast:
        raise PeerFailed("no fast call was answered")
    figures = {f"{name} percentile, {kind}": percentile(fast, share) for name, share in _SHARES.items()}
    return figures | {f"rate, {kind}": count / run.elapsed}


WORKLOAD = Workload("mix", f"1 % calls of {SLOW * 1000:g} ms among fast ones", _cases)
