"""Names that scripts and handlers find among the builtins of Python."""

from __future__ import annotations

import builtins
import time

from scriptling.runtime import context

_SHORT_WHILE = 0.005  # s; a loop that waits this long at a time costs no measurable CPU


def yield_now() -> None:
    """Let others run, and return soon.

    In a setup script it also takes notice of the server's state, so that a loop around it ends when the server stops.
    """
    server = context.current()
    if server is None:
        time.sleep(_SHORT_WHILE)
    else:
        server.pause()


def install_builtins() -> None:
    """Put the Scriptling builtins beside Python's, for every module of this process."""
    vars(builtins)["yield_now"] = yield_now
