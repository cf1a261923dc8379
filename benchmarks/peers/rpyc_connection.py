"""``rpyc``: a server in a process of its own, behind a Unix socket; calls from one connection, one after the other."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.model import Unavailable
from benchmarks.pace import timed
from benchmarks.peers import Tasks, needed, pools

_START = 10.0  # seconds


def open_tasks() -> Tasks:
    """Start the server and connect."""
    rpyc = needed("rpyc")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = str(Path(folder) / "rpyc")
        multiprocessing.Process(target=_serve, args=(path,), daemon=True).start()
        root = _connect(rpyc, path).root
    counter = root.counter(0)

    def callbacks(depth: int) -> Callable[[int], float]:
        if depth != 1:
            raise Unavailable("a connection of rpyc runs one call at a time")
        return lambda count: timed(lambda: root.repeat(_same, count))

    return {
        "add": _one(lambda: root.add(3, 4)),
        "method": _one(lambda: counter.increment(3)),
        "object": lambda: pools.sequence(lambda: root.counter(0)),
        "callbacks": callbacks,
    }


def _one(call: Callable[[], object]) -> Callable[..., Callable[[int], float]]:
    def task(depth: int) -> Callable[[int], float]:
        if depth != 1:
            raise Unavailable("a connection of rpyc runs one call at a time")
        return pools.sequence(call)

    return task


def _same(value: int) -> int:
    return value


def _serve(path: str) -> None:
    rpyc, server = needed("rpyc"), needed("rpyc.utils.server")
    members = {
        "exposed_add": staticmethod(pools.handlers.add),
        "exposed_repeat": staticmethod(pools.working.repeat),
        "exposed_counter": staticmethod(pools.working.Counter),
    }
    service = type("Service", (rpyc.Service,), members)
    server.ThreadedServer(service, socket_path=path, protocol_config={"allow_public_attrs": True}).start()


def _connect(rpyc: Any, path: str) -> Any:
    deadline = time.monotonic() + _START
    while True:
        try:
            return rpyc.utils.factory.unix_connect(path, config={"allow_public_attrs": True})
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
