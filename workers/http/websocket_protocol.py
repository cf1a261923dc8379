"""uvicorn's WebSocket protocol, with bounds for peers that send much in small pieces, and patience for others.

Taken in is a slice at a time, so that thousands of tiny frames hold up nobody; a message of many fragments takes as
much memory as its bytes; and a peer that reads nothing gets no more pings and pongs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from workers.http.guests import Shared
from workers.http.readers import Below, taken_by
from workers.http.replies import UNWRITTEN

_SLICE = 1 << 14  # bytes
_TURN = 0.005  # seconds for which slices are taken in before others have their turn
_MOST_UNREAD = 1 << 16  # bytes that a peer has not read, until its pings are not answered
_MUCH = 1 << 20  # bytes of one client, until it is looked whether all together send too much
_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection.

    :ivar since: when the application took the last message, or the connection was made
    """

    def __init__(self, config: Config, server_state: Shared, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.since = self.loop.time()
        self._shared = server_state
        self._received = 0  # bytes since it was last looked whether that is too much
        self._backlog = bytearray()
        self._whole = bytearray()  # of the message whose fragments are coming
        self._next: asyncio.Handle | None = None
        self._unwritten: Callable[[], int] = int
        self._largest = 0  # bytes of any one message since there was nothing left to read
        self._below = Below()

    def data_received(self, data: bytes) -> None:
        """Take in bytes: now, or when it is their turn."""
        if self._backlog or len(data) > _SLICE:
            self._backlog += data
            self._go_on()
        else:
            self._take(data)
        self._received += len(data)
        if self._received > _MUCH:
            self._received = 0
            self._shared.bound_unfinished()

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    def _go_on(self) -> None:
        """Take in what has come, until others have waited long enough or the application has something to do."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        end = self.loop.time() + _TURN
        while self._backlog and not self.read_paused and not self.transport.is_closing() and self.loop.time() < end:
            piece = bytes(self._backlog[:_SLICE])
            del self._backlog[:_SLICE]
            self._take(piece)
        if self.read_paused or self.transport.is_closing():
            return
        if self._backlog:
            self.transport.pause_reading()
            self._next = self.loop.call_soon(self._go_on)
        else:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """Return the next event, and go on reading when there are no more."""
        message = await self.queue.get()
        self.since = self.loop.time()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._go_on()
        return message

    def handle_text(self, event: Frame) -> None:
        """Take in a message, or its first fragment, whose bytes the parser would keep until the next frame."""
        super().handle_text(event)
        event.data = b""

    def handle_bytes(self, event: Frame) -> None:
        """Take in a message as :meth:`handle_text` does."""
        super().handle_bytes(event)
        event.data = b""

    def handle_cont(self, event: Frame) -> None:
        """Take in a fragment; as a list of them, as it is kept otherwise, tiny ones take many times their size."""
        for piece in self.frames:
            self._whole += piece
        self.frames = []
        self._whole += event.data
        event.data = b""
        if event.fin:
            self.frames = [bytes(self._whole)]
            self._whole = bytearray()
            self.send_receive_event_to_app()

    @property
    def unfinished(self) -> int:
        """How many bytes there are of a message that has not come whole."""
        return sum(map(len, (self._whole, self._backlog, self.conn.reader.buffer, *self.frames)))

    def count_unread(self) -> int:
        """Return how many bytes are kept of messages that the client has not read, here and in the application."""
        size = self.transport.get_write_buffer_size()
        if self.scheme == "wss":
            size = max(size, self._below.count(taken_by(self.transport)))
        if not size:
            self._largest = 0
        return max(size, self._largest) + self._unwritten()  # a message is kept whole until the last of it is out

    def look(self, now: float) -> None:
        """Do nothing at the usual looks: whether a WebSocket is of use to anybody is found out by pings."""

    def refuse(self) -> None:
        """Give the client up, because the server has too much to keep."""
        self._whole = bytearray()
        self._backlog.clear()
        self.frames = []
        self.conn.reader.discard()
        self.conn.fail(CloseCode.TRY_AGAIN_LATER, "the server is overloaded")
        self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer a ping, unless earlier answers have not been read: the protocol lets these stand for it."""
        pong = b"".join(self.conn.data_to_send())
        if self.transport.get_write_buffer_size() < _MOST_UNREAD:
            self.transport.write(pong)

    def send_keepalive_ping(self) -> None:
        """Ask for a sign of life, unless the peer has enough to read: whether it does so is looked at elsewhere."""
        if self.count_unread():
            self.schedule_ping()
        else:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """Give up a peer that did not answer a ping, unless its answer may lie unread behind its messages."""
        if self.read_paused:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()

    async def send(self, message: Any) -> None:
        """Send, and take a refusal by an HTTP answer for a handshake that is over, not for an error to be logged."""
        await super().send(message)
        size = len(message.get("text") or message.get("bytes") or b"")
        self._largest = max(self._largest, size)
        self._below.written += size
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application; that the end of the server breaks it off is no error to be logged."""
        application = self.app

        async def breakable(*scope: Any) -> None:
            try:
                await application(*scope)
            except asyncio.CancelledError:
                raise ClientDisconnected from None

        def ask(unwritten: Callable[[], int]) -> None:
            self._unwritten = unwritten

        self.app = breakable
        self.scope["extensions"][UNWRITTEN] = {"tell": ask}
        await super().run_asgi()
