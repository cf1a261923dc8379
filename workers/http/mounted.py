"""The server as an ASGI application in a process that is somebody else's: started and stopped with the host's loop.

Signals, logging and stdin stay the host's; what children print goes to the host's stderr.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scriptling.settings import Settings
from scriptling.stores import places
from workers.errlog import ErrorLog
from workers.home import Home
from workers.http.access import Access
from workers.http.front_end import HttpFrontEnd
from workers.http.replies import Receive, Scope, Send
from workers.main import clean_up
from workers.nursery import Nursery
from workers.sockets import RunFolder
from workers.spawned_nursery import spawn


class MountError(RuntimeError):
    """The server could not start; the text says why."""


class _Running:
    """One server, from its start to its end."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._home = Home(RunFolder().path, places.make_memory_folder(), os.urandom(16).hex(), settings)
        self._errors = ErrorLog(2)
        self._children: Nursery = spawn(self._home, self._errors.write_end)
        os.close(self._errors.write_end)
        loop = asyncio.get_running_loop()
        self.server = HttpFrontEnd(self._home, self._children, self._errors, access, loop)
        self._decided = asyncio.Event()
        self.server.front_end.life.decided.append(self._decided.set)
        self.server.front_end.output_waits = lambda: self.server.unfinished
        self.server.start()

    async def decided(self) -> None:
        """Wait until it is known that there is something to serve.

        :raises MountError: there is not
        """
        await self._decided.wait()
        life = self.server.front_end.life
        if life.failed:
            raise MountError(f"the setup script {self._home.settings.script} could not be served; stderr says why")

    async def end(self) -> None:
        """Finish what is in flight, let the setup script clean up, and leave nothing behind."""
        self.server.front_end.stop()
        self.server.reactor.wake()
        try:
            await self.server.reactor.over
        finally:
            self.server.close()
            await asyncio.to_thread(self._children.end)
            while self._errors.pump():
                pass
            self._errors.sink.flush()
            clean_up(self._home)


class Mounted:
    """The application. It starts with the host's lifespan, or with the first request where the host has none for it.

    :param settings: as of the command line, with the setup script
    :param access: who may ask
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._running: _Running | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket, or the lifespan of the host."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._start().server.application(scope, receive, send)

    def _start(self) -> _Running:
        if self._running is None:
            self._running = _Running(self._settings, self._access)
        return self._running

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except MountError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Serve for as long as this is entered: ``Starlette(..., lifespan=tools.lifespan)`` for a mounted application.

        :raises MountError: there is nothing to serve
        """
        running = self._start()
        try:
            await running.decided()
            yield
        finally:
            self._running = None
            await running.end()
