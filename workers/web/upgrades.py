"""The beginning and the end of each WebSocket of ``runtime.http``: finds its handler, and has the pool run it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.routing import Match, WebSocketRoute
from starlette.types import Receive, Scope, Send

from scriptling import paths
from scriptling.errors import RpcError
from scriptling.registry import RouteDeclaration, RouteKind
from workers.frames import Kind
from workers.web import frames as web_frames
from workers.web.exchange import describe_request, failure, sentence
from workers.web.frames import GOES_ON, WebRequest, WebResponse
from workers.web.pool import Begun, WebPool
from workers.web.sockets import GRACE, Conversation, SocketResponder

_NOTHING_HERE = sentence(404, "there is no websocket at this path")


class Upgrades:
    """Every path of a WebSocket."""

    def __init__(self, declared: Sequence[RouteDeclaration], pool: WebPool, sockets: SocketResponder) -> None:
        self._pool = pool
        self._sockets = sockets
        self._middleware = [place for place, each in enumerate(declared) if each.kind == RouteKind.MIDDLEWARE]
        self._routes = [
            (WebSocketRoute(paths.to_template(each.path), _no_endpoint), place, each.label)
            for place, each in enumerate(declared)
            if each.kind == RouteKind.WEBSOCKET
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        await receive()  # websocket.connect
        talk = _Talk(scope, self._sockets, self._pool)
        conversation = Conversation(receive, send, self._sockets, talk.ended)
        found = self._find(scope)
        if found is None:
            await conversation.finish(scope, _NOTHING_HERE)
        else:
            await talk.run(conversation, *found)

    def _find(self, scope: Scope) -> tuple[str, WebRequest] | None:
        for route, place, label in self._routes:
            match, more = route.matches(scope)
            if match is Match.FULL:
                return label, describe_request(scope, [*self._middleware, place], more["path_params"])
        return None


class _Talk:
    """One connection that has a handler, and the call that this runs in."""

    def __init__(self, scope: Scope, sockets: SocketResponder, pool: WebPool) -> None:
        self._scope = scope
        self._sockets = sockets
        self._pool = pool
        self._call: Begun | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def run(self, conversation: Conversation, label: str, request: WebRequest) -> None:
        """Have the handler run, and end the connection as it ends."""
        try:
            self._sockets.check_room()
            self._call = self._pool.begin(Kind.SOCKET, label, web_frames.encode(request), 0)
        except RpcError as error:
            await conversation.finish(self._scope, failure(error))
            return
        ticket = self._call.ticket
        self._sockets.begin(ticket, conversation)
        reading = asyncio.ensure_future(conversation.read())
        try:
            await self._end_as_handler(conversation, self._call)
        finally:
            self._sockets.end(ticket)
            reading.cancel()
            if self._patience is not None:
                self._patience.cancel()

    async def _end_as_handler(self, conversation: Conversation, call: Begun) -> None:
        try:
            response: WebResponse = web_frames.decode_response(await self._pool.wait(call))
        except RpcError as error:
            await conversation.fail(self._scope, failure(error))
        except asyncio.CancelledError:
            if not call.caller.outcome.cancelled():
                raise
            await conversation.finish(self._scope, None)  # it was never begun: its client has gone before
        else:
            await conversation.finish(self._scope, None if response.status == GOES_ON else response)

    def ended(self) -> None:
        """Let the handler return soon, or never begin: its client has gone."""
        call = self._call
        if call is None or call.caller.outcome.done():
            return
        if self._pool.take_back(call):
            call.caller.outcome.cancel()
            return
        self._sockets.release(call.ticket)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(GRACE, self._sockets.interrupt, call.ticket)


async def _no_endpoint(websocket: object) -> None:
    """Stand where Starlette wants an endpoint: its routes are only asked whether they match."""
    raise NotImplementedError
