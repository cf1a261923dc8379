"""What people use instead: each does the same work in the way of its users, in a process of its own.

A module here (or in :mod:`benchmarks.limits`) that is run by ``python -m benchmarks.peers MODULE`` has a function
``open_tasks()``, which raises :class:`benchmarks.model.Unavailable` or returns :class:`Tasks`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.model import Unavailable

Task = Callable[..., Callable[[int], float]]
"""Takes the options of a case and returns what makes so many calls and returns the seconds that they took."""

Tasks = Mapping[str, Task]


_HOW = "pip install 'scriptling[bench]'"


def require(module: str) -> None:
    """Look whether a module is there, without importing it.

    :raises Unavailable: it is not
    """
    if importlib.util.find_spec(module) is None:
        raise Unavailable(f"{module} is not installed ({_HOW})")


def needed(module: str, how: str = _HOW) -> Any:
    """Import a module that not everybody has.

    :raises Unavailable: it is not installed; the text says how to
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(f"{module.partition('.')[0]} is not installed ({how}): {error}") from None
