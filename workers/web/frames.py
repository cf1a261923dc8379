"""HTTP requests on their way to a worker, and what comes back: the params and the payload of a call of kind HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

GOES_ON = 0
"""The status of a :class:`WebResponse` where there was nothing but middleware, and all of it let the request go on."""


class WebRequest(msgspec.Struct, array_like=True, frozen=True):
    """One HTTP request, and who handles it.

    :ivar steps: places of the handlers in the declaration's routes: middleware first, then the route if there is one
    :ivar headers: in the order in which they came, names in lower case
    :ivar query: the query string, without its question mark
    """

    steps: Sequence[int]
    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    path_params: dict[str, str]
    remote_addr: str
    body: bytes


class WebResponse(msgspec.Struct, array_like=True, frozen=True):
    """What the first handler has answered that did; without the length."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(WebRequest).decode
decode_response = msgspec.msgpack.Decoder(WebResponse).decode
