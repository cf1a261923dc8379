"""Objects in one store and in two: with a store for each class, and with the objects of one class spread over both."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks import wire
from benchmarks.load import UNLIMITED
from benchmarks.model import OURS, Case, Measure, Workload
from benchmarks.server import SETUP, Command
from benchmarks.stage import Offers, Stage, rate_of

_OBJECTS = 64
_ONE = ("Counter",)
_TWO = ("Counter", "Other")
_PLACEMENTS = {OURS: (1, _TWO), "two stores, by class": (2, _TWO), "two stores, by object": (2, _ONE)}
_METHODS = {"increment(3)": ("increment", 3), "fib(15)": ("fib", 15)}


def _command(name: str, stores: int, classes: Sequence[str]) -> Command:
    setup = SETUP.with_name("two_classes.py" if classes == _TWO else "one_class.py")
    words = ("-m", "scriptling", "--json-rpc", "--workers", "1", "--object-stores", str(stores), str(setup))
    return Command(name, (sys.executable, *words))


def _cases(stage: Stage) -> Iterator[Case]:
    for case, (method, argument) in _METHODS.items():
        offers: Offers = {
            name: partial(_offer, stage, _command(name, stores, classes), classes, method, argument)
            for name, (stores, classes) in _PLACEMENTS.items()
        }
        yield Case(f"{case}, all in flight", stage.gather(case, offers), seconds=2.0)


def _offer(stage: Stage, command: Command, classes: Sequence[str], method: str, argument: int) -> Measure:
    server = stage.server(command)
    ids = [server.create(classes[number % len(classes)], 0) for number in range(_OBJECTS)]
    stock = wire.Stock([wire.method_tail(object_id, method, argument) for object_id in ids])
    return rate_of(server, stock, UNLIMITED)


WORKLOAD = Workload("stores", "methods of 64 objects in one object store and in two", _cases)
