"""Our end of a conversation with a plugin, sans-IO: bytes in, events out, bytes out.

A :class:`Session` knows which requests of ours wait for which answers, and nothing of processes, sockets, threads or
clocks, so that a client with threads and one with an event loop can share it. Rules: protocol sections 1, 2 and 6.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from scriptling.errors import ErrorCode
from scriptling.protocol.jsonrpc import (
    NULL_ID,
    Batch,
    Invalid,
    LineReader,
    Outgoing,
    Request,
    Response,
    encode_batch,
    encode_request,
    parse,
)

MAX_MESSAGE = 1 << 30
"""Most bytes of one message of a plugin; what is longer is dropped while it streams in."""

_SHOWN = 200


class Exchange:
    """One request of ours, or one batch of them, and the answers so far.

    :param requests: method names with their params (JSON text, empty for none)
    :param batch: send them as one array, even if there is only one
    :ivar replies: the answers in the order of the requests, None for those that are still to come
    """

    __slots__ = ("batch", "ids", "missing", "replies", "requests", "size")

    def __init__(self, requests: Sequence[tuple[str, bytes]], batch: bool = False) -> None:
        self.requests = requests
        self.batch = batch
        self.ids: list[int] = []
        self.missing = len(requests)
        self.replies: list[Response | None] = [None] * len(requests)
        self.size = 0


class Answered(msgspec.Struct, gc=False):
    """Every request of an exchange has its answer."""

    exchange: Exchange


class Asked(msgspec.Struct, gc=False):
    """The plugin calls us."""

    request: Request


class Violation(msgspec.Struct, gc=False):
    """The plugin sent what it must not send, and cannot be trusted any more; ``sentence`` says what it did."""

    sentence: str


Event = Answered | Asked | Violation


class Session:
    """The requests of ours that wait, and what arrives for them."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._reader = LineReader(max_message, fixed=True)
        self._outgoing: Outgoing[tuple[Exchange, int]] = Outgoing()
        self._abandoned: set[bytes] = set()
        self._open: dict[Exchange, None] = {}

    @property
    def waiting(self) -> Sequence[Exchange]:
        """The exchanges that are not fully answered, oldest first."""
        return list(self._open)

    @property
    def deserted(self) -> bool:
        """Whether the plugin works on what nobody waits for any more."""
        return bool(self._abandoned)

    def open(self, exchange: Exchange) -> bytes:
        """Return the JSON text that starts an exchange, without a line end."""
        self._open[exchange] = None
        texts = []
        for index, (method, params) in enumerate(exchange.requests):
            number = self._outgoing.add((exchange, index))
            exchange.ids.append(number)
            texts.append(encode_request(number, method, params))
        text = encode_batch(texts) if exchange.batch else texts[0]
        exchange.size = len(text)
        return text

    def abandon(self, exchange: Exchange) -> None:
        """Wait no longer; answers that still come are dropped silently."""
        if exchange not in self._open:
            return
        del self._open[exchange]
        for number, reply in zip(exchange.ids, exchange.replies, strict=True):
            if reply is None:
                self._outgoing.discard(number)
                self._abandoned.add(b"%d" % number)

    def close(self) -> Sequence[Exchange]:
        """Return the exchanges that will never be answered, and forget them."""
        left = self.waiting
        self._outgoing.drain()
        self._open.clear()
        return left

    def feed(self, data: bytes) -> list[Event]:
        """Return what a piece of a stream of lines completes."""
        return self._lines(self._reader.feed(data))

    def end(self) -> list[Event]:
        """Return what the end of the stream completes."""
        return self._lines(self._reader.end())

    def message(self, text: bytes) -> list[Event]:
        """Return what one whole JSON text means, line breaks and all (HTTP)."""
        return self._lines([text])

    def _lines(self, lines: Sequence[bytes | Invalid | Response]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if isinstance(line, bytes):
                event = parse(line, max_batch=sys.maxsize)
                items = event.items if isinstance(event, Batch) else [event]
            else:
                items, line = [line], b""  # noqa: PLW2901 - a refused line has no text to show
            for item in items:
                events += self._item(item, line)
        return events

    def _item(self, item: Request | Response | Invalid, line: bytes) -> list[Event]:
        if isinstance(item, Response):
            return self._response(item)
        if isinstance(item, Request):
            return [Asked(item)]
        shown = f": {_shown(line)}" if line else f" ({item.error.message})"
        return [Violation(f"sent something that is not a JSON-RPC message{shown}")]

    def _response(self, response: Response) -> list[Event]:
        if response.id in (b"", NULL_ID):
            return self._unaddressed(response)
        token = self._outgoing.take(response.id)
        if token is not None:
            return self._reply(*token, response)
        if response.id in self._abandoned:
            self._abandoned.discard(response.id)
            return []
        return [Violation(f"answered a request that it was not sent, or answered twice (id {_shown(response.id)})")]

    def _reply(self, exchange: Exchange, index: int, response: Response) -> list[Event]:
        if exchange.replies[index] is None:
            exchange.replies[index] = response
            exchange.missing -= 1
        if exchange.missing:
            return []
        self._open.pop(exchange, None)
        return [Answered(exchange)]

    def _unaddressed(self, response: Response) -> list[Event]:
        """Find out whom an error without an id is meant for: a peer could not read a message of ours.

        It is the only message there is, or the largest if it was too large. Where it cannot be known, everybody must be
        told, for somebody would wait for ever.
        """
        if response.error is None or not self._open:
            return []
        if len(self._open) > 1 and response.error.code != ErrorCode.MESSAGE_TOO_LARGE:
            return [Violation(f"could not read a request: {response.error.message}")]
        refused = max(self._open, key=lambda exchange: exchange.size)
        events: list[Event] = []
        for index, number in enumerate(refused.ids):
            if self._outgoing.take(b"%d" % number) is not None:
                events += self._reply(refused, index, response)
        return events


def _shown(text: bytes) -> str:
    """Return the beginning of what a plugin sent, for an error message."""
    shown = repr(text[:_SHOWN].decode("utf-8", "backslashreplace"))
    return f"{shown}…" if len(text) > _SHOWN else shown
