"""A plain JSON-RPC 2.0 server out of handlers: what scripts import as ``scriptling.runtime.jsonrpc``.

Without ``plugin.serve()``, ``--json-rpc`` serves what is registered here. A handler gets the decoded ``params`` as its
one argument, None if there are none, and returns plain JSON: None, bool, int, float, str, and lists and dicts of them.
What it raises is answered as an error, and so is what :func:`error` makes, whether it is returned or raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from scriptling.errors import RpcError
from scriptling.registry import MethodDeclaration, RegistrationError
from scriptling.runtime.registering import (
    Handles,
    check_handler_type,
    check_name,
    check_timeout,
    make_handler,
    name_of,
    open_registry,
    pickle_handler,
)

__all__ = ["RegistrationError", "error", "method", "notification"]

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def method(name: Function) -> Function: ...
@overload
def method(name: str, handler: Handles, *, timeout: float | None = None) -> None: ...
@overload
def method(name: str | None = None, *, timeout: float | None = None) -> Callable[[Function], Function]: ...
def method(
    name: str | Callable[..., Any] | None = None, handler: Handles | None = None, *, timeout: float | None = None
) -> Any:
    """Register what answers requests for a method; also a decorator, bare and called.

    :param name: the method's name; a decorated function's own where it is left out
    :param handler: ``"library.function"``, or a function or lambda, which travels by value
    :param timeout: s after which a call of it is given up; the server's where it is left out
    :raises RegistrationError: something of this is of the wrong kind, or the function cannot travel
    """
    return _register("method", name, handler, timeout)


@overload
def notification(name: Function) -> Function: ...
@overload
def notification(name: str, handler: Handles, *, timeout: float | None = None) -> None: ...
@overload
def notification(name: str | None = None, *, timeout: float | None = None) -> Callable[[Function], Function]: ...
def notification(
    name: str | Callable[..., Any] | None = None, handler: Handles | None = None, *, timeout: float | None = None
) -> Any:
    """Register what takes notifications: requests without an id, which are never answered. Otherwise as :func:`method`.

    A name may be both a method and a notification.

    :raises RegistrationError: something of this is of the wrong kind, or the function cannot travel
    """
    return _register("notification", name, handler, timeout)


def _register(what: str, name: Any, handler: Handles | None, timeout: float | None) -> Any:
    if handler is not None:
        _add(what, name, handler, timeout)
        return None
    if name is None or isinstance(name, str):
        return lambda function: _decorate(what, name, function, timeout)
    return _decorate(what, None, name, timeout)


def _decorate(what: str, name: str | None, function: Any, timeout: float | None) -> Any:
    _add(what, name_of(what, function) if name is None else name, function, timeout)
    return function


def _add(what: str, name: str, handler: Handles, timeout: float | None) -> None:
    check_name(f"{what}()", name)
    call = f"{what}({name!r})"
    check_timeout(call, timeout)
    check_handler_type(call, handler)
    registry = open_registry(call)
    if registry is not None:
        declared = MethodDeclaration(name, make_handler(call, handler), what == "notification", timeout)
        registry.add_method(declared, lambda: pickle_handler(call, handler))


def error(code: int, message: str, data: Any = None) -> RpcError:
    """Return an error for a handler to return, or to raise, in place of a result.

    :param code: any integer; JSON-RPC keeps -32768 to -32000 for itself and for servers
    :param message: one sentence for people
    :param data: plain JSON with more about it; None leaves it out
    :raises TypeError: code or message are of the wrong type, or the data is not plain JSON
    """
    _check("code", code, int)
    _check("message", message, str)
    from scriptling.protocol.plain import encode_plain  # noqa: PLC0415 - only handlers that fail need it

    encode_plain(data, "data")
    return RpcError(code, message, data)


def _check(what: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError(f"error(): the {what} must be of type {wanted.__name__}, not {type(value).__name__}")
