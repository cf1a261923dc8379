"""What people see on a terminal: whether to colour, and how."""

from __future__ import annotations

import os
from typing import TextIO

BOLD, DIM, RED, YELLOW, CYAN = "1", "2", "31", "33", "36"


def colours(stream: TextIO | None) -> bool:
    """Return whether to write colours to a stream: only to a terminal that can, and never where ``NO_COLOR`` is set."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # a closed stream
        return False


def paint(text: str, colour: str, wanted: bool) -> str:
    """Return a text in a colour, or as it is where none is wanted."""
    return f"\033[{colour}m{text}\033[0m" if wanted and colour else text
