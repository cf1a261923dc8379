"""Speaks ASGI to an application, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        return json.loads(self.body)


def make_scope(
    method: str, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), root_path: str = ""
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root_path + unquote(path),
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
        "client": ("192.0.2.7", 5000),
        "server": ("127.0.0.1", 80),
    }


async def exchange(app: ASGIApp, scope: dict[str, Any], *body: bytes) -> Answer:
    """Make one request, whose body comes in these pieces, and return the answer."""
    incoming = [
        {"type": "http.request", "body": piece, "more_body": index + 1 < len(body)} for index, piece in enumerate(body)
    ] or [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if incoming:
            return incoming.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


def ask(
    app: ASGIApp,
    method: str,
    target: str,
    *body: bytes,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    root_path: str = "",
) -> Answer:
    """Make one request in a loop of its own."""
    return asyncio.run(exchange(app, make_scope(method, target, headers, root_path), *body))
