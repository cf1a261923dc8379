"""Declares a script as a plugin server: what scripts import as ``scriptling.runtime.plugin``.

Everything has to be registered before ``runtime.start_server()``; what comes later is ignored, with a warning on
stderr. In a script that is simply run, and in handlers, registrations do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from scriptling.registry import ClassDeclaration, ConstantDeclaration, FunctionDeclaration, RegistrationError
from scriptling.runtime.registering import (
    check_handler_type,
    check_name,
    check_timeout,
    make_handler,
    name_of,
    open_registry,
    pickle_handler,
)

__all__ = ["RegistrationError", "register_class", "register_constant", "register_function", "serve"]

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def serve(name: str, version: str = "", description: str = "") -> None:
    """Declare this script as a plugin server.

    :param name: clients import the library as ``plugin.<name>``; a leading ``plugin.`` is dropped
    :param version: free text, such as ``"1.0.0"``
    :param description: shown to people
    :raises RegistrationError: one of them is no text, or the name is empty
    """
    for what, text in (("name", name), ("version", version), ("description", description)):
        if not isinstance(text, str):
            raise RegistrationError(f"serve(): the {what} must be a str, not {type(text).__name__}")
    if not name.removeprefix("plugin."):
        raise RegistrationError("serve(): the name is empty")
    registry = open_registry(f"serve({name!r})")
    if registry is not None:
        registry.serve(name, version, description)


@overload
def register_function(name: Function) -> Function: ...
@overload
def register_function(name: str, handler: str | Callable[..., Any], *, timeout: float | None = None) -> None: ...
@overload
def register_function(name: str | None = None, *, timeout: float | None = None) -> Callable[[Function], Function]: ...
def register_function(
    name: str | Callable[..., Any] | None = None,
    handler: str | Callable[..., Any] | None = None,
    *,
    timeout: float | None = None,
) -> Any:
    """Register a function; also a decorator, bare and called.

    :param name: what clients call it; a decorated function's own name where it is left out
    :param handler: ``"library.function"``, or a function or lambda, which travels by value
    :param timeout: s after which a call of it is given up; the server's where it is left out
    :raises RegistrationError: something of this is of the wrong kind, or the function cannot travel
    """
    if handler is None and (name is None or isinstance(name, str)):
        return lambda function: _decorate(name, function, timeout)
    if handler is None:
        return _decorate(None, name, timeout)
    check_name("register_function()", name)
    _add_function(str(name), handler, timeout)
    return None


def _decorate(name: str | None, function: Any, timeout: float | None) -> Any:
    exposed = name_of("register_function", function) if name is None else name
    check_name("register_function()", exposed)
    _add_function(exposed, function, timeout)
    return function


def _add_function(name: str, handler: str | Callable[..., Any], timeout: float | None) -> None:
    call = f"register_function({name!r})"
    check_timeout(call, timeout)
    check_handler_type(call, handler)
    registry = open_registry(call)
    if registry is None:
        return
    made = make_handler(call, handler)
    schema = None
    if made.pickled:
        from scriptling.schema import describe_callable  # noqa: PLC0415 - only functions by value need it here

        schema = describe_callable(name, handler)
    registry.add_function(FunctionDeclaration(name, made, timeout, schema), lambda: pickle_handler(call, handler))


def register_constant(name: str, value: Any) -> None:
    """Register a read-only constant.

    :param name: the attribute that clients read
    :param value: anything that can be sent: None, bool, int, float, str, and lists and dicts of them
    :raises RegistrationError: the value cannot be sent; the text names the constant and the place in it
    """
    check_name("register_constant()", name)
    from scriptling.protocol.values import Unsendable, ValueEncoder  # noqa: PLC0415 - many scripts have no constants

    try:
        encoded = ValueEncoder().encode(value, name)
    except Unsendable as error:
        raise RegistrationError(f"register_constant({name!r}): {error}") from None
    registry = open_registry(f"register_constant({name!r})")
    if registry is not None:
        registry.add_constant(ConstantDeclaration(name, encoded))


@overload
def register_class(handler: Class) -> Class: ...
@overload
def register_class(handler: str) -> None: ...
@overload
def register_class() -> Callable[[Class], Class]: ...
def register_class(handler: Any = None) -> Any:
    """Register a class with the whole life of its objects; also a decorator, bare and called.

    :param handler: ``"library.ClassName"``, exposed under its last part; or a class
    :raises RegistrationError: it is neither, or the class cannot travel
    """
    if handler is None:
        return register_class
    if isinstance(handler, str):
        _add_class(handler.rpartition(".")[2], handler)
        return None
    if not isinstance(handler, type):
        raise RegistrationError(
            f'register_class(): the handler must be "library.ClassName" or a class, not {type(handler).__name__}'
        )
    _add_class(handler.__name__, handler)
    return handler


def _add_class(name: str, handler: str | type) -> None:
    call = f"register_class({name!r})"
    registry = open_registry(call)
    if registry is not None:
        registry.add_class(ClassDeclaration(name, make_handler(call, handler)), lambda: pickle_handler(call, handler))
