"""JSON-RPC 2.0 as bytes in, events out, bytes out (protocol sections 1 and 2).

Nothing here knows of sockets, threads or clocks. :func:`parse` turns one JSON text into one event and never raises;
:class:`LineReader` cuts a byte stream into such texts; the ``encode_*`` functions write them. Both directions of a
stream use the same functions: what has a ``method`` is a request, what has none answers a request of ours.

Parameters and results stay JSON text: whoever runs the call decodes them, not whoever routes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from scriptling.errors import ErrorCode, RpcError

T = TypeVar("T")

NULL_ID = b"null"
DEFAULT_MAX_BATCH = 10_000


class Request(msgspec.Struct, gc=False):
    """A call of the peer.

    :ivar method: the method's name
    :ivar id: JSON text of the id, to be answered with exactly as it came; empty for a notification
    :ivar params: JSON text of an object or array; empty where the member is missing
    """

    method: str
    id: bytes = b""
    params: bytes = b""

    @property
    def is_notification(self) -> bool:
        """Whether nothing may be answered, not even an error."""
        return not self.id


class Response(msgspec.Struct):
    """An answer of the peer to a request of ours.

    :ivar id: JSON text of the id; empty or ``null`` where the peer did not say which request it means
    :ivar result: JSON text; empty where the member is missing, which means null
    :ivar error: what the peer answered instead of a result
    """

    id: bytes = b""
    result: bytes = b""
    error: RpcError | None = None


class Invalid(msgspec.Struct):
    """Something that is no message: ``error`` is what to answer, under ``id``."""

    error: RpcError
    id: bytes = NULL_ID


class Batch(msgspec.Struct):
    """What was in an array, in its order."""

    items: list[Request | Response | Invalid]


Event = Request | Response | Invalid | Batch


class _Envelope(msgspec.Struct, gc=False):
    """A message whose members are all of the right type, which is nearly every message."""

    method: str | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    jsonrpc: Literal["2.0"] = "2.0"


class _ErrorMember(msgspec.Struct):
    """The error object of a response."""

    code: int
    message: str
    data: Any = None


# A broken notification: known to nobody, so that it is dropped where unknown notifications are.
_NOBODY = ""

_ID_STARTS = frozenset(b'"-0123456789n')
_STRUCTURED = frozenset(b"{[")
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_error = msgspec.json.Decoder(_ErrorMember).decode
_encode_json = msgspec.json.Encoder().encode


def parse(text: bytes, max_batch: int = DEFAULT_MAX_BATCH) -> Event:
    """Return the event that one JSON text is; whatever the bytes are, there is one, and nothing is raised.

    :param text: UTF-8, without the line end
    :param max_batch: most items that an array may have
    """
    try:
        if not text.isascii():
            text.decode()
        return _event(_decode_envelope(text))
    except _FAULTS as fault:
        return _parse_unusual(text, max_batch, fault)


def _event(envelope: _Envelope) -> Request | Response | Invalid:
    """Tell a request from a response, and refuse what is neither."""
    given = envelope.id
    id = b"" if given is UNSET else bytes(given)
    if id and id[0] not in _ID_STARTS:
        return _invalid("id must be a number or a string")
    if envelope.method is UNSET:
        return _response(envelope, id)
    if envelope.params is UNSET:
        return Request(envelope.method, id)
    params = bytes(envelope.params)
    if params[0] in _STRUCTURED:
        return Request(envelope.method, id, params)
    return _refused_request(id, "params must be an object or an array")


def _response(envelope: _Envelope, id: bytes) -> Response | Invalid:
    """Return what has no ``method``: a response, unless it holds nothing that a response has."""
    error = None if envelope.error is UNSET else _error(bytes(envelope.error))
    if error is None and envelope.result is UNSET and (not id or envelope.params is not UNSET):
        return _invalid("method is missing", id)
    return Response(id, b"" if envelope.result is UNSET else bytes(envelope.result), error)


def _error(text: bytes) -> RpcError | None:
    """Return the error that a peer sent, even if it is not shaped as an error; ``null`` is none."""
    if text == b"null":
        return None
    try:
        member = _decode_error(text)
    except _FAULTS:
        shown = text[:200].decode("utf-8", "replace")
        return RpcError(ErrorCode.INTERNAL_ERROR, f"the peer answered with a malformed error: {shown}")
    return RpcError(member.code, member.message, member.data)


def _invalid(problem: str, id: bytes = b"") -> Invalid:
    return Invalid(RpcError(ErrorCode.INVALID_REQUEST, f"invalid request: {problem}"), id or NULL_ID)


def _refused_request(id: bytes, problem: str) -> Request | Invalid:
    """Refuse something that has a method; without an id it is a notification, which is never answered."""
    return _invalid(problem, id) if id else Request(_NOBODY)


# -- what is not an ordinary message -----------------------------------------------------------------------------------


def _parse_unusual(text: bytes, max_batch: int, fault: Exception) -> Event:
    """Return the event for a text that :data:`_decode_envelope` did not take."""
    if isinstance(fault, RecursionError):
        return refusal(text, RpcError(ErrorCode.TOO_DEEP, "the message is nested too deeply"))
    if isinstance(fault, UnicodeDecodeError):
        return _unparsable("the message is not UTF-8")
    try:
        return _parse_batch(text, max_batch) if text.lstrip()[:1] == b"[" else _diagnose(text)
    except RecursionError:
        return refusal(text, RpcError(ErrorCode.TOO_DEEP, "the message is nested too deeply"))
    except msgspec.DecodeError as error:
        return _parse_lone_surrogates(text, max_batch) or _unparsable(f"the message is not JSON: {error}")


def _unparsable(problem: str) -> Invalid:
    return Invalid(RpcError(ErrorCode.PARSE_ERROR, problem))


def _diagnose(text: bytes) -> Request | Response | Invalid:
    """Say what is wrong with JSON whose members are of the wrong types."""
    try:
        members = _decode_members(text)
    except msgspec.ValidationError:
        return _invalid("a message must be an object")
    id = bytes(members.get("id", b""))
    if id and id[0] not in _ID_STARTS:
        return _invalid("id must be a number or a string")
    method = members.get("method")
    if method is None:
        # Peers that leave out or misspell the version in their answers are understood all the same.
        members.pop("jsonrpc", None)
        return _event(_decode_envelope(_encode_json(members)))
    if bytes(method)[:1] != b'"':
        return _invalid("method must be a string", id)
    return _refused_request(id, 'jsonrpc must be "2.0"')


def _parse_batch(text: bytes, max_batch: int) -> Batch | Invalid:
    """Return the items of an array.

    :raises msgspec.DecodeError: the array is not JSON
    """
    if text.count(b",") >= max_batch and _exceeds(text, max_batch):
        return _invalid(f"a batch may hold {max_batch} messages at most")
    items = _decode_items(text)
    if not items:
        return _invalid("a batch must not be empty")
    return Batch([_parse_item(bytes(item)) for item in items])


def _parse_item(text: bytes) -> Request | Response | Invalid:
    """Return what one item of a batch is."""
    try:
        return _event(_decode_envelope(text))
    except msgspec.ValidationError:
        return _diagnose(text)


_bounded: dict[int, msgspec.json.Decoder[Any]] = {}


def _exceeds(text: bytes, most: int) -> bool:
    """Whether an array has more items than ``most``, found out without holding more than those.

    A list of :class:`msgspec.Raw` takes 64 bytes and more for each item before its length can be checked: 16 MB of
    ``[],`` would be half a second and 360 MB. An array-like struct is given up at the first item too many.
    """
    decoder = _bounded.get(most)
    if decoder is None:
        fields = [(f"item{index}", Raw, Raw(b"")) for index in range(most)]
        bounded = msgspec.defstruct("Bounded", fields, array_like=True, forbid_unknown_fields=True, gc=False)
        decoder = _bounded[most] = msgspec.json.Decoder(bounded)
    try:
        decoder.decode(text)
    except msgspec.ValidationError:
        return True
    return False


# An id or method is looked for in this much of a message that is not read as a whole.
_GLIMPSE = 4096
_SCALAR = rb'(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|null)'
_HEAD = rb'\s*\{((?:\s*"(?:jsonrpc|id|method)"\s*:\s*' + _SCALAR + rb'\s*,)*)\s*"(\w*)'
_TAIL = rb',\s*"id"\s*:\s*(' + _SCALAR + rb")\s*\}\s*$"


def refusal(text: bytes, error: RpcError) -> Invalid | Response:
    """Return how to refuse a message that was not, or not wholly, read: for the id that is seen at either end of it.

    What is recognised as an answer to us is an answer with an error, so that whoever waits for it is told.
    """
    import re  # noqa: PLC0415 - only broken messages need it

    head = re.match(_HEAD, text[:_GLIMPSE])
    if head is None:
        return Invalid(error)
    tail = re.search(_TAIL, text[-_GLIMPSE:])
    try:
        envelope = _decode_envelope(b"{%b}" % head[1].rstrip()[:-1])
    except _FAULTS:
        return Invalid(error)
    id = bytes(envelope.id) if envelope.id is not UNSET else tail[1] if tail else b""
    if envelope.method is UNSET and head[2] in (b"result", b"error"):
        return Response(id, error=error)
    return Invalid(error, NULL_ID if envelope.method is UNSET else id or NULL_ID)


_MARK = rb"\uffff\ufffe\uffff"
_ESCAPE = rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)"


def _parse_lone_surrogates(text: bytes, max_batch: int) -> Event | None:
    r"""Return the event for a text whose only fault is half a surrogate pair, such as ``"\ud800"``; None if it is not.

    That is JSON, which some peers write, but no text: it is refused under the id of its message, and other messages of
    a batch are not touched. The halves are marked, and what holds a mark is refused.
    """
    import re  # noqa: PLC0415 - only broken messages need it

    marked = re.sub(_ESCAPE, lambda escape: _MARK if escape[1] else escape[0], text, flags=re.DOTALL)
    if marked == text:
        return None
    event = parse(marked, max_batch)
    if isinstance(event, Batch):
        return Batch([_refuse_marked(item) for item in event.items])
    return _refuse_marked(event)


def _refuse_marked(event: Request | Response | Invalid) -> Request | Response | Invalid:
    """Refuse a message that holds a mark."""
    problem = RpcError(ErrorCode.INVALID_PARAMS, "the message holds half a surrogate pair, which is no text")
    if isinstance(event, Request) and (_MARK in event.params or _MARK in event.id or "\uffff\ufffe" in event.method):
        if event.is_notification:
            return Request(_NOBODY)
        return Invalid(problem, NULL_ID if _MARK in event.id else event.id)
    if isinstance(event, Response) and (_MARK in event.result or event.error is not None):
        return Response(event.id, error=problem)
    return event


# -- framing -----------------------------------------------------------------------------------------------------------


class LineReader:
    """Cuts a stream into JSON texts, one a line (protocol section 1, stdio).

    A line longer than the limit is refused as soon as it is known to be, and dropped while it streams in.

    :param max_message: most bytes of a line, without its end
    """

    def __init__(self, max_message: int) -> None:
        self._max = max_message
        self._line = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes | Invalid | Response]:
        r"""Return the lines that ``data`` completes, without their ends; blank ones are left out.

        ``\r\n`` ends a line as ``\n`` does. A refused line is one event in its place.
        """
        end = data.find(b"\n")
        if end < 0:
            return self._keep(data)
        found = self._keep(data[:end]) + self._complete()
        rest = data[end + 1 :]
        if rest:
            *lines, last = rest.split(b"\n")
            found += self._whole(lines, len(rest))
            found += self._keep(last)
        return found

    def end(self) -> list[bytes | Invalid | Response]:
        """Return what the end of the stream completes: a last line that has no end."""
        return self._complete()

    def _whole(self, lines: list[bytes], size: int) -> list[bytes | Invalid | Response]:
        """Return lines that came in one piece of ``size`` bytes altogether."""
        if size <= self._max:
            return [line for line in (line.removesuffix(b"\r") for line in lines) if line and not line.isspace()]
        return [event for line in lines for event in self._checked(line)]

    def _checked(self, line: bytes) -> list[bytes | Invalid | Response]:
        """Return one whole line, or its refusal, or nothing for a blank one."""
        line = line.removesuffix(b"\r")
        if len(line) > self._max:
            return [self._refusal(line)]
        return [] if not line or line.isspace() else [line]

    def _keep(self, piece: bytes) -> list[bytes | Invalid | Response]:
        """Hold a piece of a line; one byte over the limit may yet be the carriage return of its end."""
        if self._dropping:
            return []
        self._line += piece
        if len(self._line) <= self._max + 1:
            return []
        refused = self._refusal(bytes(self._line[:_GLIMPSE]))
        self._line.clear()
        self._dropping = True
        return [refused]

    def _complete(self) -> list[bytes | Invalid | Response]:
        """Let go of the line that is held."""
        line = bytes(self._line)
        self._line.clear()
        dropped, self._dropping = self._dropping, False
        return [] if dropped else self._checked(line)

    def _refusal(self, line: bytes) -> Invalid | Response:
        text = f"the message is larger than {self._max} bytes"
        # Only the beginning counts, because that is all there is of a line that streams in.
        beginning = line[: min(_GLIMPSE, self._max)]
        return refusal(beginning, RpcError(ErrorCode.MESSAGE_TOO_LARGE, text))


# -- writing -----------------------------------------------------------------------------------------------------------


def encode_request(id: int, method: str, params: bytes = b"") -> bytes:
    """Return a request of ours; ``params`` is JSON text, empty to leave the member out."""
    head = b'{"jsonrpc":"2.0","id":%d,"method":%b' % (id, _encode_json(method))
    return b'%b,"params":%b}' % (head, params) if params else head + b"}"


def encode_notification(method: str, params: bytes = b"") -> bytes:
    """Return a request that is not to be answered."""
    head = b'{"jsonrpc":"2.0","method":' + _encode_json(method)
    return b'%b,"params":%b}' % (head, params) if params else head + b"}"


def encode_result(id: bytes, result: bytes) -> bytes:
    """Return the response to the request ``id`` (JSON text, as it came); ``result`` is JSON text."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, result)


def encode_error(id: bytes, error: RpcError) -> bytes:
    """Return the error response to the request ``id``; whatever the error holds, there is one."""
    member = _ErrorMember(int(error.code), _text(error.message), error.data)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id, _encode_error_member(member))


def _encode_error_member(member: _ErrorMember) -> bytes:
    """Return an error object as JSON; ``data`` that cannot be written is described instead."""
    content = {"code": member.code, "message": member.message}
    if member.data is None:
        return _encode_json(content)
    try:
        return _encode_json({**content, "data": member.data})
    except (TypeError, ValueError, RecursionError, OverflowError):
        return _encode_json({**content, "data": _text(repr(member.data))})


def _text(text: str) -> str:
    """Return text that can be written as UTF-8, with anything else in it shown as an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def encode_batch(messages: Iterable[bytes]) -> bytes:
    """Return an array of messages that are encoded already."""
    return b"[%b]" % b",".join(messages)


# -- requests of ours in flight ----------------------------------------------------------------------------------------


class Outgoing(Generic[T]):
    """Requests of ours that wait for an answer, in an id space of their own; safe to use from many threads.

    What is kept for each is the caller's: a future, a route back to a worker.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[bytes, T] = {}

    def add(self, token: T) -> int:
        """Return a new id, and keep ``token`` for its answer."""
        number = next(self._numbers)
        self._waiting[b"%d" % number] = token
        return number

    def take(self, id: bytes) -> T | None:
        """Return what was kept for an answer's id, once; None for an id that is unknown or was answered before."""
        return self._waiting.pop(id, None)

    def discard(self, id: int) -> None:
        """Forget a request; its answer, if it comes, is unknown."""
        self._waiting.pop(b"%d" % id, None)

    def drain(self) -> list[T]:
        """Return what was kept for every request that waits, oldest first, and forget them."""
        tokens: list[T] = []
        while self._waiting:
            try:
                tokens.append(self._waiting.pop(next(iter(self._waiting))))
            except (KeyError, RuntimeError):  # another thread took it, or added one
                continue
        return tokens

    def __len__(self) -> int:
        return len(self._waiting)
