"""Python values as wire Values and back (protocol section 5).

Both directions go through a tree of small structs, because :mod:`msgspec` reads and writes those at about twice the
speed of dicts. What does not fit the structs (a missing type, a malformed Value) is read a second time as plain JSON,
by rules that are more lenient where the protocol asks for it and that name the place of what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

DEFAULT_MAX_DEPTH = 128

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Python reads and writes no decimal integer of more than 4,300 digits; those have at most this many bits.
_MOST_BITS = 14_284
# Up to here a float that holds a whole number cannot have been rounded.
_EXACT_FLOAT = 2**53


class RemoteRef(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """Reference to an instance that lives in a plugin: also, unwrapped, the result of ``object.new``."""

    library: str
    class_name: str
    id: str


class CallbackRef(msgspec.Struct, frozen=True):
    """Reference to a function that lives in the host."""

    id: str


class Undecodable(ValueError):  # noqa: N818 - names the value's state
    """A wire Value that stands for nothing; the message says what is wrong, and where."""


class Unsendable(TypeError, ValueError):  # noqa: N818 - as above
    """A Python value that no wire Value stands for; the message says what it is, and where."""


# -- the tree ----------------------------------------------------------------------------------------------------------


class _Null(msgspec.Struct, tag="null", gc=False):
    value: ClassVar[None] = None


class _Bool(msgspec.Struct, tag="bool", gc=False):
    value: bool


class _Int(msgspec.Struct, tag="int", gc=False):
    value: int


class _Float(msgspec.Struct, tag="float", gc=False):
    value: float


class _String(msgspec.Struct, tag="string", gc=False):
    value: str


class _List(msgspec.Struct, tag="list", gc=False):
    items: list[_Node] = []


class _Dict(msgspec.Struct, tag="dict", gc=False):
    entries: dict[str, _Node] = {}


class _Remote(msgspec.Struct, tag="remote", gc=False):
    remote: RemoteRef


class _Callback(msgspec.Struct, tag="callback", gc=False):
    callback: CallbackRef


_Node = _Null | _Bool | _Int | _Float | _String | _List | _Dict | _Remote | _Callback

_SCALARS: frozenset[type] = frozenset((_Null, _Bool, _Int, _Float, _String))

_decode_node = msgspec.json.Decoder(_Node).decode
_decode_json = msgspec.json.Decoder().decode
_encode_node = msgspec.json.Encoder().encode


# -- from the wire -----------------------------------------------------------------------------------------------------


class ValueDecoder:
    """Makes Python values of wire Values.

    :param callback: called with a callback's id, returns what the value becomes; None refuses callbacks
    :param remote: the same for references to instances
    :param max_depth: most lists and dicts within one another; ``[]`` is one
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
        :raises Undecodable: it is no Value; what ``callback`` and ``remote`` raise passes through
        """
        try:
            node = _decode_node(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_leniently(raw, where)
        if type(node) in _SCALARS:
            return node.value
        return self._value(node, where, 1)

    def from_wire(self, wire: Any, where: str = "value") -> Any:
        """Return the Python value of a Value that is parsed JSON, or JSON text in a :class:`msgspec.Raw`.

        :raises Undecodable: as :meth:`decode`
        """
        if isinstance(wire, Raw):
            return self.decode(wire, where)
        return self._lenient(wire, where, 1)

    def arguments(self, args: Sequence[Raw], kwargs: Mapping[str, Raw]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a call; an error names the one that cannot be decoded.

        :raises Undecodable: as :meth:`decode`
        """
        positional = [self.decode(raw, f"args[{index}]") for index, raw in enumerate(args)]
        if not kwargs:
            return positional, {}
        return positional, {name: self.decode(raw, f"kwargs[{name!r}]") for name, raw in kwargs.items()}

    def _value(self, node: Any, where: str, depth: int) -> Any:
        """Return the value of a node that is not a scalar."""
        kind = type(node)
        if kind is _Remote:
            return self._resolve_remote(node.remote, where)
        if kind is _Callback:
            return self._resolve_callback(node.callback.id, where)
        self._check_depth(depth, where)
        deeper = depth + 1
        if kind is _List:
            return [item.value if type(item) in _SCALARS else self._value(item, where, deeper) for item in node.items]
        return {
            key: item.value if type(item) in _SCALARS else self._value(item, where, deeper)
            for key, item in node.entries.items()
        }

    def _check_depth(self, depth: int, where: str) -> None:
        if depth > self._max_depth:
            raise Undecodable(f"{where} is nested more than {self._max_depth} levels deep")

    def _resolve_remote(self, reference: RemoteRef, where: str) -> Any:
        if self._remote is None:
            raise Undecodable(f"references to plugin objects cannot be used here (at {where})")
        return self._remote(reference)

    def _resolve_callback(self, id: str, where: str) -> Any:
        if self._callback is None:
            raise Undecodable(f"callbacks cannot be used here (at {where})")
        return self._callback(id)

    # -- the second, careful reading

    def _decode_leniently(self, raw: bytes | Raw, where: str) -> Any:
        try:
            wire = _decode_json(raw)
        except RecursionError:
            raise Undecodable(f"{where} is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Undecodable(f"cannot decode {where}: {error}") from None
        return self._lenient(wire, where, 1)

    def _lenient(self, wire: Any, where: str, depth: int) -> Any:
        """Return the value of parsed JSON, or say where it is no Value."""
        if not isinstance(wire, dict):
            raise Undecodable(f"{where} is no plugin transport value: it must be an object with a type")
        kind = wire.get("type")
        if kind is None or kind in {"", "null"}:
            return None
        if kind == "list":
            return self._lenient_list(_member(wire, "items", list, where) or [], where, depth)
        if kind == "dict":
            return self._lenient_dict(_member(wire, "entries", dict, where) or {}, where, depth)
        if kind == "remote":
            return self._resolve_remote(_reference(wire, "remote", RemoteRef, where), where)
        if kind == "callback":
            return self._resolve_callback(_reference(wire, "callback", CallbackRef, where).id, where)
        return _lenient_scalar(kind, wire.get("value"), where)

    def _lenient_list(self, items: list[Any], where: str, depth: int) -> list[Any]:
        self._check_depth(depth, where)
        return [self._lenient(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(items)]

    def _lenient_dict(self, entries: dict[Any, Any], where: str, depth: int) -> dict[str, Any]:
        self._check_depth(depth, where)
        return {key: self._lenient(item, f"{where}[{key!r}]", depth + 1) for key, item in entries.items()}


def _member(wire: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """Return a member that is of a type, missing or null."""
    member = wire.get(name)
    if member is None or isinstance(member, kind):
        return member
    raise Undecodable(f"cannot decode {where}: {name} of a {wire['type']} must be {_JSON_NAMES[kind]}")


_JSON_NAMES: dict[type, str] = {list: "an array", dict: "an object"}


def _reference(wire: dict[str, Any], name: str, kind: type[msgspec.Struct], where: str) -> Any:
    """Return the reference in a ``remote`` or ``callback``."""
    try:
        return msgspec.convert(wire.get(name), kind)
    except msgspec.ValidationError as error:
        raise Undecodable(f"cannot decode {where}: malformed {name} reference: {error}") from None


def _lenient_scalar(kind: Any, value: Any, where: str) -> Any:
    """Return the value of a scalar.

    Peers that hold every number in a double write whole ones as floats; those are integers where that is exact.
    """
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "string" and isinstance(value, str):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "int" and number and (isinstance(value, int) or (value.is_integer() and abs(value) <= _EXACT_FLOAT)):
        return int(value)
    if kind == "float" and number:
        return _float(value, where)
    if kind in ("bool", "string", "int", "float"):
        raise Undecodable(f"cannot decode {where}: the value does not fit the type {kind}")
    shown = kind if isinstance(kind, str) else repr(kind)
    raise Undecodable(f'unsupported plugin transport value type "{shown}" at {where}')


def _float(value: int | float, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Undecodable(f"cannot decode {where}: the number is too large for a float") from None


# -- to the wire -------------------------------------------------------------------------------------------------------


class _Fault(Exception):  # noqa: N818 - as above
    """Why a value cannot be sent; the way to it is put together while the walk unwinds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []


class ValueEncoder:
    """Makes wire Values of Python values.

    :param reference: called with whatever is not plain data; returns the Value to send for it
        (``{"type": "remote", …}`` or ``{"type": "callback", …}``), or None if there is none
    :param big_ints: whether the peer takes integers that do not fit 64 bits (capability ``big_integers``)
    :param max_depth: most lists and dicts within one another; ``[]`` is one
    """

    def __init__(
        self,
        reference: Callable[[Any], dict[str, Any] | None] | None = None,
        big_ints: bool = False,
        max_depth: int = DEFAULT_MAX_DEPTH,
    ) -> None:
        self._reference = reference
        self._big_ints = big_ints
        self._max_depth = max_depth

    def encode(self, value: Any, where: str = "result") -> bytes:
        """Return the JSON text of the Value for ``value``.

        :param where: what to call the value in an error
        :raises Unsendable: something in it cannot be sent; what ``reference`` raises passes through
        """
        try:
            node = self._node(value, 1)
        except _Fault as fault:
            place = where + "".join(reversed(fault.steps))
            raise Unsendable(f"{fault} at {place}") from None
        except RecursionError:
            raise Unsendable(f"cannot send {where}: it is nested too deeply") from None
        try:
            return _encode_node(node)
        except UnicodeEncodeError:
            place = where + (_surrogate_place(node) or "")
            raise Unsendable(f"cannot send text with half a surrogate pair at {place}") from None

    def to_wire(self, value: Any, where: str = "result") -> Any:
        """Return the Value for ``value`` as parsed JSON.

        :raises Unsendable: as :meth:`encode`
        """
        return _decode_json(self.encode(value, where))

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Raw], dict[str, Raw]]:
        """Return the Values for the arguments of a call; an error names the one that cannot be sent.

        :raises Unsendable: as :meth:`encode`
        """
        positional = [Raw(self.encode(value, f"args[{index}]")) for index, value in enumerate(args)]
        return positional, {name: Raw(self.encode(value, f"kwargs[{name!r}]")) for name, value in kwargs.items()}

    def _node(self, value: Any, depth: int) -> Any:  # noqa: PLR0911 - the hot path asks nothing twice
        """Return the node for a value; the commonest types first, subclasses after all of them."""
        kind = type(value)
        if kind is str:
            return _String(value)
        if kind is int:
            return _Int(value) if _INT64_MIN <= value <= _INT64_MAX else self._big_int(value)
        if value is None:
            return _Null()
        if kind is bool:
            return _Bool(value)
        if kind is float:
            return _finite(value)
        if kind is dict:
            return self._dict(value, depth)
        if kind is list or kind is tuple:
            return self._list(value, depth)
        return self._unusual(value, depth)

    def _unusual(self, value: Any, depth: int) -> Any:
        """Return the node for an instance of a subclass, as its base, or for what ``reference`` knows."""
        if isinstance(value, str):
            return _String(str.__str__(value))
        if isinstance(value, int):
            return self._node(int.__int__(value), depth)
        if isinstance(value, float):
            return _finite(float.__float__(value))
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, (list, tuple)):
            return self._list(list(value), depth)
        node = self._reference(value) if self._reference else None
        if node is None:
            raise _Fault(f"cannot send {_type_name(value)}")
        return node

    def _big_int(self, value: int) -> _Int:
        if not self._big_ints:
            raise _Fault("cannot send an integer that does not fit 64 bits")
        if value.bit_length() > _MOST_BITS:
            raise _Fault("cannot send an integer of more than 4,300 digits")
        return _Int(value)

    def _list(self, value: Sequence[Any], depth: int) -> _List:
        self._check_depth(depth)
        uniform = _uniform(value)
        if uniform is not None:
            return _List(uniform)
        nodes: list[Any] = []
        try:
            for item in value:
                nodes.append(self._node(item, depth + 1))
        except _Fault as fault:
            fault.steps.append(f"[{len(nodes)}]")
            raise
        return _List(nodes)

    def _dict(self, value: Mapping[Any, Any], depth: int) -> _Dict:
        self._check_depth(depth)
        nodes: dict[str, Any] = {}
        key: Any = None
        try:
            for key, item in value.items():
                name = key if type(key) is str else _key(key)
                nodes[name] = _String(item) if type(item) is str else self._node(item, depth + 1)
        except _Fault as fault:
            fault.steps.append(f"[{key!r}]")
            raise
        return _Dict(nodes)

    def _check_depth(self, depth: int) -> None:
        if depth > self._max_depth:
            raise _Fault(f"cannot send more than {self._max_depth} levels of nesting, or what contains itself")


def _uniform(items: Sequence[Any]) -> list[Any] | None:
    """Return the nodes of items that are all text, all 64-bit integers or all finite floats; None for others."""
    kinds = set(map(type, items))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        return list(map(_String, items))
    if kind is int and min(items) >= _INT64_MIN and max(items) <= _INT64_MAX:
        return list(map(_Int, items))
    if kind is float and all(map(isfinite, items)):
        return list(map(_Float, items))
    return None


def _finite(value: float) -> _Float:
    if not isfinite(value):
        raise _Fault(f"cannot send the float {value}")
    return _Float(value)


def _key(key: Any) -> str:
    """Return a dict's key as plain text."""
    if isinstance(key, str):
        return str.__str__(key)
    raise _Fault(f"plugin transport only supports dicts with string keys, not {_type_name(key)},")


def _type_name(value: Any) -> str:
    """Return the name that people know a value's type by."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _surrogate_place(node: Any) -> str | None:
    """Return the way to the first text in a tree that UTF-8 cannot hold; None if there is none."""
    if isinstance(node, _String):
        return "" if _has_surrogate(node.value) else None
    if isinstance(node, _List):
        steps = ((f"[{index}]", item) for index, item in enumerate(node.items))
    elif isinstance(node, _Dict):
        for key in node.entries:
            if _has_surrogate(key):
                return f"[{key!r}]"
        steps = ((f"[{key!r}]", item) for key, item in node.entries.items())
    else:
        return None
    return next((step + place for step, item in steps if (place := _surrogate_place(item)) is not None), None)


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
