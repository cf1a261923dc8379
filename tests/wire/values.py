"""Values of the protocol as plain Python, coded a second time so that the tests do not trust the code under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Remote(NamedTuple):
    """A reference to an instance that lives in the plugin."""

    library: str
    class_name: str
    id: str


class Raw(NamedTuple):
    """A wire value that is sent exactly as it is."""

    wire: Any


class CallFailedError(Exception):
    """An error answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


def to_wire(value: Any, callback: Callable[[Callable[..., Any]], str]) -> Any:
    """Return the wire form; ``callback`` gives a function the id that it travels under."""
    match value:
        case Raw():
            return value.wire
        case Remote():
            return {"type": "remote", "remote": bare_reference(value)}
        case None:
            return {"type": "null"}
        case bool() | int() | float() | str():
            return {"type": {bool: "bool", int: "int", float: "float", str: "string"}[type(value)], "value": value}
        case list() | tuple():
            return {"type": "list", "items": [to_wire(item, callback) for item in value]}
        case dict():
            return {"type": "dict", "entries": {key: to_wire(item, callback) for key, item in value.items()}}
    assert callable(value), value
    return {"type": "callback", "callback": {"id": callback(value)}}


def bare_reference(reference: Remote) -> dict[str, str]:
    """Return a reference as ``object.new`` answers it."""
    return {"library": reference.library, "class": reference.class_name, "id": reference.id}


def to_reference(bare: dict[str, str]) -> Remote:
    """Return the reference that ``object.new`` has answered, and nothing more may be in it."""
    assert set(bare) == {"library", "class", "id"}, bare
    assert all(type(text) is str for text in bare.values()), bare
    return Remote(bare["library"], bare["class"], bare["id"])


def from_wire(wire: Any) -> Any:
    """Return what a wire value of the plugin stands for; it must be exactly one of those in protocol section 5."""
    match wire:
        case {"type": "null", **rest} if not rest:
            return None
        case {"type": "list", "items": items, **rest} if not rest:
            return [from_wire(item) for item in items]
        case {"type": "dict", "entries": entries, **rest} if not rest:
            return {key: from_wire(item) for key, item in entries.items()}
        case {"type": "list" | "dict" as kind, **rest} if not rest:
            return [] if kind == "list" else {}
        case {"type": "remote", "remote": reference, **rest} if not rest:
            return to_reference(reference)
        case {"type": "float", "value": int() | float() as number, **rest} if not rest:
            return float(number)
        case {"type": kind, "value": value, **rest} if not rest:
            assert type(value) is {"bool": bool, "int": int, "string": str}[kind], wire
            return value
    raise AssertionError(f"no value of the protocol: {wire}")
