"""How to refuse messages that cannot be read, so that whoever waits for an answer still gets one."""

from __future__ import annotations

from msgspec import UNSET

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.events import FAULTS, NULL_ID, Invalid, Request, Response, decode_envelope

# The method of a broken notification: known to nobody, so that it is dropped where unknown notifications are.
NOBODY = ""

# An id or method is looked for in this much of a message that is not read as a whole.
GLIMPSE = 4096
_SCALAR = rb'(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|null)'
_HEAD = rb'\s*\{((?:\s*"(?:jsonrpc|id|method)"\s*:\s*' + _SCALAR + rb'\s*,)*)\s*"(\w*)'
_TAIL = rb',\s*"id"\s*:\s*(' + _SCALAR + rb")\s*\}\s*$"


def too_large(most: int, fixed: bool = False) -> RpcError:
    """Return the error for a message of more than ``most`` bytes, whatever it came by.

    :param fixed: whether nobody can set another limit
    """
    otherwise = "" if fixed else ", or raise --max-message"
    text = f"the message is larger than {most / (1 << 20):g} MiB; send less at once{otherwise}"
    return RpcError(ErrorCode.MESSAGE_TOO_LARGE, text)


def refusal(text: bytes, error: RpcError) -> Invalid | Response:
    """Return how to refuse a message that was not, or not wholly, read: for the id that is seen at either end of it.

    What is recognised as an answer to us is an answer with an error, so that whoever waits for it is told.
    """
    import re  # noqa: PLC0415 - only broken messages need it

    head = re.match(_HEAD, text[:GLIMPSE])
    if head is None:
        return Invalid(error)
    tail = re.search(_TAIL, text[-GLIMPSE:])
    try:
        envelope = decode_envelope(b"{%b}" % head[1].rstrip()[:-1])
    except FAULTS:
        return Invalid(error)
    id = bytes(envelope.id) if envelope.id is not UNSET else tail[1] if tail else b""
    if envelope.method is UNSET and head[2] in (b"result", b"error"):
        return Response(id, error=error)
    return Invalid(error, NULL_ID if envelope.method is UNSET else id or NULL_ID)


# Stands for half a surrogate pair: three characters that no text has next to one another.
_MARK = "\uffff\ufffe\uffff"
_MARK_JSON = rb"\uffff\ufffe\uffff"
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = _HIGH + rb"(?!" + _LOW + rb")|(?<!" + _HIGH + rb")" + _LOW
# Marking takes about 25 ms for that much, during which nothing else is read.
_MOST_MARKED = 2**20


def mark_lone_surrogates(text: bytes) -> bytes | None:
    r"""Return a text with a mark in the place of every half of a surrogate pair (``"\ud800"``); None if it has none.

    Those are JSON, which some peers write, but no text, and no parser of ours takes them.
    """
    import re  # noqa: PLC0415 - only broken messages need it

    if len(text) > _MOST_MARKED or b"\0" in text:
        return None
    # A backslash that is itself escaped begins nothing; what takes its place cannot be in JSON.
    marked = re.sub(_HALF, rb"\\uffff\\ufffe\\uffff", text.replace(rb"\\", b"\0\0")).replace(b"\0\0", rb"\\")
    return None if marked == text else marked


def refuse_marked(event: Request | Response | Invalid) -> Request | Response | Invalid:
    """Refuse a message that holds a mark; an answer to us keeps its error, if that is what it is."""
    problem = RpcError(ErrorCode.INVALID_PARAMS, "the message holds half a surrogate pair, which is no text")
    if isinstance(event, Response):
        if event.error is not None:
            event.error = RpcError(event.error.code, event.error.message.replace(_MARK, "\ufffd"))
        return Response(event.id, error=problem) if _MARK_JSON in event.result else event
    if isinstance(event, Invalid) or not (_MARK_JSON in event.params + event.id or _MARK in event.method):
        return event
    if event.is_notification:
        return Request(NOBODY)
    return Invalid(problem, NULL_ID if _MARK_JSON in event.id else event.id)
