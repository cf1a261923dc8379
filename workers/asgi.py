"""The server as an ASGI application: which path is whose, and the small answers that are everybody's.

``/json-rpc`` is the plugin protocol; whatever is none of our paths goes to ``fallback``. Any ASGI server can run it;
ours is :mod:`workers.http_server`.
"""

from __future__ import annotations

import asyncio

from workers.http_calls import Head, PostedCalls
from workers.http_replies import App, Receive, Reply, Scope, Send, sentence

CALLS_PATH = "/json-rpc"


class Application:
    """The root of everything that is served over HTTP.

    :param calls: what ``/json-rpc`` is for plain requests; None if that is nothing
    :param fallback: gets whatever has another path
    """

    def __init__(self, calls: PostedCalls | None, fallback: App | None = None) -> None:
        self._calls = calls
        self._fallback = fallback or _nothing_here

    def calls_at(self, scope: Scope) -> PostedCalls | None:
        """Return what a plain request calls without more ado, for servers that can do without the ways of ASGI."""
        return self._calls if path_of(scope) == CALLS_PATH else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        calls = self.calls_at(scope) if scope["type"] == "http" else None
        if calls is not None:
            await _post(calls, scope, receive, send)
        else:
            await self._fallback(scope, receive, send)


def path_of(scope: Scope) -> str:
    """Return the path as it is below where the application is mounted."""
    path: str = scope["path"]
    root = scope.get("root_path")
    return path.removeprefix(root) if root else path


async def _post(calls: PostedCalls, scope: Scope, receive: Receive, send: Send) -> None:
    """Put one exchange of ``calls`` into the terms of ASGI."""
    head = calls.admit(scope)
    if isinstance(head, Reply):
        await head.send(send)
        return
    body = await _read(receive, calls.longest)
    if body is not None:
        reply = await _answer(calls, head, body, receive)
        if reply is not None:
            await reply.send(send)


async def _read(receive: Receive, longest: int) -> bytes | None:
    """Return a body, or as much of it as is certainly too much; None if the client has gone away."""
    body = b""
    more = True
    while more and len(body) <= longest:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(calls: PostedCalls, head: Head, body: bytes, receive: Receive) -> Reply | None:
    """Wait for the answer to a body; None if the client has gone away meanwhile."""
    answered: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
    exchange = calls.begin(head, body, answered.set_result)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        exchange.withdraw()
        answered.set_result(None)

    watching = asyncio.ensure_future(watch())
    try:
        return await answered
    finally:
        watching.cancel()


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await sentence(404, "there is nothing at this path").send(send)
    else:
        await send({"type": "websocket.close"})
