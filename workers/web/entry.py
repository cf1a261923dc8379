"""Where requests for ``runtime.http`` come in: they wait until it is known what the setup script has registered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic_ns

from scriptling.registry import RouteDeclaration
from scriptling.settings import Settings
from workers.frames import Want
from workers.front_end.frontend import FrontEnd
from workers.http.replies import NOTHING_HERE, RETRY, App, Receive, Scope, Send, sentence
from workers.web.pool import WebPool

_NEVER = sentence(503, "the server could not start", RETRY)


class WebEntry:
    """The application for every path that is not the server's own.

    :param wake: called when there is something to do for the front-end
    :ivar open: how many requests have not been answered
    """

    def __init__(self, front_end: FrontEnd, settings: Settings, wake: Callable[[], None]) -> None:
        self.open = 0
        self._life = front_end.life
        self._settings = settings
        self._pool = WebPool(front_end.life, front_end.dispatcher, settings, wake)
        self._front_end = front_end
        self._wake = wake
        self._web: App | None = None
        self._decided = asyncio.Event()
        front_end.life.decided.append(self._decide)

    def _decide(self) -> None:
        """Take in what is served, or that nothing ever will be."""
        routes = self._life.opening.declaration.routes
        if self._life.serving and routes and self._web is None:
            self._web = self._make_web(routes)
        self._decided.set()

    def _make_web(self, routes: Sequence[RouteDeclaration]) -> App:
        from workers.web.application import Web  # noqa: PLC0415 - only where there are routes
        from workers.web.sockets import SocketResponder  # noqa: PLC0415
        from workers.web.upgrades import Upgrades  # noqa: PLC0415

        relay, dispatcher = self._front_end.relay, self._front_end.dispatcher
        sockets = SocketResponder(relay, dispatcher, monotonic_ns, self._wake, self._settings.max_parked)
        relay.responders[Want.SOCKET] = sockets
        self._life.leaving.append(sockets.go_away)
        return Web(routes, self._pool, Upgrades(routes, self._pool, sockets), self._settings.max_message)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.open += 1
        try:
            await self._decided.wait()
            if self._web is not None:
                await self._web(scope, receive, send)
            else:
                reply = NOTHING_HERE if self._life.serving else _NEVER
                await (reply.send(send) if scope["type"] == "http" else reply.deny(scope, send))
        finally:
            self.open -= 1
