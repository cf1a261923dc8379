"""The client at the other end of a websocket, as its handler sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scriptling.errors import PluginTimeout
from scriptling.protocol.plain import encode_plain

if TYPE_CHECKING:
    from scriptling.runtime.exchange import Request

Ask = Callable[[str, bytes, float | None], bytes]
"""Has the server do something for a websocket, and returns what came of it: operation, content, seconds to wait."""

GONE = b""
TEXT = b"t"
BINARY = b"b"
"""The first byte of a message between the processes of a server; no byte at all where the client has gone."""

DONE = b"y"
"""What came of an operation that has been done."""

OPEN, LEAVE = "open", "leave"
"""The first operation of a handler's process, before anything else, and its last."""


class ClientGone(ConnectionError):  # noqa: N818 - it says who has
    """Nothing can be sent to a client that has gone; uncaught, it ends the handler, and that is no error."""


class Client:
    """One client that is connected; usable from any thread of its handler.

    :ivar request: the request that the connection began with: its path, headers and query
    """

    def __init__(self, request: Request, ask: Ask) -> None:
        self.request = request
        self._ask = ask

    @property
    def remote_addr(self) -> str:
        """IP address of the client."""
        return self.request.remote_addr

    def connected(self) -> bool:
        """Whether the client is still there."""
        return self._ask("connected", b"", None) != GONE

    def receive(self, timeout: float | None = 30) -> str | bytes | None:
        """Wait for the next message: text, or bytes; None if none came in time, or the client has gone.

        :param timeout: in seconds; None waits for as long as the client is there
        """
        try:
            message = self._ask("receive", b"", timeout)
        except PluginTimeout:
            return None
        if message == GONE:
            return None
        return message[1:].decode() if message[:1] == TEXT else message[1:]

    def send(self, message: Any) -> None:
        """Send text; a dict or list goes as JSON.

        :raises ConnectionError: the client has gone; a handler that lets this pass simply ends
        :raises TypeError: it is neither, or is no JSON
        """
        if isinstance(message, str):
            self._send(TEXT + message.encode())
        elif isinstance(message, dict | list):
            self._send(TEXT + encode_plain(message, "message"))
        else:
            raise TypeError(f"send() takes a str or a dict, not {type(message).__name__}; send_binary() takes bytes")

    def send_binary(self, message: bytes | bytearray | memoryview) -> None:
        """Send bytes.

        :raises ConnectionError: the client has gone
        """
        self._send(BINARY + bytes(memoryview(message)))

    def _send(self, content: bytes) -> None:
        if self._ask("send", content, None) == GONE:
            raise ClientGone("the client of this websocket has gone")

    def close(self) -> None:
        """End the connection; what was sent before still arrives."""
        self._ask("close", b"", None)
