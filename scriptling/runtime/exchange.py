"""HTTP requests as handlers see them, and what handlers may answer; without any transport.

A handler returns a :class:`Response`, made by :func:`json`, :func:`text`, :func:`html` or :func:`redirect`; or a dict
with the members ``status`` (an int), ``headers`` and ``body``; or anything else, which is sent as JSON with status 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from scriptling.protocol.nodes import DEFAULT_MAX_DEPTH
from scriptling.protocol.plain import decode_plain, encode_plain

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_BINARY = "application/octet-stream"
_MEMBERS = frozenset(("status", "headers", "body"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = frozenset((204, 304))
# The server knows the length of what it sends, and connections are its own.
_OF_THE_SERVER = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"))


class BadRequest(ValueError):  # noqa: N818 - it says what the request is
    """The request is not what the handler needs it to be; uncaught, it is answered with 400 and this text."""


class Query(dict[str, str]):
    """The parameters of a query string; of a name that is given several times the first counts, :meth:`all` has all."""

    def __init__(self, text: str) -> None:
        pairs = parse_qsl(text, keep_blank_values=True)
        super().__init__(reversed(pairs))
        self._pairs = pairs

    def all(self, name: str) -> list[str]:
        """Return every value of a name, in the order of the text."""
        return [value for key, value in self._pairs if key == name]


def parse_query(text: str) -> Query:
    """Return the parameters of a query string such as ``a=1&b=2``, with or without a leading ``?``."""
    return Query(text.removeprefix("?"))


@dataclass
class Request:
    """One HTTP request.

    :ivar method: in upper case
    :ivar path: decoded, without the query
    :ivar raw: the body's bytes as they came
    :ivar headers: names in lower case; values of a name that came several times are joined by commas
    :ivar query: the parameters of the query string
    :ivar path_params: the parts of the path that the route names
    :ivar remote_addr: IP address of the client; empty where there is none
    """

    method: str
    path: str
    raw: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: Query = field(default_factory=lambda: Query(""))
    path_params: dict[str, str] = field(default_factory=dict)
    remote_addr: str = ""

    @property
    def body(self) -> str:
        """The body as text; bytes that are no UTF-8 become U+FFFD, :attr:`raw` still has them."""
        return self.raw.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return what the body stands for as JSON.

        :raises BadRequest: it is not JSON
        """
        try:
            return decode_plain(self.raw, "the body")
        except ValueError as error:
            raise BadRequest(str(error)) from None


@dataclass
class Response:
    """An answer.

    :ivar headers: a list as a value sends the header several times
    :ivar body: text, bytes, or plain data, which goes as JSON
    """

    status: int = 200
    headers: dict[str, str | list[str]] = field(default_factory=dict)
    body: Any = b""


Headers = Mapping[str, str | list[str]]


def json(*content: Any, headers: Headers | None = None) -> Response:
    """Answer with JSON: ``json(data)``, or ``json(status, data)``."""
    status, data = _status_and("json", content)
    return _response(status, encode_plain(data, "data"), _JSON, headers)


def text(*content: Any, headers: Headers | None = None) -> Response:
    """Answer with plain text: ``text(words)``, or ``text(status, words)``."""
    status, words = _status_and("text", content)
    return _response(status, str(words), _TEXT, headers)


def html(*content: Any, headers: Headers | None = None) -> Response:
    """Answer with a page: ``html(source)``, or ``html(status, source)``."""
    status, source = _status_and("html", content)
    return _response(status, str(source), _HTML, headers)


def redirect(location: str, status: int = 302) -> Response:
    """Answer with another place to go to, a URL or a path."""
    return Response(status, {"location": quote(location, safe=":/%#?=@[]!$&'()*+,;~")}, b"")


def _status_and(what: str, content: tuple[Any, ...]) -> tuple[int, Any]:
    if len(content) == 1:
        return 200, content[0]
    if len(content) != 2:
        raise TypeError(f"{what}() takes what is to be sent, or a status and that; not {len(content)} arguments")
    status, data = content
    return status, data


def _response(status: int, body: str | bytes, kind: str, headers: Headers | None) -> Response:
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return Response(status, {"content-type": kind, **given}, body)


@dataclass(frozen=True)
class Encoded:
    """An answer as bytes; the length is for whoever sends it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def encode_response(returned: Any, usual: int = 200, max_depth: int = DEFAULT_MAX_DEPTH) -> Encoded:
    """Return the answer that a handler's return value stands for.

    :param usual: the status of plain data
    :raises TypeError: it cannot be sent: a status, a header, or data that is no JSON
    :raises ValueError: likewise
    """
    response = _as_response(returned, usual)
    status = _checked_status(response.status)
    headers = [*_checked_headers(response.headers)]
    kind, body = _encode_body(response.body, max_depth)
    if status in _BODILESS:
        return Encoded(status, headers, b"")
    if kind and all(name != "content-type" for name, _ in headers):
        headers.append(("content-type", kind))
    return Encoded(status, headers, body)


def _as_response(returned: Any, usual: int) -> Response:
    if isinstance(returned, Response):
        return returned
    if isinstance(returned, dict) and _is_status(returned.get("status")) and returned.keys() <= _MEMBERS:
        return Response(returned["status"], returned.get("headers") or {}, returned.get("body", b""))
    return Response(usual, {}, _Data(returned))


@dataclass
class _Data:
    """Plain data that is the whole of an answer; text among it goes as JSON too."""

    value: Any


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _encode_body(body: Any, max_depth: int) -> tuple[str, bytes]:
    """Return the type that a body has if nothing else is said, and its bytes."""
    if isinstance(body, _Data):
        return _JSON, encode_plain(body.value, "response", max_depth)
    if isinstance(body, bytes | bytearray | memoryview):
        return _BINARY if body else "", bytes(body)
    if isinstance(body, str):
        return _TEXT, body.encode()
    if body is None:
        return "", b""
    return _JSON, encode_plain(body, "body", max_depth)


def _checked_status(status: Any) -> int:
    if not _is_status(status) or not 200 <= status <= 599:
        raise ValueError(f"the status of a response must be an int from 200 to 599, not {status!r}")
    return int(status)


def _checked_headers(headers: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"the headers of a response must be a dict, not {type(headers).__name__}")
    for name, given in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _OF_THE_SERVER:
            continue
        values: Iterable[Any] = given if isinstance(given, list | tuple) else (given,)
        for value in values:
            yield name.lower(), _checked_value(name, value)


def _checked_value(name: str, value: Any) -> str:
    written = str(value).strip(" \t")
    if _NOT_IN_A_VALUE.search(written):
        raise ValueError(f"the header {name} cannot have the value {written!r}: it holds a control character")
    try:
        written.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the header {name} cannot have the value {written!r}: it is not Latin-1") from None
    return written
