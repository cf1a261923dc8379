"""A front-end whose hosts come over HTTP, and its application: what our server on a port and those of others share."""

from __future__ import annotations

import asyncio

from workers import reactor
from workers.errlog import ErrorLog
from workers.front_end.frontend import FrontEnd
from workers.home import Home
from workers.http.access import Access
from workers.http.asgi import Application
from workers.http.async_reactor import AsyncReactor
from workers.http.calls import PostedCalls
from workers.http.state_pages import StatePages
from workers.http.websocket_host import WebSocketHosts
from workers.nursery import Nursery
from workers.sockets import Hub
from workers.web.entry import WebEntry


class HttpFrontEnd:
    """The front-end, its loop and its application, put together.

    :param loop: the running loop
    :ivar reactor: turns it; ``reactor.over`` is done at its end
    :ivar hosts: those over WebSocket
    """

    def __init__(
        self, home: Home, children: Nursery, errors: ErrorLog, access: Access, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._errors = errors
        self._hub = Hub(home.folder)
        self.reactor = AsyncReactor(loop)
        self.front_end = FrontEnd(home, children, self._hub, self.reactor)
        self._calls = PostedCalls(self.front_end, home.settings, self.reactor.wake)
        self.hosts = WebSocketHosts(self.front_end, home.settings, self.reactor.wake)
        self._web = WebEntry(self.front_end, home.settings, self.reactor.wake)
        calls, hosts = (self._calls, self.hosts) if home.settings.json_rpc else (None, None)
        self.application = Application(access, StatePages(self.front_end), calls, hosts, self._web)
        self.reactor.watch(errors.read_end, reactor.READ, self._pass_on)

    @property
    def unfinished(self) -> bool:
        """Whether there are answers that the server that serves the application has not been given yet."""
        return bool(self._calls.open or self._web.open or self.hosts.unread)

    def start(self) -> None:
        """Start the children, and turn from now on."""
        self.front_end.start()
        self.reactor.start(self._turn)

    def _turn(self) -> float | None:
        patience = self.front_end.turn()
        if self._errors.sink.size:
            self._errors.sink.flush()
        if self.front_end.life.ending.over:
            self.reactor.stop()
        return patience

    def _pass_on(self, events: int) -> None:
        if not self._errors.pump() and self._errors.ended:
            self.reactor.forget(self._errors.read_end)

    def close(self) -> None:
        """Close the sockets to the children."""
        self.reactor.stop()
        self._hub.close()
