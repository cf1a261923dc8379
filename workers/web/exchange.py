"""One HTTP request of ASGI on its way through the server: its body, its form for a worker, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from scriptling.errors import ErrorCode, RpcError
from workers.web.frames import WebRequest, WebResponse

T = TypeVar("T")

_TEXT = ("content-type", "text/plain; charset=utf-8")
_RETRY = ("retry-after", "1")

# What a client is told of a call that has failed: nothing of the server's insides.
_SENTENCES = {
    502: "the process that handled this request has died",
    503: "the server is overloaded or shutting down; try again later",
    504: "the server took too long to answer",
}
_STATUS: Mapping[int, int] = {
    ErrorCode.TIMED_OUT: 504,
    ErrorCode.WORKER_DIED: 502,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.TOO_DEEP: 503,
    ErrorCode.SHUTTING_DOWN: 503,
}


class Disconnected(Exception):  # noqa: N818 - says what the client has done
    """There is nobody any more to answer."""


class Exchange:
    """One request while it is answered.

    :param longest: bytes that its body may have
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, longest: int) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self._longest = longest
        self._body: bytes | None = None

    async def request(self, steps: Sequence[int], path_params: Mapping[str, Any]) -> WebRequest:
        """Return it as workers take it, with its body.

        :raises TooLarge: the body is
        :raises Disconnected: the client has gone before the end of the body
        """
        if self._body is None:
            self._body = await self._read()
        return describe_request(self.scope, steps, path_params, self._body)

    async def _read(self) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._longest:
                raise RpcError(ErrorCode.MESSAGE_TOO_LARGE, f"the body is larger than {self._longest >> 20} MiB")
        return bytes(body)

    async def unless_gone(self, answer: Awaitable[T]) -> T:
        """Wait for an answer as long as the client does.

        :raises Disconnected: it has gone; the waiting was cancelled
        """
        task = asyncio.ensure_future(answer)
        watch = asyncio.ensure_future(self._watch(task))
        try:
            return await task
        except asyncio.CancelledError:
            if watch.done():
                raise Disconnected from None
            task.cancel()
            raise
        finally:
            watch.cancel()

    async def _watch(self, task: asyncio.Future[Any]) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        task.cancel()

    async def respond(self, response: WebResponse) -> None:
        """Send an answer, with its length; ``HEAD`` gets no more than the length."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        if response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(response.body)))
        await self.send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if self.scope["method"] == "HEAD" else response.body
        await self.send({"type": "http.response.body", "body": body})


def describe_request(
    scope: Scope, steps: Sequence[int], path_params: Mapping[str, Any], body: bytes = b""
) -> WebRequest:
    """Return the request of an ASGI scope as workers take it."""
    client = scope.get("client")
    return WebRequest(
        steps,
        scope.get("method", "GET"),
        scope["path"],
        scope.get("query_string", b"").decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        {name: str(value) for name, value in path_params.items()},
        str(client[0]) if client else "",
        body,
    )


def sentence(status: int, text: str, *headers: tuple[str, str]) -> WebResponse:
    """Return an answer for people."""
    return WebResponse(status, (_TEXT, *headers), f"{text}\n".encode())


def failure(error: RpcError) -> WebResponse:
    """Return the answer for a call that has failed, which tells nothing of the server's insides."""
    if error.code == ErrorCode.MESSAGE_TOO_LARGE:
        return sentence(413, error.message, ("connection", "close"))
    status = _STATUS.get(error.code, 500)
    text = _SENTENCES.get(status, "the server has failed to answer this request")
    return sentence(status, text, *([_RETRY] if status == 503 else []))
