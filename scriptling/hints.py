"""What to do about ``import plugin.name`` before the plugin is loaded: the import system's error says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

_PREFIX = "plugin."
_LOAD = 'scriptling.plugin.load("{}", ..., scriptling=True) makes {} importable'


class PluginHints:
    """The last finder of ``sys.meta_path``: what it is asked for, no other has found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Explain why a plugin cannot be imported; leave everything else to the import system.

        :raises ModuleNotFoundError: ``plugin``, or something in it, was asked for
        """
        if name == "plugin":
            _fail(name, f"no plugin is loaded; {_LOAD.format('NAME', 'plugin.NAME')}")
        elif name.startswith(_PREFIX):
            _fail(name, f"it is not loaded; {_LOAD.format(name.removeprefix(_PREFIX), 'it')}")


def _fail(name: str, advice: str) -> NoReturn:
    raise ModuleNotFoundError(f"No module named {name!r}: {advice}", name=name)


def install_hints() -> None:
    """Have imports of plugins explained; again, it does nothing."""
    if PluginHints not in sys.meta_path:
        sys.meta_path.append(PluginHints)
