"""Taking secrets, and what is meant for this process only, out of what children inherit and others can read."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

FOR_US_ONLY = ("SCRIPTLING_SERVER", "SCRIPTLING_BEARER_TOKEN", "SCRIPTLING_BEARER_TOKEN_FILE", "SCRIPTLING_TLS_KEY")
_ARGUMENTS, _ENVIRONMENT = (
    45,
    47,
)  # where they begin, in the fields of /proc/self/stat behind the name; their end is next


def hide(secret: str) -> None:
    """Make nothing of a secret readable any more in arguments and environment, ours and our children's.

    Plugins that a handler starts are not told of our own address either: they would take it for theirs.
    """
    for name in FOR_US_ONLY:
        os.environ.pop(name, None)
    if secret:
        sys.argv[:] = [each.replace(secret, "…") for each in sys.argv]
        sys.orig_argv[:] = [each.replace(secret, "…") for each in sys.orig_argv]
        _overwrite(secret.encode())


def _overwrite(secret: bytes) -> None:
    """Overwrite it where the kernel keeps what the process was started with, which /proc shows."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    for field in (_ARGUMENTS, _ENVIRONMENT):
        start, end = int(fields[field]), int(fields[field + 1])
        where = ctypes.string_at(start, end - start).find(secret)
        while where >= 0:
            ctypes.memset(start + where, ord("x"), len(secret))
            start += where + len(secret)
            where = ctypes.string_at(start, end - start).find(secret)
