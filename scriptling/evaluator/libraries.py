"""The script's own libraries: found before Python's, compiled once, executed anew in every call.

:class:`Libraries` is a finder for ``sys.meta_path`` and so serves every way to import. The import system takes ten
times as long as the execution of a small module, so there is a short cut as well (:mod:`scriptling.evaluator.table`
puts it in front of ``builtins.__import__``): a library that has been found once is executed without the import system.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import _count as count_threads
from collections.abc import Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType, ModuleType
from typing import Any

# What the specification names, and what the interpreter cannot do without, is nobody's library.
_NEVER = frozenset({"scriptling", "sys", "builtins", "__main__"})

# A file that changes twice within a second may keep its size, and cached bytecode knows its age in whole seconds.
_SETTLED = 2.0


class SourceLibrary(SourceFileLoader):
    """Loader of a library module; compiles it once, or once per change of the file where ``reload`` is set."""

    reload = False

    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._code: CodeType | None = None
        self._stamp = (0, 0)

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code.

        :raises SyntaxError: what the file holds does not compile
        :raises OSError: the file cannot be read
        """
        if self._code is None or self.reload:
            found = os.stat(self.path)  # noqa: PTH116 - pathlib costs more than the call
            stamp = (found.st_mtime_ns, found.st_size)
            if self._code is None or stamp != self._stamp:
                self._code = self._compile(fullname, found.st_mtime)
                self._stamp = stamp
        return self._code

    def _compile(self, fullname: str, changed: float) -> CodeType | None:
        if self.reload or abs(time.time() - changed) < _SETTLED:
            code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
            return code
        return super().get_code(fullname)


class CompiledLibrary(SourcelessFileLoader):
    """Loader of a library module that comes as bytecode only."""

    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._code: CodeType | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code, read once."""
        if self._code is None:
            self._code = super().get_code(fullname)
        return self._code


class NamespaceLibrary:
    """Loader of a folder without ``__init__.py``: nothing to execute."""

    _NOTHING = compile("", "<namespace package>", "exec")

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute nothing."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Return code that does nothing."""
        return self._NOTHING


LIBRARY_LOADERS = (SourceLibrary, CompiledLibrary, NamespaceLibrary)


def is_library(namespace: dict[str, Any] | None) -> bool:
    """Whether a module namespace belongs to a script: to a library, or to a function that travelled by value."""
    loader = namespace.get("__loader__") if namespace else None
    return loader is None or isinstance(loader, LIBRARY_LOADERS)


class Library:
    """One library module, ready to be executed.

    :ivar attributes: what its namespace holds before it runs
    :ivar locations: what ``__path__`` of a package starts as; None for a plain module
    :ivar searched: ``__path__`` of the parent when the module was found; None at the top level
    """

    __slots__ = ("attributes", "loader", "locations", "parent", "searched", "spec", "tail")

    def __init__(self, spec: ModuleSpec, searched: Sequence[str] | None) -> None:
        self.spec = spec
        self.loader: Any = spec.loader
        self.parent, _, self.tail = spec.name.rpartition(".")
        locations = spec.submodule_search_locations
        self.locations = None if locations is None else list(locations)
        self.searched = None if searched is None else list(searched)
        self.attributes: dict[str, Any] = {
            "__name__": spec.name,
            "__loader__": spec.loader,
            "__package__": spec.parent,
            "__spec__": spec,
        }
        if spec.has_location:
            self.attributes |= {"__file__": spec.origin, "__cached__": spec.cached}

    def new_spec(self) -> ModuleSpec:
        """Return a spec of its own for the import system, which gives ``__path__`` the spec's own list."""
        spec = ModuleSpec(self.spec.name, self.loader, origin=self.spec.origin, is_package=self.locations is not None)
        spec.has_location = self.spec.has_location
        if self.locations is not None:
            spec.submodule_search_locations = self.locations.copy()
        return spec


class Libraries:
    """Finds and executes library modules.

    :ivar known: every library module found so far, by its full name
    :ivar namesakes: top-level names of libraries that Python has a module of the same name for
    :ivar executed: names that the short cut put into ``sys.modules`` since it was last emptied
    :ivar asked: names that the import system went on to look for elsewhere since it was last emptied
    :ivar threads: how many threads there may be for the short cut to be taken
    """

    def __init__(self, folders: Sequence[str], reload: bool) -> None:
        self.folders = list(folders)
        self.known: dict[str, Library] = {}
        self.namesakes: set[str] = set()
        self.executed: list[str] = []
        self.asked: list[str] = []
        self.threads = count_threads()
        self._reload = reload
        self._foreign = set(_NEVER)
        self._finders: dict[str, FileFinder] = {}

    # The import system's side

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a library module; None for everything else (called by the import system)."""
        library = self.known.get(fullname)
        head = fullname.partition(".")[0]
        if head in self._foreign:
            return self._find_pythons(fullname, path)
        if library is None or not _same(library.searched, path) or self._reload:
            self.known.pop(fullname, None)
            library = self._find(fullname, path)
        if library is None:
            self.asked.append(fullname)
            return None
        if head in sys.stdlib_module_names:
            self.namesakes.add(head)
        return library.new_spec()

    def invalidate_caches(self) -> None:
        """Look at the folders again (called by :func:`importlib.invalidate_caches`)."""
        for finder in self._finders.values():
            finder.invalidate_caches()

    def _find(self, fullname: str, path: Sequence[str] | None) -> Library | None:
        parent = fullname.rpartition(".")[0]
        if parent and parent not in self.known:
            return None
        spec = self._search(fullname, self.folders if path is None else path)
        if spec is None or isinstance(spec.loader, ExtensionFileLoader):
            return None
        if spec.loader is None:
            if not parent and self._is_elsewhere(fullname):
                return None
            spec.loader = NamespaceLibrary()  # type: ignore[assignment]  # the base class is slow to import
        library = self.known[fullname] = Library(spec, path)
        return library

    def _search(self, fullname: str, folders: Sequence[str]) -> ModuleSpec | None:
        portions: list[str] = []
        for folder in folders:
            spec = self._finder(folder).find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
            portions += (spec and spec.submodule_search_locations) or ()
        if not portions:
            return None
        namespace = ModuleSpec(fullname, None, is_package=True)
        namespace.submodule_search_locations = portions
        return namespace

    def _finder(self, folder: str) -> FileFinder:
        finder = self._finders.get(folder)
        if finder is None:
            finder = self._finders[folder] = FileFinder(
                folder,
                (ExtensionFileLoader, EXTENSION_SUFFIXES),
                (self._source_loader, SOURCE_SUFFIXES),  # type: ignore[arg-type]  # called, as a class would be
                (CompiledLibrary, BYTECODE_SUFFIXES),
            )
        return finder

    def _source_loader(self, fullname: str, path: str) -> SourceLibrary:
        loader = SourceLibrary(fullname, path)
        loader.reload = self._reload
        return loader

    def _is_elsewhere(self, name: str) -> bool:
        # A folder without __init__.py gives way to every real module, as it does in Python.
        return name in sys.stdlib_module_names or self._find_on_path(name) is not None

    def _find_on_path(self, name: str) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [folder for folder in sys.path if folder not in self.folders])

    def _find_pythons(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        self.asked.append(name)
        if path is not None or name in sys.builtin_module_names:
            return None
        return self._find_on_path(name)

    # The evaluator's side

    def load(self, name: str) -> ModuleType | None:
        """Execute a known library that ``sys.modules`` does not hold, and return it.

        None leaves it to the import system. Whatever the module raises passes through, and it is then as if the import
        had never been tried.
        """
        library = self.known[name]
        parent = None
        if library.parent:
            parent = self._parent(library)
            if parent is None or not _same(library.searched, getattr(parent, "__path__", None)):
                return None
            if name in sys.modules:
                return sys.modules[name]
        try:
            code = library.loader.get_code(name)
        except FileNotFoundError:
            del self.known[name]  # it may have moved
            return None
        module = self._execute(name, library, code)
        if parent is not None:
            setattr(parent, library.tail, module)
        return module

    def _parent(self, library: Library) -> ModuleType | None:
        parent = sys.modules.get(library.parent)
        if parent is None and library.parent in self.known:
            parent = self.load(library.parent)
        return parent

    def _execute(self, name: str, library: Library, code: CodeType) -> ModuleType:
        module = ModuleType(name)
        namespace = module.__dict__
        namespace.update(library.attributes)
        if library.locations is not None:
            namespace["__path__"] = library.locations.copy()
        modules = sys.modules
        modules[name] = module
        self.executed.append(name)
        library.spec._initializing = True  # type: ignore[attr-defined]  # makes messages about import cycles say so
        try:
            exec(code, namespace)
        except BaseException:
            modules.pop(name, None)
            raise
        finally:
            library.spec._initializing = False  # type: ignore[attr-defined]
        return modules.get(name, module)  # a module may put something else in its place

    def load_listed(self, name: str, names: Sequence[str]) -> None:
        """Execute the known submodules among the names that ``from package import names`` asks for."""
        module = sys.modules.get(name)
        if self.known[name].locations is None or module is None:
            return
        for listed in names:
            child = f"{name}.{listed}"
            if child in self.known and child not in sys.modules and not hasattr(module, listed):
                self.load(child)

    def begin(self) -> None:
        """Get ready for a call: count the threads, and look at the folders again where ``reload`` is set."""
        self.threads = count_threads()
        if self._reload:
            self.invalidate_caches()

    def is_quiet(self) -> bool:
        """Whether no thread was started in this call; others need the import system's locks."""
        return count_threads() == self.threads

    # Names that both Python and the script have

    def claim(self, name: str) -> bool:
        """Whether a module that is already loaded has to give way to a library of the same name."""
        if name in self._foreign:
            return False
        library = self._find(name, None)
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if library is not None and library.spec.has_location and library.spec.origin == loaded:
            # This program's own files, for a script that lies beside them.
            del self.known[name]
            self._foreign.add(name)
            return False
        return library is not None

    def top_level_names(self) -> set[str]:
        """Return the names of everything in the library folders that may be a module."""
        names: set[str] = set()
        for folder in self.folders:
            try:
                names.update(entry.partition(".")[0] for entry in os.listdir(folder))  # noqa: PTH208 - as above
            except OSError:
                continue  # as with sys.path, a folder need not exist
        return names

    def set_foreign(self, name: str, foreign: bool) -> None:
        """Find Python's module of this name rather than the library, or stop doing so."""
        (self._foreign.add if foreign else self._foreign.discard)(name)

    def is_foreign(self, name: str) -> bool:
        """Whether Python's module of this name is found rather than a library."""
        return name in self._foreign


def _same(searched: list[str] | None, path: Sequence[str] | None) -> bool:
    return searched is None if path is None else searched == path
