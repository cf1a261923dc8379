"""Hosts over WebSocket, at ``/json-rpc``: the whole protocol in both directions, one session for each connection.

A message is one JSON text; text and binary frames are the same. The session ends with its connection, and everything
that it has made is destroyed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from scriptling.protocol.jsonrpc import parse
from scriptling.settings import Settings
from workers.frames import Flag
from workers.front_end.frontend import FrontEnd
from workers.front_end.service import Ends
from workers.front_end.session import Session
from workers.http.replies import UNWRITTEN, Message, Receive, Scope, Send

_MEBIBYTE = 1 << 20
_MUCH = _MEBIBYTE  # of answers that a host has not read, until it gets no log records
_TOO_MUCH = 32 * _MEBIBYTE  # until it is not read from
_MOST = 128 * _MEBIBYTE  # until it is given up
_PAUSE = 0.005  # seconds between looks at whether a host may be read from again

_log = logging.getLogger("scriptling.server")


class WebSocketHosts:
    """The application at ``/json-rpc`` for WebSockets.

    :param wake: called when there is something to do for the front-end
    :ivar unread: bytes that wait to be written to all hosts together
    """

    def __init__(self, front_end: FrontEnd, settings: Settings, wake: Callable[[], None]) -> None:
        self.unread = 0
        self.front_end = front_end
        self.settings = settings
        self.wake = wake
        self.traffic = front_end.metrics.traffic_of("websocket")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        if (await receive())["type"] != "websocket.connect":
            return
        if self.front_end.life.ending.begun:
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        host = _Host(self, send)
        server = (scope.get("extensions") or {}).get(UNWRITTEN)
        if server:
            server["tell"](lambda: host.unwritten)
        await host.serve(receive)


class _Host:
    """One connection.

    :ivar unwritten: bytes that wait to be given to it
    """

    def __init__(self, hosts: WebSocketHosts, send: Send) -> None:
        self._hosts = hosts
        self._life = hosts.front_end.life
        self._dispatcher = hosts.front_end.dispatcher
        self._max_queue = hosts.settings.max_queue
        self._write = send
        self._unwritten: deque[bytes] = deque()
        self.unwritten = 0
        self._news = asyncio.Event()
        self._given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session = Session(self._life.service, self._put, Flag.CALLBACKS, self._life.owners.new())
        self._session.congested = lambda: self.unwritten > _MUCH
        self._session.ends = Ends.OWNER

    async def serve(self, receive: Receive) -> None:
        """Read until the host has gone, and write what there is for it meanwhile; give it up if that is too much."""
        self._life.open(self._session)
        tasks = [asyncio.ensure_future(each) for each in (self._keep_reading(receive), self._keep_writing())]
        try:
            await asyncio.wait((*tasks, self._given_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._life.close(self._session, owner_ends=True)
            self._hosts.unread -= self.unwritten
            self.unwritten = 0
            self._unwritten.clear()  # now, and not when cycles of references are collected
            self._hosts.wake()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                # A connection that breaks is an OSError in whoever writes to it.
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                    _log.error("a WebSocket has failed", exc_info=outcome)

    async def _keep_reading(self, receive: Receive) -> None:
        while self._take(await receive()):
            self._hosts.wake()
            while self._is_full():
                await asyncio.sleep(_PAUSE)

    def _take(self, message: Message) -> bool:
        """Take in what has come, and keep nothing of it; return whether that was no end."""
        if message["type"] != "websocket.receive":
            return False
        text = message.get("text")
        data = (message.get("bytes") if text is None else text.encode()) or b""
        self._hosts.traffic.received += len(data)
        self._session.receive(parse(data, self._hosts.settings.max_batch))
        return True

    def _is_full(self) -> bool:
        """Whether no more may be read now. While calls wait for callbacks it must be: their answers come this way."""
        if self._session.early > self._max_queue or self.unwritten > _TOO_MUCH:
            return True
        dispatcher = self._dispatcher
        # By half, because whoever comes over HTTP is refused, and not let wait, when the queue is full.
        return not dispatcher.waiting and (dispatcher.is_full or len(dispatcher.queue) > self._max_queue // 2)

    def _put(self, message: bytes) -> None:
        self._unwritten.append(message)
        self.unwritten += len(message)
        self._hosts.unread += len(message)
        self._news.set()
        if self.unwritten > _MOST and not self._given_up.done():
            _log.warning("a host at the other end of a WebSocket does not read its answers; closing it")
            self._given_up.set_result(None)

    async def _keep_writing(self) -> None:
        while True:
            while self._unwritten:
                size = len(self._unwritten[0])
                # Of what may wait here for long there is one copy.
                await self._write({"type": "websocket.send", "text": self._unwritten.popleft().decode()})
                self.unwritten -= size
                self._hosts.unread -= size
                self._hosts.traffic.sent += size
            self._news.clear()
            await self._news.wait()
