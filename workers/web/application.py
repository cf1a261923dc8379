"""``runtime.http`` as an ASGI application: finds the route, has the pool run its handlers, sends what they answer.

Paths are matched by Starlette's routes, and files are served by its ``StaticFiles``. Routes come first, in the order of
their registration, then folders of files, the longest path first. Middleware and the handler of a request are one call
of the pool, so that a request costs one way there and back whatever there is of it; only before files, and before a 404
or 405 of the server's own, middleware is called by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from scriptling import paths
from scriptling.errors import RpcError
from scriptling.registry import RouteDeclaration, RouteKind
from workers.frames import Kind
from workers.web import frames as web_frames
from workers.web.exchange import Disconnected, Exchange, failure, sentence
from workers.web.frames import GOES_ON, WebResponse

_MEBIBYTE = 1 << 20
_NOTHING_HERE = sentence(404, "there is nothing at this path")
_MIDDLEWARE = "middleware"


class Pool(Protocol):
    """Who runs calls: :class:`workers.web.pool.WebPool`."""

    async def call(self, kind: Kind, target: str, params: bytes, timeout: float | None = None) -> bytes:
        """Have a call run, and return what it answers; raises :class:`~scriptling.errors.RpcError`."""


class Found(NamedTuple):
    """What is at a path.

    :ivar place: of a route in the declaration
    :ivar files: the way to a folder of files, and the scope it takes
    :ivar allowed: where the path is right and the method is not: the methods that would be
    """

    place: int | None = None
    path_params: Mapping[str, Any] = {}
    files: tuple[Mount, Scope] | None = None
    allowed: frozenset[str] = frozenset()


class Web:
    """Everything that ``runtime.http`` has registered.

    :param upgrades: gets what comes by a WebSocket
    :param max_body: MiB that the body of a request may have
    """

    def __init__(self, declared: Sequence[RouteDeclaration], pool: Pool, upgrades: ASGIApp, max_body: int) -> None:
        self._upgrades = upgrades
        self._declared = declared
        self._pool = pool
        self._longest = max_body * _MEBIBYTE
        self._middleware = _places(declared, RouteKind.MIDDLEWARE)
        self._not_found = _places(declared, RouteKind.NOT_FOUND)
        self._routes = [
            (Route(paths.to_template(declared[place].path), _no_endpoint, methods=[*declared[place].methods]), place)
            for place in _places(declared, RouteKind.ROUTE)
        ]
        folders = [declared[place] for place in _places(declared, RouteKind.STATIC)]
        folders.sort(key=lambda each: len(each.path), reverse=True)
        self._folders = [
            Mount(each.path, StaticFiles(directory=each.directory, html=True, check_dir=False)) for each in folders
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._upgrades(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._longest)
        try:
            response = await self._answer(exchange, self._find(scope))
        except RpcError as error:
            response = failure(error)
        except Disconnected:
            return
        if response is not None:
            await exchange.respond(response)

    def _find(self, scope: Scope) -> Found:
        allowed: set[str] = set()
        for route, place in self._routes:
            match, more = route.matches(scope)
            if match is Match.FULL:
                return Found(place, more["path_params"])
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            return Found(allowed=frozenset(allowed))
        for folder in self._folders:
            match, more = folder.matches(scope)
            if match is Match.FULL:
                return Found(files=(folder, {**scope, **more}))
        return Found()

    async def _answer(self, exchange: Exchange, found: Found) -> WebResponse | None:
        """Return what is to be answered; None if a file has been."""
        if found.place is not None:
            return await self._call(exchange, [*self._middleware, found.place], found.path_params)
        if not (found.files or found.allowed) and self._not_found:
            return await self._call(exchange, [*self._middleware, *self._not_found])
        if self._middleware:
            response = await self._call(exchange, self._middleware)
            if response.status != GOES_ON:
                return response
        if found.allowed:
            return _wrong_method(", ".join(sorted(found.allowed)))
        refusal = await _send_file(exchange, *found.files) if found.files else _NOTHING_HERE
        if refusal is _NOTHING_HERE and self._not_found:
            return await self._call(exchange, self._not_found)
        return refusal

    async def _call(
        self, exchange: Exchange, steps: Sequence[int], path_params: Mapping[str, Any] | None = None
    ) -> WebResponse:
        last = self._declared[steps[-1]]
        request = await exchange.request(steps, path_params or {})
        call = self._pool.call(Kind.HTTP, last.label, web_frames.encode(request), last.timeout)
        return web_frames.decode_response(await exchange.unless_gone(call))


async def _send_file(exchange: Exchange, folder: Mount, scope: Scope) -> WebResponse | None:
    """Send a file if there is one, else return what to answer instead."""
    try:
        await folder.app(scope, exchange.receive, exchange.send)
    except HTTPException as refusal:
        if refusal.status_code == 405:
            return _wrong_method("GET, HEAD")
        # A file that this process may not read is answered with 401 there, which would ask for a password.
        return _NOTHING_HERE
    except OSError:  # links in a circle, and the like
        return _NOTHING_HERE
    return None


def _wrong_method(allowed: str) -> WebResponse:
    return sentence(405, f"this path takes {allowed}", ("allow", allowed))


def _places(declared: Sequence[RouteDeclaration], kind: RouteKind) -> list[int]:
    return [place for place, each in enumerate(declared) if each.kind == kind]


async def _no_endpoint(request: Any) -> Any:
    """Stand where Starlette wants an endpoint: its routes are only asked whether they match."""
    raise NotImplementedError
