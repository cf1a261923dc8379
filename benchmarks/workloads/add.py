"""``add(a, b)``: the smallest call there is, with few and with many in flight, one by one and in batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import wire
from benchmarks.load import UNLIMITED
from benchmarks.model import Case, Measure, Workload
from benchmarks.peers import require
from benchmarks.server import Command
from benchmarks.stage import Offers, Stage, rate_of

DEPTHS = {"1 in flight": 1, "8 in flight": 8, "32 in flight": 32, "256 in flight": 256, "all in flight": UNLIMITED}
SEVEN = {"type": "int", "value": 7}

POOLS = {
    "ProcessPoolExecutor": "benchmarks.peers.process_pool_executor",
    "multiprocess.Pool": "benchmarks.peers.multiprocess_pool",
    "loky": "benchmarks.peers.loky_executor",
}
RAY_TASKS = {"Ray": "benchmarks.peers.ray_tasks"}
JSONRPC_LOOP = "jsonrpcserver loop"
LINE_ECHO = "limit: line echo"
IN_PROCESS = "limit: one process, no transport"
ZEROMQ = "limit: ZeroMQ round trip"
HOP = "limit: pipe + ZeroMQ round trip"
FEW = ("1 in flight", "32 in flight", "all in flight")  # where peers take part that are not servers


def _add(stage: Stage) -> Iterator[Case]:
    stock = wire.Stock([wire.function_tail("add", 3, 4)])
    plain = wire.Stock([wire.tail("add", [3, 4])])
    for case, depth in DEPTHS.items():
        offers = stage.of_servers(partial(_calls, stage, stock, depth))
        if case in FEW:
            offers |= stage.of_helpers(POOLS, "add", depth=depth)
            offers[JSONRPC_LOOP] = partial(_loop, stage, plain, depth)
        offers |= _limits(stage, stock, depth)
        yield Case(case, stage.gather(case, offers), seconds=2.0 if depth == UNLIMITED else 1.0)


def _calls(stage: Stage, stock: wire.Stock, depth: int, command: Command) -> Measure:
    return rate_of(stage.server(command), stock, depth, 1, SEVEN)


def _loop(stage: Stage, plain: wire.Stock, depth: int) -> Measure:
    require("jsonrpcserver")
    return rate_of(stage.line_server("benchmarks.peers.jsonrpc_loop"), plain, depth, 1, 7)


def _limits(stage: Stage, stock: wire.Stock, depth: int) -> Offers:
    echo, hop = "benchmarks.limits.line_echo", "benchmarks.limits.hop"
    offers: Offers = {LINE_ECHO: lambda: rate_of(stage.line_server(echo), stock, depth)}
    if depth == 1:
        offers |= stage.of_helpers({"rpyc": "benchmarks.peers.rpyc_connection"}, "add", depth=1)
        offers |= stage.of_helpers({ZEROMQ: "benchmarks.limits.zeromq"}, "add")
        offers[HOP] = lambda: rate_of(stage.line_server(hop), stock, 1)
    if depth == UNLIMITED:
        offers |= stage.of_helpers({IN_PROCESS: "benchmarks.limits.in_process"}, "add")
    return offers


def _batches(stage: Stage) -> Iterator[Case]:
    stock = wire.BatchStock([wire.function_tail("add", 3, 4)], 100)
    for case, depth in {"100 a batch, 1 in flight": 1, "100 a batch, 8 in flight": 8}.items():
        yield Case(case, stage.gather(case, stage.of_servers(partial(_batch, stage, stock, depth))))


def _batch(stage: Stage, stock: wire.Stock, depth: int, command: Command) -> Measure:
    return rate_of(stage.server(command), stock, depth, 100, SEVEN)


def _ray(stage: Stage) -> Iterator[Case]:
    stock = wire.Stock([wire.function_tail("add", 3, 4)])
    for case in FEW:
        peers = stage.gather(case, stage.of_helpers(RAY_TASKS, "add", depth=DEPTHS[case]))
        if peers:
            servers = stage.gather(case, stage.of_servers(partial(_calls, stage, stock, DEPTHS[case])))
            yield Case(case, servers | peers)


WORKLOAD = Workload("add", "add(3, 4)", _add)
BATCH = Workload("batch", "add(3, 4) in JSON-RPC batches", _batches)
# By itself, as the processes of Ray take CPU time from everybody else even when they have nothing to do.
RAY = Workload("ray", "add(3, 4) beside Ray", _ray)
