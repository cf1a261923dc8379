"""Which values may be stored, and how: MessagePack, which keeps every type apart that a store knows.

Types are exact. A subclass would come back as its base, and a tuple as a list; both are refused rather than changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

MOST_BYTES = 64 * 1024 * 1024  # of one value
_MOST_DEPTH = 128  # lists and dicts in one another
_BIG_INT = 1  # code of the MessagePack extension for ints beyond 64 bits: signed, big-endian

_SCALARS: frozenset[type] = frozenset((type(None), bool, int, float, str, bytes))

_encoder = msgspec.msgpack.Encoder()


def _extension(code: int, data: memoryview) -> int:
    if code != _BIG_INT:
        raise ValueError(f"a stored value has the unknown extension {code}; a newer version has written it")
    return int.from_bytes(data, "big", signed=True)


decode = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def encode(key: str, value: Any) -> bytes:
    """Return a value as bytes.

    :param key: for what errors say
    :raises TypeError: a type that cannot be stored, anywhere inside
    :raises ValueError: too large, too deep, or text that is not Unicode
    """
    if type(value) not in _SCALARS:
        _check(value, key, "", 0)
    try:
        encoded = _encoder.encode(value)
    except OverflowError:
        encoded = _encode_big(key, value)
    except UnicodeEncodeError:
        raise ValueError(f"cannot store {key!r}: it holds a lone surrogate, which is half a character") from None
    if len(encoded) > MOST_BYTES:
        raise ValueError(f"cannot store {key!r}: {len(encoded)} bytes are more than the {MOST_BYTES} of one value")
    return encoded


def _check(value: Any, key: str, where: str, depth: int) -> None:
    """Raise an error that says where it sits if a value is not of the types that can be stored."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is not list and kind is not dict:
        raise TypeError(_refusal(value, key, where))
    if depth >= _MOST_DEPTH:
        raise ValueError(f"cannot store {key!r}: its lists and dicts nest deeper than {_MOST_DEPTH}, or in a circle")
    if kind is dict and not set(map(type, value)) <= _SCALARS:
        wrong = next(each for each in value if type(each) not in _SCALARS)
        raise TypeError(_refusal(wrong, key, f"{where} (a key of the dict)"))
    if not set(map(type, value.values() if kind is dict else value)) <= _SCALARS:
        for name, item in _items(value):
            _check(item, key, f"{where}[{name!r}]", depth + 1)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if type(value) is dict else enumerate(value)


def _refusal(value: Any, key: str, where: str) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    place = f" at {where.strip()}" if where else ""
    hint = "; make it a list" if isinstance(value, tuple | set | frozenset) else ""
    return f"cannot store {key!r}: a {kind}{place} is none of None, bool, int, float, str, bytes, list and dict{hint}"


def _encode_big(key: str, value: Any) -> bytes:
    try:
        return _encoder.encode(_with_big_ints(value))
    except OverflowError:
        raise ValueError(f"cannot store {key!r}: a key of its dict is an int of more than 64 bits") from None


def _with_big_ints(value: Any) -> Any:
    """Return a copy in which ints beyond 64 bits are extensions."""
    if type(value) is list:
        return [_with_big_ints(item) for item in value]
    if type(value) is dict:
        return {name: _with_big_ints(item) for name, item in value.items()}
    if type(value) is int and value.bit_length() > 63:
        return msgspec.msgpack.Ext(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    return value
