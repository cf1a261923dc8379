"""Messages that were right once and then were damaged at random (faults, check 28)."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.network import Port, PortHost, hosting
from tests.wire.server import Serve, Server

HANDLERS = """
def echo(*args, **kwargs): return [list(args), kwargs]
def call(f, *args): return f(*args)
class Box:
    def __init__(self, value=None): self.value = value
    def get(self, *args): return self.value
"""
SEED = 20
STEP = 200  # messages between two looks whether the server still answers
TOKENS = (b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b"\0", b"null", b"1e999", b"-0", b"\\ud800", b"\xff")


def values() -> list[dict[str, Any]]:
    return [
        {"type": "int", "value": 5},
        {"type": "list", "items": [{"type": "string", "value": "ü\u2028"}, {"type": "null"}]},
        {"type": "dict", "entries": {"a": {"type": "float", "value": 2.5}}},
        {"type": "callback", "callback": {"id": "cb-1"}},
        {"type": "remote", "remote": {"library": "tested", "class": "Box", "id": "0.1"}},
    ]


def messages() -> list[bytes]:
    """Return messages of every kind but the one that ends the server."""
    calls: list[tuple[str, Any]] = [
        ("scriptling.handshake", {"protocol": "1.0", "host": "fuzz", "capabilities": ["big_integers"]}),
        ("environment.open", None),
        *(("function.call", {"name": "echo", "args": [value]}) for value in values()),
        ("function.call", {"name": "call", "args": values()[3:], "kwargs": {"x": values()[0]}}),
        ("object.new", {"class": "Box", "args": values()[:3]}),
        ("object.call_method", {"object_id": "0.1", "method": "get"}),
        ("object.destroy", {"object_id": "0.1"}),
        ("nothing", [1, 2]),
    ]
    texts = [
        {"jsonrpc": "2.0", "id": number, "method": name, "params": params or {}}
        for number, (name, params) in enumerate(calls)
    ]
    answers = [
        {"jsonrpc": "2.0", "id": 1, "result": {"type": "null"}},
        {"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "x"}},
    ]
    return [json.dumps(each).encode() for each in [*texts, *answers, texts[:4]]]


def damaged(chosen: random.Random, known: list[bytes]) -> bytes:
    text = chosen.choice(known)
    for _ in range(chosen.randrange(4)):
        at = chosen.randrange(len(text) + 1)
        end = min(len(text), at + chosen.randrange(20))
        middle = chosen.choice(
            (b"", chosen.choice(TOKENS), chosen.randbytes(3), text[at:end] * 2, chosen.choice(known))
        )
        text = text[:at] + middle + text[end:]
    return text.replace(b"plugin.shutdown", b"")


def endless(seed: int) -> Iterator[bytes]:
    chosen, known = random.Random(seed), messages()
    while True:
        yield damaged(chosen, known)


class Watch:
    """Looks whether a server still answers, how long it took at worst, and how much memory it had at most."""

    def __init__(self, host: Server | PortHost) -> None:
        self._host = host
        self.slowest = 0.0
        self.highest = 0.0

    def look(self, name: str) -> None:
        begun = time.monotonic()
        self._host.send({"id": name, "method": "environment.open"})
        assert self._host.result(name) is None
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.highest = max(self.highest, self._host.program.memory() / (1 << 20))

    def report(self, figures: Figures, number: int, transport: str) -> None:
        what = f"{number:,} damaged messages over {transport}"
        figures.at_most(28, f"{what}: longest wait of others", self.slowest, 1, room=10)
        figures.at_most(28, f"{what}: memory of the front-end", self.highest, 256, "MiB")


MINUTES = [getattr(pytest.mark, FULL_SCALE), pytest.mark.timeout(1200)]
FLAGS = ("--workers", "2", "--call-timeout", "1", "--max-objects", "10000")


@pytest.mark.parametrize("steps", [20, pytest.param(3_000, marks=MINUTES)])
def test_damaged_messages_over_stdio(serve: Serve, figures: Figures, steps: int) -> None:
    """No crash, no stall, no growth; a message of damaged ones may still be a whole one."""
    server = serve(HANDLERS, "", *FLAGS)
    stream, watch = endless(SEED), Watch(server)
    for step in range(steps):
        server.send_raw(b"\n".join(next(stream) for _ in range(STEP)))
        watch.look(f"alive {step}")
    server.send({"id": "last", "method": "function.call", "params": server.call_params("echo", [1], {})})
    assert server.value("last") == [[1], {}]
    watch.report(figures, steps * STEP, "stdio")
    server.end()
    assert server.program.exit_code() == 0
    server.join()
    server.forgive()


@pytest.mark.parametrize("steps", [10, pytest.param(1_000, marks=MINUTES)])
def test_damaged_messages_over_a_websocket(listen: Listen, figures: Figures, steps: int) -> None:
    """The same; frames are text, and what is no UTF-8 ends the connection, as the protocol of WebSockets has it."""
    port = listen(HANDLERS, *FLAGS)
    stream = endless(SEED)
    with hosting(port, "websocket") as host:
        watch = Watch(host)
        for step in range(steps):
            for _ in range(STEP):
                host.send_raw(next(stream).decode(errors="replace").encode())
            watch.look(f"alive {step}")
        watch.report(figures, steps * STEP, "WebSocket")
        host.forgive()


class Posts:
    """A connection that is kept alive, or renewed when the server has closed it."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._connection = socket.create_connection(port.address, timeout=20)

    def post(self, data: bytes) -> bytes:
        """Send bytes and return the first that come back; nothing if the connection is closed."""
        try:
            self._connection.sendall(data)
            return self._connection.recv(1 << 16)
        except ConnectionError:
            return b""

    def renew(self) -> None:
        self._connection.close()
        self._connection = socket.create_connection(self._port.address, timeout=20)

    def close(self) -> None:
        self._connection.close()


def posted(chosen: random.Random, body: bytes) -> bytes:
    """A whole request with a body, or one of which a few bytes are damaged anywhere, so that it may never end."""
    head = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    if chosen.random() < 0.5:
        return request
    at = chosen.randrange(len(head) + 30)
    token = chosen.choice((b"", b"\r\n", b"\n", b":", b"\0", b"chunked", b"-1", b"99", b"\xff", chosen.randbytes(3)))
    return request[:at] + token + request[at + chosen.randrange(5) :] + b"\r\n\r\n"


@pytest.mark.parametrize("number", [1_000, pytest.param(50_000, marks=MINUTES)])
def test_damaged_requests_over_http(listen: Listen, figures: Figures, number: int) -> None:
    """Of bodies and of heads; a connection on which one went wrong is not used again, others are served."""
    port = listen(HANDLERS, *FLAGS, "--request-timeout", "1")
    chosen, stream, posts = random.Random(SEED), endless(SEED), Posts(port)
    with hosting(port, "http") as host:
        watch = Watch(host)
        for each in range(number):
            answer = posts.post(posted(chosen, next(stream)))
            assert not answer or re.match(rb"HTTP/1.1 [24]\d\d ", answer), answer
            if not answer.startswith(b"HTTP/1.1 20") or b"close" in answer:
                posts.renew()
            if each % STEP == 0:
                watch.look(f"alive {each}")
        posts.close()
        watch.report(figures, number, "HTTP")
        host.forgive()
