"""The importable side of loaded plugins: ``plugin`` and ``plugin.<name>`` in ``sys.modules``.

``import plugin.calculator`` binds the name ``plugin``, which a program may have bound to ``scriptling.plugin`` before;
so the module ``plugin`` offers everything that ``scriptling.plugin`` does, and the loaded libraries beside it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from scriptling.errors import PluginLoadError

_ROOT = "plugin"

_root = ModuleType(_ROOT)


def check_importable(name: str) -> None:
    """Refuse a library whose name would hide a function of ``scriptling.plugin``.

    :raises PluginLoadError: it would
    """
    import scriptling.plugin as api  # noqa: PLC0415 - this is a part of it

    first = name.split(".")[1]
    if first in api.__all__:
        raise PluginLoadError(f"{name} would hide scriptling.plugin.{first}; load it under another name")


def install(module: ModuleType) -> None:
    """Make a proxy library importable."""
    parent = _parent(module.__name__.split(".")[:-1])
    sys.modules[module.__name__] = module
    setattr(parent, module.__name__.rpartition(".")[2], module)


def remove(module: ModuleType) -> None:
    """Make a proxy library unimportable, unless another has taken its place."""
    parent_name, _, name = module.__name__.rpartition(".")
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]
    parent = sys.modules.get(parent_name)
    if parent is not None and vars(parent).get(name) is module:
        delattr(parent, name)


def _parent(parts: list[str]) -> ModuleType:
    """Return the package of a library; those between it and ``plugin`` are made as needed."""
    # A program's own module of that name, if it was imported before, is used as it is.
    package = sys.modules.setdefault(_ROOT, _filled_root())
    for depth, part in enumerate(parts[1:], start=2):
        name = ".".join(parts[:depth])
        if name not in sys.modules:
            sys.modules[name] = _package(ModuleType(name))
            setattr(package, part, sys.modules[name])
        package = sys.modules[name]
    return package


def _filled_root() -> ModuleType:
    import scriptling.plugin as api  # noqa: PLC0415 - this is a part of it

    _root.__doc__ = api.__doc__
    vars(_root).update({name: getattr(api, name) for name in api.__all__})
    return _package(_root)


def _package(module: ModuleType) -> ModuleType:
    """Give a module what makes it a package, one without files."""
    module.__path__ = []
    module.__spec__ = ModuleSpec(module.__name__, None, is_package=True)
    return module
