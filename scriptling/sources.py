"""Modules as their source text shows them, found as the evaluator would find them and never imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from scriptling.evaluator.libraries import Libraries

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_MOST_HOPS = 10  # imports that are followed from module to module; cycles end here

# With these, a module may hold names that its text does not show.
_DYNAMIC = frozenset({"globals", "vars", "locals", "exec", "setattr", "modules", "__getattr__", "__dict__"})


@dataclass(frozen=True)
class Missing:
    """A library that is not there.

    :ivar name: the dotted name up to the first part that was not found
    :ivar folders: where that part was looked for
    """

    name: str
    folders: Sequence[str]


@dataclass
class Names:
    """What the statements of a module bind at its top level.

    :ivar definitions: functions and classes; the last of the same name
    :ivar imported: name to (module, name in it) of ``from module import name``; the module is absolute
    :ivar others: every other name
    :ivar stars: modules whose every public name is imported
    """

    definitions: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    stars: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.definitions or name in self.imported or name in self.others

    def __iter__(self) -> Iterator[str]:
        return iter([*self.definitions, *self.imported, *self.others])


@dataclass(frozen=True)
class Source:
    """The text of a module, parsed."""

    names: Names
    tree: ast.Module

    def may_hold_more(self) -> bool:
        """Whether the module may bind names that the text does not show."""
        return bool(self.names.stars) or any(_is_dynamic(node) for node in ast.walk(self.tree))


class Sources:
    """Looks up libraries for the folders of one script."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._libraries = Libraries(folders, reload=False)

    def find(self, library: str) -> ModuleSpec | Missing | None:
        """Return where a module is; None where that cannot be told without importing something."""
        parent: ModuleSpec | None = None
        name = ""
        for part in library.split("."):
            name = f"{name}.{part}" if name else part
            spec = self._find_part(name, parent)
            if spec is None and parent is not None and parent.submodule_search_locations is None:
                return _loaded(name)
            if spec is None:
                return Missing(name, self._looked_in(parent))
            parent = spec
        return parent

    def _find_part(self, name: str, parent: ModuleSpec | None) -> ModuleSpec | None:
        if parent is None:
            return self._libraries.find_spec(name) or _pythons(name)
        path = parent.submodule_search_locations
        if path is None:
            return None
        return self._libraries.find_spec(name, path) or _below(name, path)

    def _looked_in(self, parent: ModuleSpec | None) -> Sequence[str]:
        return self._folders if parent is None else list(parent.submodule_search_locations or ())

    def source(self, library: str) -> Source | None:
        """Return the parsed text of a module; None where there is no text.

        :raises SyntaxError: the text does not parse
        """
        spec = self.find(library)
        if not isinstance(spec, ModuleSpec) or not spec.has_location or not str(spec.origin).endswith(".py"):
            return None
        path = Path(str(spec.origin))
        package = spec.name if spec.submodule_search_locations is not None else spec.parent or ""
        return _parse(path, path.stat().st_mtime_ns, package)

    def definition(self, library: str, name: str, hops: int = _MOST_HOPS) -> Definition | None:
        """Return the statement that defines a name, followed through ``from`` imports; None where there is none."""
        try:
            source = self.source(library)
        except SyntaxError:
            return None
        if source is None or hops == 0:
            return None
        if name in source.names.imported:
            return self.definition(*source.names.imported[name], hops - 1)
        if name in source.names:
            return source.names.definitions.get(name)
        found = (self.definition(star, name, hops - 1) for star in source.names.stars)
        return next((definition for definition in found if definition is not None), None)


@lru_cache(maxsize=8)
def sources_for(folders: tuple[str, ...]) -> Sources:
    """Return the lookup for these folders."""
    return Sources(folders)


@lru_cache(maxsize=256)
def _parse(path: Path, changed: int, package: str) -> Source:
    tree = ast.parse(path.read_bytes(), str(path))
    names = Names()
    _collect(tree.body, package, names)
    return Source(names, tree)


def _pythons(name: str) -> ModuleSpec | None:
    if name in sys.builtin_module_names:
        return ModuleSpec(name, None, origin="built-in")
    return PathFinder.find_spec(name)


def _below(name: str, path: Sequence[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, path)
    except KeyError:  # a namespace package inside another wants the outer one imported
        return None


def _loaded(name: str) -> ModuleSpec | None:
    """Return the spec of a module that is none by its place, such as ``os.path``."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return _pythons(spec.name) if isinstance(spec, ModuleSpec) else None


def _is_dynamic(node: ast.AST) -> bool:
    return (
        (isinstance(node, ast.Name) and node.id in _DYNAMIC)
        or (isinstance(node, ast.Attribute) and node.attr in _DYNAMIC)
        or (isinstance(node, ast.FunctionDef) and node.name in _DYNAMIC)
        or isinstance(node, ast.Global)
    )


def _collect(body: Sequence[ast.AST], package: str, names: Names) -> None:
    for node in body:
        if isinstance(node, Definition):
            names.imported.pop(node.name, None)
            names.others.discard(node.name)
            names.definitions[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            _collect_from(node, package, names)
        elif isinstance(node, ast.Import):
            names.others.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        else:
            _collect_other(node, package, names)


def _collect_from(node: ast.ImportFrom, package: str, names: Names) -> None:
    module = node.module or ""
    if node.level:
        base = package.rsplit(".", node.level - 1)[0]
        module = f"{base}.{module}" if module else base
    for alias in node.names:
        if alias.name == "*":
            names.stars.append(module)
        else:
            names.definitions.pop(alias.asname or alias.name, None)
            names.imported[alias.asname or alias.name] = (module, alias.name)


def _collect_other(node: ast.AST, package: str, names: Names) -> None:
    """Take what a statement binds, and what the statements inside it do: ``if``, ``try``, ``with`` and loops."""
    captured = getattr(node, "name", None) or getattr(node, "rest", None)
    if isinstance(captured, str):  # except … as name, case name
        names.others.add(captured)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        names.definitions.pop(node.id, None)
        names.imported.pop(node.id, None)
        names.others.add(node.id)
    elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        _collect([*ast.iter_child_nodes(node)], package, names)
