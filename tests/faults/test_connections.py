"""Clients that twist the protocols below the messages: trailers, upgrades, and tiny frames."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat

import pytest
from websockets.frames import Frame, Opcode

from tests.wire.fixtures import Listen
from tests.wire.gates import PASS, Gate
from tests.wire.network import Port, WebSocket, call, integer, text
from tests.wire.program import DEADLINE, wait_until

HANDLERS = (
    PASS
    + """
def add(a, b): return a + b
def wait(path): _pass_gate(path)
"""
)
ADD = call("add", integer(3), integer(4))
HEAD = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
UPGRADE = (
    b"GET /json-rpc HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
MEBIBYTE = 1 << 20


def post(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def receive_until(connection: socket.socket, count: int, word: bytes) -> bytes:
    """Receive until a word has come so many times."""
    received = bytearray()
    while received.count(word) < count:
        piece = connection.recv(1 << 16)
        assert piece, f"the connection was closed after {received[-200:]!r}"
        received += piece
    return bytes(received)


def give_up(connection: socket.socket, pieces: int, piece: bytes) -> bool:
    """Send pieces, and return whether the server closed the connection before it had them all."""
    try:
        for each in repeat(piece, pieces):
            connection.sendall(each)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("endless", [b"1\r\n[\r\n0\r\n", b"1;"], ids=["trailers", "extension"])
def test_what_is_neither_head_nor_body_has_a_bound(listen: Listen, endless: bytes) -> None:
    port = listen(HANDLERS)
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + endless)
        assert give_up(connection, 10_000, b"x-trailer: %b\r\n" % (b"y" * 4096) if b"\n" in endless else b"y" * 4096)
    assert port.post(ADD).status == 200


@pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.0"])
def test_an_upgrade_that_is_not_made_takes_no_body_for_a_request(listen: Listen, upgrade: bytes) -> None:
    port = listen(HANDLERS)
    asked = post(ADD).replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n" % upgrade)
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(asked * 3 + asked[: -len(ADD)])
        receive_until(connection, 3, b'"value":7')
        connection.sendall(ADD)  # behind its head
        assert b"HTTP/1.1 200 " in receive_until(connection, 1, b'"value":7')


@pytest.mark.parametrize("much", [b"x: y\r\n" * 300, b"x: %b\r\n" % (b"y" * 20_000)])
def test_a_websocket_that_cannot_be_opened_is_told_so(listen: Listen, much: bytes) -> None:
    port = listen(HANDLERS)
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(UPGRADE + much + b"\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_a_request_has_one_host(listen: Listen) -> None:
    port = listen(HANDLERS)
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(post(ADD).replace(b"host:", b"host: elsewhere.example\r\nhost:"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 421 ")


def frame(opcode: Opcode, content: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, content, fin).serialize(mask=True)


def open_websocket(port: Port, stack: ExitStack) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
    connection.sendall(UPGRADE + b"\r\n")
    receive_until(connection, 1, b"\r\n\r\n")
    return connection


def test_pings_of_a_client_that_does_not_read_take_no_memory(listen: Listen) -> None:
    port = listen(HANDLERS)
    with ExitStack() as stack:
        connection = open_websocket(port, stack)
        before = port.program.memory()
        pings = frame(Opcode.PING, os.urandom(125)) * 1000
        assert not give_up(connection, 48 * MEBIBYTE // len(pings), pings)
        assert port.post(ADD).status == 200
        assert port.program.memory() - before < 24 * MEBIBYTE


def test_a_message_of_tiny_fragments_takes_no_more_memory_than_its_bytes(listen: Listen) -> None:
    port = listen(HANDLERS)
    with ExitStack() as stack:
        connection = open_websocket(port, stack)
        before = port.program.memory()
        connection.sendall(frame(Opcode.TEXT, b"[", fin=False))
        pieces = frame(Opcode.CONT, b"  ", fin=False) * 10_000
        assert not give_up(connection, 50, pieces)
        connection.sendall(frame(Opcode.PING, b"all"))
        receive_until(connection, 1, b"all")
        assert port.program.memory() - before < 12 * MEBIBYTE
        connection.sendall(frame(Opcode.CONT, ADD + b"]"))
        receive_until(connection, 1, b'"value":7')


def test_text_that_is_none_leaves_no_error_in_the_log(listen: Listen) -> None:
    port = listen(HANDLERS)
    with ExitStack() as stack:
        confused = open_websocket(port, stack)
        confused.sendall(frame(Opcode.TEXT, b"\xff"))
        assert confused.recv(100)
    port.program.process.terminate()
    assert port.program.exit_code() == 0
    assert "ERROR" not in port.program.all_stderr()


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_unfinished_messages_of_all_clients_together_have_a_bound(listen: Listen, kind: str) -> None:
    port = listen(HANDLERS)
    rest = bytes(12 * MEBIBYTE)
    if kind == "websocket":
        rest = frame(Opcode.CONT, rest, fin=False)
    before = highest = port.program.memory()
    with ExitStack() as stack:
        connections = []
        for _ in range(40):
            if kind == "http":
                connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
                connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (16 * MEBIBYTE))
            else:
                connection = open_websocket(port, stack)
                connection.sendall(frame(Opcode.TEXT, b"[", fin=False))
            give_up(connection, 1, rest)
            highest = max(highest, port.program.memory())
            connections.append(connection)
        refused = connections[0].recv(1 << 16)
        assert refused.startswith(b"HTTP/1.1 503 ") if kind == "http" else b"overloaded" in refused
        assert port.post(ADD).status == 200
        assert highest - before < 360 * MEBIBYTE  # the bound, and room for buffers that grow
        connections[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # the last to begin is let go on
            connections[-1].recv(1)


def test_a_connection_that_is_kept_keeps_no_body(listen: Listen) -> None:
    port = listen(HANDLERS)
    before = port.program.memory()
    with ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
            connection.sendall(post(bytes(12 * MEBIBYTE)))
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert port.program.memory() - before < 72 * MEBIBYTE


def test_a_websocket_that_is_silent_keeps_no_message(listen: Listen) -> None:
    port = listen(HANDLERS)
    before = port.program.memory()
    with ExitStack() as stack:
        for _ in range(12):
            connection = open_websocket(port, stack)
            connection.sendall(frame(Opcode.TEXT, b" " * (12 * MEBIBYTE)))
            receive_until(connection, 1, b"-32700")
        assert port.program.memory() - before < 72 * MEBIBYTE


def test_a_host_with_many_calls_does_not_have_others_refused(listen: Listen, gate: Gate) -> None:
    port = listen(HANDLERS, "--workers", "1", "--max-queue", "10")
    busy = WebSocket(port)
    for number in range(40):
        busy.send(call("wait", text(gate), id=number))
    queued = b'scriptling_pending_calls{place="queued"} 6.0'
    wait_until(lambda: queued in port.request("GET", "/metrics").body, DEADLINE, lambda: "it is not read any more")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(port.post, ADD)
        gate.open()
        assert answer.result(DEADLINE).status == 200
    for _ in range(40):
        assert busy.receive()
    busy.end()


def test_hundreds_of_clients_that_come_at_once_are_let_in_without_delay(listen: Listen) -> None:
    port = listen(HANDLERS)
    address = port.address
    with ExitStack() as stack:
        port.program.signal(signal.SIGSTOP)
        try:
            for _ in range(400):
                stack.enter_context(socket.create_connection(address, timeout=0.9))  # a second try comes after a second
        finally:
            port.program.signal(signal.SIGCONT)
    assert port.post(ADD).status == 200
