"""Names in messages, as hosts know them (protocol section 3)."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 200  # characters; a hostile name does not become a hostile message


def shown(name: str) -> str:
    """Return a name as a message shows it: whole, unless it is absurdly long."""
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def counted(number: int, what: str) -> str:
    """Return a number of things in words: ``1 class``, ``2 classes``."""
    if number == 1:
        return f"1 {what}"
    return f"{number} {what}{'es' if what.endswith('s') else 's'}"


def available(names: Iterable[str]) -> str:
    """Return the names there are: sorted, ``none`` where there are none."""
    return ", ".join(sorted(names)) or "none"
