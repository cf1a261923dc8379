"""Keys and values as the bytes that LMDB keeps.

========== ======================================= =====================================================================
entry      key                                     value
========== ======================================= =====================================================================
data       ``k`` key (see :func:`stored_key`)      flags, [expiry: 8 bytes], [length of key: 4 bytes, key], MessagePack
expiry     ``x`` expiry: 8 bytes, stored key       nothing; sorted by time, so that a sweep finds the oldest first
========== ======================================= =====================================================================

Times are nanoseconds, big-endian. The key stands in the record only where it is too long for LMDB.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

DATA = b"k"
EXPIRY = b"x"
MOST_KEY_BYTES = 65_535
PLAIN = b"\0"  # flags of a record without expiry, and with a key that LMDB takes

_EXPIRES = 1
_LONG_KEY = 2
_LONGEST = 480  # bytes of a key that LMDB takes as it is: 511 less both prefixes and the expiry
_DIGEST = 32


def stored_key(key: str) -> bytes:
    """Return a key as LMDB gets it: sorted by its bytes; of a long one the beginning and a digest.

    :raises TypeError: it is no string
    :raises ValueError: it is too long, or not Unicode
    """
    if type(key) is not str:
        raise TypeError(f"a key is a str, not a {type(key).__name__}: {key!r}")
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key {key!r} holds a lone surrogate, which is half a character") from None
    if len(raw) <= _LONGEST:
        return DATA + raw
    if len(raw) > MOST_KEY_BYTES:
        raise ValueError(f"a key of {len(raw)} bytes is too long: {MOST_KEY_BYTES} are the most")
    return DATA + raw[: _LONGEST + 1 - _DIGEST] + blake2b(raw, digest_size=_DIGEST).digest()


def stored_prefix(prefix: str) -> bytes:
    """Return what the stored forms of all keys with a prefix begin with."""
    return DATA + prefix.encode(errors="replace")[: _LONGEST + 1 - _DIGEST]


def key_of(stored: bytes, record: bytes) -> str:
    """Return the key that a record was stored under."""
    if len(stored) <= _LONGEST + len(DATA):
        return stored[len(DATA) :].decode()
    start = 13 if record[0] & _EXPIRES else 5
    return record[start : start + int.from_bytes(record[start - 4 : start], "big")].decode()


def header(stored: bytes, key: str, expiry: int) -> bytes:
    """Return what stands before a value.

    :param expiry: when it ends, or 0
    """
    long = len(stored) > _LONGEST + len(DATA)
    if not (long or expiry):
        return PLAIN
    flags = (_EXPIRES if expiry else 0) | (_LONG_KEY if long else 0)
    parts = [bytes([flags]), expiry.to_bytes(8, "big") if expiry else b""]
    if long:
        raw = key.encode()
        parts += [len(raw).to_bytes(4, "big"), raw]
    return b"".join(parts)


def expiry_of(record: bytes) -> int:
    """Return when a record ends, or 0."""
    return int.from_bytes(record[1:9], "big") if record[0] & _EXPIRES else 0


def payload(record: bytes) -> memoryview:
    """Return the value's part of a record."""
    flags = record[0]
    start = 9 if flags & _EXPIRES else 1
    if flags & _LONG_KEY:
        start += 4 + int.from_bytes(record[start : start + 4], "big")
    return memoryview(record)[start:]


def expiry_entry(expiry: int, stored: bytes) -> bytes:
    """Return the key of a record's entry among the expiries."""
    return EXPIRY + expiry.to_bytes(8, "big") + stored


class Ending(NamedTuple):
    """What an entry among the expiries says."""

    expiry: int
    stored: bytes


def read_expiry_entry(entry: bytes) -> Ending:
    """Return the meaning of what :func:`expiry_entry` made."""
    return Ending(int.from_bytes(entry[1:9], "big"), entry[9:])
