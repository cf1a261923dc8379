"""Clients of a port that ask for much and hardly read what they get (faults, checks 20 and 29)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from websockets.frames import Opcode

from tests.faults.at_a_port import ADD, HANDLERS, SEVEN, trusting
from tests.faults.test_connections import MEBIBYTE, frame, open_websocket, post
from tests.wire.fixtures import Listen
from tests.wire.network import Port, WebSocket, call, integer
from tests.wire.program import DEADLINE, wait_until

MUCH = HANDLERS + "def much(size): return 'x' * size\n"
SIZE = 15 * MEBIBYTE
CALL = call("much", integer(SIZE))


def ask_by_posts(port: Port, stack: ExitStack) -> list[socket.socket]:
    """Ask for 360 MiB on 24 connections."""
    connections = [socket.create_connection(port.address, timeout=DEADLINE) for _ in range(24)]
    for connection in connections:
        stack.enter_context(connection).sendall(post(CALL))
    return connections


def ask_by_websockets(port: Port, stack: ExitStack) -> list[socket.socket]:
    """Ask for 675 MiB on nine connections, none of which has too much by itself."""
    connections = [open_websocket(port, stack) for _ in range(9)]
    for connection in connections:
        connection.sendall(frame(Opcode.TEXT, CALL) * 5)
    return connections


def count_sockets(port: Port) -> int:
    """Return how many sockets the front-end has."""
    descriptors = Path(f"/proc/{port.program.process.pid}/fd")
    return sum(os.readlink(each).startswith("socket:") for each in descriptors.iterdir())  # noqa: PTH115 - no path


class Trickle:
    """Reads a little on each connection now and then, and watches the memory of the front-end.

    :ivar highest: bytes
    """

    def __init__(self, port: Port, connections: list[socket.socket]) -> None:
        self.highest = 0
        self._port = port
        self._connections = connections
        self._over = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Trickle:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for connection in self._connections:
            connection.setblocking(False)
        while not self._over.wait(0.02):
            self.highest = max(self.highest, self._port.program.memory())
            for connection in self._connections:
                with suppress(OSError):  # nothing has come, or it was closed
                    connection.recv(1024)


@pytest.mark.parametrize("flags", [[], ["--tls-generate"]], ids=["plain", "TLS"])
def test_a_client_that_trickles_through_its_answer_is_closed_in_time(listen: Listen, flags: list[str]) -> None:
    """Check 29, in the other direction."""
    port = listen(MUCH, "--request-timeout", "1", "--workers", "1", *flags)
    with ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
        if flags:
            connection = stack.enter_context(trusting().wrap_socket(connection))
        connection.sendall(post(CALL))
        connection.recv(1)
        before = count_sockets(port)

        def is_closed() -> bool:
            connection.recv(64)
            return count_sockets(port) < before

        wait_until(is_closed, DEADLINE, lambda: "it is still being served")


@pytest.mark.parametrize("ask", [ask_by_posts, ask_by_websockets])
def test_clients_that_hardly_read_hold_up_nobody_and_take_no_more_memory_than_there_is_for_all(
    listen: Listen, ask: Callable[[Port, ExitStack], list[socket.socket]]
) -> None:
    """Check 20, for all clients of a port together."""
    port = listen(MUCH, "--workers", "2")
    assert port.post(ADD).json["result"] == SEVEN
    bystander = WebSocket(port)
    before = port.program.memory()
    with ExitStack() as stack:
        slow = ask(port, stack)
        trickling = stack.enter_context(Trickle(port, slow))
        while "slowest were closed" not in port.program.stderr:
            assert port.post(ADD).json["result"] == SEVEN  # which has a deadline
        assert port.post(ADD).json["result"] == SEVEN
        bystander.send(ADD)
        assert bystander.receive()
    bystander.end()
    assert trickling.highest - before < 560 * MEBIBYTE  # the bound, and room for what is being made, and buffers
