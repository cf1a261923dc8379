"""How long an operation may wait: what callers may give as a time-out."""

from __future__ import annotations

import math
from typing import Any

LONGEST = 1e9  # seconds, which is for ever; clocks and system calls cannot count much further


def checked_timeout(what: str, timeout: Any) -> float | None:
    """Return a time-out as those can use it who wait: at most :data:`LONGEST`.

    :param what: the operation, for what errors say
    :param timeout: seconds; None is for ever
    :raises ValueError: it is no number of seconds, 0 or more
    """
    if timeout is None:
        return None
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not 0 <= timeout < math.inf:
        raise ValueError(f"{what}: the timeout must be a number of seconds, 0 or more, or None, not {timeout!r}")
    return float(min(timeout, LONGEST))
