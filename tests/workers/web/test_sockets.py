"""WebSockets between client and handler: order, bounds, and what either learns of the other's end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from scriptling.errors import ErrorCode, PluginTimeout, RpcError
from scriptling.runtime.exchange import Request
from scriptling.runtime.sockets import BINARY, DONE, GONE, TEXT, Client, ClientGone
from tests.workers.fakes import make_ticket
from workers.calls.dispatch import Dispatcher
from workers.calls.lanes import Lane
from workers.frames import Answer, Ask, Want, decode_answer
from workers.questions.relay import Question, Relay
from workers.web.frames import WebResponse
from workers.web.sockets import GRACE, MOST_WAITING, Conversation, SocketResponder


class Wire:
    """A WebSocket's ASGI side, its handler's questions, and the relay in between."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.read = 0
        self.broken = False
        self.ends = 0
        self.answers: dict[bytes, Answer] = {}
        self.dispatcher = Dispatcher(10)
        self.relay = Relay(self.dispatcher, "key", self._answer, lambda session, params: None, lambda: 0, 10)
        self.responder = SocketResponder(self.relay, self.dispatcher, lambda: 0, lambda: None, 3)
        self.relay.responders[Want.SOCKET] = self.responder
        self.relay.admit("worker-1")
        self.lane = self.dispatcher.add_lane("worker-1")
        self.ticket = make_ticket(self.dispatcher.next_seq())
        self.dispatcher.submit(self.ticket)
        self.dispatcher.assign()
        self.conversation = Conversation(self._receive, self._send, self.responder, self._ended)
        self.responder.begin(self.ticket, self.conversation)
        self._routes = 0

    def _answer(self, route: bytes, frame: bytes) -> None:
        self.answers[route] = decode_answer(frame)

    def _ended(self) -> None:
        self.ends += 1

    async def _receive(self) -> Any:
        self.read += 1
        return await self.incoming.get()

    async def _send(self, message: Any) -> None:
        if self.broken:
            raise RuntimeError("gone")
        self.sent.append(message)

    def put(self, *messages: str | bytes) -> None:
        for message in messages:
            kind = "text" if isinstance(message, str) else "bytes"
            self.incoming.put_nowait({"type": "websocket.receive", kind: message})

    def ask(self, operation: str, content: bytes = b"") -> bytes:
        """Ask as the handler does, and return by what the answer is known."""
        self._routes += 1
        route = b"%d" % self._routes
        question = Question(Want.SOCKET, route, "worker-1", self.ticket.seq, self.lane)
        self.relay._add(question)
        self.responder.ask(question, Ask("key", "worker-1", self.ticket.seq, Want.SOCKET, "", operation, content))
        return route

    async def do(self, operation: str, content: bytes = b"") -> bytes:
        """Ask, and return the answer that has to come without anything else happening."""
        route = self.ask(operation, content)
        await self.settle()
        return self.answers[route].payload

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(10):
            await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.mark.parametrize("first", ["client", "handler"])
def test_messages_arrive_in_their_order_and_kind(first: str) -> None:
    async def test() -> None:
        wire = Wire()
        reading = asyncio.create_task(wire.conversation.read())
        if first == "client":
            wire.put("ä", b"\xff", "c")
            await wire.settle()
        routes = [wire.ask("receive") for _ in range(3)]
        if first == "handler":
            wire.put("ä", b"\xff", "c")
        await wire.settle()
        assert [wire.answers[route].payload for route in routes] == [TEXT + "ä".encode(), BINARY + b"\xff", TEXT + b"c"]
        reading.cancel()

    run(test())


def test_what_a_handler_sends() -> None:
    async def test() -> None:
        wire = Wire()
        for operation, content in (("open", b""), ("send", TEXT + "ä".encode()), ("send", BINARY + b"\xff")):
            assert await wire.do(operation, content) == DONE
        assert await wire.do("connected") == DONE
        assert await wire.do("close") == GONE
        assert wire.sent == [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "text": "ä"},
            {"type": "websocket.send", "bytes": b"\xff"},
            {"type": "websocket.close", "code": 1000},
        ]
        assert wire.ends == 1

    run(test())


@pytest.mark.parametrize("message", ["x", "y" * 100_000])
def test_a_client_is_not_read_from_beyond_the_bound(message: str) -> None:
    async def test() -> None:
        wire = Wire()
        reading = asyncio.create_task(wire.conversation.read())
        wire.put(*[message] * 200)
        for _ in range(50):
            await wire.settle()
        assert wire.read <= min(MOST_WAITING, (1 << 20) // len(message) + 2)
        received = 0
        while wire.read < 200:
            assert await wire.do("receive") == TEXT + message.encode()
            received += 1
        assert received > 100
        reading.cancel()

    run(test())


def test_whoever_waits_learns_that_the_client_has_gone() -> None:
    async def test() -> None:
        wire = Wire()
        reading = asyncio.create_task(wire.conversation.read())
        waiting = wire.ask("receive")
        wire.incoming.put_nowait({"type": "websocket.disconnect"})
        await wire.settle()
        assert wire.answers[waiting].payload == GONE
        assert [await wire.do(each) for each in ("receive", "connected", "send")] == [GONE, GONE, GONE]
        assert (wire.sent, wire.ends, reading.done()) == ([], 1, True)

    run(test())


def test_what_came_before_the_end_is_still_received() -> None:
    async def test() -> None:
        wire = Wire()
        wire.put("last")
        wire.incoming.put_nowait({"type": "websocket.disconnect"})
        await wire.conversation.read()
        assert [await wire.do("receive"), await wire.do("receive")] == [TEXT + b"last", GONE]

    run(test())


def test_a_send_that_fails_is_the_end() -> None:
    async def test() -> None:
        wire = Wire()
        wire.broken = True
        assert await wire.do("send", TEXT + b"x") == GONE
        assert wire.ends == 1

    run(test())


def test_a_message_is_kept_for_who_asks_next_when_a_question_is_withdrawn() -> None:
    async def test() -> None:
        wire = Wire()
        reading = asyncio.create_task(wire.conversation.read())
        late = wire.ask("receive")
        wire.relay.interrupt(wire.relay.of("worker-1"), RpcError(ErrorCode.TIMED_OUT, "too late"))
        assert wire.answers[late].failed
        wire.put("x")
        await wire.settle()
        assert await wire.do("receive") == TEXT + b"x"
        reading.cancel()

    run(test())


def test_a_worker_is_parked_from_the_first_question_to_the_last() -> None:
    async def test() -> None:
        wire = Wire()
        lane: Lane = wire.lane
        await wire.do("open")
        assert (lane.parked, wire.dispatcher.parked, wire.dispatcher.active) == (1, 1, {})
        assert await wire.do("leave") == DONE
        assert (lane.parked, wire.dispatcher.parked, [*wire.dispatcher.active]) == (0, 0, ["worker-1"])

    run(test())


def test_a_worker_has_little_time_when_the_client_has_gone() -> None:
    async def test() -> None:
        wire = Wire()
        await wire.do("open")
        assert wire.ticket.timeout == 0
        wire.responder.release(wire.ticket)
        assert (wire.lane.parked, wire.ticket.timeout) == (0, GRACE)
        wire.responder.end(wire.ticket)
        assert wire.lane.parked == 0

    run(test())


def test_a_call_without_a_websocket_is_refused() -> None:
    async def test() -> None:
        wire = Wire()
        wire.responder.end(wire.ticket)
        route = wire.ask("receive")
        assert wire.answers[route].failed
        assert b"this call has no websocket" in wire.answers[route].payload

    run(test())


@pytest.mark.parametrize("can_answer", [True, False])
def test_a_refusal_is_an_answer_where_the_server_can_give_one(can_answer: bool) -> None:
    async def test() -> None:
        wire = Wire()
        scope: dict[str, Any] = {"extensions": {"websocket.http.response": {}} if can_answer else {}}
        await wire.conversation.finish(scope, WebResponse(401, [("x-a", "1")], b"no"))
        kinds = [message["type"] for message in wire.sent]
        expected = ["websocket.http.response.start", "websocket.http.response.body"]
        assert kinds == (expected if can_answer else ["websocket.close"])

    run(test())


def test_a_server_that_ends_says_so() -> None:
    async def test() -> None:
        wire = Wire()
        await wire.do("open")
        wire.responder.go_away()
        await wire.settle()
        assert wire.sent[-1] == {"type": "websocket.close", "code": 1001}

    run(test())


# The handler's side


class Answers:
    def __init__(self, *answers: bytes | Exception) -> None:
        self.asked: list[tuple[str, bytes, float | None]] = []
        self._answers = [*answers]

    def __call__(self, operation: str, content: bytes, patience: float | None) -> bytes:
        self.asked.append((operation, content, patience))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_handler_receives() -> None:
    answers = Answers(TEXT + "ä".encode(), BINARY + b"\xff", GONE, PluginTimeout("late"), TEXT)
    client = Client(Request("GET", "/", remote_addr="192.0.2.1"), answers)
    assert [client.receive(), client.receive(1), client.receive(None), client.receive(0), client.receive()] == [
        "ä",
        b"\xff",
        None,
        None,
        "",
    ]
    assert [patience for _, _, patience in answers.asked] == [30, 1, None, 0, 30]
    assert client.remote_addr == "192.0.2.1"


def test_a_handler_sends() -> None:
    answers = Answers(DONE, DONE, DONE, DONE, GONE)
    client = Client(Request("GET", "/"), answers)
    client.send("ä")
    client.send({"a": [1]})
    client.send_binary(bytearray(b"\xff"))
    assert client.connected()
    assert not client.connected()
    assert [content for _, content, _ in answers.asked[:3]] == [
        TEXT + "ä".encode(),
        TEXT + b'{"a":[1]}',
        BINARY + b"\xff",
    ]


def test_what_cannot_be_sent_is_an_error() -> None:
    client: Any = Client(Request("GET", "/"), Answers(GONE))
    with pytest.raises(ClientGone):
        client.send("x")
    with pytest.raises(TypeError, match=r"send_binary\(\) takes bytes"):
        client.send(b"x")
    with pytest.raises(TypeError, match=r"cannot send set at message\['a'\]"):
        client.send({"a": {1}})
