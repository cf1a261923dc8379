"""Messages that were right once and then were damaged at random (faults, check 28)."""

from __future__ import annotations

import json
import random
import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.corpus import answers_in
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.host import Host
from tests.wire.network import Port, hosting
from tests.wire.program import Program, wait_until
from tests.wire.server import Serve

HANDLERS = """
def echo(*args, **kwargs): return [list(args), kwargs]
def call(f, *args): return f(*args)
class Box:
    def __init__(self, value=None): self.value = value
    def get(self, *args): return self.value
"""
SEED = 20
ID = "@"
LEAST = 10**14  # of ids; no less has as many digits
IDS = re.compile(rb"(?<![\d.])[1-9]\d{14}(?![\d.])")
NEXT = b'{"jsonrpc":"2.0","id":"next","method":"environment.open"}'
PAUSE = 0.002  # seconds between two questions of others
SETTLED = 60.0  # seconds until the last of what was sent is answered
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
    texts = [{"jsonrpc": "2.0", "id": ID, "method": name, "params": params or {}} for name, params in calls]
    answers = [
        {"jsonrpc": "2.0", "id": 1, "result": {"type": "null"}},
        {"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "x"}},
    ]
    return [json.dumps(each).encode() for each in [*texts, *answers, texts[:4]]]


class Message(NamedTuple):
    """What is sent.

    :ivar owed: if nothing is damaged after all, the ids that it is owed an answer to, in their order
    """

    text: bytes
    owed: Sequence[int] = ()


def numbered(chosen: random.Random, known: list[bytes]) -> bytes:
    """Return a message with ids that no other one has, nor what is left of them when they are damaged."""
    return re.sub(rb'"@"', lambda _: b"%d" % chosen.randrange(LEAST, 10 * LEAST), chosen.choice(known))


def damaged(chosen: random.Random, known: list[bytes]) -> Message:
    text = whole = numbered(chosen, known)
    for _ in range(chosen.randrange(4)):
        at = chosen.randrange(len(text) + 1)
        end = min(len(text), at + chosen.randrange(20))
        middle = chosen.choice(
            (b"", chosen.choice(TOKENS), chosen.randbytes(3), text[at:end] * 2, numbered(chosen, known))
        )
        text = text[:at] + middle + text[end:]
    return Message(text, ids_in(text)) if text == whole else Message(text.replace(b"plugin.shutdown", b""))


def ids_in(text: bytes) -> list[int]:
    return [int(found) for found in IDS.findall(text)]


def endless(seed: int) -> Iterator[Message]:
    chosen, known = random.Random(seed), messages()
    while True:
        yield damaged(chosen, known)


class Tally:
    """What damaged messages are owed: those that are whole one answer, and no id more than it was sent."""

    def __init__(self) -> None:
        self.owed: set[int] = set()
        self._answered: set[int] = set()
        self._several: Counter[int] = Counter()

    def send(self, message: Message) -> bytes:
        """Note a message, and return its text."""
        self.owed.update(message.owed)
        if not message.owed:
            times = Counter(ids_in(message.text))
            self._several.update({id: count - 1 for id, count in times.items() if count > 1})
        return message.text

    def take(self, ids: Iterable[str]) -> None:
        """Note answers by their ids as JSON text; those that a message has lost are nobody's."""
        for number in (int(id) for id in ids if IDS.fullmatch(id.encode())):
            if number in self._answered:
                self._several[number] -= 1
                assert self._several[number] >= 0, f"answered more than once: {number}"
            self._answered.add(number)
            self.owed.discard(number)

    def hear(self, host: Host) -> None:
        """Note what a host has received."""
        self.take(host.strangers().elements())

    def settle(self, host: Host) -> None:
        """Wait until all whole messages are answered."""

        def is_settled() -> bool:
            self.hear(host)
            return not self.owed

        wait_until(is_settled, SETTLED, lambda: f"{len(self.owed)} messages that were whole have no answer")


class Others:
    """Somebody else on the same port, who asks all the time; how long it took at worst to connect, ask and be answered.

    :ivar slowest: in seconds
    """

    def __init__(self, port: Port) -> None:
        self.slowest = 0.0
        self._port = port
        self._over = threading.Event()
        self._asking = ThreadPoolExecutor(1)

    def __enter__(self) -> Others:
        self._done = self._asking.submit(self._ask)
        return self

    def _ask(self) -> None:
        while not self._over.wait(PAUSE):
            begun = time.monotonic()
            assert self._port.post(NEXT).json["result"] is None
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._asking:
            self._done.result()


class Watch:
    """How long whoever sends damaged messages waited for a whole one at worst, and what memory there was."""

    def __init__(self, program: Program) -> None:
        self.slowest = 0.0
        self._program = program
        self._memory: list[float] = []

    def ask(self, host: Host, name: str) -> None:
        begun = time.monotonic()
        host.expect(name)
        host.send({"id": name, "method": "environment.open"})
        assert host.result(name) is None
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def look(self) -> None:
        self._memory.append(self._program.memory() / (1 << 20))

    def report(self, figures: Figures, number: int, transport: str) -> None:
        """Hold that nobody waited for long, and that memory has not grown after the first tenth."""
        what = f"{number:,} damaged messages over {transport}"
        figures.at_most(28, f"{what}: longest wait of others", self.slowest, 1, room=10)
        warm = self._memory[len(self._memory) // 10 :]
        figures.at_most(28, f"{what}: growth of the front-end after a tenth", max(warm) - warm[0], 32, "MiB")


MINUTES = [getattr(pytest.mark, FULL_SCALE), pytest.mark.timeout(1200)]
FLAGS = ("--workers", "2", "--call-timeout", "1", "--max-objects", "10000")


@pytest.mark.parametrize("steps", [20, pytest.param(3_000, marks=MINUTES)])
def test_damaged_messages_over_stdio(serve: Serve, figures: Figures, steps: int) -> None:
    """No crash, no stall, no growth; a message of damaged ones may still be a whole one, and is answered once."""
    server = serve(HANDLERS, "", *FLAGS)
    server.among_strangers = True
    stream, watch, tally = endless(SEED), Watch(server.program), Tally()
    for step in range(steps):
        server.send_raw(b"\n".join(tally.send(next(stream)) for _ in range(STEP)))
        watch.ask(server, f"alive {step}")
        watch.look()
        tally.hear(server)
    assert server.call("echo", 1) == [[1], {}]
    tally.settle(server)
    watch.report(figures, steps * STEP, "stdio")
    server.end()
    assert server.program.exit_code() == 0
    server.join()
    tally.hear(server)


@pytest.mark.parametrize("steps", [10, pytest.param(1_000, marks=MINUTES)])
def test_damaged_messages_over_a_websocket(listen: Listen, figures: Figures, steps: int) -> None:
    """The same; frames are text, and what is no UTF-8 ends the connection, as the protocol of WebSockets has it."""
    port = listen(HANDLERS, *FLAGS)
    stream, watch, tally = endless(SEED), Watch(port.program), Tally()
    with hosting(port, "websocket") as host, Others(port) as others:
        host.among_strangers = True
        for step in range(steps):
            for _ in range(STEP):
                host.send_raw(tally.send(next(stream)).decode(errors="replace").encode())
            watch.ask(host, f"alive {step}")
            watch.look()
            tally.hear(host)
        tally.settle(host)
    watch.slowest = max(watch.slowest, others.slowest)
    watch.report(figures, steps * STEP, "WebSocket")


class Posts:
    """A connection that is kept alive, or renewed when the server has closed it."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._connection = socket.create_connection(port.address, timeout=20)

    def post(self, data: bytes) -> bytes:
        """Send bytes and return what is answered; nothing if the connection is closed."""
        try:
            self._connection.sendall(data)
            return self._receive()
        except ConnectionError:
            return b""

    def _receive(self) -> bytes:
        """Return an answer, and whatever came behind it."""
        received, length = b"", 1
        while len(received) < length and (piece := self._connection.recv(1 << 16)):
            received += piece
            head, end, _ = received.partition(b"\r\n\r\n")
            stated = re.search(rb"(?i)content-length: *(\d+)", head)
            length = len(head + end) + int(stated[1] if stated else 0) if end else len(received) + 1
        return received

    def unasked(self) -> bytes:
        """Return what has come since, without waiting."""
        return self._connection.recv(1 << 16) if select.select([self._connection], [], [], 0)[0] else b""

    def renew(self) -> None:
        self._connection.close()
        self._connection = socket.create_connection(self._port.address, timeout=20)

    def close(self) -> None:
        self._connection.close()


def posted(chosen: random.Random, body: bytes) -> tuple[bytes, bool]:
    """Return a request with a body, and whether it is whole.

    Otherwise a few bytes are damaged anywhere, so that it may never end.
    """
    head = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    if chosen.random() < 0.5:
        return request, True
    at = chosen.randrange(len(head) + 30)
    token = chosen.choice((b"", b"\r\n", b"\n", b":", b"\0", b"chunked", b"-1", b"99", b"\xff", chosen.randbytes(3)))
    return request[:at] + token + request[at + chosen.randrange(5) :] + b"\r\n\r\n", False


def check_one_answer(answer: bytes, message: Message) -> None:
    """Hold that a whole request has one answer, and a whole message in it one for each id, in order."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 20[04] ", head), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    ids = [each.id for each in answers_in([body])]
    assert not message.owed or ids == [str(id) for id in message.owed], (message, body)


@pytest.mark.parametrize("number", [1_000, pytest.param(50_000, marks=MINUTES)])
def test_damaged_requests_over_http(listen: Listen, figures: Figures, number: int) -> None:
    """Of bodies and of heads; a connection on which one was sent is not used again, others are served all the while."""
    port = listen(HANDLERS, *FLAGS, "--request-timeout", "1")
    chosen, stream, posts, watch = random.Random(SEED), endless(SEED), Posts(port), Watch(port.program)
    with Others(port) as others:
        for each in range(number):
            message = next(stream)
            request, is_whole = posted(chosen, message.text)
            answer = posts.post(request)
            assert not answer or re.match(rb"HTTP/1.1 [24]\d\d ", answer), answer
            if is_whole:
                check_one_answer(answer, message)
                assert not posts.unasked()
            else:
                posts.renew()
            if each % STEP == 0:
                watch.look()
        posts.close()
    watch.slowest = others.slowest
    watch.report(figures, number, "HTTP")
