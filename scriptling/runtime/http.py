"""Routes, middleware, static files and websockets: what scripts import as ``scriptling.runtime.http``.

With ``--server ADDR`` everything that is registered here is served over HTTP. Every handler gets a :class:`Request` as
its one argument (a websocket's gets its client) and runs in the pool of workers, each call in a fresh namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast, overload

from scriptling import paths
from scriptling.registry import RegistrationError, RouteDeclaration, RouteKind
from scriptling.runtime.exchange import (
    BadRequest,
    Query,
    Request,
    Response,
    html,
    json,
    parse_query,
    redirect,
    text,
)
from scriptling.runtime.registering import (
    Handles,
    check_handler_type,
    check_timeout,
    make_handler,
    open_registry,
    pickle_handler,
)

__all__ = [
    "BadRequest",
    "Query",
    "RegistrationError",
    "Request",
    "Response",
    "delete",
    "get",
    "html",
    "json",
    "middleware",
    "not_found",
    "parse_query",
    "patch",
    "post",
    "put",
    "redirect",
    "route",
    "static",
    "text",
    "websocket",
]

Function = TypeVar("Function", bound=Callable[..., Any])


class Verb(Protocol):
    """Registers a handler at a path; without one, a decorator."""

    @overload
    def __call__(self, path: str, handler: Handles, *, timeout: float | None = None) -> None: ...
    @overload
    def __call__(self, path: str, *, timeout: float | None = None) -> Callable[[Function], Function]: ...


def _verb(function: Callable[..., Any]) -> Verb:
    """Say to type checkers what a function of that kind may be given."""
    return cast(Verb, function)


_TOKEN = re.compile(r"[A-Z][A-Z-]*")


@_verb
def get(path: str, handler: Handles | None = None, *, timeout: float | None = None) -> Any:
    """Register what answers ``GET`` (and ``HEAD``) at a path; without a handler, a decorator.

    :param path: ``{name}`` stands for one part between slashes, ``{name...}`` at the end for the rest
    :param handler: ``"library.function"``, or a function, which travels by value
    :param timeout: s after which a call of it is given up; the server's where it is left out
    :raises RegistrationError: something of this is of the wrong kind, or the function cannot travel
    """
    return _route(path, handler, methods=["GET"], timeout=timeout)


@_verb
def post(path: str, handler: Handles | None = None, *, timeout: float | None = None) -> Any:
    """Register what answers ``POST`` at a path; see :func:`get`."""
    return _route(path, handler, methods=["POST"], timeout=timeout)


@_verb
def put(path: str, handler: Handles | None = None, *, timeout: float | None = None) -> Any:
    """Register what answers ``PUT`` at a path; see :func:`get`."""
    return _route(path, handler, methods=["PUT"], timeout=timeout)


@_verb
def patch(path: str, handler: Handles | None = None, *, timeout: float | None = None) -> Any:
    """Register what answers ``PATCH`` at a path; see :func:`get`."""
    return _route(path, handler, methods=["PATCH"], timeout=timeout)


@_verb
def delete(path: str, handler: Handles | None = None, *, timeout: float | None = None) -> Any:
    """Register what answers ``DELETE`` at a path; see :func:`get`."""
    return _route(path, handler, methods=["DELETE"], timeout=timeout)


@overload
def route(path: str, handler: Handles, methods: Iterable[str] = ..., *, timeout: float | None = None) -> None: ...
@overload
def route(
    path: str, *, methods: Iterable[str] = ..., timeout: float | None = None
) -> Callable[[Function], Function]: ...
def route(
    path: str,
    handler: Handles | None = None,
    methods: Iterable[str] = ("GET",),
    *,
    timeout: float | None = None,
) -> Any:
    """Register what answers several HTTP methods at a path; otherwise as :func:`get`."""
    return _route(path, handler, methods, timeout)


def _route(path: str, handler: Handles | None, methods: Iterable[str], timeout: float | None) -> Any:
    names = _check_methods(path, methods)
    call = f"{names[0].lower()}({path!r})" if len(names) == 1 else f"route({path!r})"
    return _register_at(RouteKind.ROUTE, call, path, handler, names, timeout)


@overload
def middleware(handler: Function) -> Function: ...
@overload
def middleware(handler: str) -> None: ...
@overload
def middleware() -> Callable[[Function], Function]: ...
def middleware(handler: Any = None) -> Any:
    """Register what sees every request first; also a decorator.

    It returns None to let the request go on, to the next middleware and in the end to the route, or a response.

    :raises RegistrationError: the handler is none, or cannot travel
    """
    return _register_once(RouteKind.MIDDLEWARE, handler)


@overload
def not_found(handler: Function) -> Function: ...
@overload
def not_found(handler: str) -> None: ...
@overload
def not_found() -> Callable[[Function], Function]: ...
def not_found(handler: Any = None) -> Any:
    """Register what answers where no route and no file is; also a decorator.

    :raises RegistrationError: the handler is none, or cannot travel
    """
    return _register_once(RouteKind.NOT_FOUND, handler)


def static(path: str, directory: str | Path) -> None:
    """Serve the files of a folder below a path; routes come first, whatever the order.

    :param directory: a relative one starts from the working folder
    :raises RegistrationError: there is no such folder, or the path is none
    """
    call = f"static({path!r})"
    _check_path(call, path)
    if "{" in path:
        raise RegistrationError(f"{call}: the path of static files has no parameters")
    folder = Path(directory).absolute()
    if not folder.is_dir():
        raise RegistrationError(f"{call}: {folder} is not a folder")
    registry = open_registry(call)
    if registry is not None:
        registry.add_route(RouteDeclaration(RouteKind.STATIC, path.rstrip("/"), directory=str(folder)))


@overload
def websocket(path: str, handler: Handles) -> None: ...
@overload
def websocket(path: str) -> Callable[[Function], Function]: ...
def websocket(path: str, handler: Handles | None = None) -> Any:
    """Register what talks to websockets at a path, for as long as each lives; without a handler, a decorator.

    :raises RegistrationError: something of this is of the wrong kind, or the function cannot travel
    """
    return _register_at(RouteKind.WEBSOCKET, f"websocket({path!r})", path, handler, (), None)


def _register_at(
    kind: RouteKind,
    call: str,
    path: str,
    handler: Handles | None,
    methods: tuple[str, ...],
    timeout: float | None,
) -> Any:
    _check_path(call, path)
    check_timeout(call, timeout)
    declared = RouteDeclaration(kind, path, methods=methods, timeout=timeout)
    if handler is None:
        return partial(_decorate, call, declared)
    _add(call, declared, handler)
    return None


def _register_once(kind: Literal[RouteKind.MIDDLEWARE, RouteKind.NOT_FOUND], handler: Any) -> Any:
    call, declared = f"{kind}()", RouteDeclaration(kind)
    if handler is None:
        return partial(_decorate, call, declared)
    if isinstance(handler, str):
        _add(call, declared, handler)
        return None
    return _decorate(call, declared, handler)


def _decorate(call: str, declared: RouteDeclaration, function: Any) -> Any:
    _add(call, declared, function)
    return function


def _add(call: str, declared: RouteDeclaration, handler: Handles) -> None:
    check_handler_type(call, handler)
    registry = open_registry(call)
    if registry is not None:
        made = make_handler(call, handler)
        registry.add_route(declared.with_handler(made), lambda: pickle_handler(call, handler))


def _check_path(call: str, path: str) -> None:
    problem = paths.find_problem(path)
    if problem:
        raise RegistrationError(f"{call}: {problem}")


def _check_methods(path: str, methods: Iterable[Any]) -> tuple[str, ...]:
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    wrong = [name for name in names if not (isinstance(name, str) and _TOKEN.fullmatch(name.upper()))]
    if wrong:
        raise RegistrationError(f"route({path!r}): {wrong[0]!r} is no HTTP method")
    if not names:
        raise RegistrationError(f"route({path!r}): there must be a method")
    return tuple(sorted({name.upper() for name in names}))
