"""A plugin behind a URL, for the tasks of an event loop: one ``POST`` per exchange, over connections that are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from scriptling.errors import PluginCallError
from scriptling.plugin.calls import Callback
from scriptling.plugin.channel import CHUNK, readable
from scriptling.plugin.posting import AnyHttpPeer, HttpAnswer, NoAnswer, Posting, Unsent, Wire
from scriptling.plugin.url import CONNECT_TIMEOUT, Address
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import Method

_POST_TIMEOUT = 10.0
_MOST_OPEN = 100


class _Link:
    """One connection.

    :ivar used: it has carried an exchange before
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._wire = Wire()
        self.used = False
        # So that a drained writer has given everything to the system.
        writer.transport.set_write_buffer_limits(0)

    @property
    def fresh(self) -> bool:
        """Whether it is open, as far as can be seen."""
        connection = self._writer.get_extra_info("socket")
        return not (self._writer.is_closing() or self._reader.at_eof() or readable(connection.fileno()))

    @property
    def reusable(self) -> bool:
        """Whether it can take another request."""
        return self._wire.reusable

    async def roundtrip(self, posting: Posting) -> HttpAnswer:
        """Send one request, and return the answer.

        :raises Unsent: not all could be sent, and there is no answer
        :raises OSError: the connection broke off
        :raises NoAnswer: there is none
        """
        self._writer.write(self._wire.request(posting))
        try:
            await self._writer.drain()
        except OSError as error:
            # A server that does not want to read all of a request may have said why.
            try:
                return await self._answer()
            except (OSError, NoAnswer):
                raise Unsent(str(error)) from error
        return await self._answer()

    async def close(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _answer(self) -> HttpAnswer:
        answer = None
        while answer is None:
            answer = self._wire.receive(await self._reader.read(CHUNK))
        self.used = True
        return answer


class LoopHttpPeer(AnyHttpPeer):
    """The conversation with one URL (see :class:`~scriptling.plugin.loop_peer.AsyncPeer`).

    Every call that runs has a connection of its own, so that to cancel it closes that, which tells the server.

    :param goodbye: whether objects belong to this client; it is told ``plugin.shutdown`` then when it is closed
    """

    def __init__(self, address: Address, goodbye: bool) -> None:
        super().__init__(address, goodbye)
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Link] = []
        self._places = asyncio.Semaphore(_MOST_OPEN)
        self._posts: set[asyncio.Task[None]] = set()

    async def exchange(
        self,
        requests: Sequence[tuple[str, bytes]],
        batch: bool = False,
        callbacks: Mapping[str, Callback] | None = None,
        timeout: float | None = None,
    ) -> list[Response]:
        """Post requests, and return the responses in the same order.

        :raises PluginCrashed: it cannot be reached, or broke off
        :raises PluginTimeout: ``timeout`` seconds have passed
        :raises PluginCallError: it answered with something else than JSON-RPC
        """
        posting = self._poster.posting(requests, batch, timeout)
        try:
            async with asyncio.timeout(None if timeout is None else timeout + self.patience), self._places:
                answer = await self._roundtrip(posting)
        except TimeoutError as error:
            raise posting.too_late() from error
        except (OSError, NoAnswer, Unsent) as error:
            raise posting.broken(error) from None
        return posting.responses(answer)

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for, from any thread and any destructor."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._start_post, method, params)

    def expect_posts(self) -> None:
        """Nothing is needed."""

    async def close(self, grace: float) -> None:
        """Say goodbye within ``grace`` seconds, and close the connections."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    if self._posts:
                        await asyncio.wait(self._posts)
                    if self._goodbye:
                        await self._exchange_quietly(Method.SHUTDOWN, b"", grace)
        finally:
            for task in self._posts:
                task.cancel()
            while self._idle:
                await self._idle.pop().close()

    def _start_post(self, method: str, params: bytes) -> None:
        task = self._loop.create_task(self._exchange_quietly(method, params, _POST_TIMEOUT))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _exchange_quietly(self, method: str, params: bytes, timeout: float) -> None:
        with suppress(PluginCallError):  # there is nobody to tell
            await self.exchange([(method, params)], timeout=timeout)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _roundtrip(self, posting: Posting) -> HttpAnswer:
        """Post one body, and return the answer."""
        link = await self._kept() or await self._connected()
        try:
            answer = await link.roundtrip(posting)
        except Unsent:
            await link.close()
            if not link.used:
                raise
            return await self._roundtrip(posting)
        except BaseException:
            await link.close()
            raise
        if link.reusable:
            self._idle.append(link)
        else:
            await link.close()
        return answer

    async def _kept(self) -> _Link | None:
        """Return a connection that was kept and is still good."""
        while self._idle:
            link = self._idle.pop()
            if link.fresh:
                return link
            await link.close()
        return None

    async def _connected(self) -> _Link:
        address = self._address
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return _Link(*await asyncio.open_connection(address.host, address.port, ssl=address.tls))
