"""A server on a port: uvicorn's protocols in the front-end's own process, on its own loop.

uvicorn's ``Server`` is left out: signals, draining and the end are the front-end's business, as over stdio.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import ssl
from math import inf

import uvloop
from uvicorn.config import Config

from scriptling.settings import Settings
from workers import reactor
from workers.errlog import ErrorLog
from workers.front_end.signals import Signals
from workers.home import Home
from workers.http.access import Access
from workers.http.asgi import Application
from workers.http.front_end import HttpFrontEnd
from workers.http.guests import LOOK, Guests, Limits
from workers.http.handshakes import Handshakes
from workers.http.listening import BACKLOG, is_public, names_of, url
from workers.http.protocol import Protocol
from workers.http.tls import context_of, generated_context
from workers.http.websocket_protocol import WebSocketProtocol
from workers.nursery import Nursery

_MOST_UNREAD = 256 << 20  # bytes of answers that clients have not read; four of the longest if that is more
_MOST_UNFINISHED = 256 << 20  # bytes of messages that have come in part; four of the longest if that is more
_OWN_DESCRIPTORS = 64  # of a server without connections and workers, and some to spare
_DESCRIPTORS_OF_ONE = 8  # of a worker, and of one that is lent for it
_ENDING = 1.0  # seconds for connections to close

_log = logging.getLogger("scriptling.server")


def serve(home: Home, children: Nursery, errors: ErrorLog, listener: socket.socket, token: str) -> int:
    """Serve on a socket until a signal ends it, and return the exit code.

    :raises ListenError: the certificate cannot be used
    """
    tls = _tls_context(home.settings)
    if is_public(listener) and not (token and tls):
        missing = " and ".join(name for name, there in (("a token", token), ("TLS", tls)) if not there)
        _log.warning("others than this machine may reach this server, which is without %s", missing)
    access = Access(
        token.encode(),
        tuple(each.encode() for each in home.settings.allow_origin),
        () if is_public(listener) else names_of(home.settings.server),
    )
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(_run(home, HttpFrontEnd(home, children, errors, access, loop), listener, tls))
    finally:
        loop.close()


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_generate:
        return generated_context(settings.server.rpartition(":")[0].strip("[]"))
    return context_of(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


async def _run(home: Home, server: HttpFrontEnd, listener: socket.socket, tls: ssl.SSLContext | None) -> int:
    """Serve until the front-end has ended."""
    loop, settings, front_end = asyncio.get_running_loop(), home.settings, server.front_end
    signals = Signals(front_end)  # now, because the loop has taken the wake-up descriptor when it began

    def take_signals(events: int) -> None:
        signals.take(events)
        if signals.forced:
            server.reactor.stop()

    server.reactor.watch(signals.fileno(), reactor.READ, take_signals)
    limits = Limits(
        _most_connections(settings),
        settings.request_timeout or inf,
        settings.keep_alive or inf,
        max(_MOST_UNFINISHED, 4 * settings.max_message << 20),
        max(_MOST_UNREAD, 4 * settings.max_message << 20),
    )
    guests = Guests(limits, lambda: server.hosts.unread)
    front_end.output_waits = lambda: bool(server.unfinished or guests.count_unread())
    # One client that does not read must not hold up what the callbacks of others wait for.
    front_end.output_full = lambda: not front_end.dispatcher.waiting and guests.is_full()
    config = configured(server.application, settings)

    def look() -> None:
        guests.look(loop.time())
        loop.call_later(LOOK, look)

    look()

    def meet() -> Protocol:
        return Protocol(config, guests, server.application, loop)

    listening: asyncio.Server | Handshakes
    if tls:
        listening = Handshakes(listener, tls, meet, guests.room)
    else:
        # The backlog would be set again otherwise, to less.
        listening = await loop.create_server(meet, sock=listener, backlog=BACKLOG)
    front_end.address = url(listener, "https" if tls else "http")
    _log.debug("listening at %s", front_end.address)
    server.start()
    gc.freeze()  # what is there now stays, and need not be looked at again and again
    try:
        await server.reactor.over
    finally:
        listening.close()
        await asyncio.wait([asyncio.ensure_future(guests.close())], timeout=_ENDING)
        server.close()
    return signals.forced or front_end.life.ending.exit_code


def _most_connections(settings: Settings) -> int:
    """Return how many clients there may be at a time: as many as leave descriptors for workers to be replaced."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(1, descriptors - _OWN_DESCRIPTORS - _DESCRIPTORS_OF_ONE * settings.workers)
    if room < settings.max_connections:
        _log.warning(
            "no more than %d connections fit into the limit of %d descriptors (ulimit -Hn), although "
            "--max-connections is %d", room, descriptors, settings.max_connections,
        )  # fmt: skip
    return min(room, settings.max_connections)


def configured(application: Application, settings: Settings) -> Config:
    """Return what uvicorn's protocols want to know."""
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers[:] = logging.getLogger("scriptling").handlers
        logger.propagate = False
        logger.setLevel(logging.ERROR)  # a warning for each malformed request would be a gift to whoever sends them
        logger.addFilter(_is_no_client_s_fault)
    config = Config(
        application,
        interface="asgi3",
        http=Protocol,
        ws=WebSocketProtocol,
        ws_max_size=settings.max_message << 20,
        ws_per_message_deflate=False,  # it costs more than the network saves, and memory for each connection
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    return config


def _is_no_client_s_fault(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn's is more than what a client has caused and been told of."""
    return not str(record.msg).startswith("Invalid UTF-8")
