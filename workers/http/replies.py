"""What is answered over HTTP, and the terms of ASGI that it is said in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
RETRY = (b"retry-after", b"1")
CLOSE = (b"connection", b"close")

UNWRITTEN = "scriptling.unwritten"
"""Extension of ASGI: its ``"tell"`` takes a function that returns how many bytes wait to be sent on a WebSocket."""


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()

    def all_headers(self) -> list[Header]:
        """Return the headers and the length of the body, where there is one."""
        if self.status == 204:
            return [*self.headers]
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]

    async def send(self, send: Send) -> None:
        """Send it in the terms of ASGI."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers()})
        await send({"type": "http.response.body", "body": self.body})

    async def deny(self, scope: Scope, send: Send) -> None:
        """Send it in the place of a WebSocket, where the server can do that; else just refuse the WebSocket."""
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        start = {"type": "websocket.http.response.start", "status": self.status, "headers": self.all_headers()}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": self.body})


def sentence(status: int, text: str, *headers: Header) -> Reply:
    """Return an answer for people: what is wrong, and what would be right."""
    return Reply(status, f"{text}\n".encode(), (TEXT, *headers))


NOTHING_HERE = sentence(404, "there is nothing at this path")


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of a request header (``name`` in lower case); several are joined as HTTP says."""
    found = [value for key, value in scope["headers"] if key == name]
    return b", ".join(found) if found else None
