"""Which environments this process has open: each takes descriptors and maps, of which a process has not many.

Whoever opens one too many closes the one that was opened first and that nobody uses at this moment; it opens again when
it is used.
"""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakKeyDictionary

MOST = 64


class Closable(Protocol):
    """What can be open."""

    def close_if_idle(self) -> bool:
        """Close it unless somebody uses it, without waiting; return whether that was done."""


_lock = threading.Lock()
_open: WeakKeyDictionary[Closable, None] = WeakKeyDictionary()


def opened(environment: Closable) -> None:
    """Note that this one was opened, and close others while they are too many; those in use stay."""
    with _lock:
        _open[environment] = None
        others = list(_open)[:-1]
    surplus = len(others) + 1 - MOST
    for each in others:
        if surplus <= 0:
            return
        surplus -= each.close_if_idle()


def closed(environment: Closable) -> None:
    """Note that this one was closed."""
    with _lock:
        _open.pop(environment, None)
