"""``__del__`` of instances: run when the protocol says so, and then not again by Python.

Python runs it when the last reference goes, which may be never, or long after ``object.destroy``; and a copy that was
left behind when an instance moved to another process must not run it at all.
"""

from __future__ import annotations

import functools
from typing import Any

_disarmed: set[int] = set()
"""Ids of instances that are still referred to and whose ``__del__`` must not run any more."""


def guard(cls: type) -> None:
    """Make a class's ``__del__`` do nothing for instances that :func:`disarm` was called for."""
    finaliser = getattr(cls, "__del__", None)
    if finaliser is None or getattr(finaliser, "is_guarded", False):
        return

    @functools.wraps(finaliser)
    def guarded(self: Any) -> None:
        if id(self) in _disarmed:
            _disarmed.discard(id(self))
        else:
            finaliser(self)

    guarded.is_guarded = True  # type: ignore[attr-defined]
    cls.__del__ = guarded  # type: ignore[attr-defined]


def disarm(value: Any) -> None:
    """Keep an instance's ``__del__`` from running, if its class has one."""
    if hasattr(type(value), "__del__"):
        guard(type(value))
        _disarmed.add(id(value))


def destroy(value: Any) -> None:
    """Run an instance's ``__del__`` now, if it has one, and never again."""
    finaliser = getattr(type(value), "__del__", None)
    if finaliser is not None:
        try:
            finaliser(value)
        finally:
            disarm(value)
