"""What is called, and what has to come of it: stories of one call, or of the life of an object."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import eq
from random import Random
from typing import Any, NamedTuple

from scriptling.errors import ErrorCode
from tests.faults.soak.ledger import Call, Demand, Json
from tests.wire.network import integer, text

Story = Generator[Call, Json, None]
"""Yields requests one after the other, and is sent the answer to each."""

NULL = {"type": "null"}
HUNG = 0.3  # seconds that a call may take which never ends
BIG = 200_000  # characters
_HANDED = 1000  # different items of a queue


class Kind(NamedTuple):
    """One of the things that are called.

    :ivar share: how often, of all shares together
    """

    share: int
    tell: Callable[[Random], Story]


def function(name: str, *args: Json, kind: str = "", demand: Demand | None = None, **more: Any) -> Call:
    """Return the call of a function; it is counted under its name, and any result will do, unless said otherwise."""
    return Call(kind or name, "function.call", {"name": name, "args": [*args], **more}, demand or Demand())


def equal(value: Any) -> Demand:
    """Demand this result."""
    return Demand(partial(eq, value))


def raised(message: str, code: int = ErrorCode.HANDLER_ERROR) -> Demand:
    """Demand an error."""
    return Demand(code=code, text=message)


def add(chosen: Random) -> Call:
    """Return the plainest of all calls."""
    a, b = chosen.randrange(1000), chosen.randrange(1000)
    return function("add", integer(a), integer(b), kind="plain call", demand=equal(integer(a + b)))


def hang(begun: Json) -> Call:
    """Return a call that does not end by itself; it calls back when it has begun."""
    demand = raised("hang", ErrorCode.TIMED_OUT)
    return function("hang", begun, kind="call that times out", demand=demand, timeout=HUNG)


def pid() -> Call:
    """Ask for the process of a worker."""
    return function("pid", kind="plain call")


def chooses(make: Callable[[Random], Call]) -> Callable[[Random], Story]:
    """Make a story of one call."""

    def tell(chosen: Random) -> Story:
        yield make(chosen)

    return tell


def says(call: Call) -> Callable[[Random], Story]:
    """Make a story of one call that is always the same."""

    def tell(_: Random) -> Story:
        yield call

    return tell


def _echo(chosen: Random) -> Call:
    said = text("ü" * (BIG if chosen.random() < 0.005 else chosen.randrange(2000)))
    result = {"type": "list", "items": [{"type": "list", "items": [said]}, {"type": "dict", "entries": {}}]}
    return function("echo", said, kind="text there and back", demand=equal(result))


def _fail(chosen: Random) -> Call:
    message = f"on purpose {chosen.randrange(1000)}"
    return function("fail", text(message), kind="function that raises", demand=raised(message))


def _note(chosen: Random) -> Call:
    key = text(f"key {chosen.randrange(1000)}")
    return function("note", key, text("x" * chosen.randrange(2000)), kind="kv set and get", demand=equal(key))


def _task(chosen: Random) -> Call:
    number = chosen.randrange(1000)
    return function("task", integer(number), kind="background task", demand=equal(integer(number**2)))


def _gather(chosen: Random) -> Call:
    number = integer(chosen.randrange(1000))
    return function("gather", number, kind="wait group and task", demand=equal(number))


def _hand_on(chosen: Random) -> Call:
    """Put something into a queue that all such calls share, and take what is the first there."""
    demand = Demand(lambda result: bool(result["type"] == "int" and 0 <= result["value"] < _HANDED))
    return function("hand_on", integer(chosen.randrange(_HANDED)), kind="queue, put and get", demand=demand)


def _notification(chosen: Random) -> Call:
    return add(chosen)._replace(kind="notification", demand=None)


WRONG = [
    function("nothing", kind="wrong call", demand=raised("unknown function nothing")),
    function("add", integer(1), kind="wrong call", demand=raised("add()")),
    Call("wrong call", "function.call", {"name": 5}, raised("", ErrorCode.INVALID_PARAMS)),
    Call("wrong call", "nothing", {}, raised("", ErrorCode.METHOD_NOT_FOUND)),
]
DIES = function("die", kind="call that kills its worker", demand=raised("SIGKILL", ErrorCode.WORKER_DIED))
CRASHES = function("segfault", kind="call that crashes", demand=raised("SIGSEGV", ErrorCode.WORKER_DIED))


class Objects:
    """Lives of objects.

    :param abandoned: the share of them that is left to its lease
    :ivar store: the process of the object store, as its objects have told it last
    :ivar told: when that was
    """

    def __init__(self, abandoned: float = 0) -> None:
        self.store = 0
        self.told = 0.0
        self._abandoned = abandoned

    def life(self, chosen: Random, callback: Json | None = None, called: Json | None = None) -> Story:
        """Make an object, use it, and destroy it; ``callback`` is a function of the host, ``called`` its result."""
        since, value = time.monotonic(), chosen.randrange(1000)
        new = {"class": "Thing", "args": [integer(value)]}
        made = yield Call("object.new", "object.new", new, Demand(), since)
        if "error" in made:
            return
        id = made["result"]["id"]
        method = partial(_method, id, since)
        told = yield method("pid")
        if "result" in told:
            self.store, self.told = told["result"]["value"], time.monotonic()
        added = yield method("add", integer(1), demand=equal(integer(value + 1)))
        value += "result" in added
        yield method("fail", text("on purpose"), demand=raised("on purpose"))
        if callback:
            yield method("ask", callback, demand=equal(called))
        argument = {"type": "remote", "remote": made["result"]}
        use = function("use", argument, integer(1), kind="object as an argument", demand=equal(integer(value + 1)))
        yield use._replace(object_since=since)
        if chosen.random() >= self._abandoned:
            yield Call("object.destroy", "object.destroy", {"object_id": id}, equal(None), since)


def _method(id: str, since: float, name: str, *args: Json, demand: Demand | None = None) -> Call:
    params = {"object_id": id, "method": name, "args": [*args]}
    return Call("method", "object.call_method", params, demand or Demand(), since)


def common(objects: Objects) -> list[Kind]:
    """Return what any transport can carry."""
    return [
        Kind(1000, chooses(add)),
        Kind(160, chooses(_echo)),
        Kind(120, chooses(_fail)),
        Kind(40, chooses(lambda chosen: chosen.choice(WRONG))),
        Kind(120, says(function("count", kind="kv incr"))),
        Kind(80, chooses(_note)),
        Kind(80, objects.life),
        Kind(40, chooses(_notification)),
        Kind(20, says(function("say", text("stray"), kind="stray output", demand=equal(NULL)))),
        Kind(20, says(function("rest", {"type": "float", "value": 0.005}, kind="call that sleeps"))),
        Kind(4, says(function("leak", kind="call that leaks 1 MiB", demand=equal(NULL)))),
        Kind(4, chooses(_task)),
        Kind(20, chooses(_hand_on)),
        Kind(2, chooses(_gather)),
        Kind(2, says(DIES)),
        Kind(2, says(CRASHES)),
    ]


def deal(kinds: Sequence[Kind], chosen: Random) -> Iterator[Story]:
    """Choose stories for ever."""
    shares = [kind.share for kind in kinds]
    for _ in repeat(None):
        for kind in chosen.choices(kinds, shares, k=1000):
            yield kind.tell(chosen)
