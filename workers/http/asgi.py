"""The server as an ASGI application: which path is whose, and the small answers that are everybody's.

``/json-rpc`` is the plugin protocol; whatever is none of our paths goes to ``fallback``. Any ASGI server can run it;
ours is :mod:`workers.http.server`.
"""

from __future__ import annotations

import asyncio

from workers.http.access import Access
from workers.http.calls import Head, PostedCalls
from workers.http.replies import NOTHING_HERE, App, Message, Receive, Reply, Scope, Send
from workers.http.state_pages import StatePages
from workers.http.websocket_host import WebSocketHosts

CALLS_PATH = "/json-rpc"
HEALTH_PATH = "/health"
METRICS_PATH = "/metrics"


class Application:
    """The root of everything that is served over HTTP.

    :param access: who may ask; of the state of the server anybody may
    :param pages: what the server says about itself
    :param calls: what ``/json-rpc`` is for plain requests; None if that is nothing
    :param hosts: what it is for WebSockets; likewise
    :param fallback: gets whatever has another path
    """

    def __init__(
        self,
        access: Access,
        pages: StatePages,
        calls: PostedCalls | None = None,
        hosts: WebSocketHosts | None = None,
        fallback: App | None = None,
    ) -> None:
        self.access = access
        self._pages = pages
        self._calls = calls
        self._hosts = hosts
        self._fallback = fallback or _nothing_here

    def calls_at(self, scope: Scope) -> PostedCalls | None:
        """Return what a plain request calls without more ado, for servers that can do without the ways of ASGI."""
        return self._calls if path_of(scope) == CALLS_PATH else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        is_http = scope["type"] == "http"
        reply = self._reply_at_once(scope, path_of(scope), is_http)
        if reply is not None:
            await (reply.send(send) if is_http else reply.deny(scope, send))
        elif path_of(scope) != CALLS_PATH:
            await self._fallback(scope, receive, self._sharing(scope, send))
        elif is_http and self._calls is not None:
            await _post(self._calls, scope, receive, self._sharing(scope, send))
        elif not is_http and self._hosts is not None:
            await self._hosts(scope, receive, send)
        else:
            await _nothing_here(scope, receive, send)

    def _reply_at_once(self, scope: Scope, path: str, is_http: bool) -> Reply | None:
        if is_http and path == HEALTH_PATH:
            return self._pages.health(scope)
        refusal = self.access.refuse(scope)
        if refusal is None and is_http and path == METRICS_PATH:
            return self._pages.metrics(scope)
        return refusal

    def _sharing(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` that lets pages of allowed origins see the answer."""
        shared = self.access.headers(scope)
        if not shared:
            return send

        async def send_shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *shared]}
            await send(message)

        return send_shared


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
    body = bytearray()
    more = True
    while more and len(body) <= longest:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _answer(calls: PostedCalls, head: Head, body: bytes, receive: Receive) -> Reply | None:
    """Wait for the answer to a body; None if the client has gone away meanwhile."""
    answered: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
    exchange = calls.begin(head, body, answered.set_result)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        exchange.withdraw()
        if not answered.done():
            answered.set_result(None)

    watching = asyncio.ensure_future(watch())
    try:
        return await answered
    finally:
        exchange.withdraw()  # if the host's server has cancelled the request: nobody is there for the answer
        watching.cancel()


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await (NOTHING_HERE.send(send) if scope["type"] == "http" else NOTHING_HERE.deny(scope, send))
