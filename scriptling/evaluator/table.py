"""``sys.modules`` and ``builtins.__import__``: what stays from call to call, and what does not.

Modules of the script's libraries go at the end of a call, and so does whatever a handler put into the table by hand.
What was imported from Python or from an installed package stays, as it stays between two imports.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Sequence
from threading import RLock
from types import ModuleType
from typing import Any

from scriptling.evaluator.libraries import Libraries, is_library

Import = Callable[..., Any]


class ModuleTable:
    """Keeps ``sys.modules`` as it should be between calls.

    Made when a worker has imported what it needs itself; takes those modules out of sight that libraries of the same
    name hide. They are still what Python's own and installed modules get when they import that name; code in C that
    looks for it in ``sys.modules`` finds the library.
    """

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._modules = sys.modules
        self._hidden: dict[str, dict[str, ModuleType]] = {}
        self._swapping = RLock()
        for name in libraries.top_level_names() & {*sys.modules}:
            if libraries.claim(name):
                self._hidden[name] = _take(name)
                libraries.namesakes.add(name)
        self._expected = dict(sys.modules)
        self._values = list(self._expected.values())
        self._start_path = set(sys.path)
        libraries.asked.clear()

    def importing(self) -> Import:
        """Return what stands in for ``builtins.__import__``."""
        original = builtins.__import__
        libraries, known, namesakes, asked = (
            self._libraries,
            self._libraries.known,
            self._libraries.namesakes,
            self._libraries.asked,
        )
        modules = sys.modules

        def import_(
            name: str,
            globals: dict[str, Any] | None = None,
            locals: dict[str, Any] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            full = _absolute(name, globals, level) if level else name
            if namesakes and self._is_pythons(full, globals):
                return self._import_pythons(original, (name, globals, locals, fromlist, level))
            if full in known and libraries.is_quiet():
                if full not in modules:
                    libraries.load(full)
                if fromlist:
                    libraries.load_listed(full, fromlist)
            imported = original(name, globals, locals, fromlist, level)
            if asked and is_library(globals):
                self.adopt()
            return imported

        return import_

    def _is_pythons(self, name: str, importer: dict[str, Any] | None) -> bool:
        head = name.partition(".")[0]
        return head in self._libraries.namesakes and (self._libraries.is_foreign(head) or not is_library(importer))

    def _import_pythons(self, original: Import, request: tuple[Any, ...]) -> Any:
        """Import for Python's own and installed code a module that a library of the same name hides."""
        head = request[0].partition(".")[0]
        if self._libraries.is_foreign(head):
            return original(*request)
        with self._swapping:
            own = _take(head)
            sys.modules.update(self._hidden.get(head, {}))
            self._libraries.set_foreign(head, True)
            try:
                return original(*request)
            finally:
                self._libraries.set_foreign(head, False)
                self._hidden[head] = _take(head)
                sys.modules.update(own)

    def adopt(self) -> None:
        """Keep what the import system has loaded from outside the libraries since this was last called."""
        asked = [name for name in self._libraries.asked if self._is_kept(name)]
        self._libraries.asked.clear()
        heads = tuple(f"{name}." for name in asked if "." not in name)
        added = [name for name in [*self._modules] if name not in self._expected]
        for name in added:
            # Packages also put modules into the table by hand while they are imported.
            if name in asked or name.startswith(heads):
                self._expected[name] = self._modules[name]

    def _is_kept(self, name: str) -> bool:
        head = name.partition(".")[0]
        if head in self._libraries.known or name not in self._modules:
            return False
        return head in self._expected or _folder_of(self._modules.get(head)) not in self._passing_folders()

    def _passing_folders(self) -> set[str]:
        # What was found only because a handler changed sys.path belongs to that call.
        return {*self._libraries.folders, *(set(sys.path) - self._start_path)}

    def is_shared(self, value: object) -> bool:
        """Whether the class of a value (or the class itself) comes from a module that stays."""
        owner = value if isinstance(value, type) else type(value)
        return owner.__module__ in self._expected

    def restore(self) -> None:
        """Make ``sys.modules`` what it was at the start, plus what was imported from outside the libraries."""
        modules, libraries = self._modules, self._libraries
        for name in libraries.executed:
            modules.pop(name, None)
        libraries.executed.clear()
        if libraries.asked:
            self.adopt()
        if not _equal([*modules.values()], self._values):
            self._repair()

    def _repair(self) -> None:
        modules, expected = self._modules, self._expected
        for name in [*modules]:
            if name not in expected and not (name.startswith("plugin") and self._is_loaded_plugin(name)):
                del modules[name]
        for name, module in expected.items():
            if modules.get(name) is not module:
                modules[name] = module
        self._values = [*modules.values()]

    def _is_loaded_plugin(self, name: str) -> bool:
        # A plugin that a handler has loaded stays loaded, as an installed package does.
        root = getattr(self._modules.get("scriptling.plugin.modules"), "_root", None)
        return root is not None and name.partition(".")[0] == "plugin" and self._modules.get("plugin") is root


def _equal(found: list[Any], wanted: list[Any]) -> bool:
    try:
        return found == wanted
    except Exception:  # what a handler puts into the table may refuse to be compared
        return False


def _take(head: str) -> dict[str, ModuleType]:
    """Remove a module and everything below it from ``sys.modules``, and return it."""
    prefix = f"{head}."
    names = [name for name in [*sys.modules] if name == head or name.startswith(prefix)]
    return {name: sys.modules.pop(name) for name in names}


def _folder_of(module: ModuleType | None) -> str:
    """Return the folder in which the import system found a top-level module; empty where it was none."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
    if getattr(module, "__path__", None) is not None:
        origin = origin.rpartition("/")[0]
    return origin.rpartition("/")[0]


def _absolute(name: str, importer: dict[str, Any] | None, level: int) -> str:
    package = importer.get("__package__") if importer else None
    if not package:
        return ""  # the import system has its own ways and words for this
    base = package.rsplit(".", level - 1)[0]
    return f"{base}.{name}" if name else base
