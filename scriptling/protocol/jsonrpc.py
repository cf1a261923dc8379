"""JSON-RPC 2.0 as bytes in, events out, bytes out (protocol sections 1 and 2).

Nothing here knows of sockets, threads or clocks. :func:`parse` turns one JSON text into one event and never raises;
:class:`LineReader` cuts a byte stream into such texts; the ``encode_*`` functions write them. Both directions of a
stream use the same functions: what has a ``method`` is a request, what has none answers a request of ours.

Parameters and results stay JSON text: whoever runs the call decodes them, not whoever routes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.broken import NOBODY, mark_lone_surrogates, refusal, refuse_marked
from scriptling.protocol.events import (
    FAULTS,
    NULL_ID,
    Batch,
    Envelope,
    Event,
    Invalid,
    Request,
    Response,
    decode_envelope,
)
from scriptling.protocol.framing import LineReader

__all__ = [
    "DEFAULT_MAX_BATCH",
    "NULL_ID",
    "Batch",
    "Event",
    "Invalid",
    "LineReader",
    "Outgoing",
    "Request",
    "Response",
    "encode_batch",
    "encode_error",
    "encode_error_object",
    "encode_failure",
    "encode_notification",
    "encode_request",
    "encode_result",
    "parse",
]

T = TypeVar("T")

DEFAULT_MAX_BATCH = 10_000


class _ErrorMember(msgspec.Struct):
    """The error object of a response."""

    code: int
    message: str
    data: Any = None


_ID_STARTS = frozenset(b'"-0123456789n')
_STRUCTURED = frozenset(b"{[")

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
        return _event(decode_envelope(text))
    except FAULTS as fault:
        return _parse_unusual(text, max_batch, fault)


def _event(envelope: Envelope) -> Request | Response | Invalid:
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


def _response(envelope: Envelope, id: bytes) -> Response | Invalid:
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
    except FAULTS:
        shown = text[:200].decode("utf-8", "replace")
        return RpcError(ErrorCode.INTERNAL_ERROR, f"the peer answered with a malformed error: {shown}")
    return RpcError(member.code, member.message, member.data)


def _invalid(problem: str, id: bytes = b"") -> Invalid:
    return Invalid(RpcError(ErrorCode.INVALID_REQUEST, f"invalid request: {problem}"), id or NULL_ID)


def _refused_request(id: bytes, problem: str) -> Request | Invalid:
    """Refuse something that has a method; without an id it is a notification, which is never answered."""
    return _invalid(problem, id) if id else Request(NOBODY)


# -- what is not an ordinary message -----------------------------------------------------------------------------------


def _parse_unusual(text: bytes, max_batch: int, fault: Exception) -> Event:
    """Return the event for a text that is no single, ordinary message."""
    if isinstance(fault, UnicodeDecodeError):
        return _unparsable("the message is not UTF-8")
    try:
        if isinstance(fault, RecursionError):
            raise fault
        return _parse_batch(text, max_batch) if text.lstrip()[:1] == b"[" else _diagnose(text)
    except RecursionError:
        return refusal(text, RpcError(ErrorCode.TOO_DEEP, "the message is nested too deeply"))
    except msgspec.DecodeError as error:
        marked = mark_lone_surrogates(text)
        if marked is None:
            return _unparsable(f"the message is not JSON: {error}")
        return _refuse_all_marked(parse(marked, max_batch))


def _refuse_all_marked(event: Event) -> Event:
    """Refuse what has no text where it should, and nothing else of the same batch."""
    if isinstance(event, Batch):
        return Batch([refuse_marked(item) for item in event.items])
    return refuse_marked(event)


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
    elif bytes(method)[:1] != b'"':
        return _invalid("method must be a string", id)
    try:
        return _event(decode_envelope(_encode_json(members)))
    except msgspec.ValidationError:
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
        return _event(decode_envelope(text))
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


def encode_failure(id: bytes, error: bytes) -> bytes:
    """Return the error response to the request ``id``; ``error`` is the JSON text of an error object."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id, error)


def encode_error(id: bytes, error: RpcError) -> bytes:
    """Return the error response to the request ``id``; whatever the error holds, there is one."""
    return encode_failure(id, encode_error_object(error))


def encode_error_object(error: RpcError) -> bytes:
    """Return the JSON text of an error object; whatever the error holds, there is one.

    Text that UTF-8 cannot hold is escaped, and ``data`` that cannot be written is described instead.
    """
    content: dict[str, Any] = {"code": int(error.code), "message": _text(error.message)}
    if error.data is None:
        return _encode_json(content)
    try:
        return _encode_json({**content, "data": error.data})
    except (TypeError, ValueError, RecursionError, OverflowError):
        pass
    try:
        return _encode_json({**content, "data": _texts(error.data)})
    except (TypeError, ValueError, RecursionError, OverflowError):
        return _encode_json({**content, "data": f"data of type {type(error.data).__name__} that cannot be sent"})


def _text(text: str) -> str:
    """Return text that can be written as UTF-8, with anything else in it shown as an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _texts(data: Any) -> Any:
    """Return plain data with every text in it made writable."""
    if isinstance(data, str):
        return _text(data)
    if isinstance(data, dict):
        return {_texts(key): _texts(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_texts(item) for item in data]
    return data


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
