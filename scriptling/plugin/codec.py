"""What calls look like on the wire: Python arguments in, requests out; responses in, Python results or errors out.

Nothing here sends or waits: connections for threads and for event loops add only that (:meth:`ask`). There is a codec
for plugins that speak the Scriptling plugin protocol, and one for any other JSON-RPC 2.0 peer (protocol section 6).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import new_class
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from scriptling.errors import ErrorCode, PluginCallError, PluginError, from_wire
from scriptling.plugin.calls import AnyPeer, Callback, current_time_limit
from scriptling.plugin.objects import RELEASED, Handle, Proxy, handle_of
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import (
    BIG_INTEGERS,
    CALL_TIMEOUT,
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

# Beyond a time limit that the plugin keeps itself, so that its answer, which knows more, comes first.
_PATIENCE = 1.0


class FunctionRequest(msgspec.Struct, frozen=True):
    """One call of a batch."""

    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}


def function_requests(calls: Sequence[Mapping[str, Any]]) -> list[FunctionRequest]:
    """Return the calls of a batch, checked.

    :param calls: dicts with ``name`` and, as needed, ``args`` and ``kwargs``
    :raises TypeError: one is something else
    """
    return [_function_request(index, call) for index, call in enumerate(calls)]


def _function_request(index: int, call: Mapping[str, Any]) -> FunctionRequest:
    unknown = set(call) - {"name", "args", "kwargs"}
    if unknown or not isinstance(call.get("name"), str):
        raise TypeError(f'calls[{index}] must be a dict with "name", and as needed "args" and "kwargs"')
    return FunctionRequest(call["name"], call.get("args") or (), call.get("kwargs") or {})


def raise_first(results: list[Any], return_exceptions: bool) -> list[Any]:
    """Return the results of a batch; unless exceptions are wanted as results, raise the first."""
    if not return_exceptions:
        for result in results:
            if isinstance(result, PluginError):
                raise result
    return results


class Prepared(msgspec.Struct):
    """A call that is ready to be sent.

    :ivar requests: methods with their params
    :ivar result: makes the result of the responses, or raises the error that they mean
    :ivar timeout: seconds that the call may take, None for any time
    """

    requests: Sequence[tuple[str, bytes]]
    result: Callable[[Sequence[Response]], Any]
    callbacks: Mapping[str, Callback] = {}
    batch: bool = False
    timeout: float | None = msgspec.field(default_factory=current_time_limit)


class PlainCodec:
    """Calls of a peer that is no Scriptling plugin: a function's name is the method's, values are plain JSON."""

    def ask(self, call: Prepared) -> Any:
        """Return the result of a call, or what it can be awaited from."""
        raise NotImplementedError

    def call_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method.

        :raises PluginCallError: it answered with an error
        :raises TypeError: an argument is no JSON, or there are positional and keyword arguments
        :raises ValueError: an argument holds what JSON cannot: NaN, half a surrogate pair
        """
        request = _plain_request(name, args, kwargs)
        return self.ask(Prepared([request], lambda responses: self._result(responses[0])))

    def batch_call(self, calls: Sequence[FunctionRequest]) -> Any:
        """Call methods in one batch, and return for each its result, or the exception to raise."""
        requests = [_plain_request(call.name, call.args, call.kwargs) for call in calls]
        return self.ask(Prepared(requests, lambda responses: _each(responses, self._result), batch=True))

    def _result(self, response: Response) -> Any:
        if response.error is not None:
            raise from_wire(response.error)
        return msgspec.json.decode(response.result) if response.result else None


class PluginCodec:
    """Calls of a plugin that has answered the handshake.

    :param agreed: its answer
    :param dynamic: base of the proxies of objects whose class the schema does not describe
    :ivar classes: the proxy class of each class that the plugin may return an object of
    """

    def __init__(self, peer: AnyPeer, agreed: HandshakeResult, dynamic: type[Proxy]) -> None:
        self.peer = peer
        self.agreed = agreed
        self.classes: dict[str, type[Proxy]] = {}
        self._dynamic = dynamic
        self._big_ints = BIG_INTEGERS in agreed.capabilities
        self._tells_timeouts = CALL_TIMEOUT in agreed.capabilities
        peer.patience = _PATIENCE if self._tells_timeouts else 0.0
        self._decoder = ValueDecoder(remote=self._adopt)
        self._results = ValueEncoder(self.reference, self._big_ints)
        self._objects: WeakValueDictionary[str, Proxy] = WeakValueDictionary()
        # Re-entrant, because a destructor that runs while it is held may call the plugin.
        self._adopting = threading.RLock()
        self._callback_numbers = count(1)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def ask(self, call: Prepared) -> Any:
        """Return the result of a call, or what it can be awaited from."""
        raise NotImplementedError

    def callback(self, function: Callable[..., Any]) -> Callback:
        """Return what is run when the plugin calls a function of the program."""
        raise NotImplementedError

    def call_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function.

        :raises PluginCallError: it raised, or could not be called
        :raises Unsendable: an argument is nothing that can be sent
        """
        arguments = _Arguments(self, self.peer.callbacks_refused)
        message = FunctionCall(name, *arguments.encode(args, kwargs), self._timeout())
        return self.ask(Prepared([(Method.FUNCTION_CALL, encode_message(message))], self._single, arguments.callbacks))

    def call_method(self, id: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method of an object, or read or write a property; errors as :meth:`call_function`."""
        arguments = _Arguments(self, self.peer.callbacks_refused)
        message = ObjectCall(id, method, *arguments.encode(args, kwargs), self._timeout())
        return self.ask(Prepared([(Method.OBJECT_CALL, encode_message(message))], self._single, arguments.callbacks))

    def new(self, proxy: Proxy, class_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Construct an object for a proxy; errors as :meth:`call_function`."""
        arguments = _Arguments(self, self.peer.callbacks_refused)
        message = ObjectNew(class_name, *arguments.encode(args, kwargs), self._timeout())
        self.peer.expect_posts()

        def constructed(responses: Sequence[Response]) -> None:
            if responses[0].error is not None:
                raise from_wire(responses[0].error)
            try:
                self._bind(proxy, decode_result(responses[0].result, RemoteRef))
            except ValueError as error:
                raise self._malformed(error) from None

        return self.ask(Prepared([(Method.OBJECT_NEW, encode_message(message))], constructed, arguments.callbacks))

    def batch_call(self, calls: Sequence[FunctionRequest]) -> Any:
        """Call functions in one batch, and return for each its result, or the exception to raise."""
        encode = _Arguments(self, BATCH_CALLBACKS_REFUSED).encode
        timeout = self._timeout()
        messages = [FunctionCall(call.name, *encode(call.args, call.kwargs), timeout) for call in calls]
        requests = [(Method.FUNCTION_CALL, encode_message(message)) for message in messages]
        return self.ask(Prepared(requests, lambda responses: _each(responses, self._value), batch=True))

    def destroy(self, id: str) -> Any:
        """Destroy an object."""

        def destroyed(responses: Sequence[Response]) -> None:
            if responses[0].error is not None:
                raise from_wire(responses[0].error)

        return self.ask(Prepared([(Method.OBJECT_DESTROY, encode_message(ObjectDestroy(id)))], destroyed))

    def destroy_later(self, id: str) -> None:
        """Have an object destroyed without waiting for it; never blocks."""
        self.peer.post(Method.OBJECT_DESTROY, encode_message(ObjectDestroy(id)))

    def forget_objects(self) -> None:
        """Leave all objects to another process."""
        for proxy in list(self._objects.values()):
            handle_of(proxy).held = False
        self._adopting = threading.RLock()

    def _timeout(self) -> float | None:
        return current_time_limit() if self._tells_timeouts else None

    # -- values --------------------------------------------------------------------------------------------------------

    def callback_arguments(self, params: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return what a plugin calls a function of the program with.

        :param params: JSON text of the params of ``callback.call``
        """
        asked = decode_params(params, CallbackCall)
        return self._decoder.arguments(asked.args, asked.kwargs)

    def callback_result(self, value: Any) -> bytes:
        """Return the JSON text of the Value that a function of the program has returned."""
        return self._results.encode(value)

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
        return f"cb-{next(self._callback_numbers)}", self.callback(function)

    def encoder(self, reference: Callable[[Any], dict[str, Any] | None]) -> ValueEncoder:
        """Return an encoder that sends what this plugin can take."""
        return ValueEncoder(reference, self._big_ints)

    def reference(self, value: Any) -> dict[str, Any] | None:
        """Return the Value for a proxy of this plugin's objects; None for anything else."""
        if not isinstance(value, Proxy):
            return None
        handle = handle_of(value)
        if handle.released:
            raise PluginError(RELEASED)
        if handle.connection is not self:
            raise PluginError(f"an object of {handle.connection.peer.label} cannot be sent to {self.peer.label}")
        return {"type": "remote", "remote": msgspec.to_builtins(handle.reference)}

    def _single(self, responses: Sequence[Response]) -> Any:
        return self._value(responses[0])

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

    def _adopt(self, reference: RemoteRef) -> Proxy:
        """Return the proxy of an object: the one that there is already, for each would destroy the object."""
        with self._adopting:
            known = self._objects.get(reference.id)
            if known is not None and not handle_of(known).released:
                return known
            proxy_class = self.classes.get(reference.class_name)
            if proxy_class is None:
                proxy_class = new_class(reference.class_name, (self._dynamic,), exec_body=_without_dict)
                self.classes[reference.class_name] = proxy_class
            proxy = proxy_class.__new__(proxy_class)
            self._bind(proxy, reference)
        self.peer.expect_posts()
        return proxy

    def _bind(self, proxy: Proxy, reference: RemoteRef) -> None:
        proxy._remote_handle = Handle(self, reference)
        self._objects[reference.id] = proxy


class _Arguments:
    """Encodes the arguments of one call, and collects the callbacks among them.

    :param refused: why there may be no callback, or empty
    """

    def __init__(self, codec: PluginCodec, refused: str) -> None:
        self.callbacks: dict[str, Callback] = {}
        self._codec = codec
        self._refused = refused
        self.encode = codec.encoder(self._reference).arguments

    def _reference(self, value: Any) -> dict[str, Any] | None:
        if isinstance(value, Proxy) or not callable(value):
            return self._codec.reference(value)
        if self._refused:
            raise PluginError(self._refused)
        id, callback = self._codec.attach(value)
        self.callbacks[id] = callback
        return {"type": "callback", "callback": {"id": id}}


def _without_dict(namespace: dict[str, Any]) -> None:
    """Fill the body of a proxy class."""
    namespace["__slots__"] = ()


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
