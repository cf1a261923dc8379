"""What a workload has to work with: peers that are started when first asked for, and ended with the workload."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from benchmarks import load, wire
from benchmarks.http_server import HttpServer
from benchmarks.model import Absence, Measure, PeerFailed, Unavailable
from benchmarks.pace import Pace
from benchmarks.server import SETUP, Command, Helper, Server

Offers = dict[str, Callable[[], Measure]]
"""Contestants by name, each started when its offer is taken; raises if it cannot take part."""

T = TypeVar("T")

WORKERS = 2  # unless a case is about their number


class Stage:
    """Peers on demand.

    :param workload: name of the workload, for what is reported
    :param servers: the servers of the protocol that take part; this project's is the first
    :param rounds: of a case
    """

    def __init__(self, workload: str, servers: Sequence[Command], rounds: int = 5) -> None:
        self.servers = servers
        self.rounds = rounds
        self.absences: list[Absence] = []
        self._workload = workload
        self._running: dict[tuple[str, int], Server] = {}
        self._listening: dict[str, HttpServer | Unavailable] = {}
        self._helpers: dict[str, Helper | Unavailable] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def server(self, command: Command, workers: int = WORKERS) -> Server:
        """Return a running server that has answered its handshake.

        :raises Unavailable: it cannot be started, or not with another number of workers
        """
        key = (command.name, workers)
        if key not in self._running:
            self._running[key] = self._keep(start(command, workers))
        return self._running[key]

    def line_server(self, module: str) -> Server:
        """Return a running process of this package that answers lines."""
        key = (module, 0)
        if key not in self._running:
            self._running[key] = self._keep(Server([sys.executable, "-m", module], SETUP.parent.parent.parent))
        return self._running[key]

    def http_server(self, name: str, start: Callable[[], HttpServer]) -> HttpServer:
        """Return a running server that listens on a port, started by ``start`` when it is first asked for.

        :raises Unavailable: it cannot be started
        """
        if name not in self._listening:
            try:
                server = start()
            except Unavailable as reason:
                self._listening[name] = reason
            else:
                self._stack.callback(server.close)
                self._listening[name] = server
        return _there(self._listening[name])

    def helper(self, name: str) -> Helper:
        """Return a running helper.

        :raises Unavailable: what it needs is not there
        """
        if name not in self._helpers:
            try:
                helper = Helper(name)
            except Unavailable as reason:
                self._helpers[name] = reason
            else:
                self._stack.callback(helper.close)
                self._helpers[name] = helper
        return _there(self._helpers[name])

    def gather(self, case: str, offers: Offers) -> dict[str, Measure]:
        """Return those contestants that can take part; the others are noted with their reason."""
        contestants = {}
        for name, offer in offers.items():
            try:
                contestants[name] = offer()
            except (Unavailable, PeerFailed) as reason:
                broke = isinstance(reason, PeerFailed)
                self.absences.append(Absence(self._workload, case, name, str(reason), broke))
        return contestants

    def of_servers(self, offer: Callable[[Command], Measure]) -> Offers:
        """Return an offer (see :meth:`gather`) for every server of the protocol."""
        return {command.name: partial(offer, command) for command in self.servers}

    def of_helpers(self, names: Mapping[str, str], task: str, **options: int) -> Offers:
        """Return an offer for every helper, given as name in the report → module."""
        return {name: partial(self._helped, module, task, options) for name, module in names.items()}

    def _helped(self, module: str, task: str, options: Mapping[str, int]) -> Measure:
        helper = self.helper(module)
        return lambda seconds: helper.measure(seconds, task, **options)

    def _keep(self, server: Server) -> Server:
        self._stack.callback(server.close)
        return server


def _there(found: T | Unavailable) -> T:
    if isinstance(found, Unavailable):
        raise found
    return found


def start(command: Command, workers: int = WORKERS, setup: Path = SETUP) -> Server:
    """Start a server and shake hands.

    :raises Unavailable: it cannot be started, or not with another number of workers than it has
    """
    if workers != WORKERS and not command.has_workers:
        raise Unavailable("its command has no {workers}, so their number cannot be chosen")
    server = Server(command.filled(setup, workers), setup.parent)
    try:
        server.handshake()
    except BaseException:
        server.close()
        raise
    return server


def rate_of(server: Server, stock: wire.Stock, depth: int, each: int = 1, expected: object = None) -> Measure:
    """Return the measure of calls per second.

    :param each: calls in a line
    :param expected: the result that every call must have; None is not looked at
    """

    def run(count: int) -> float:
        requests = stock.take(count)
        seen = server.drive(requests, depth)
        load.check(seen, count, expected)
        return seen.elapsed

    pace = Pace(run, most=min(stock.most, 200_000))
    return lambda seconds: {"rate": pace.rate(seconds) * each}
