"""Exchanges over HTTP, sans-IO: one ``POST`` for each, and what its answer means (protocol section 1, HTTP).

HTTP/1.1 itself is that of the library ``h11``, so that threads with sockets and tasks with streams share all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_urlsafe
from typing import cast

import h11
import msgspec

from scriptling.errors import ErrorCode, PluginCallError, PluginCrashed, PluginTimeout
from scriptling.plugin.calls import shown
from scriptling.plugin.refusals import code_of, refusal
from scriptling.plugin.session import Answered, Exchange, Session, Violation
from scriptling.plugin.url import CONNECT_TIMEOUT, MAX_RESPONSE, Address, reason_of
from scriptling.protocol.jsonrpc import Response

CALLBACKS_REFUSED = "callbacks are not supported over http json-rpc transport"

SESSION_HEADER = "Scriptling-Session"
TIMEOUT_HEADER = "Scriptling-Timeout"

_OK = 200
_CLOSED = "it closed the connection before the answer was complete"
_TOKEN_BYTES = 32


class NoAnswer(Exception):  # noqa: N818 - a fact about a server, which becomes a PluginCrashed
    """The connection ended, or holds what is no HTTP, before there was an answer."""


class Unsent(Exception):  # noqa: N818 - the reason for a second try
    """The server cannot have got the whole request, and so has not executed it."""


class HttpAnswer(msgspec.Struct):
    """What a server has answered."""

    status: int
    retry_after: str
    body: bytes


class Wire:
    """HTTP/1.1 over one connection: requests and answers in turn."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._answer: HttpAnswer | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def reusable(self) -> bool:
        """Whether the connection can take another request."""
        return self._http.our_state is h11.IDLE

    def request(self, posting: Posting) -> bytes:
        """Return the bytes of one request."""
        head = h11.Request(method="POST", target=posting.target, headers=list(posting.headers.items()))
        sent = [self._http.send(head), self._http.send(h11.Data(posting.body)), self._http.send(h11.EndOfMessage())]
        return b"".join(piece for piece in sent if piece)

    def receive(self, data: bytes) -> HttpAnswer | None:
        """Take bytes, none at the end of the connection; return the answer when it is complete.

        :raises NoAnswer: it will never be
        """
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.EndOfMessage):
                    return self._complete()
                if isinstance(event, h11.ConnectionClosed):
                    break
                self._take(event)
        except h11.RemoteProtocolError as error:
            reason = f"it sent something that is no HTTP: {error}" if data else _CLOSED
            raise NoAnswer(reason) from None
        if not data:
            raise NoAnswer(_CLOSED)
        return None

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Response):
            retry_after = dict(event.headers).get(b"retry-after", b"")
            self._answer = HttpAnswer(event.status_code, retry_after.decode("latin-1"), b"")
        elif isinstance(event, h11.Data):
            self._pieces.append(bytes(event.data))
            self._size += len(event.data)
            if self._size > MAX_RESPONSE:
                raise NoAnswer(f"its answer is larger than {MAX_RESPONSE} bytes")

    def _complete(self) -> HttpAnswer:
        answer = cast("HttpAnswer", self._answer)
        answer.body = b"".join(self._pieces)
        self._answer, self._size = None, 0
        self._pieces.clear()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return answer


class Poster:
    """What is common to all requests to one URL.

    :param owner: whether the objects that are made belong to this client, and end with it
    """

    def __init__(self, address: Address, owner: bool) -> None:
        self.address = address
        given = {name.lower() for name in address.headers}
        ours = {"Host": address.authority, "Content-Type": "application/json", "Accept": "application/json"}
        self._headers = {name: value for name, value in ours.items() if name.lower() not in given}
        self._headers |= address.headers
        if owner:
            self.renew_session()

    def renew_session(self) -> None:
        """Become another client to the server, which owns nothing yet."""
        self._headers[SESSION_HEADER] = token_urlsafe(_TOKEN_BYTES)

    def posting(self, requests: Sequence[tuple[str, bytes]], batch: bool, timeout: float | None) -> Posting:
        """Return an exchange, ready to be sent.

        :param timeout: seconds that the server may take
        """
        return Posting(self.address, dict(self._headers), Exchange(requests, batch), timeout)


class Posting:
    """One exchange over HTTP.

    :ivar body: JSON text
    """

    def __init__(self, address: Address, headers: dict[str, str], exchange: Exchange, timeout: float | None) -> None:
        self._address = address
        self._exchange = exchange
        self._session = Session()
        self._timeout = timeout
        self._what = shown(exchange.requests[0])
        self.target = address.target
        self.body = self._session.open(exchange)
        self.headers = headers | {"Content-Length": str(len(self.body))}
        if timeout is not None:
            self.headers[TIMEOUT_HEADER] = f"{timeout:g}"

    def responses(self, answer: HttpAnswer) -> list[Response]:
        """Return the responses in the order of the requests.

        :raises PluginCallError: the answer holds none
        """
        events = self._session.message(answer.body) if answer.body.strip() else []
        for event in events:
            if isinstance(event, Answered):
                return cast("list[Response]", self._exchange.replies)
        violations = [event.sentence for event in events if isinstance(event, Violation)]
        if answer.status == _OK and violations:
            raise PluginCallError(f"{self._address.label} {violations[0]}", ErrorCode.INTERNAL_ERROR)
        sentence = refusal(self._address, self._what, answer.status, answer.retry_after, answer.body)
        raise PluginCallError(sentence, code_of(answer.status))

    def too_late(self) -> PluginTimeout:
        """Return the error for an answer that has not come in time."""
        text = f"{self._address.label} could not be connected to within {CONNECT_TIMEOUT:g} seconds"
        if self._timeout is not None:
            text = f"{self._address.label} did not answer {self._what} within {self._timeout:g} seconds"
        return PluginTimeout(text, ErrorCode.TIMED_OUT)

    def broken(self, error: Exception) -> PluginCrashed:
        """Return the error for a connection that could not be made, or has ended."""
        text = f"{self._address.label} cannot be reached, or broke off: {reason_of(error)}"
        return PluginCrashed(text, ErrorCode.WORKER_DIED)


class AnyHttpPeer:
    """What the conversation with one URL is to threads and tasks alike (see :class:`~scriptling.plugin.calls.AnyPeer`).

    :param goodbye: whether objects belong to this client; it is told ``plugin.shutdown`` then when it is closed
    """

    callbacks_refused = CALLBACKS_REFUSED

    def __init__(self, address: Address, goodbye: bool) -> None:
        self.label = address.label
        self.patience = 0.0
        self._address = address
        self._poster = Poster(address, goodbye)
        self._goodbye = goodbye

    @property
    def alive(self) -> bool:
        """A URL cannot be dead: the next call may find it answering."""
        return True
