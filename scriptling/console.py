"""The interactive mode: Python's own console, with history and completion."""

from __future__ import annotations

import atexit
import code
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from scriptling.version import __version__

HISTORY = ".scriptling_history"
HISTORY_LINES = 1000


def interact(namespace: dict[str, Any]) -> None:
    """Prompt until end of input; ``exit()`` raises SystemExit as in Python."""
    if sys.stdin is not None and sys.stdin.isatty():
        _prepare_line_editing(namespace)
    banner = f"Scriptling {__version__} on Python {sys.version.split()[0]}. Ctrl-D or exit() leaves."
    code.InteractiveConsole(namespace).interact(banner=banner, exitmsg="")


def _prepare_line_editing(namespace: dict[str, Any]) -> None:
    """Complete names with the tabulator key, and keep what is typed in a file of the home folder."""
    try:
        import readline  # noqa: PLC0415 - not in every Python
        import rlcompleter  # noqa: PLC0415 - changes readline when it is imported
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(namespace).complete)
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    history = str(Path.home() / HISTORY)
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(HISTORY_LINES)
    atexit.register(_save_history, history)


def _save_history(history: str) -> None:
    import readline  # noqa: PLC0415 - was there when this was registered

    with suppress(OSError):
        readline.write_history_file(history)
