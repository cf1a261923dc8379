"""What to do about ``import plugin.name`` before the plugin is loaded: the import system's error says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

_PREFIX = "plugin."


class PluginHints:
    """The last finder of ``sys.meta_path``: what it is asked for, no other has found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Explain why a plugin cannot be imported; leave everything else to the import system.

        :raises ModuleNotFoundError: ``plugin``, or something in it, was asked for
        """
        if name == "plugin":
            _fail(name, 'no plugin is loaded; scriptling.plugin.load("NAME", ...) makes plugin.NAME importable')
        elif name.startswith(_PREFIX):
            bare = name.removeprefix(_PREFIX)
            _fail(name, f'it is not loaded; scriptling.plugin.load("{bare}", ...) makes it importable')


def _fail(name: str, advice: str) -> NoReturn:
    raise ModuleNotFoundError(f"No module named {name!r}: {advice}", name=name)


def install_hints() -> None:
    """Have imports of plugins explained; again, it does nothing."""
    if PluginHints not in sys.meta_path:
        sys.meta_path.append(PluginHints)
