"""uvicorn's HTTP protocol with what a listening port needs besides: bounds on connections, heads and patience.

uvicorn parses (httptools), answers and keeps alive. Added here, at its seams:

* requests of ``/json-rpc`` go to :class:`~workers.http.calls.PostedCalls` without a task, events and two writes for
  each, which is most of what a small call costs;
* no more than so many connections, than so many bytes of unfinished messages of all clients together, and than so many
  bytes of head or trailers in one request;
* an upgrade to what is not spoken here is not made, and its request is one like others, body included;
* bytes are taken in by the slice, so that what costs much to parse holds up nobody else;
* a deadline for the head of a request, one for its body that grows with what has come, so that a slow sender is told
  from a trickling one, one for the next request, and one for whoever does not read its answer.

Deadlines are looked at all together, twice a second: a timer for each request would be paid for by each request.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from workers.http.asgi import Application
from workers.http.calls import Exchange, Head, PostedCalls
from workers.http.guests import Guests
from workers.http.readers import SLOWEST, Below, taken_by
from workers.http.replies import CLOSE, Reply, Scope

_LONGEST_HEAD = 1 << 16  # bytes
_SLICE = 1 << 14  # bytes
_TURN = 0.005  # seconds for which slices are taken in before others have their turn
_MUCH = 1 << 20  # bytes of one body
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_HEAD_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_UNKNOWN_CODING = b"HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_INVALID = "Invalid HTTP request received."
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Stage(IntEnum):
    """What a connection is waited for."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    ANSWER = 3


class Protocol(HttpToolsProtocol):
    """One connection.

    :ivar since: when the client began to be waited for what it is waited for now
    """

    def __init__(
        self, config: Config, guests: Guests, application: Application, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, guests.state, {}, loop)
        self._application = application
        self._guests = guests
        self._limits = guests.limits
        self._calls: PostedCalls | None = None  # what the body that is being read is for
        self._head = Head(0, 0.0)
        self._exchange: Exchange | None = None
        self._stage = Stage.HEAD
        self.since = 0.0
        self._received = 0  # bytes in this stage, without those that came together with its beginning
        self._weighed = 0  # bytes in this stage when it was last looked whether all clients together send too much
        self._backlog = bytearray()
        self._unclaimed = 0  # bytes of head, trailers and the like since a message or a part of its body began
        self._largest = 0  # bytes of any one answer since there was nothing left to read
        self._below = Below()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in a client, if there is room for one more."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > self._limits.connections:
            self._give_up(_BUSY)

    def data_received(self, data: bytes) -> None:
        """Take in bytes: now, or when it is their turn."""
        if self._backlog:
            self._backlog += data  # it is worked off already
        elif len(data) > _SLICE:
            self._backlog += data
            self._go_on()
        else:
            self._take(data)

    def _go_on(self) -> None:
        """Take in what has come, until others have waited long enough."""
        if not self._backlog:
            return
        end = self.loop.time() + _TURN
        while self._backlog and not self.transport.is_closing() and self.loop.time() < end:
            self._take_slice()
        if self.transport.is_closing():
            self._backlog.clear()
        elif self._backlog:
            self.transport.pause_reading()
            self.loop.call_soon(self._go_on)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def _take_slice(self) -> None:
        data = bytes(self._backlog[:_SLICE])
        del self._backlog[:_SLICE]
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Parse bytes, unless too many come that are of no body."""
        self._received += len(data)
        self._unclaimed += len(data)
        while data and not self.transport.is_closing():
            data = self._feed(data)
        if self._unclaimed > _LONGEST_HEAD and not self.transport.is_closing():
            self._give_up(_HEAD_TOO_LONG)
        if self._received > self._weighed + _MUCH:
            self._weighed = self._received
            self._guests.bound_unfinished()

    def _feed(self, data: bytes) -> bytes:
        """Parse bytes, and return those that are to be parsed now."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._backlog.clear()  # nothing may come before the answer to this
                self.handle_websocket_upgrade()
            elif self.parser.get_method() != b"CONNECT":
                return self._stay(data[upgrade.args[0] :])
            else:
                self.send_400_response(_INVALID)
        except httptools.HttpParserError:
            self.send_400_response(_INVALID)
        return b""

    def _stay(self, rest: bytes) -> bytes:
        """Return a request that asks for an upgrade as one that does not; the parser has not looked for its body."""
        first = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % each for each in self.headers if each[0] not in {b"connection", b"upgrade"}]
        self.parser = httptools.HttpRequestParser(self)
        return b"".join((first, *kept, b"\r\n", rest))

    def on_message_begin(self) -> None:
        """Begin to wait for a head."""
        super().on_message_begin()
        self._enter(Stage.HEAD)
        self._unclaimed = 0

    def on_headers_complete(self) -> None:
        """Begin to wait for a body.

        :raises ValueError: the head is too long, or the body comes in a form that cannot be told from another; the
            parser stops, and tells :meth:`send_400_response`
        """
        if self._unclaimed + _SLICE > _LONGEST_HEAD and _size(self.url, self.headers) > _LONGEST_HEAD:
            self._give_up(_HEAD_TOO_LONG)
            raise ValueError("the head is too long")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings:
            self._check_codings(codings)
        if not self.parser.should_upgrade():
            self._enter(Stage.BODY)
            super().on_headers_complete()
        elif self._should_upgrade():
            super().on_headers_complete()

    def _check_codings(self, codings: list[bytes]) -> None:
        """Refuse transfer codings that are not taken off here (RFC 9112, 6.1); ones of HTTP/1.0 are somebody's trick.

        :raises ValueError: as for the head
        """
        if self.parser.get_http_version() == "1.0":
            self._give_up(_BAD_REQUEST)
        elif len(codings) > 1 or codings[0].strip().lower() != b"chunked":
            self._give_up(_UNKNOWN_CODING)
        else:
            return
        raise ValueError("the body comes in an unknown form")

    def send_400_response(self, msg: str) -> None:
        """Say that a request cannot be parsed, unless something better has been said already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        """Begin to wait for the server itself."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        if self._stage == Stage.BODY:
            self._enter(Stage.ANSWER)
        if self._calls is not None:
            self._begin(self._calls, self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take in a piece of a body."""
        self._unclaimed = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        held = cast(bytes | bytearray, cycle.body)
        if isinstance(held, bytes):  # which would be copied for each piece
            held = cycle.body = bytearray(held)
        held += body
        cycle.message_event.set()
        if self._calls is None:
            if len(held) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
        elif len(held) > self._calls.longest:
            self._answer(cycle, self._calls.too_large())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast(Scope, cycle.scope)
        calls = self._application.calls_at(scope)
        if calls is None:
            super()._start_asgi_task(cycle, app)
            return
        head = self._application.access.refuse(scope) or calls.admit(scope)
        if isinstance(head, Reply):
            self._answer(cycle, head)
            return
        self._calls, self._head = calls, head
        if not cycle.more_body:  # it has waited for the answer to the one before
            self._begin(calls, cycle)
        elif cycle.waiting_for_100_continue:
            self.transport.write(_CONTINUE)

    def _begin(self, calls: PostedCalls, cycle: RequestResponseCycle) -> None:
        self._calls = None
        body, cycle.body = bytes(cycle.body), bytearray()  # which would be kept until the next request
        exchange = calls.begin(self._head, body, partial(self._answer, cycle))
        if not cycle.response_complete:
            self._exchange = exchange

    def _answer(self, cycle: RequestResponseCycle, reply: Reply) -> None:
        """Write an answer, whole."""
        self._calls = self._exchange = None
        cycle.response_started = cycle.response_complete = True
        shared = self._application.access.headers(cast(Scope, cycle.scope))
        headers = [*cycle.default_headers, *reply.all_headers(), *shared]
        if CLOSE in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers.append(CLOSE)
        lines = [STATUS_LINE[reply.status], *(b"%b: %b\r\n" % each for each in headers), b"\r\n"]
        if cycle.scope["method"] != "HEAD":
            lines.append(reply.body)
        data = b"".join(lines)
        size = len(data)
        self.transport.write(data)
        self._guests.unread += size
        self._below.written += size
        self._largest = max(self._largest, size)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Note that the client sends no more. It may have gone, or wait for the answer to its one request.

        Which of the two it is shows only when something is written to it, so that what has not begun never does.
        """
        while self._backlog and not self.transport.is_closing():
            self._take_slice()
        if self._exchange is None or self.pipeline or self.scheme == "https":  # TLS has no halves here
            return False
        self.cycle.keep_alive = False
        self.loop.call_soon(self._exchange.half_close)  # after the turn that begins what came together with the end
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Withdraw what the client does not wait for any more."""
        super().connection_lost(exc)
        self._backlog.clear()
        if cast(RequestResponseCycle | None, self.cycle) is not None:
            self.cycle.body = bytearray()  # now, and not when cycles of references are collected
        if self._exchange is not None:
            self._exchange.withdraw()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, without a timer of its own."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            # Not from here: thousands may wait there that are answered at once, each from within the one before.
            self.loop.call_soon(self._start_next)
            return
        self.flow.resume_reading()
        if self._stage != Stage.HEAD:  # else some of the next has come already
            self._enter(Stage.IDLE)

    def _start_next(self) -> None:
        """Serve the request that has come behind the one that was answered; read on once none is left behind it."""
        if self.transport.is_closing():
            return
        cycle, app = self.pipeline.pop()
        if not self.pipeline:
            self.flow.resume_reading()
        self._start_asgi_task(cycle, app)

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self.since = self.loop.time()
        self._received = self._weighed = 0

    @property
    def unfinished(self) -> int:
        """How many bytes there are of a body that has not come whole."""
        return len(self._backlog) + (self._received if self._stage == Stage.BODY else 0)

    def count_unread(self) -> int:
        """Return how many bytes are kept of answers that the client has not read to their end."""
        size = self.transport.get_write_buffer_size()
        if self.scheme == "https":
            size = max(size, self._below.count(taken_by(self.transport)))
        if not size:
            self._largest = 0
        return max(size, self._largest)  # an answer is kept whole until the last of it is out

    def refuse(self) -> None:
        """Give the client up, because the server has too much to keep."""
        self._give_up(_BUSY)

    def look(self, now: float) -> None:
        """Give the client up if it has had its time."""
        if self._stage == Stage.IDLE:
            if now - self.since > self._limits.idle:
                self.transport.close()
        elif self._stage != Stage.ANSWER and not self.flow.read_paused and not self._owes_answer():
            allowed = self._limits.request + (self._received / SLOWEST if self._stage == Stage.BODY else 0)
            if now - self.since > allowed:
                self._give_up(_TOO_LATE)

    def _owes_answer(self) -> bool:
        """Whether the request before the one whose head comes has not been answered."""
        latest = cast(RequestResponseCycle | None, self.cycle)
        return self._stage == Stage.HEAD and latest is not None and not latest.response_complete

    def _give_up(self, last_words: bytes) -> None:
        if self._stage != Stage.ANSWER:
            self.transport.write(last_words)
        self.transport.close()


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
