"""A server that listens on a port, started for being measured."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence

from benchmarks.http_load import HOST, Connection, connected, drive
from benchmarks.model import Measure, Unavailable
from benchmarks.pace import Pace
from benchmarks.server import SETUP, Server

_START = 20.0  # seconds until it has to listen
_LOOK = 0.05  # seconds between two looks whether it does


class HttpServer(Server):
    """A running process that answers HTTP.

    :param command: returns the argument vector for a port
    :raises Unavailable: it cannot be started, or does not listen
    """

    def __init__(self, command: Callable[[int], Sequence[str]]) -> None:
        self.port = _free_port()
        super().__init__(command(self.port), SETUP.parent.parent.parent)
        try:
            self._await_port()
        except BaseException:
            self.close()
            raise

    def _await_port(self) -> None:
        deadline = time.monotonic() + _START
        while True:
            try:
                Connection(self.port).close()
            except OSError as error:
                if time.monotonic() > deadline or _has_ended(self.pid):
                    raise Unavailable(f"it does not listen ({error}){self.last_words()}") from None
                time.sleep(_LOOK)
            else:
                return

    def close(self) -> None:
        """End it as an administrator does."""
        self.terminate()
        super().close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def rate_of(server: HttpServer, text: bytes, connections: int, expected: bytes, each: int = 1) -> Measure:
    """Return the measure of calls per second.

    :param each: calls in a request
    """

    def run(count: int) -> float:
        with connected(server.port, connections) as opened:
            return drive(opened, text, count, expected)

    pace = Pace(run, least=connections)
    return lambda seconds: {"rate": pace.rate(seconds) * each}
