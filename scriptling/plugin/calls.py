"""How a thread waits for its calls, and serves the callbacks of those calls while it waits.

Every thread has one inbox for all its calls, to whatever plugins: a callback of an outer call is served by the thread
that made that call, even while it waits for an inner one (protocol section 4: to any depth).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

from scriptling.errors import ErrorCode, PluginError, RpcError
from scriptling.plugin.session import Exchange
from scriptling.protocol.jsonrpc import Request, Response, encode_error, encode_result
from scriptling.protocol.messages import CallHead, decode_params

Callback = Callable[[bytes], bytes]
"""A function that the plugin may call: JSON text of ``callback.call``'s params in, JSON text of a Value out."""

CALLBACK_GONE = "callback ID is not attached to an active plugin call"


class Peer(Protocol):
    """The way to one plugin: a process behind pipes, or a URL.

    :ivar label: what errors call the plugin
    :ivar callbacks_refused: why no callable may be sent, or empty if it may
    """

    label: str
    callbacks_refused: str

    @property
    def alive(self) -> bool:
        """Whether calls have a chance."""

    def exchange(
        self,
        requests: Sequence[tuple[str, bytes]],
        batch: bool = False,
        callbacks: Mapping[str, Callback] | None = None,
        timeout: float | None = None,
    ) -> list[Response]:
        """Send requests, and return their responses in the same order.

        :param timeout: seconds, None to wait as long as it takes
        :raises PluginCrashed: the plugin is gone
        :raises PluginTimeout: there was no answer in time
        """

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for; never blocks, not even in a destructor."""

    def expect_posts(self) -> None:
        """Be ready for :meth:`post`."""

    def begin_close(self) -> None:
        """Say goodbye, and do not wait."""

    def close(self, grace: float) -> None:
        """Say goodbye, and free everything after ``grace`` seconds at the latest."""

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""


_limit: ContextVar[float | None] = ContextVar("time_limit", default=None)


@contextmanager
def time_limit(seconds: float | None) -> Generator[None]:
    """Let every call that this block makes take this many seconds at most, or any time (None).

    A call that takes longer raises :class:`~scriptling.errors.PluginTimeout`; its answer, if it comes, is dropped.
    """
    token = _limit.set(seconds)
    try:
        yield
    finally:
        _limit.reset(token)


def current_time_limit() -> float | None:
    """Return the seconds that a call made here may take, None for any time."""
    return _limit.get()


class _ThreadState(threading.local):
    def __init__(self) -> None:
        # None wakes the thread up, so that it looks whether its call is done.
        self.inbox: SimpleQueue[Invocation | None] = SimpleQueue()


_thread = _ThreadState()


class Call(Exchange):
    """An exchange that a thread waits for.

    :ivar failure: makes the error to raise instead of an answer; whoever else touches the call sets it before ``done``
    """

    __slots__ = ("callbacks", "done", "failure", "inbox")

    def __init__(self, requests: Sequence[tuple[str, bytes]], batch: bool, callbacks: Mapping[str, Callback]) -> None:
        super().__init__(requests, batch)
        self.callbacks = callbacks
        self.inbox = _thread.inbox
        self.failure: Callable[[], PluginError] | None = None
        self.done = False

    def finish(self, failure: Callable[[], PluginError] | None = None) -> None:
        """Wake the thread that waits: all answers are there, or none will come."""
        if not self.done:
            self.failure = failure
            self.done = True
            self.inbox.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Serve callbacks until the call is done; False if it was not within ``timeout`` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self.done:
            try:
                invocation = self.inbox.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
            except Empty:
                return False
            if invocation is not None:
                invocation.run()
        return True


class Invocation:
    """One ``callback.call`` of a plugin, run by the thread that waits for the outer call.

    :ivar closed: it was answered, or its outer call has ended
    """

    __slots__ = ("call", "closed", "function", "reply", "request")

    def __init__(
        self, request: Request, call: Call, function: Callback, reply: Callable[[Invocation, bytes], None]
    ) -> None:
        self.request = request
        self.call = call
        self.function = function
        self.reply = reply
        self.closed = False

    def run(self) -> None:
        """Run the function and answer; what is no ordinary error ends the outer call, too."""
        if self.closed:
            return
        try:
            result = self.function(self.request.params)
        except Exception as error:
            self.reply(self, encode_error(self.request.id, describe(error)))
        except BaseException as error:
            self.reply(self, encode_error(self.request.id, describe(error)))
            raise
        else:
            self.reply(self, encode_result(self.request.id, result))


def shown(request: tuple[str, bytes]) -> str:
    """Return what a request of ours asks for, for an error message: the method, and the name in its params."""
    method, params = request
    try:
        head = decode_params(params, CallHead)
    except RpcError:  # params of a plain JSON-RPC method
        return method
    return " ".join(part for part in (method, head.name or head.class_name or head.method) if part)


def describe(error: BaseException) -> RpcError:
    """Return what a plugin is told of an exception in a callback (protocol section 2, -32000)."""
    from traceback import format_exception  # noqa: PLC0415 - only failing callbacks need it

    name = type(error).__name__
    if not isinstance(error, Exception):
        return RpcError(ErrorCode.HANDLER_ERROR, f"the callback was ended by {name}", {"type": name})
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__", "").startswith(__package__ or "-"):
        frames = frames.tb_next
    text = "".join(format_exception(type(error), error, frames))
    return RpcError(ErrorCode.HANDLER_ERROR, str(error) or name, {"type": name, "traceback": text})
