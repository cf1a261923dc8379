"""A two-way conversation for threads: one thread reads, writes and routes, the threads of the program wait in inboxes.

Whatever concerns the conversation is done by that one thread: other threads put an order into ``_todo`` and wake it.
So there is no lock for a destructor, a fork or a Ctrl-C to be caught in, and no half-written message. The thread never
blocks but in ``poll``, and runs no code of the program: callbacks go to the thread that made the outer call.

Every thread has one inbox for all its calls, to whatever plugins: a callback of an outer call is served by the thread
that made that call, even while it waits for an inner one (protocol section 4: to any depth).
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, cast

from scriptling.errors import ErrorCode, PluginCrashed, PluginError
from scriptling.plugin.access import INTERRUPTED_GRACE
from scriptling.plugin.calls import Call, Callback, Invocation
from scriptling.plugin.channel import Channel
from scriptling.plugin.conversation import Conversation
from scriptling.plugin.hostlog import HostLog
from scriptling.plugin.process import Descriptor
from scriptling.plugin.session import Exchange
from scriptling.protocol.jsonrpc import Response


class _ThreadState(threading.local):
    def __init__(self) -> None:
        # None wakes the thread up, so that it looks whether its call is done.
        self.inbox: SimpleQueue[Invocation | None] = SimpleQueue()


_thread = _ThreadState()


class ThreadCall(Call):
    """An exchange that a thread waits for."""

    __slots__ = ("_inbox",)

    def __init__(self, requests: Sequence[tuple[str, bytes]], batch: bool, callbacks: Mapping[str, Callback]) -> None:
        self._inbox = _thread.inbox
        super().__init__(requests, batch, callbacks, self._inbox)

    def wake(self) -> None:
        """Have the thread look."""
        self._inbox.put(None)

    def serve(self, invocation: Invocation) -> None:
        """Have the thread run a callback."""
        self._inbox.put(invocation)

    def wait(self, timeout: float | None = None) -> bool:
        """Serve callbacks until the call is done; False if it was not within ``timeout`` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self.done:
            try:
                invocation = self._inbox.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
            except Empty:
                return False
            if invocation is not None:
                _run(invocation)
        return True


def _run(invocation: Invocation) -> None:
    """Run a callback and answer; what is no ordinary error ends the outer call, too."""
    if invocation.closed:
        return
    try:
        result = invocation.function(invocation.request.params)
    except BaseException as error:
        invocation.fail(error)
        if not isinstance(error, Exception):
            raise
    else:
        invocation.succeed(result)


class Wakeup:
    """Wakes the thread that polls it, from any thread and any destructor."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self._reader, self._writer = Descriptor(reader), Descriptor(writer)
        self.fd = reader
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

    def set(self) -> None:
        """Make it readable."""
        with suppress(BlockingIOError):  # it is readable enough
            os.write(self._writer.fd, b"\0")

    def clear(self) -> None:
        """Make it unreadable."""
        os.read(self.fd, 4096)


class ThreadedPeer:
    """The conversation over one channel (see :class:`~scriptling.plugin.calls.Peer`).

    :param goodbye: whether the plugin is told ``plugin.shutdown`` before the end
    """

    callbacks_refused = ""

    def __init__(self, label: str, channel: Channel, log: HostLog, goodbye: bool) -> None:
        self.label = label
        self.patience = 0.0
        self._channel = channel
        self._log = log
        self._conversation = Conversation(label, channel, log, goodbye, self._reply)
        self._wakeup = Wakeup()
        self._todo: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._interrupted = False
        self._watching = False
        self._ended = threading.Event()
        self._end: Callable[[], PluginError] | None = None
        self._poll = select.poll()
        self._thread = threading.Thread(target=self._run, name=label, daemon=True)
        self._thread.start()

    # -- for any thread ------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether calls have a chance."""
        return self._end is None and not self._conversation.last_word and self._channel.alive

    def exchange(
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
        call = ThreadCall(requests, batch, callbacks or {})
        try:
            self._do(self._conversation.begin, call)
            in_time = call.wait(None if timeout is None else timeout + self.patience)
        except BaseException as error:
            self._interrupted = self._interrupted or not isinstance(error, Exception)
            self._do(self._conversation.abandon, call)
            raise
        if not in_time:
            self._do(self._conversation.abandon, call)
            raise self._conversation.too_late(requests[0], timeout or 0)
        if call.failure is not None:
            raise call.failure()
        return cast("list[Response]", call.replies)

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for; never blocks."""
        self._do(self._conversation.begin, Exchange([(method, params)]))

    def expect_posts(self) -> None:
        """Nothing is needed."""

    def begin_close(self) -> None:
        """Say goodbye, and do not wait."""
        self._do(self._conversation.begin_closing, ThreadCall([], False, {}))

    def close(self, grace: float) -> None:
        """Say goodbye, close the output when the calls of other threads are through, and end the conversation.

        A plugin that still works on what an interrupted caller asked for, by Ctrl-C say, is not waited for long.

        :param grace: seconds until it is ended by force
        """
        self.begin_close()
        soon = min(grace, INTERRUPTED_GRACE)
        try:
            # Not the thread's join(), which takes a thread for ended that it was interrupted in waiting for.
            if not self._ended.wait(soon) and not (self._interrupted and self._conversation.deserted):
                self._ended.wait(grace - soon)
        finally:
            if not self._ended.is_set():
                self._channel.stop(0)
            self._ended.wait()
            self._log.close()

    def after_fork(self) -> None:
        """Let go of a channel that is the parent's; the thread does not exist on this side of the fork."""
        sentence = f"{self.label} belongs to the process that forked this one; load it again to use it here"
        self._end = partial(PluginError, sentence)
        self._channel.after_fork()
        self._fail_everything()
        self._ended = threading.Event()
        self._ended.set()

    def _do(self, action: Callable[[Any], None], argument: object) -> None:
        """Have the thread of this peer do something, or learn that it has ended."""
        self._todo.append((action, argument))
        if self._end is None:
            self._wakeup.set()
        else:
            self._fail_everything()

    def _reply(self, invocation: Invocation, text: bytes) -> None:
        """Take the answer of a callback from the thread that ran it."""
        self._do(self._conversation.answer, (invocation, text))

    def _fail_everything(self) -> None:
        """Wake all who wait for what will not come, including those whose orders were too late."""
        self._conversation.drop(self._end)
        while self._todo:
            try:
                action, argument = self._todo.popleft()
            except IndexError:  # another thread was faster
                break
            if action == self._conversation.begin and isinstance(argument, Call):
                argument.finish(self._end)

    # -- the thread of this peer ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        sentence = ""
        try:
            for fd in (*self._channel.inputs, self._wakeup.fd):
                self._poll.register(fd, select.POLLIN)
            while not self._conversation.last_word:
                self._turn()
        except Exception as error:  # a fault of this client must not leave anybody waiting
            sentence = f"{self.label} cannot be talked to any more, because of {error!r}"
        concluded = self._conversation.conclude(self._channel.wind_up())
        self._end = partial(PluginCrashed, sentence or concluded, ErrorCode.WORKER_DIED)
        self._fail_everything()
        self._channel.free()
        self._ended.set()

    def _turn(self) -> None:
        """Wait until there is something to do, and do all of it."""
        seconds = self._channel.pulse()
        polled = self._poll.poll(None if seconds is None else seconds * 1000)
        ready = [fd for fd, events in polled if events != select.POLLOUT]
        if self._wakeup.fd in ready:
            self._wakeup.clear()
        if any(fd in ready for fd in self._channel.inputs):
            self._conversation.receive(ready)
        while self._todo:
            action, argument = self._todo.popleft()
            action(argument)
        self._conversation.flush()
        self._watch_output(self._channel.unwritten > 0 and not self._channel.closed)

    def _watch_output(self, wanted: bool) -> None:
        if wanted == self._watching:
            return
        self._watching = wanted
        if self._channel.output in self._channel.inputs:
            self._poll.modify(self._channel.output, select.POLLIN | (select.POLLOUT if wanted else 0))
        elif wanted:
            self._poll.register(self._channel.output, select.POLLOUT)
        else:
            self._poll.unregister(self._channel.output)
