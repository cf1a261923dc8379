"""A server on a port: uvicorn's protocols in the front-end's own process, on its own loop.

uvicorn's ``Server`` is left out: signals, draining and the end are the front-end's business, as over stdio.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import uvloop
from uvicorn.config import Config

from workers import reactor
from workers.asgi import Application
from workers.async_reactor import AsyncReactor
from workers.errlog import ErrorLog
from workers.frontend import FrontEnd
from workers.home import Home
from workers.http_calls import PostedCalls
from workers.http_protocol import LOOK, Guests, Limits, Protocol
from workers.listening import url
from workers.nursery import Nursery
from workers.signals import Signals
from workers.sockets import Hub
from workers.web_entry import WebEntry

_MOST_UNREAD = 256 << 20  # bytes of answers that clients have not read, until no more are made

_log = logging.getLogger("scriptling.server")


def serve(home: Home, children: Nursery, errors: ErrorLog, listener: socket.socket) -> int:
    """Serve on a socket until a signal ends it, and return the exit code."""
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(_HttpServer(home, children, errors, loop).run(listener))
    finally:
        loop.close()


class _HttpServer:
    """The front-end, its loop and its transport, put together."""

    def __init__(self, home: Home, children: Nursery, errors: ErrorLog, loop: asyncio.AbstractEventLoop) -> None:
        settings = home.settings
        self._loop = loop
        self._errors = errors
        self._hub = Hub(home.folder)
        self._reactor = AsyncReactor(loop)
        self._front_end = FrontEnd(home, children, self._hub, self._reactor)
        self._calls = PostedCalls(self._front_end, settings, self._reactor.wake)
        self._guests = Guests(Limits(1000, 20.0, 60.0))
        self._front_end.output_waits = lambda: bool(self._calls.open or self._web.open or self._guests.count_unread())
        self._front_end.output_full = lambda: self._guests.unread > _MOST_UNREAD
        self._web = WebEntry(self._front_end, settings, self._reactor.wake)
        self._application = Application(self._calls if settings.json_rpc else None, self._web)

    async def run(self, listener: socket.socket) -> int:
        """Serve until the front-end has ended."""
        self._signals = Signals(self._front_end)  # now, because the loop has taken the wake-up descriptor when it began
        self._reactor.watch(self._signals.fileno(), reactor.READ, self._signals.take)
        self._reactor.watch(self._errors.read_end, reactor.READ, self._pass_on)
        self._look()
        config = configured(self._application)
        server = await self._loop.create_server(
            lambda: Protocol(config, self._guests, self._application, self._loop), sock=listener
        )
        self._front_end.address = url(listener, "http")
        _log.debug("listening at %s", self._front_end.address)
        self._front_end.start()
        gc.freeze()  # what is there now stays, and need not be looked at again and again
        self._reactor.start(self._turn)
        try:
            await self._reactor.over
        finally:
            server.close()
            self._guests.close()
            await asyncio.sleep(0)
            self._hub.close()
        return self._signals.forced or self._front_end.life.ending.exit_code

    def _turn(self) -> float | None:
        patience = self._front_end.turn()
        if self._errors.sink.size:
            self._errors.sink.flush()
        if self._front_end.life.ending.over or self._signals.forced:
            self._reactor.stop()
        return patience

    def _pass_on(self, events: int) -> None:
        if not self._errors.pump() and self._errors.ended:
            self._reactor.forget(self._errors.read_end)

    def _look(self) -> None:
        self._guests.look(self._loop.time())
        self._loop.call_later(LOOK, self._look)


def configured(application: Application) -> Config:
    """Return what uvicorn's protocols want to know."""
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers[:] = logging.getLogger("scriptling").handlers
        logger.propagate = False
        logger.setLevel(logging.ERROR)  # a warning for each malformed request would be a gift to whoever sends them
    config = Config(
        application,
        interface="asgi3",
        http=Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    return config
