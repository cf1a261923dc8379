"""What a call is, whoever waits for it: a thread, or a task of an event loop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from scriptling.errors import ErrorCode, PluginError, RpcError
from scriptling.plugin.session import Exchange
from scriptling.protocol.jsonrpc import Request, Response, encode_error, encode_result
from scriptling.protocol.messages import CallHead, decode_params

Callback = Callable[[bytes], Any]
"""A function that the plugin may call: JSON text of ``callback.call``'s params in, JSON text of a Value out.

Where a task waits for the call, what it returns has to be awaited for that text.
"""

CALLBACK_GONE = "callback ID is not attached to an active plugin call"


class AnyPeer(Protocol):
    """The way to one plugin, as far as it does not matter whether threads or tasks use it.

    :ivar label: what errors call the plugin
    :ivar callbacks_refused: why no callable may be sent, or empty if it may
    :ivar patience: seconds to wait beyond a time limit, where the plugin itself keeps the limit and says what was late
    """

    label: str
    callbacks_refused: str
    patience: float

    @property
    def alive(self) -> bool:
        """Whether calls have a chance."""

    def post(self, method: str, params: bytes) -> None:
        """Send a request whose answer nobody waits for; never blocks, not even in a destructor."""

    def expect_posts(self) -> None:
        """Be ready for :meth:`post`."""


class Peer(AnyPeer, Protocol):
    """The way to one plugin for threads: a process behind pipes, or a URL."""

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


class Call(Exchange):
    """An exchange that somebody waits for.

    :ivar failure: makes the error to raise instead of an answer
    :ivar waiter: stands for who waits: calls of the same waiter cannot end before one another
    """

    __slots__ = ("callbacks", "done", "failure", "waiter")

    def __init__(
        self, requests: Sequence[tuple[str, bytes]], batch: bool, callbacks: Mapping[str, Callback], waiter: object
    ) -> None:
        super().__init__(requests, batch)
        self.callbacks = callbacks
        self.waiter = waiter
        self.failure: Callable[[], PluginError] | None = None
        self.done = False

    def finish(self, failure: Callable[[], PluginError] | None = None) -> None:
        """Wake who waits: all answers are there, or none will come."""
        if not self.done:
            self.failure = failure
            self.done = True
            self.wake()

    def wake(self) -> None:
        """Have the waiter see that the call is done."""
        raise NotImplementedError

    def serve(self, invocation: Invocation) -> None:
        """Have the waiter run one of the call's callbacks."""
        raise NotImplementedError


class Invocation:
    """One ``callback.call`` of a plugin, run by whoever waits for the outer call.

    :ivar closed: it was answered, or its outer call has ended
    """

    __slots__ = ("_reply", "call", "closed", "function", "request")

    def __init__(
        self, request: Request, call: Call, function: Callback, reply: Callable[[Invocation, bytes], None]
    ) -> None:
        self.request = request
        self.call = call
        self.function = function
        self.closed = False
        self._reply = reply

    def succeed(self, result: bytes) -> None:
        """Answer with the JSON text of a Value."""
        self._reply(self, encode_result(self.request.id, result))

    def fail(self, error: BaseException) -> None:
        """Answer with the error that the function has raised."""
        self._reply(self, encode_error(self.request.id, describe(error)))


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
