"""What an HTTP status means that comes instead of an answer, in sentences for people."""

from __future__ import annotations

from scriptling.errors import ErrorCode
from scriptling.plugin.url import Address

_SHOWN = 200

_MEANINGS = {
    401: "it wants a token: give headers={'Authorization': 'Bearer ...'}, or another one",
    403: "it does not allow this",
    404: "there is nothing at this path; a Scriptling server answers at /json-rpc",
    405: "this path is not for JSON-RPC",
    413: "the request is larger than it takes",
    421: "it does not answer to this host name",
    429: "it is asked too often",
    503: "it is overloaded, or shutting down",
}
_CODES = {
    413: ErrorCode.MESSAGE_TOO_LARGE,
    429: ErrorCode.OVERLOADED,
    503: ErrorCode.OVERLOADED,
    504: ErrorCode.TIMED_OUT,
}


def refusal(address: Address, what: str, status: int, retry_after: str, body: bytes) -> str:
    """Return the sentence for an HTTP answer without a result.

    :param what: what was asked for
    :param retry_after: value of the header ``Retry-After``, empty if there is none
    """
    sentence = f"{address.label} answered {what} with HTTP status {status} and no result"
    if status in _MEANINGS:
        sentence += f" ({_MEANINGS[status]})"
    if retry_after:
        wait = f"in {retry_after} seconds" if retry_after.isdigit() else f"after {retry_after[:_SHOWN]}"
        sentence += f", and can be asked again {wait}"
    begun = address.redacted(body[: 2 * _SHOWN].decode("utf-8", "replace"))[:_SHOWN].strip()
    return f"{sentence}: {begun}" if begun else sentence


def code_of(status: int) -> int:
    """Return the code of the error for an HTTP status."""
    return _CODES.get(status, ErrorCode.INTERNAL_ERROR)
