"""Glob patterns of keys."""

from __future__ import annotations

import fnmatch
import re

_SPECIAL = re.compile(r"[*?\[]")


class Pattern:
    """A glob pattern in the manner of ``fnmatch``: ``*``, ``?``, ``[abc]`` and ``[!abc]``; case matters.

    :ivar prefix: what every match begins with
    """

    def __init__(self, pattern: str) -> None:
        if type(pattern) is not str:
            raise TypeError(f"a pattern is a str, not a {type(pattern).__name__}: {pattern!r}")
        self.prefix = _SPECIAL.split(pattern, maxsplit=1)[0]
        rest = pattern[len(self.prefix) :]
        self._matches = re.compile(fnmatch.translate(pattern)).match if rest.strip("*") or not rest else None

    def matches(self, key: str) -> bool:
        """Whether a key that has the prefix matches."""
        return self._matches is None or self._matches(key) is not None
