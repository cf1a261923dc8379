"""What a worker does with HTTP requests: middleware and route, one after the other, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

from scriptling.evaluator import Evaluator
from scriptling.registry import Declaration, RouteDeclaration, RouteKind
from scriptling.runtime.exchange import BadRequest, Query, Request, encode_response, text
from scriptling.runtime.sockets import GONE, LEAVE, OPEN, Ask, Client, ClientGone
from scriptling.settings import Settings
from workers.children.outcomes import check_size, report, run_coroutine
from workers.frames import Call
from workers.web import frames as web_frames
from workers.web.frames import GOES_ON, WebRequest, WebResponse
from workers.words import shown

Handle = Callable[[Call, Request, Sequence[RouteDeclaration]], WebResponse]


class WebCalls:
    """The handlers of ``runtime.http``.

    :param socket: returns how the running call reaches its WebSocket
    """

    def __init__(
        self, evaluator: Evaluator, declaration: Declaration, settings: Settings, socket: Callable[[Call], Ask]
    ) -> None:
        self._evaluator = evaluator
        self._socket = socket
        self._settings = settings
        self._routes = declaration.routes

    def run(self, call: Call) -> bytes:
        """Run one call, and return the encoded :class:`WebResponse`.

        :raises BaseException: whatever a handler raises; stderr has been told
        """
        return self._guarded(call, self._respond)

    def talk(self, call: Call) -> bytes:
        """Run the handler of a WebSocket to its end, or of middleware that refuses it; otherwise as :meth:`run`."""
        return self._guarded(call, self._converse)

    def _guarded(self, call: Call, handle: Handle) -> bytes:
        asked = web_frames.decode_request(call.params)
        try:
            response = handle(call, make_request(asked), [self._routes[step] for step in asked.steps])
            check_size(response.body, self._settings.max_message)
        except BadRequest as error:
            response = self._encode(text(400, f"{error}\n"), 400)
        except BaseException as error:
            report(f"{call.target}, for {asked.method} {shown(asked.path)!r}", error)
            raise
        return web_frames.encode(response)

    def _respond(self, call: Call, request: Request, steps: Sequence[RouteDeclaration]) -> WebResponse:
        for step in steps:
            returned = self._call(step, request)
            if returned is not None or step.kind != RouteKind.MIDDLEWARE:
                return self._encode(returned, 404 if step.kind == RouteKind.NOT_FOUND else 200)
        return WebResponse(GOES_ON)

    def _converse(self, call: Call, request: Request, steps: Sequence[RouteDeclaration]) -> WebResponse:
        refusal = self._respond(call, request, steps[:-1])
        if refusal.status != GOES_ON:
            return refusal
        ask = self._socket(call)
        if ask(OPEN, b"", None) != GONE:
            try:
                self._call(steps[-1], Client(request, ask))
            except ClientGone:
                return refusal
            finally:
                ask(LEAVE, b"", None)
        return refusal

    def _call(self, step: RouteDeclaration, argument: Any) -> Any:
        assert step.handler is not None
        returned = self._evaluator.function(step.handler)(argument)
        return run_coroutine(returned) if type(returned) is CoroutineType else returned

    def _encode(self, returned: Any, usual: int) -> WebResponse:
        encoded = encode_response(returned, usual, self._settings.max_depth)
        return WebResponse(encoded.status, encoded.headers, encoded.body)


def make_request(asked: WebRequest) -> Request:
    """Return a request as handlers see it."""
    return Request(
        asked.method,
        asked.path,
        asked.body,
        join_headers(asked.headers),
        Query(asked.query),
        asked.path_params,
        asked.remote_addr,
    )


def join_headers(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name; values of one name are joined as HTTP does it."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        known = headers.get(name)
        headers[name] = value if known is None else f"{known}{'; ' if name == 'cookie' else ', '}{value}"
    return headers
