"""Values that are copied from one process of ours to another: which may be, and how.

The types are those that :func:`check` is told, and none that are derived from them, because what arrives is a copy that
knows nothing of the class. The bytes are ``marshal``'s: both ends are the same Python, started by the same user.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import Any

PLAIN: tuple[type, ...] = (type(None), bool, int, float, str, list, tuple, dict, set)
"""What may be passed to a task or a sandbox (runtime facts, ``background``)."""
WITH_BYTES = (*PLAIN, bytes)

_DEEPEST = 200  # lists in one another


class NotCopyableError(TypeError):
    """A value cannot be passed to another process; the text says where it stands and what may be passed."""


def pack(value: Any, where: str, types: tuple[type, ...] = PLAIN) -> bytes:
    """Return the bytes of a value.

    :param where: how a person would write the place of the value, for messages: ``args[0]``
    :raises NotCopyableError: the value, or something in it, is of another type, or it is too deep
    """
    check(value, where, types)
    return marshal.dumps(value)


def unpack(data: bytes) -> Any:
    """Return the value of bytes that :func:`pack` made."""
    return marshal.loads(data)


def check(value: Any, where: str, types: tuple[type, ...] = PLAIN) -> None:
    """Raise :class:`NotCopyableError` where :func:`pack` would."""
    pending = [(value, where, 0)]
    seen: set[int] = set()
    while pending:
        value, where, depth = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) not in types:
            allowed = ", ".join("None" if each is type(None) else each.__name__ for each in types)
            raise NotCopyableError(f"cannot pass {_name(type(value))} at {where}: only {allowed} may be passed")
        if depth > _DEEPEST:
            raise NotCopyableError(f"cannot pass what is nested deeper than {_DEEPEST} at {where[:200]}…")
        pending += [(item, place, depth + 1) for item, place in _inside(value, where)]


def _inside(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield item, f"{where}[{index}]"
    elif isinstance(value, set):
        for item in value:
            yield item, f"an item of {where}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, f"a key of {where}"
            yield item, f"{where}[{key!r}]"


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
