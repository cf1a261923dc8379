"""Objects: methods of one and of many, and short lives from constructor to destruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import msgspec

from benchmarks import load, wire
from benchmarks.load import UNLIMITED
from benchmarks.model import Case, Measure, Metric, Workload
from benchmarks.pace import Pace
from benchmarks.server import Command
from benchmarks.stage import Stage, rate_of

DEPTHS = {"1 in flight": 1, "32 in flight": 32, "all in flight": UNLIMITED}
PEERS = {"rpyc": "benchmarks.peers.rpyc_connection", "multiprocessing.managers": "benchmarks.peers.managers"}
LIVES_RATE = Metric("rate", "objects/s", True)


def _methods(stage: Stage) -> Iterator[Case]:
    for objects in (1, 64):
        stock = cache(partial(_stock, stage, objects))
        for name, depth in DEPTHS.items():
            case = f"{objects} object{'s' * (objects > 1)}, {name}"
            offers = stage.of_servers(partial(_method, stage, stock, depth))
            if (objects, depth) == (1, 1):
                offers |= stage.of_helpers(PEERS, "method", depth=1)
            yield Case(case, stage.gather(case, offers), seconds=2.0 if depth == UNLIMITED else 1.0)


def _method(stage: Stage, stock: Callable[[Command], wire.Stock], depth: int, command: Command) -> Measure:
    return rate_of(stage.server(command), stock(command), depth)


def _stock(stage: Stage, objects: int, command: Command) -> wire.Stock:
    server = stage.server(command)
    ids = [server.create("Counter", 0) for _ in range(objects)]
    return wire.Stock([wire.method_tail(object_id, "increment", 3) for object_id in ids])


def _lives(stage: Stage) -> Iterator[Case]:
    for depth in (1, 32):
        case = f"{depth} in flight"
        offers = stage.of_servers(partial(_life, stage, depth))
        if depth == 1:
            offers |= stage.of_helpers(PEERS, "object")
        yield Case(case, stage.gather(case, offers), (LIVES_RATE,))


def _life(stage: Stage, depth: int, command: Command) -> Measure:
    server = stage.server(command)
    births = wire.Stock([wire.tail("object.new", {"class": "Counter", "args": wire.values(0)})])

    def run(count: int) -> float:
        born = server.drive(births.take(count), depth)
        load.check(born, count)
        ids = [msgspec.json.decode(line)["result"]["id"] for line in load.answers(born)]
        deaths = wire.Stock([wire.tail("object.destroy", {"object_id": each}) for each in ids]).take(count)
        died = server.drive(deaths, depth)
        load.check(died, count)
        return born.elapsed + died.elapsed

    pace = Pace(run, most=50_000)
    return lambda seconds: {"rate": pace.rate(seconds)}


METHODS = Workload("methods", "Counter.increment(3)", _methods)
LIVES = Workload("objects", "Counter(0), and its destruction", _lives)
