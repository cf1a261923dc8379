"""WebSockets of ``runtime.http``: each has a handler that runs in a worker for as long as the connection lives.

The handler asks over the relay for what it does with its client (``Want.SOCKET``). From its first question on its
worker is parked, whatever the handler does in between, so that the pool lends another for it. When the client has gone,
or the handler is about to return, the worker is an ordinary one again, with a few seconds to return.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from scriptling.errors import ErrorCode, RpcError
from scriptling.runtime.sockets import BINARY, DONE, GONE, LEAVE, OPEN, TEXT
from workers.calls.dispatch import Dispatcher
from workers.calls.lanes import Lane
from workers.calls.tickets import Ticket
from workers.frames import Ask
from workers.questions.relay import Loss, Question, Relay
from workers.web.frames import WebResponse

MOST_WAITING = 64  # messages of one client that its handler has not received, until no more are read
MOST_BYTES = 1 << 20  # likewise
GRACE = 5.0  # seconds that a handler may take to return after its client has gone

_NORMAL, _GOING_AWAY, _FAULT = 1000, 1001, 1011  # codes of RFC 6455


class Settles(Protocol):
    """Who carries answers to handlers: :class:`SocketResponder`."""

    def settle(self, question: Question, content: bytes) -> None:
        """Answer a question."""


class Conversation:
    """One WebSocket, between what comes from its client and what its handler asks for.

    :param ended: called once, when nothing can be received or sent any more
    :ivar gone: whether that is so
    """

    def __init__(self, receive: Receive, send: Send, answers: Settles, ended: Callable[[], None]) -> None:
        self.gone = False
        self._accepted = False
        self._receive = receive
        self._send = send
        self._answers = answers
        self._ended = ended
        self._inbox: deque[bytes] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._waiting: deque[Question] = deque()
        self._doing: set[asyncio.Task[None]] = set()

    # What comes from the client

    async def read(self) -> None:
        """Take in what the client sends, until it has gone; no more of it than there is room for."""
        while not self.gone:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self.end()
            elif message["type"] == "websocket.receive":
                self._take(message)
                await self._make_room()

    def _take(self, message: Message) -> None:
        text = message.get("text")
        content = BINARY + message["bytes"] if text is None else TEXT + text.encode()
        if self._waiting:
            self._answers.settle(self._waiting.popleft(), content)
        else:
            self._inbox.append(content)
            self._bytes += len(content)

    async def _make_room(self) -> None:
        while not self.gone and (len(self._inbox) >= MOST_WAITING or self._bytes >= MOST_BYTES):
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """Note that the client has gone, or is to be left; whoever waits for it is told."""
        if self.gone:
            return
        self.gone = True
        self._room.set()
        while self._waiting:
            self._answers.settle(self._waiting.popleft(), GONE)
        self._ended()

    # What the handler asks for

    def ask(self, question: Question, operation: str, content: bytes) -> None:
        """Do what a handler asks for, and answer when it is done."""
        if operation == "receive":
            self._give(question)
        elif operation in {"connected", LEAVE}:
            self._answers.settle(question, GONE if self.gone else DONE)
        else:
            self._later(self._do(question, _message(operation, content)))

    def _give(self, question: Question) -> None:
        if self._inbox:
            content = self._inbox.popleft()
            self._bytes -= len(content)
            self._room.set()
            self._answers.settle(question, content)
        elif self.gone:
            self._answers.settle(question, GONE)
        else:
            self._waiting.append(question)

    async def _do(self, question: Question, message: Message) -> None:
        await self._put(message)
        self._answers.settle(question, GONE if self.gone else DONE)

    async def _put(self, message: Message) -> None:
        """Send what the connection takes by now: nothing after it has ended."""
        if self.gone:
            return
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        try:
            await self._send(message)
        except Exception:  # every server has one of its own for a client that has gone
            self.end()
        if message["type"] == "websocket.close":
            self.end()

    def forget(self, question: Question) -> None:
        """Give a question no answer any more."""
        with suppress(ValueError):
            self._waiting.remove(question)

    # The end

    async def finish(self, scope: Scope, refusal: WebResponse | None, code: int = _NORMAL) -> None:
        """End what the handler has left open; a connection that was not accepted is refused."""
        answers = "websocket.http.response" in (scope.get("extensions") or {})
        if self._accepted or refusal is None or not answers:
            await self._put({"type": "websocket.close", "code": code})
            return
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in refusal.headers]
        await self._put({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await self._put({"type": "websocket.http.response.body", "body": refusal.body})
        self.end()

    async def fail(self, scope: Scope, refusal: WebResponse) -> None:
        """End it because its handler has failed."""
        await self.finish(scope, refusal, _FAULT)

    def go_away(self) -> None:
        """End it because the server ends."""
        self._later(self._put({"type": "websocket.close", "code": _GOING_AWAY}))

    def _later(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(doing)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)


def _message(operation: str, content: bytes) -> dict[str, Any]:
    """Return what ASGI calls that which a handler asks for."""
    if operation == OPEN:
        return {"type": "websocket.accept"}
    if operation == "close":
        return {"type": "websocket.close", "code": _NORMAL}
    if content[:1] == TEXT:
        return {"type": "websocket.send", "text": content[1:].decode()}
    return {"type": "websocket.send", "bytes": content[1:]}


class SocketResponder:
    """Every WebSocket whose handler runs or is to run; see :class:`workers.questions.relay.Responder`.

    :param clock: returns ns that only go up
    :param wake: called when an answer was given outside of a turn of the front-end
    :param most: calls that may be parked at once, and so WebSockets that there may be
    """

    def __init__(
        self,
        relay: Relay,
        dispatcher: Dispatcher,
        clock: Callable[[], int],
        wake: Callable[[], None],
        most: int,
    ) -> None:
        self._relay = relay
        self._dispatcher = dispatcher
        self._clock = clock
        self._wake = wake
        self._most = most
        self._conversations: dict[int, Conversation] = {}
        self._parked: dict[int, Lane] = {}

    def check_room(self) -> None:
        """Hold that there may be one more.

        :raises RpcError: there may not
        """
        if max(len(self._conversations), self._dispatcher.parked) >= self._most:
            raise RpcError(ErrorCode.OVERLOADED, "as many calls wait for others as may; see --max-parked")

    def begin(self, ticket: Ticket, conversation: Conversation) -> None:
        """Take questions of a call about its WebSocket from now on."""
        self._conversations[ticket.seq] = conversation

    def ask(self, question: Question, ask: Ask) -> None:
        """Take a question."""
        conversation, lane = self._conversations.get(question.seq), question.lane
        if conversation is None or lane is None:
            self._relay.refuse(question, RpcError(ErrorCode.HANDLER_ERROR, "this call has no websocket"))
            return
        if ask.method == OPEN and question.seq not in self._parked and not conversation.gone:
            self._parked[question.seq] = lane
            self._dispatcher.park(lane, question.seq, self._clock())
        elif ask.method == LEAVE:
            self._unpark(question.seq)
        conversation.ask(question, ask.method, ask.params)

    def settle(self, question: Question, content: bytes) -> None:
        """Answer a question."""
        self._relay.settle(question, False, content)
        self._wake()

    def withdraw(self, question: Question) -> None:
        """Forget a question that is still open."""
        conversation = self._conversations.get(question.seq)
        if conversation is not None:
            conversation.forget(question)

    def drop(self, loss: Loss) -> None:
        """Release nothing: the calls of a process that has died are answered, and by that end what they had."""

    def release(self, ticket: Ticket) -> None:
        """Make the worker of a call an ordinary one again, which has to return soon."""
        self._unpark(ticket.seq)
        ticket.timeout = GRACE

    def _unpark(self, seq: int) -> None:
        lane = self._parked.pop(seq, None)
        if lane is not None:
            self._dispatcher.unpark(lane, self._clock())

    def interrupt(self, ticket: Ticket) -> None:
        """Wake a handler that waits for other calls although its client has gone."""
        waiting = [question for question in self._relay.parked() if question.seq == ticket.seq]
        self._relay.interrupt(waiting, RpcError(ErrorCode.SHUTTING_DOWN, "the client of this websocket has gone"))
        self._wake()

    def end(self, ticket: Ticket) -> None:
        """Take no more questions of a call, which has been answered."""
        self._conversations.pop(ticket.seq, None)
        lane = self._parked.get(ticket.seq)
        self._unpark(ticket.seq)
        if lane is not None:
            lane.parked_for = 0  # of a call that is over

    def go_away(self) -> None:
        """End every WebSocket, because the server ends."""
        for conversation in list(self._conversations.values()):
            conversation.go_away()
