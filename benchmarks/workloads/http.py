"""``add(a, b)`` over HTTP: one request at a time on each connection, of one call or of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks import http_load
from benchmarks.http_server import HttpServer, rate_of
from benchmarks.model import OURS, Case, Measure, Workload
from benchmarks.peers import require
from benchmarks.server import SETUP
from benchmarks.stage import WORKERS, Offers, Stage
from benchmarks.wire import FIRST_ID, BatchStock, Stock, function_tail

BATCH = 100
FASTAPI = "FastAPI + ProcessPoolExecutor"
UVICORN = "limit: uvicorn alone"
_NEEDS = {FASTAPI: ("fastapi", "uvicorn"), UVICORN: ("uvicorn",)}


class Form(NamedTuple):
    """How a case looks on the wire of one contestant.

    :ivar expected: what every answer has in it
    """

    path: str
    body: bytes
    expected: bytes


_TAILS = [function_tail("add", 3, 4)]
_NUMBERS = b'{"a":3,"b":4}'
SINGLE = {
    OURS: Form("/json-rpc", Stock(_TAILS).take(1).text, b'"value":7'),
    FASTAPI: Form("/add", _NUMBERS, b'"result":7'),
    UVICORN: Form("/json-rpc", Stock(_TAILS).take(1).text, b'"value":7'),
}
BATCHED = {
    OURS: Form("/json-rpc", BatchStock(_TAILS, BATCH).take(1).text, b'"id":%d' % (FIRST_ID + BATCH - 1)),
    FASTAPI: Form("/batch", b"[%b]" % b",".join([_NUMBERS] * BATCH), b'"result":7},{"result":7'),
}


_OURS = ("-m", "scriptling", "--json-rpc", "--workers", str(WORKERS), "--server")
_COMMANDS: dict[str, Callable[[int], Sequence[str]]] = {
    OURS: lambda port: [sys.executable, *_OURS, f"{http_load.HOST}:{port}", str(SETUP)],
    FASTAPI: lambda port: [sys.executable, "-m", "benchmarks.peers.fastapi_pool", str(port)],
    UVICORN: lambda port: [sys.executable, "-m", "benchmarks.limits.uvicorn_alone", str(port)],
}


def _cases(stage: Stage) -> Iterator[Case]:
    for case, connections in {"1 connection": 1, "16 connections": 16}.items():
        yield _case(stage, case, SINGLE, connections, 1)
    # As many as the queue of a server takes that nobody has set otherwise.
    yield _case(stage, "8 connections, 100 a batch", BATCHED, 8, BATCH)


def _case(stage: Stage, case: str, forms: dict[str, Form], connections: int, each: int) -> Case:
    offers: Offers = {name: partial(_offer, stage, name, form, connections, each) for name, form in forms.items()}
    return Case(case, stage.gather(case, offers))


def _offer(stage: Stage, name: str, form: Form, connections: int, each: int) -> Measure:
    for module in _NEEDS.get(name, ()):
        require(module)
    server = stage.http_server(name, lambda: HttpServer(_COMMANDS[name]))
    return rate_of(server, http_load.request(form.path, form.body), connections, form.expected, each)


WORKLOAD = Workload("http", "add(3, 4) over HTTP", _cases)
