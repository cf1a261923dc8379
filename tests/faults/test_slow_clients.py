"""Clients of a port that stop in the middle, or trickle (faults, check 29)."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from tests.faults.at_a_port import ADD, HANDLERS, HEAD, SEVEN, timed
from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures, percentile
from tests.wire.fixtures import Listen
from tests.wire.gates import Gate
from tests.wire.network import call, text
from tests.wire.program import DEADLINE


@pytest.mark.parametrize(
    "begun",
    [b"POST /json", HEAD, HEAD + b"content-length: 1000\r\n\r\n{", HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n"],
)
def test_those_who_stop_in_the_middle_are_closed_in_time_and_hold_up_nobody(listen: Listen, begun: bytes) -> None:
    """Check 29: heads and bodies that never end."""
    port = listen(HANDLERS, "--request-timeout", "1")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE)) for _ in range(100)]
        for connection in slow:
            connection.sendall(begun)
        assert port.post(ADD).json["result"] == SEVEN
        for connection in slow:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
            assert connection.recv(1000) == b""


def trickle(connections: list[socket.socket]) -> list[socket.socket]:
    """Send each one byte more, of a header or a body; return those that were closed."""
    closed = []
    for connection in connections:
        try:
            connection.sendall(b"x")
            connection.setblocking(False)
            with suppress(BlockingIOError):
                assert connection.recv(12) in {b"HTTP/1.1 408", b""}
                closed.append(connection)
            connection.settimeout(DEADLINE)
        except OSError:
            closed.append(connection)
    return closed


@pytest.mark.parametrize(
    ("heads", "bodies", "patience"),
    [(50, 20, 1.0), pytest.param(500, 200, 5.0, marks=getattr(pytest.mark, FULL_SCALE))],
)
def test_tricklers_are_closed_in_time_and_others_do_not_wait_for_them(
    listen: Listen, figures: Figures, heads: int, bodies: int, patience: float
) -> None:
    """Check 29: a byte now and then does not buy time."""
    port = listen(HANDLERS, "--request-timeout", str(patience), "--max-connections", "2000")
    begun = [HEAD + b"x-slow: "] * heads + [HEAD + b"content-length: 100000\r\n\r\n"] * bodies
    times: list[float] = []
    begun_at: dict[socket.socket, float] = {}
    lives: list[float] = []
    with ExitStack() as stack:
        for data in begun:
            connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
            connection.sendall(data)
            begun_at[connection] = time.monotonic()
        while begun_at:
            lives += [time.monotonic() - begun_at.pop(closed) for closed in trickle([*begun_at])]
            times += [timed(lambda: port.post(ADD)) for _ in range(20)]
            assert max(lives, default=0) < patience + 30
    who = f"{heads} clients trickling heads, {bodies} trickling bodies"
    what = f"{who}: longest life of one, with a patience of {patience:g} s"
    figures.at_most(29, what, max(lives), patience + 2, room=5)
    figures.at_most(29, f"{who}: 99th percentile of others, connecting included", percentile(times), 0.1, room=20)


def test_a_head_that_never_ends_behind_an_answered_request_is_too_long(listen: Listen, gate: Gate) -> None:
    port = listen(HANDLERS, "--workers", "1")
    slow = call("wait", text(gate), text("/dev/null"))
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(slow), slow) + b"GET / HTTP/1.1\r\nx: ")
        gate.open()
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"x" * (1 << 17))
        assert connection.recv(1000).startswith(b"HTTP/1.1 431")


def test_bodies_in_tiny_chunks_hold_up_nobody(listen: Listen, figures: Figures) -> None:
    """Check 25, for what costs much to parse and is little."""
    port = listen(HANDLERS, "--workers", "2")
    assert port.post(ADD).json["result"] == SEVEN
    tiny = b"1\r\n \r\n" * 40_000
    with socket.create_connection(port.address, timeout=DEADLINE) as connection, ThreadPoolExecutor(1) as threads:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        sent = threads.submit(lambda: connection.sendall(tiny * 20))
        times = [timed(lambda: port.post(ADD))]
        while not sent.done():
            times.append(timed(lambda: port.post(ADD)))
        sent.result()
        connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(ADD), ADD))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    figures.at_most(25, "5 MB of chunks of one byte over HTTP: longest wait of others", max(times), 0.1, room=80)


def test_idle_connections_are_closed_in_time(listen: Listen) -> None:
    port = listen(HANDLERS, "--keep-alive", "0.5")
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        received = [connection.recv(1000)]
        while received[-1]:  # until the server closes
            received.append(connection.recv(1000))
        assert received[0].startswith(b"HTTP/1.1 200")
