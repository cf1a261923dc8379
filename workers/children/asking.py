"""How a running call asks the host (callbacks) or the object stores (methods of objects it was given).

Every thread that asks has a socket of its own on the relay channel: ZeroMQ sockets belong to one thread, and answers to
one thread can then never queue behind another's, nor behind calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from scriptling.errors import PluginCallError, RpcError, from_wire
from scriptling.protocol.values import RemoteRef, Undecodable, ValueDecoder, ValueEncoder
from workers import frames
from workers.frames import Ask, Call, Flag, Kind, Log, Want
from workers.sockets import Line, send_or_drop

if TYPE_CHECKING:
    import zmq


class _WireError(msgspec.Struct):
    code: int
    message: str
    data: Any = None


_MOST_LOGS = 1000  # records of one thread on their way to the front-end

_decode_error = msgspec.json.Decoder(_WireError).decode


class Scope:
    """One call while it runs: what its callbacks are attached to."""

    __slots__ = ("active", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.active = True

    def pause(self, parks: bool) -> None:
        """Do what is to be done before it waits for an answer.

        :param parks: whether it is parked by that
        """

    def resume(self, parks: bool) -> None:
        """Do what is to be done after it has waited, see :meth:`pause`."""

    @property
    def big_integers(self) -> bool:
        """Whether the host takes integers of more than 64 bits."""
        return bool(self.call.flags & Flag.BIG_INTEGERS)


def scope_of_script() -> Scope:
    """Return the scope of a process that runs a script and no call: it has no host."""
    return Scope(Call(0, Kind.FUNCTION, "", "", b"", 0, 0, 0.0))


class Objects(Protocol):
    """How one process sees the instances of registered classes."""

    def resolve(self, scope: Scope, reference: RemoteRef) -> Any:
        """Return what a running call gets for a reference."""

    def reference(self, scope: Scope, value: Any) -> dict[str, Any] | None:
        """Return the wire Value for an instance; None if it is none (see :class:`ValueEncoder`)."""


class Asker:
    """Sends questions of running calls to the front-end, and waits for the answers.

    :param child: name of this process
    :param key: the run's secret
    :ivar objects: set by whoever owns this asker, before the first call
    :ivar note_received: called with every answer that has arrived to a question that may park this process
    :ivar elsewhere: what threads ask for that run no call themselves; None if they may not
    """

    objects: Objects
    elsewhere: Scope | None = None

    def __init__(self, line: Line, child: str, key: str, max_depth: int) -> None:
        self._line = line
        self._child = child
        self._key = key
        self._max_depth = max_depth
        self.note_received: Callable[[], None] = _nobody_counts
        self._pid = os.getpid()
        self._local = threading.local()

    def scope(self) -> Scope | None:
        """Return the call that runs in this thread, if one does."""
        return getattr(self._local, "scope", None)

    def enter(self, scope: Scope | None) -> None:
        """Note which call runs in this thread from now on."""
        self._local.scope = scope

    def tell(self, scope: Scope, params: bytes) -> None:
        """Send a log record to the host of a call; it is dropped if too many are on their way, or too many log."""
        log: zmq.Socket[bytes] | None = getattr(self._local, "log", None)
        if log is None:
            try:
                log = self._local.log = self._line.relay(_MOST_LOGS)
            except OSError:
                return
        send_or_drop(log, frames.encode(Log(self._key, scope.call.session, params)))

    def ask(
        self, scope: Scope, want: Want, target: str, params: bytes, method: str = "", patience: float | None = None
    ) -> bytes:
        """Return the answer's payload.

        :param patience: seconds to wait at most; None is for ever
        :raises PluginCallError: with the message of whoever answered, because the call is over, or because too many ask
        :raises PluginTimeout: there was no answer within the time
        """
        if not scope.active:
            raise PluginCallError(f"callback {target} is not attached to an active plugin call")
        if os.getpid() != self._pid:
            raise PluginCallError("a process that a handler has forked cannot call the host")
        socket = self._socket()
        scope.pause(want.parks)
        try:
            ask = Ask(self._key, self._child, scope.call.seq, want, target, method, params, patience)
            answer = self._exchange(socket, ask)
        finally:
            if want.parks:
                self.note_received()
            scope.resume(want.parks)
        if answer.failed:
            error = _decode_error(answer.payload)
            raise from_wire(RpcError(error.code, error.message, error.data))
        return answer.payload

    def _exchange(self, socket: zmq.Socket[bytes], ask: Ask) -> frames.Answer:
        socket.send(frames.encode(ask))
        try:
            return frames.decode_answer(socket.recv())
        except BaseException:
            # An answer that is still to come must not be taken for that of the next question.
            self._local.socket = None
            socket.close()
            raise

    def ask_others(self, want: str, target: str, operation: str, params: bytes, patience: float | None) -> bytes:
        """Ask what is shared between calls, for whatever runs in this thread; see :class:`context.Bridge`."""
        scope = self.scope() or self.elsewhere
        if scope is None:
            raise PluginCallError(f"{operation} of {target} can only be asked for by a call that runs")
        return self.ask(scope, Want[want.upper()], target, params, operation, patience)

    def _socket(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] | None = getattr(self._local, "socket", None)
        if socket is None:
            try:
                socket = self._local.socket = self._line.relay()
            except OSError as error:
                text = "too many threads of this process have asked for something; let some end"
                raise PluginCallError(text) from error
        return socket

    def decoder(self, scope: Scope) -> ValueDecoder:
        """Return a decoder whose callbacks and objects belong to one running call."""
        return ValueDecoder(
            lambda callback_id: self.make_callback(scope, callback_id),
            lambda reference: self.objects.resolve(scope, reference),
            self._max_depth,
        )

    def encoder(self, scope: Scope) -> ValueEncoder:
        """Return an encoder for what one running call sends."""
        return ValueEncoder(lambda value: self.objects.reference(scope, value), scope.big_integers, self._max_depth)

    def make_callback(self, scope: Scope, callback_id: str) -> Callback:
        """Return what a running call gets for a function of the host's.

        :raises Undecodable: the call came by a transport that has no way back
        """
        if not scope.call.flags & Flag.CALLBACKS:
            raise Undecodable("callbacks are not supported over http json-rpc transport")
        return Callback(self, scope, callback_id)

    def callback(self, scope: Scope, callback_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function of the host's."""
        params = self._params(scope, {"id": callback_id}, args, kwargs)
        return self.decoder(scope).decode(self.ask(scope, Want.CALLBACK, callback_id, params))

    def method(self, scope: Scope, object_id: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method of an object in the store."""
        params = self._params(scope, {"object_id": object_id, "method": name}, args, kwargs)
        return self.decoder(scope).decode(self.ask(scope, Want.METHOD, object_id, params, name))

    def _params(self, scope: Scope, head: dict[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        values, named = self.encoder(scope).arguments(args, kwargs)
        if values:
            head["args"] = values
        if named:
            head["kwargs"] = named
        return msgspec.json.encode(head)


def _nobody_counts() -> None:
    return None


class Callback:
    """A function of the host's, as a handler sees it; lives as long as the call it was passed to."""

    __slots__ = ("_asker", "_id", "_scope")

    def __init__(self, asker: Asker, scope: Scope, callback_id: str) -> None:
        self._asker = asker
        self._scope = scope
        self._id = callback_id

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in the host and return its result."""
        return self._asker.callback(self._scope, self._id, args, kwargs)

    def __repr__(self) -> str:
        return f"<callback {self._id}>"
