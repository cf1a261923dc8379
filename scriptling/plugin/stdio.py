"""A plugin behind pipes: one thread that reads, writes and routes; the threads of the program wait in their inboxes.

Whatever concerns the conversation is done by that one thread: other threads put an order into ``_todo`` and wake it.
So there is no lock for a destructor, a fork or a Ctrl-C to be caught in, and no half-written line. The thread never
blocks but in ``poll``, and runs no code of the program: callbacks go to the thread that made the outer call.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from scriptling.errors import ErrorCode, PluginCrashed, PluginError, PluginTimeout, RpcError
from scriptling.plugin.calls import CALLBACK_GONE, Call, Callback, Invocation, shown
from scriptling.plugin.hostlog import HostLog
from scriptling.plugin.process import Child, Descriptor
from scriptling.plugin.session import Answered, Asked, Event, Exchange, Session, Violation
from scriptling.protocol.jsonrpc import Request, Response, encode_error, encode_result
from scriptling.protocol.messages import NULL_VALUE, CallbackCall, Method, decode_params

_READ_SIZE = 1 << 16
# How long a plugin that spoke its last is waited for, so that the error can tell how it ended.
_ENDING = 0.5


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


class StdioPeer:
    """The conversation with one child process (see :class:`~scriptling.plugin.calls.Peer`).

    :param goodbye: whether it is told ``plugin.shutdown`` before the end of its input
    """

    callbacks_refused = ""

    def __init__(self, label: str, child: Child, log: HostLog, goodbye: bool) -> None:
        self.label = label
        self._child = child
        self._log = log
        self._goodbye = goodbye
        self._session = Session()
        self._wakeup = Wakeup()
        self._todo: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._unwritten = bytearray()
        self._callbacks: dict[str, Call] = {}
        self._asked: dict[bytes, Invocation] = {}
        # Stands for the thread that closes: its own calls cannot end before it is done.
        self._closer: Call | None = None
        self._last_word = ""
        self._watching = False
        self._end: Callable[[], PluginError] | None = None
        self._poll = select.poll()
        self._thread = threading.Thread(target=self._run, name=label, daemon=True)
        self._thread.start()

    # -- for any thread ------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether calls have a chance."""
        return self._end is None and not self._last_word and self._child.running

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
        call = Call(requests, batch, callbacks or {})
        try:
            self._do(self._begin, call)
            in_time = call.wait(timeout)
        except BaseException:
            self._do(self._abandon, call)
            raise
        if not in_time:
            self._do(self._abandon, call)
            raise self._too_late(shown(requests[0]), timeout or 0)
        if call.failure is not None:
            raise call.failure()
        return cast("list[Response]", call.replies)

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for; never blocks."""
        self._do(self._begin, Exchange([(method, params)]))

    def expect_posts(self) -> None:
        """Nothing is needed."""

    def begin_close(self) -> None:
        """Say goodbye, and do not wait."""
        if self._closer is None:
            self._do(self._begin_closing, Call([], False, {}))

    def close(self, grace: float) -> None:
        """Say goodbye, close the input when the calls of other threads are through, and end the process.

        :param grace: seconds until it is terminated
        """
        self.begin_close()
        try:
            self._thread.join(grace)
        finally:
            if self._thread.is_alive():
                self._child.stop(0)
            self._thread.join()
            self._log.close()

    def after_fork(self) -> None:
        """Let go of a process that is the parent's; the thread does not exist on this side of the fork."""
        sentence = f"{self.label} belongs to the process that forked this one; load it again to use it here"
        self._end = partial(PluginError, sentence)
        self._child.after_fork()
        self._fail_everything()

    def _do(self, action: Callable[[Any], None], argument: object) -> None:
        """Have the thread of this peer do something, or learn that it has ended."""
        self._todo.append((action, argument))
        if self._end is None:
            self._wakeup.set()
        else:
            self._fail_everything()

    def _too_late(self, what: str, seconds: float) -> PluginTimeout:
        text = f"{self.label} did not answer {what} within {seconds:g} seconds; {self._child.report()}"
        return PluginTimeout(text, ErrorCode.TIMED_OUT)

    def _fail_everything(self) -> None:
        """Wake all who wait for what will not come, including those whose orders were too late."""
        end = self._end
        waiting = list(self._session.close())
        while self._todo:
            try:
                action, argument = self._todo.popleft()
            except IndexError:  # another thread was faster
                break
            if action == self._begin:
                waiting.append(argument)
        for exchange in waiting:
            if isinstance(exchange, Call):
                exchange.finish(end)

    # -- the thread of this peer ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            for fd in (self._child.stdout, self._wakeup.fd, self._child.pidfd):
                if fd >= 0:
                    self._poll.register(fd, select.POLLIN)
            while not self._last_word:
                self._turn()
        except Exception as error:  # a fault of this client must not leave anybody waiting
            self._last_word = f"cannot be talked to any more, because of {error!r}"
        self._finish()

    def _turn(self) -> None:
        """Wait until there is something to do, and do all of it."""
        ready = [fd for fd, _ in self._poll.poll()]
        if self._wakeup.fd in ready:
            self._wakeup.clear()
        if self._child.stdout in ready:
            self._read()
        elif self._child.pidfd in ready:
            self._read_the_rest()
        while self._todo:
            action, argument = self._todo.popleft()
            action(argument)
        self._write()
        if self._closer is not None:
            self._close_input(self._closer)

    def _finish(self) -> None:
        """Find out how the process ended, tell all who wait, and leave nothing behind."""
        self._child.close_stdin()
        self._child.wait(_ENDING)
        sentence = f"{self.label} {self._last_word}; {self._child.report()}"
        self._end = partial(PluginCrashed, sentence, ErrorCode.WORKER_DIED)
        for invocation in self._asked.values():
            invocation.closed = True
        self._fail_everything()
        self._child.stop(0)
        self._child.free()

    def _read(self) -> bool:
        """Take what the plugin wrote; False if there is nothing now."""
        try:
            data = os.read(self._child.stdout, _READ_SIZE)
        except BlockingIOError:
            return False
        events = self._session.feed(data) if data else self._session.end()
        if not data:
            self._last_word = "has closed its output"
        self._handle(events)
        return bool(data)

    def _read_the_rest(self) -> None:
        """Take what a process that has ended wrote before, though a descendant may hold its output open."""
        while self._read():
            pass
        self._last_word = self._last_word or "has ended"

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Answered):
                if isinstance(event.exchange, Call):
                    self._detach(event.exchange)
                    event.exchange.finish()
            elif isinstance(event, Asked):
                self._serve(event.request)
            elif isinstance(event, Violation):
                self._last_word = event.sentence
                return

    def _send(self, text: bytes) -> None:
        self._unwritten += text
        self._unwritten += b"\n"

    def _write(self) -> None:
        """Write what the pipe takes, and have poll tell when it takes more."""
        if self._child.stdin_closed:
            self._unwritten.clear()
        elif self._unwritten:
            try:
                del self._unwritten[: os.write(self._child.stdin, self._unwritten)]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                self._lose_input()
        self._watch_input(bool(self._unwritten))

    def _watch_input(self, wanted: bool) -> None:
        if wanted and not self._watching:
            self._poll.register(self._child.stdin, select.POLLOUT)
        elif self._watching and not wanted:
            self._poll.unregister(self._child.stdin)
        self._watching = wanted

    def _lose_input(self) -> None:
        """Take it that a plugin that reads no more is ending; what it still writes counts."""
        self._unwritten.clear()
        self._child.wait(_ENDING)
        self._read_the_rest()
        self._last_word = "has closed its input" if self._child.running else "has ended"

    # -- orders of other threads

    def _begin(self, exchange: Exchange) -> None:
        """Send an exchange, and let its callbacks be called from now on."""
        if self._child.stdin_closed:
            if isinstance(exchange, Call):
                exchange.finish(partial(PluginError, f"{self.label} is being unloaded"))
            return
        if isinstance(exchange, Call):
            self._callbacks.update(dict.fromkeys(exchange.callbacks, exchange))
        self._send(self._session.open(exchange))

    def _abandon(self, call: Call) -> None:
        """Forget a call whose caller has left, so that neither side waits for anything of it."""
        self._session.abandon(call)
        self._detach(call)

    def _detach(self, call: Call) -> None:
        """End the life of a call's callbacks (protocol section 4), and answer those that are being called."""
        for id in call.callbacks:
            self._callbacks.pop(id, None)
        if call.callbacks and self._asked:
            for invocation in [asked for asked in self._asked.values() if asked.call is call]:
                self._answer((invocation, encode_error(invocation.request.id, _gone())))

    def _answer(self, answer: tuple[Invocation, bytes]) -> None:
        """Send the answer to a callback, unless it has one already."""
        invocation, text = answer
        if not invocation.closed:
            invocation.closed = True
            self._asked.pop(invocation.request.id, None)
            if not invocation.request.is_notification:
                self._send(text)

    def _begin_closing(self, closer: Call) -> None:
        first, self._closer = self._closer is None, closer
        if self._goodbye and first:
            self._begin(Exchange([(Method.SHUTDOWN, b"")]))

    def _close_input(self, closer: Call) -> None:
        """Close the input as soon as no call of another thread can need it for an answer to a callback."""
        busy = any(isinstance(call, Call) and call.inbox is not closer.inbox for call in self._session.waiting)
        if not busy and not self._unwritten and not self._child.stdin_closed:
            self._child.close_stdin()

    # -- requests of the plugin

    def _serve(self, request: Request) -> None:
        """Do what the plugin asks for, or have it done."""
        try:
            if request.method == Method.CALLBACK_CALL:
                self._call_back(request)
            elif request.method == Method.HOST_LOG:
                self._log.take(request.params)
                self._respond(request, encode_result(request.id, NULL_VALUE))
            else:
                unknown = RpcError(ErrorCode.METHOD_NOT_FOUND, f"unknown method {request.method}")
                self._respond(request, encode_error(request.id, unknown))
        except RpcError as error:
            self._respond(request, encode_error(request.id, error))

    def _call_back(self, request: Request) -> None:
        id = decode_params(request.params, CallbackCall).id
        call = self._callbacks.get(id)
        if call is None:
            raise _gone()
        invocation = Invocation(request, call, call.callbacks[id], self._reply)
        if not request.is_notification:
            self._asked[request.id] = invocation
        call.inbox.put(invocation)

    def _reply(self, invocation: Invocation, text: bytes) -> None:
        """Take the answer of a callback from the thread that ran it."""
        self._do(self._answer, (invocation, text))

    def _respond(self, request: Request, text: bytes) -> None:
        if not request.is_notification:
            self._send(text)


def _gone() -> RpcError:
    return RpcError(ErrorCode.HANDLER_ERROR, CALLBACK_GONE)
