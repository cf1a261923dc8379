"""The tree that wire Values are read into and written from, and what can be wrong with a Value (protocol section 5).

:mod:`msgspec` reads and writes these structs at about twice the speed of dicts.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

DEFAULT_MAX_DEPTH = 128


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


class Unsendable(TypeError, ValueError):  # noqa: N818 - names the value's state
    """A Python value that no wire Value stands for; the message says what it is, and where."""


class Fault(Exception):  # noqa: N818 - never leaves the protocol package
    """What is wrong with a value; the way to it is put together while the walk unwinds, so that no walk pays for it."""

    # A value that contains itself has a way as long as the deepest nesting allowed.
    _LONGEST_WAY = 12

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self._steps: list[str] = []

    def inside(self, step: object) -> None:
        """Note that the fault is in the item ``step`` of a list or dict."""
        if isinstance(step, (str, int, float, type(None))):
            self._steps.append(f"[{shortened(repr(step))}]")
        else:
            self._steps.append(f"[{type(step).__name__}]")

    def at(self, where: str) -> str:
        """Return the sentence for people; ``where`` is the name of the whole value."""
        way = self._steps[::-1]
        if len(way) > self._LONGEST_WAY:
            way = [*way[: self._LONGEST_WAY], "…"]
        return f"{self} at {where}{''.join(way)}"


def shortened(text: str, most: int = 80) -> str:
    """Return text for a message: what a peer sent may be megabytes."""
    return text if len(text) <= most else f"{text[:most]}…"


def argument_name(index: int, positional: int, name: str) -> str:
    """Return what to call an argument in an error."""
    return f"args[{index}]" if index < positional else f"kwargs[{shortened(repr(name))}]"


class NullNode(msgspec.Struct, tag="null", gc=False):
    """None."""

    value: ClassVar[None] = None


class BoolNode(msgspec.Struct, tag="bool", gc=False):
    """A truth value."""

    value: bool


class IntNode(msgspec.Struct, tag="int", gc=False):
    """An integer of any size."""

    value: int


class FloatNode(msgspec.Struct, tag="float", gc=False):
    """A finite float; on the wire it may be written as an integer."""

    value: float


class StringNode(msgspec.Struct, tag="string", gc=False):
    """Text."""

    value: str


class ListNode(msgspec.Struct, tag="list", gc=False):
    """A list or tuple."""

    items: list[Node] = []


class DictNode(msgspec.Struct, tag="dict", gc=False):
    """A dict with text as keys, in its order."""

    entries: dict[str, Node] = {}


class RemoteNode(msgspec.Struct, tag="remote", gc=False):
    """An instance that lives in a plugin."""

    remote: RemoteRef


class CallbackNode(msgspec.Struct, tag="callback", gc=False):
    """A function that lives in the host."""

    callback: CallbackRef


Node = NullNode | BoolNode | IntNode | FloatNode | StringNode | ListNode | DictNode | RemoteNode | CallbackNode

SCALARS: frozenset[type] = frozenset((NullNode, BoolNode, IntNode, FloatNode, StringNode))

decode_node = msgspec.json.Decoder(Node).decode
decode_json = msgspec.json.Decoder().decode
encode_node = msgspec.json.Encoder().encode
