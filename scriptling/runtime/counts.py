"""What the calls of this process do to what they share with others, counted until somebody takes the counts."""

from __future__ import annotations

from collections import Counter

operations: Counter[str] = Counter()
"""Operations by what they are on and which: ``kv.get``. Threads that count at the same time may lose one."""


def take() -> dict[str, int]:
    """Return what was counted since the last time."""
    taken = dict(operations)
    operations.clear()
    return taken
