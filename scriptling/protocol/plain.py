"""Plain JSON, without the types of wire Values: for JSON-RPC methods and HTTP handlers of scripts.

The same rules as for Values (protocol section 5) say what can be sent: None, bool, int, float, str, lists, tuples and
dicts with text as keys, and what derives from them. Anything else is an error that names its place, and nothing is
silently written as something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from scriptling.protocol.encoding import MOST_BITS, check_members, check_text, type_name
from scriptling.protocol.nodes import (
    DEFAULT_MAX_DEPTH,
    Fault,
    Undecodable,
    Unsendable,
    decode_json,
    encode_node,
)

_TEXT_AND_NUMBERS = frozenset((str, int, bool, type(None)))


def encode_plain(value: Any, where: str = "result", max_depth: int = DEFAULT_MAX_DEPTH) -> bytes:
    """Return the JSON text for a value.

    :param where: what to call the value in an error
    :param max_depth: most lists and dicts within one another; ``[]`` is one
    :raises Unsendable: something in it cannot be sent
    """
    try:
        plain = _plain(value, max_depth)
        try:
            return encode_node(plain)
        except (ValueError, RecursionError):
            _find_surrogate(plain)
            raise
    except Fault as fault:
        raise Unsendable(fault.at(where)) from None
    except (ValueError, RecursionError) as error:
        raise Unsendable(f"cannot send the value ({error}) at {where}") from None


def _plain(value: Any, room: int) -> Any:
    """Return a value of exactly the types that JSON has; ``room`` is how many levels may still follow."""
    kind = type(value)
    if kind is int:
        return _whole(value)
    if kind in _TEXT_AND_NUMBERS:
        return value
    if isinstance(value, dict):
        return _object(value, room)
    if isinstance(value, (list, tuple)):
        return _array(value, room)
    return _scalar(value)


def _scalar(value: Any) -> str | int | float:
    """Return a float, or an instance of a subclass as what it derives from."""
    if isinstance(value, float):
        return _finite(float.__float__(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _whole(int.__int__(value))
    raise Fault(f"cannot send {type_name(value)}")


def _whole(value: int) -> int:
    if value.bit_length() > MOST_BITS:
        raise Fault("cannot send an integer of more than 14,280 bits,")
    return value


def _finite(value: float) -> float:
    if not isfinite(value):
        raise Fault(f"cannot send the float {value}")
    return value


def _array(value: Iterable[Any], room: int) -> list[Any]:
    _check_room(room)
    items: list[Any] = []
    try:
        for item in value:
            items.append(_plain(item, room - 1))
    except Fault as fault:
        fault.inside(len(items))
        raise
    return items


def _object(value: dict[Any, Any], room: int) -> dict[str, Any]:
    _check_room(room)
    members: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            members[key if type(key) is str else _key(key)] = _plain(item, room - 1)
    except Fault as fault:
        fault.inside(key)
        raise
    return members


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise Fault(f"JSON has only text as keys, not {type_name(key)},")
    return str.__str__(key)


def _check_room(room: int) -> None:
    if room <= 0:
        raise Fault("cannot send so many levels of nesting, or what contains itself,")


def _find_surrogate(value: Any) -> None:
    """Raise the fault, with its place, for the first text that UTF-8 cannot hold."""
    steps: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, list):
        steps = enumerate(value)
    elif isinstance(value, dict):
        steps = value.items()
    check_members(steps, _find_surrogate)


def decode_plain(text: bytes, where: str = "params", max_depth: int = DEFAULT_MAX_DEPTH) -> Any:
    """Return the value that a JSON text stands for.

    :param where: what to call the text in an error
    :raises Undecodable: it is no JSON, or nested more deeply than ``max_depth``
    """
    try:
        value = decode_json(text)
        _check_depth(value, max_depth)
    except RecursionError:
        raise Undecodable(f"{where} has too many levels of nesting; at most {max_depth} are taken") from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError are
        raise Undecodable(f"{where} is not JSON: {error}") from None
    return value


def _check_depth(value: Any, room: int) -> None:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if room <= 0:
        raise RecursionError
    for item in value:
        if isinstance(item, (list, dict)):
            _check_depth(item, room - 1)
