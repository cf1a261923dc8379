"""What a peer's bytes turn out to be: requests, responses, batches, and what is none of them (protocol section 2)."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from scriptling.errors import RpcError

NULL_ID = b"null"


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


class Envelope(msgspec.Struct, gc=False):
    """A message whose members are all of the right type, which is nearly every message."""

    method: str | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    jsonrpc: Literal["2.0"] = "2.0"


decode_envelope = msgspec.json.Decoder(Envelope).decode

# What decoding raises for bytes that are no message; UnicodeDecodeError comes from text that is not UTF-8.
FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
