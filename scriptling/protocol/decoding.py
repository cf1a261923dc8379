"""From wire Values to Python values (protocol section 5).

What does not fit the structs of :mod:`.nodes` (a missing type, a malformed Value) is read a second time as plain JSON,
by rules that are more lenient where the protocol asks for it and that know the place of what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from scriptling.protocol.events import FAULTS
from scriptling.protocol.nodes import (
    DEFAULT_MAX_DEPTH,
    SCALARS,
    CallbackNode,
    CallbackRef,
    Fault,
    ListNode,
    RemoteNode,
    RemoteRef,
    Undecodable,
    argument_name,
    decode_json,
    decode_node,
    shortened,
)

# Up to here a float that holds a whole number cannot have been rounded.
_EXACT_FLOAT = 2**53


class ValueDecoder:
    """Makes Python values of wire Values.

    :param callback: called with a callback's id, returns what the value becomes; None refuses callbacks
    :param remote: the same for references to instances
    :param max_depth: most lists and dicts within one another; ``[]`` is one

    What ``callback`` and ``remote`` raise passes through.
    """

    def __init__(
        self,
        callback: Callable[[str], Any] | None = None,
        remote: Callable[[RemoteRef], Any] | None = None,
        max_depth: int = DEFAULT_MAX_DEPTH,
    ) -> None:
        self._callback = callback
        self._remote = remote
        self._max_depth = max_depth

    def decode(self, raw: bytes | Raw, where: str = "value") -> Any:
        """Return the Python value of one Value's JSON text.

        :param where: what to call the Value in an error
        :raises Undecodable: it is no Value
        """
        try:
            return self._decode(raw)
        except Fault as fault:
            raise Undecodable(fault.at(where)) from None

    def from_wire(self, wire: Any, where: str = "value") -> Any:
        """Return the Python value of a Value that is parsed JSON, or JSON text in a :class:`msgspec.Raw`.

        :raises Undecodable: it is no Value
        """
        try:
            return self._decode(wire) if isinstance(wire, Raw) else self._lenient(wire, 1)
        except Fault as fault:
            raise Undecodable(fault.at(where)) from None

    def arguments(self, args: Sequence[Raw], kwargs: Mapping[str, Raw]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a call; an error names the one that cannot be decoded.

        :raises Undecodable: one of them is no Value
        """
        positional: list[Any] = []
        named: dict[str, Any] = {}
        where = ""
        try:
            for raw in args:
                positional.append(self._decode(raw))
            for where, raw in kwargs.items():
                named[where] = self._decode(raw)
        except Fault as fault:
            raise Undecodable(fault.at(argument_name(len(positional), len(args), where))) from None
        return positional, named

    def _decode(self, raw: bytes | Raw) -> Any:
        """Return the value of JSON text, or raise the fault."""
        try:
            node: Any = decode_node(raw)
        except FAULTS:
            return self._lenient(_json(raw), 1)
        if type(node) in SCALARS:
            return node.value
        try:
            return self._value(node, 1)
        except Fault:
            # Read again, to know the place.
            return self._lenient(_json(raw), 1)

    def _value(self, node: Any, depth: int) -> Any:
        """Return the value of a node that is not a scalar."""
        if isinstance(node, RemoteNode):
            return self._resolve_remote(node.remote)
        if isinstance(node, CallbackNode):
            return self._resolve_callback(node.callback.id)
        self._check_depth(depth)
        deeper = depth + 1
        if type(node) is ListNode:
            items: list[Any] = node.items
            return [item.value if type(item) in SCALARS else self._value(item, deeper) for item in items]
        entries: dict[str, Any] = node.entries
        return {
            key: item.value if type(item) in SCALARS else self._value(item, deeper) for key, item in entries.items()
        }

    def _check_depth(self, depth: int) -> None:
        if depth > self._max_depth:
            raise Fault(f"cannot decode more than {self._max_depth} levels of nesting")

    def _resolve_remote(self, reference: RemoteRef) -> Any:
        if self._remote is None:
            raise Fault("references to plugin objects cannot be used here,")
        return self._remote(reference)

    def _resolve_callback(self, id: str) -> Any:
        if self._callback is None:
            raise Fault("callbacks cannot be used here,")
        return self._callback(id)

    # -- the second, careful reading

    def _lenient(self, wire: Any, depth: int) -> Any:
        """Return the value of parsed JSON, or raise the fault with its place."""
        kind = _kind(wire)
        if kind in ("", "null"):
            return None
        if kind == "list":
            return self._items(_member(wire, "items", list) or [], depth)
        if kind == "dict":
            return self._entries(_member(wire, "entries", dict) or {}, depth)
        if kind == "remote":
            return self._resolve_remote(_reference(wire, RemoteRef))
        if kind == "callback":
            return self._resolve_callback(_reference(wire, CallbackRef).id)
        return _lenient_scalar(kind, wire.get("value"))

    def _items(self, items: list[Any], depth: int) -> list[Any]:
        self._check_depth(depth)
        values: list[Any] = []
        try:
            for item in items:
                values.append(self._lenient(item, depth + 1))
        except Fault as fault:
            fault.inside(len(values))
            raise
        return values

    def _entries(self, entries: dict[str, Any], depth: int) -> dict[str, Any]:
        self._check_depth(depth)
        values: dict[str, Any] = {}
        key = ""
        try:
            for key, item in entries.items():
                values[key] = self._lenient(item, depth + 1)
        except Fault as fault:
            fault.inside(key)
            raise
        return values


def _json(raw: bytes | Raw) -> Any:
    """Return parsed JSON, or raise the fault; nothing at all is null, as in a response without a result."""
    try:
        return decode_json(raw or b"null")
    except RecursionError:
        raise Fault("cannot decode so many levels of nesting") from None
    except FAULTS as error:
        raise Fault(f"cannot decode the value ({error})") from None


def _kind(wire: Any) -> Any:
    """Return the type that a Value says it has; without one it is null, as ``null`` itself is."""
    if wire is None:
        return "null"
    if isinstance(wire, dict):
        kind = wire.get("type")
        return "null" if kind is None else kind
    raise Fault("cannot decode what is no object with a type,")


_JSON_NAMES: dict[type, str] = {list: "an array", dict: "an object"}


def _member(wire: dict[str, Any], name: str, kind: type) -> Any:
    """Return a member that is of a type, missing or null."""
    member = wire.get(name)
    if member is None or isinstance(member, kind):
        return member
    raise Fault(f"cannot decode a {wire['type']} whose {name} are not {_JSON_NAMES[kind]},")


def _reference(wire: dict[str, Any], kind: type[msgspec.Struct]) -> Any:
    """Return the reference in a ``remote`` or ``callback``."""
    name = wire["type"]
    try:
        return msgspec.convert(wire.get(name), kind)
    except msgspec.ValidationError as error:
        raise Fault(f"cannot decode the {name} reference ({error})") from None


def _lenient_scalar(kind: Any, value: Any) -> Any:
    """Return the value of a scalar.

    Peers that hold every number in a double write whole ones as floats; those are integers where that is exact.
    """
    if not isinstance(kind, str) or kind not in ("bool", "string", "int", "float"):
        shown = kind if isinstance(kind, str) else repr(kind)
        raise Fault(f'unsupported plugin transport value type "{shortened(shown)}"')
    if (kind == "bool" and isinstance(value, bool)) or (kind == "string" and isinstance(value, str)):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if kind == "float":
            return _float(value)
        if kind == "int" and (isinstance(value, int) or (value.is_integer() and abs(value) <= _EXACT_FLOAT)):
            return int(value)
    raise Fault(f"cannot decode a value that does not fit its type {kind},")


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Fault("cannot decode a number that is too large for a float,") from None
