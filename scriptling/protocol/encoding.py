"""From Python values to wire Values (protocol section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from msgspec import Raw

from scriptling.protocol.nodes import (
    DEFAULT_MAX_DEPTH,
    BoolNode,
    DictNode,
    Fault,
    FloatNode,
    IntNode,
    ListNode,
    NullNode,
    StringNode,
    Unsendable,
    argument_name,
    decode_json,
    encode_node,
)

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Python reads no decimal integer of more than 4,300 digits, and msgspec counts a minus sign as one; this many bits fit.
MOST_BITS = 14_280


class ValueEncoder:
    """Makes wire Values of Python values.

    :param reference: called with whatever is not plain data; returns the Value to send for it
        (``{"type": "remote", …}`` or ``{"type": "callback", …}``), or None if there is none
    :param big_ints: whether the peer takes integers that do not fit 64 bits (capability ``big_integers``)
    :param max_depth: most lists and dicts within one another; ``[]`` is one

    What ``reference`` raises passes through.
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
        :raises Unsendable: something in it cannot be sent
        """
        try:
            return self._encode(value)
        except Fault as fault:
            raise Unsendable(fault.at(where)) from None

    def to_wire(self, value: Any, where: str = "result") -> Any:
        """Return the Value for ``value`` as parsed JSON.

        :raises Unsendable: something in it cannot be sent
        """
        return decode_json(self.encode(value, where))

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Raw], dict[str, Raw]]:
        """Return the Values for the arguments of a call; an error names the one that cannot be sent.

        :raises Unsendable: something in one of them cannot be sent
        """
        positional: list[Raw] = []
        named: dict[str, Raw] = {}
        name = ""
        try:
            for value in args:
                positional.append(Raw(self._encode(value)))
            for name, value in kwargs.items():
                check_text(name)
                named[name] = Raw(self._encode(value))
        except Fault as fault:
            raise Unsendable(fault.at(argument_name(len(positional), len(args), name))) from None
        return positional, named

    def _encode(self, value: Any) -> bytes:
        """Return the JSON text for a value, or raise the fault."""
        try:
            node = self._node(value, 1)
        except RecursionError:
            raise Fault("cannot send so many levels of nesting") from None
        try:
            return encode_node(node)
        except (ValueError, RecursionError) as error:
            _find_surrogate(node)
            raise Fault(f"cannot send the value ({error})") from None

    def _node(self, value: Any, depth: int) -> Any:  # noqa: PLR0911 - the hot path asks nothing twice
        """Return the node for a value; the commonest types first, subclasses after all of them."""
        kind = type(value)
        if kind is str:
            return StringNode(value)
        if kind is int:
            return IntNode(value) if _INT64_MIN <= value <= _INT64_MAX else self._big_int(value)
        if value is None:
            return NullNode()
        if kind is bool:
            return BoolNode(value)
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
            return StringNode(str.__str__(value))
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
            raise Fault(f"cannot send {type_name(value)}")
        return node

    def _big_int(self, value: int) -> IntNode:
        if not self._big_ints:
            raise Fault("cannot send an integer that does not fit 64 bits,")
        if value.bit_length() > MOST_BITS:
            raise Fault("cannot send an integer of more than 14,280 bits,")
        return IntNode(value)

    def _list(self, value: Sequence[Any], depth: int) -> ListNode:
        self._check_depth(depth)
        nodes = _uniform(value)
        if nodes is not None:
            return ListNode(nodes)
        nodes = []
        try:
            for item in value:
                nodes.append(self._node(item, depth + 1))
        except Fault as fault:
            fault.inside(len(nodes))
            raise
        return ListNode(nodes)

    def _dict(self, value: Mapping[Any, Any], depth: int) -> DictNode:
        self._check_depth(depth)
        nodes: dict[str, Any] = {}
        key: Any = None
        try:
            for key, item in value.items():
                name = key if type(key) is str else _key(key)
                nodes[name] = StringNode(item) if type(item) is str else self._node(item, depth + 1)
        except Fault as fault:
            fault.inside(key)
            raise
        return DictNode(nodes)

    def _check_depth(self, depth: int) -> None:
        if depth > self._max_depth:
            raise Fault(f"cannot send more than {self._max_depth} levels of nesting, or what contains itself,")


def _uniform(items: Sequence[Any]) -> list[Any] | None:
    """Return the nodes of items that are all text, all 64-bit integers or all finite floats; None for others."""
    kinds = set(map(type, items))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        return list(map(StringNode, items))
    if kind is int and min(items) >= _INT64_MIN and max(items) <= _INT64_MAX:
        return list(map(IntNode, items))
    if kind is float and all(map(isfinite, items)):
        return list(map(FloatNode, items))
    return None


def _finite(value: float) -> FloatNode:
    if not isfinite(value):
        raise Fault(f"cannot send the float {value}")
    return FloatNode(value)


def _key(key: Any) -> str:
    """Return a dict's key as plain text."""
    if isinstance(key, str):
        return str.__str__(key)
    raise Fault(f"plugin transport only supports dicts with string keys, not {type_name(key)},")


def type_name(value: Any) -> str:
    """Return the name that people know a value's type by."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _find_surrogate(node: Any) -> None:
    """Raise the fault, with its place, for the first text in a tree that UTF-8 cannot hold."""
    steps: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, StringNode):
        check_text(node.value)
    elif isinstance(node, ListNode):
        steps = enumerate(node.items)
    elif isinstance(node, DictNode):
        steps = node.entries.items()
    check_members(steps, _find_surrogate)


def check_members(steps: Iterable[tuple[Any, Any]], check: Callable[[Any], None]) -> None:
    """Check what is in a list or dict, and the keys of a dict; a fault that is raised tells its place.

    :param steps: pairs of an index or key and what is there
    :raises Fault: by ``check``, or because a key holds half a surrogate pair
    """
    for step, item in steps:
        try:
            if isinstance(step, str):
                check_text(step)
            check(item)
        except Fault as fault:
            fault.inside(step)
            raise


def check_text(text: str) -> None:
    """Hold that UTF-8 can take a text.

    :raises Fault: it holds half a surrogate pair
    """
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Fault("cannot send text with half a surrogate pair,")
