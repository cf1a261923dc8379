"""Calls over one peer: Python arguments in, Python results out, and the errors of the plugin raised.

A connection lives as long as its peer. There is one class for plugins that speak the Scriptling plugin protocol, and
one for any other JSON-RPC 2.0 peer (protocol section 6).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Protocol
from weakref import WeakValueDictionary

import msgspec

from scriptling.errors import ErrorCode, PluginCallError, PluginError, from_wire
from scriptling.plugin.calls import Callback, Peer, current_time_limit
from scriptling.plugin.objects import RELEASED, DynamicObject, Handle, RemoteObject, handle_of
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import (
    BIG_INTEGERS,
    CallbackCall,
    FunctionCall,
    HandshakeResult,
    Method,
    ObjectCall,
    ObjectDestroy,
    ObjectNew,
    decode_params,
    decode_result,
    encode_message,
)
from scriptling.protocol.values import RemoteRef, Undecodable, ValueDecoder, ValueEncoder

BATCH_CALLBACKS_REFUSED = "callbacks are not supported in batch calls"


class FunctionRequest(msgspec.Struct, frozen=True):
    """One call of a batch."""

    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}


class Connection(Protocol):
    """What the two kinds of connections have in common."""

    peer: Peer

    def call_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call one function, and return its result."""

    def batch_call(self, calls: Sequence[FunctionRequest]) -> list[Any]:
        """Call functions in one batch, and return for each its result, or the exception to raise."""

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""


class PlainConnection:
    """Calls of a peer that is no Scriptling plugin: a function's name is the method's, values are plain JSON."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def call_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method.

        :raises PluginCallError: it answered with an error
        :raises TypeError: an argument is no JSON, or there are positional and keyword arguments
        :raises ValueError: an argument holds what JSON cannot: NaN, half a surrogate pair
        """
        responses = self.peer.exchange([_plain_request(name, args, kwargs)], timeout=current_time_limit())
        return self._result(responses[0])

    def batch_call(self, calls: Sequence[FunctionRequest]) -> list[Any]:
        """Call methods in one batch, and return for each its result, or the exception to raise."""
        requests = [_plain_request(call.name, call.args, call.kwargs) for call in calls]
        return _each(self.peer.exchange(requests, True, timeout=current_time_limit()), self._result)

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        self.peer.after_fork()

    def _result(self, response: Response) -> Any:
        if response.error is not None:
            raise from_wire(response.error)
        return msgspec.json.decode(response.result) if response.result else None


class ScriptlingConnection:
    """Calls of a plugin that has answered the handshake.

    :param agreed: its answer
    :ivar classes: the proxy class of each class that the plugin may return an object of
    """

    def __init__(self, peer: Peer, agreed: HandshakeResult) -> None:
        self.peer = peer
        self.agreed = agreed
        self.classes: dict[str, type[RemoteObject]] = {}
        self._big_ints = BIG_INTEGERS in agreed.capabilities
        self._decoder = ValueDecoder(remote=self._adopt)
        self._results = ValueEncoder(self._reference, self._big_ints)
        self._objects: WeakValueDictionary[str, RemoteObject] = WeakValueDictionary()
        # Re-entrant, because a destructor that runs while it is held may call the plugin.
        self._adopting = threading.RLock()
        self._callback_numbers = count(1)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function.

        :raises PluginCallError: it raised, or could not be called
        :raises Unsendable: an argument is nothing that can be sent
        """
        arguments = _Arguments(self, self.peer.callbacks_refused)
        params = encode_message(FunctionCall(name, *arguments.encode(args, kwargs)))
        requests = [(Method.FUNCTION_CALL, params)]
        return self._value(self.peer.exchange(requests, False, arguments.callbacks, current_time_limit())[0])

    def call_method(self, id: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method of an object, or read or write a property; errors as :meth:`call_function`."""
        arguments = _Arguments(self, self.peer.callbacks_refused)
        params = encode_message(ObjectCall(id, method, *arguments.encode(args, kwargs)))
        requests = [(Method.OBJECT_CALL, params)]
        return self._value(self.peer.exchange(requests, False, arguments.callbacks, current_time_limit())[0])

    def new(self, proxy: RemoteObject, class_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Construct an object for a proxy; errors as :meth:`call_function`."""
        arguments = _Arguments(self, self.peer.callbacks_refused)
        params = encode_message(ObjectNew(class_name, *arguments.encode(args, kwargs)))
        self.peer.expect_posts()
        requests = [(Method.OBJECT_NEW, params)]
        response = self.peer.exchange(requests, False, arguments.callbacks, current_time_limit())[0]
        if response.error is not None:
            raise from_wire(response.error)
        try:
            reference = decode_result(response.result, RemoteRef)
        except ValueError as error:
            raise self._malformed(error) from None
        self._bind(proxy, reference)

    def batch_call(self, calls: Sequence[FunctionRequest]) -> list[Any]:
        """Call functions in one batch, and return for each its result, or the exception to raise."""
        arguments = _Arguments(self, BATCH_CALLBACKS_REFUSED)
        requests = [
            (Method.FUNCTION_CALL, encode_message(FunctionCall(call.name, *arguments.encode(call.args, call.kwargs))))
            for call in calls
        ]
        return _each(self.peer.exchange(requests, True, timeout=current_time_limit()), self._value)

    def destroy(self, id: str) -> None:
        """Destroy an object; where the plugin is gone, so is the object."""
        if self.peer.alive:
            params = encode_message(ObjectDestroy(id))
            response = self.peer.exchange([(Method.OBJECT_DESTROY, params)], timeout=current_time_limit())[0]
            if response.error is not None:
                raise from_wire(response.error)

    def destroy_later(self, id: str) -> None:
        """Have an object destroyed without waiting for it; never blocks."""
        self.peer.post(Method.OBJECT_DESTROY, encode_message(ObjectDestroy(id)))

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent: its process, and its objects."""
        for proxy in list(self._objects.values()):
            handle_of(proxy).held = False
        self._adopting = threading.RLock()
        self.peer.after_fork()

    # -- values --------------------------------------------------------------------------------------------------------

    def run_callback(self, function: Callable[..., Any], params: bytes) -> bytes:
        """Call a function of the program for the plugin.

        :param params: JSON text of the params of ``callback.call``
        :return: JSON text of the Value
        """
        asked = decode_params(params, CallbackCall)
        args, kwargs = self._decoder.arguments(asked.args, asked.kwargs)
        return self._results.encode(function(*args, **kwargs))

    def constant(self, name: str, value: bytes | msgspec.Raw) -> Any:
        """Return the value of a constant of the schema.

        :raises PluginCallError: it is no Value
        """
        try:
            return self._decoder.decode(value, name)
        except Undecodable as error:
            raise self._malformed(error) from None

    def attach(self, function: Callable[..., Any]) -> tuple[str, Callback]:
        """Return a new callback id, and what is to be run for it."""
        return f"cb-{next(self._callback_numbers)}", partial(self.run_callback, function)

    def encoder(self, reference: Callable[[Any], dict[str, Any] | None]) -> ValueEncoder:
        """Return an encoder that sends what this plugin can take."""
        return ValueEncoder(reference, self._big_ints)

    def _value(self, response: Response) -> Any:
        if response.error is not None:
            raise from_wire(response.error)
        if not response.result:
            return None
        try:
            return self._decoder.decode(response.result, "result")
        except Undecodable as error:
            raise self._malformed(error) from None

    def _malformed(self, error: ValueError) -> PluginCallError:
        return PluginCallError(f"{self.peer.label} sent an answer that is none: {error}", ErrorCode.INTERNAL_ERROR)

    def _reference(self, value: Any) -> dict[str, Any] | None:
        """Return the Value for a proxy of this plugin's objects; None for anything else."""
        if not isinstance(value, RemoteObject):
            return None
        handle = handle_of(value)
        if handle.released:
            raise PluginError(RELEASED)
        if handle.connection is not self:
            raise PluginError(f"an object of {handle.connection.peer.label} cannot be sent to {self.peer.label}")
        return {"type": "remote", "remote": msgspec.to_builtins(handle.reference)}

    def _adopt(self, reference: RemoteRef) -> RemoteObject:
        """Return the proxy of an object: the one that there is already, for each would destroy the object."""
        with self._adopting:
            known = self._objects.get(reference.id)
            if known is not None and not handle_of(known).released:
                return known
            proxy_class = self.classes.get(reference.class_name)
            if proxy_class is None:
                proxy_class = type(reference.class_name, (DynamicObject,), {"__slots__": ()})
                self.classes[reference.class_name] = proxy_class
            proxy = proxy_class.__new__(proxy_class)
            self._bind(proxy, reference)
        self.peer.expect_posts()
        return proxy

    def _bind(self, proxy: RemoteObject, reference: RemoteRef) -> None:
        proxy._remote_handle = Handle(self, reference)
        self._objects[reference.id] = proxy


class _Arguments:
    """Encodes the arguments of one call, and collects the callbacks among them.

    :param refused: why there may be no callback, or empty
    """

    def __init__(self, connection: ScriptlingConnection, refused: str) -> None:
        self.callbacks: dict[str, Callback] = {}
        self._connection = connection
        self._refused = refused
        self.encode = connection.encoder(self._reference).arguments

    def _reference(self, value: Any) -> dict[str, Any] | None:
        if isinstance(value, RemoteObject) or not callable(value):
            return self._connection._reference(value)
        if self._refused:
            raise PluginError(self._refused)
        id, callback = self._connection.attach(value)
        self.callbacks[id] = callback
        return {"type": "callback", "callback": {"id": id}}


def _each(responses: Sequence[Response], result: Callable[[Response], Any]) -> list[Any]:
    """Return the result of each response, or the exception that it means."""
    found: list[Any] = []
    for response in responses:
        try:
            found.append(result(response))
        except PluginError as error:
            found.append(error)
    return found


def _plain_request(method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return a method with its params; a name that is no text must fail here, in the thread that gave it.

    :raises ValueError: something in it is no JSON
    :raises TypeError: likewise
    """
    method.encode()
    return method, _plain_params(method, args, kwargs)


def _plain_params(method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Return params as JSON text: an object, the one value itself, an array, or nothing (protocol section 6)."""
    from json import dumps  # noqa: PLC0415 - refuses what msgspec writes as null or as text: NaN, dates, bytes

    if args and kwargs:
        raise TypeError(f"{method}: JSON-RPC has positional or keyword arguments, not both")
    if not args and not kwargs:
        return b""
    params: object = kwargs or (args[0] if len(args) == 1 else list(args))
    return dumps(params, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
