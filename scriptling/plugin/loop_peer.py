"""A two-way conversation for the tasks of an event loop: the loop watches the channel, tasks wait for their calls.

Everything happens in the thread of the loop, but for what may block: that is left to a thread of the loop's executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Protocol, cast

from scriptling.errors import ErrorCode, PluginCrashed, PluginError
from scriptling.plugin.access import INTERRUPTED_GRACE
from scriptling.plugin.calls import AnyPeer, Call, Callback, Invocation
from scriptling.plugin.channel import Channel
from scriptling.plugin.conversation import Conversation
from scriptling.plugin.hostlog import HostLog
from scriptling.plugin.session import Exchange
from scriptling.protocol.jsonrpc import Response


class AsyncPeer(AnyPeer, Protocol):
    """The way to one plugin for the tasks of one event loop."""

    async def exchange(
        self,
        requests: Sequence[tuple[str, bytes]],
        batch: bool = False,
        callbacks: Mapping[str, Callback] | None = None,
        timeout: float | None = None,
    ) -> list[Response]:
        """Send requests, and return their responses in the same order; as for threads."""

    async def close(self, grace: float) -> None:
        """Say goodbye, and free everything after ``grace`` seconds at the latest."""


class TaskCall(Call):
    """An exchange that a task waits for; its callbacks run in tasks of their own, in the caller's context."""

    __slots__ = ("_context", "_loop", "answered", "tasks")

    def __init__(self, requests: Sequence[tuple[str, bytes]], batch: bool, callbacks: Mapping[str, Callback]) -> None:
        super().__init__(requests, batch, callbacks, self)
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self.answered: asyncio.Future[None] = self._loop.create_future()
        self.tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Have the task go on."""
        if not self.answered.done():
            self.answered.set_result(None)

    def serve(self, invocation: Invocation) -> None:
        """Start a task for a callback."""
        # A copy each, since a context cannot be in use twice.
        task = self._loop.create_task(_run(invocation), context=self._context.copy())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def end_callbacks(self) -> None:
        """Cancel the callbacks that still run, and wait until they have ended."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


async def _run(invocation: Invocation) -> None:
    """Run a callback and answer."""
    try:
        result = await cast("Awaitable[bytes]", invocation.function(invocation.request.params))
    except BaseException as error:
        invocation.fail(error)
        if not isinstance(error, Exception):
            raise
    else:
        invocation.succeed(result)


class LoopPeer:
    """The conversation over one channel (see :class:`AsyncPeer`).

    :param goodbye: whether the plugin is told ``plugin.shutdown`` before the end
    """

    callbacks_refused = ""

    def __init__(self, label: str, channel: Channel, log: HostLog, goodbye: bool) -> None:
        self.label = label
        self.patience = 0.0
        self._channel = channel
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._conversation = Conversation(label, channel, log, goodbye, self._reply)
        self._end: Callable[[], PluginError] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._ended = self._loop.create_future()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._watching = False
        self._interrupted = False
        for fd in channel.inputs:
            self._loop.add_reader(fd, self._receive, fd)
        self._settle()
        self._beat()

    @property
    def alive(self) -> bool:
        """Whether calls have a chance."""
        return self._ending is None and self._channel.alive

    async def exchange(
        self,
        requests: Sequence[tuple[str, bytes]],
        batch: bool = False,
        callbacks: Mapping[str, Callback] | None = None,
        timeout: float | None = None,
    ) -> list[Response]:
        """Send requests, serve callbacks until they are answered, and return the responses in the same order.

        :raises PluginCrashed: the plugin is gone
        :raises PluginTimeout: ``timeout`` seconds have passed
        """
        call = TaskCall(requests, batch, callbacks or {})
        self._begin(call)
        try:
            async with asyncio.timeout(None if timeout is None else timeout + self.patience):
                await call.answered
        except TimeoutError:
            raise self._conversation.too_late(requests[0], timeout or 0) from None
        except asyncio.CancelledError:
            self._interrupted = True
            raise
        finally:
            if not call.done:
                self._conversation.abandon(call)
                self._settle()
            await call.end_callbacks()
        if call.failure is not None:
            raise call.failure()
        return cast("list[Response]", call.replies)

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for, from any thread and any destructor."""
        with suppress(RuntimeError):  # the loop is closed, and the plugin gone
            self._loop.call_soon_threadsafe(self._begin, Exchange([(method, params)]))

    def expect_posts(self) -> None:
        """Nothing is needed."""

    async def close(self, grace: float) -> None:
        """Say goodbye, close the output when the calls of other tasks are through, and end the conversation.

        A plugin that still works on what a cancelled task has asked for is not waited for long.
        """
        if self._ending is None:
            self._conversation.begin_closing(TaskCall([], False, {}))
            self._settle()
        soon = min(grace, INTERRUPTED_GRACE)
        try:
            await asyncio.wait([self._ended], timeout=soon)
            if not self._ended.done() and not (self._interrupted and self._conversation.deserted):
                await asyncio.wait([self._ended], timeout=grace - soon)
        finally:
            if not self._ended.done():
                await asyncio.shield(self._loop.run_in_executor(None, self._channel.stop, 0))
                await asyncio.shield(self._ended)

    def _begin(self, exchange: Exchange) -> None:
        if self._end is None:
            self._conversation.begin(exchange)
            self._settle()
        elif isinstance(exchange, Call):
            exchange.finish(self._end)

    def _reply(self, invocation: Invocation, text: bytes) -> None:
        if self._ending is None:
            self._conversation.answer((invocation, text))
            self._settle()

    # -- what the loop calls -------------------------------------------------------------------------------------------

    def _receive(self, fd: int) -> None:
        if self._ending is None:
            self._conversation.receive((fd,))
            self._settle()

    def _settle(self) -> None:
        """Write what can be written, and see whether the conversation is over."""
        if self._ending is not None:
            return
        self._conversation.flush()
        wanted = self._channel.unwritten > 0 and not self._channel.closed
        if wanted != self._watching:
            self._watching = wanted
            if wanted:
                self._loop.add_writer(self._channel.output, self._settle)
            else:
                self._loop.remove_writer(self._channel.output)
        if self._conversation.last_word:
            self._ending = self._loop.create_task(self._wind_up(), name=f"end of {self.label}")

    def _beat(self) -> None:
        if self._ending is None:
            seconds = self._channel.pulse()
            if seconds is not None:
                self._heartbeat = self._loop.call_later(seconds, self._beat)
                self._settle()

    async def _wind_up(self) -> None:
        """Find out how the plugin ended, tell all who wait, and leave nothing behind."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for fd in self._channel.inputs:
            self._loop.remove_reader(fd)
        if self._watching:
            self._loop.remove_writer(self._channel.output)
        rest = await asyncio.to_thread(self._channel.wind_up)
        self._end = partial(PluginCrashed, self._conversation.conclude(rest), ErrorCode.WORKER_DIED)
        self._conversation.drop(self._end)
        await asyncio.to_thread(self._channel.free)
        await asyncio.to_thread(self._log.close)
        self._ended.set_result(None)
