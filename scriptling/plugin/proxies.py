"""Proxy libraries: modules, functions and classes that look like the plugin's own (protocol section 6).

Everything in a proxy library asks the :class:`Library` for its connection at each call, so that it works again when a
plugin that had died was loaded again.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

from scriptling.errors import PluginLoadError
from scriptling.plugin.connection import ScriptlingConnection
from scriptling.plugin.library import Library
from scriptling.plugin.objects import RemoteObject, handle_of
from scriptling.plugin.signatures import signature_of
from scriptling.protocol.messages import ClassSchema, FunctionSchema, PropertySchema, SignatureSchema

T = TypeVar("T")


def fill_module(module: ModuleType, library: Library, connection: ScriptlingConnection) -> None:
    """Make a module the proxy library of a plugin, whatever it held before.

    :raises PluginLoadError: a wrapper that the plugin sent as ``source`` cannot be evaluated
    """
    agreed = connection.agreed
    contents: dict[str, Any] = _constants(connection)
    for function in agreed.schema.functions:
        contents[function.name] = _function(library, function)
    for described in agreed.schema.classes:
        if not described.source:
            made = _class(library, described)
            contents[described.name] = connection.classes[described.name] = made
    _clear(module)
    module.__doc__ = agreed.library.description or None
    module.__spec__ = ModuleSpec(module.__name__, None, origin=connection.peer.label)
    vars(module).update(contents)
    vars(module)["__version__"] = agreed.library.version
    _evaluate_sources(module, agreed.schema.functions, connection)
    _evaluate_sources(module, agreed.schema.classes, connection)
    names = [*contents, *(entry.name for entry in agreed.schema.classes if entry.source)]
    vars(module)["__all__"] = sorted(set(names))


def _clear(module: ModuleType) -> None:
    for name in [name for name in vars(module) if not name.startswith("__")]:
        delattr(module, name)


def _constants(connection: ScriptlingConnection) -> dict[str, Any]:
    constants = connection.agreed.schema.constants
    return {constant.name: connection.constant(constant.name, constant.value) for constant in constants}


# -- functions ---------------------------------------------------------------------------------------------------------


def _function(library: Library, schema: FunctionSchema) -> Callable[..., Any]:
    name = schema.name

    def proxy(*args: Any, **kwargs: Any) -> Any:
        return library.connected().call_function(name, args, kwargs)

    return _dressed(proxy, library.name, name, schema.description, schema.signature)


def _dressed(
    function: Callable[..., Any],
    module: str,
    qualname: str,
    description: str,
    signature: SignatureSchema | None,
    first: tuple[str, ...] = (),
) -> Callable[..., Any]:
    """Give a proxy function the name, docstring and signature of what it stands for."""
    function = cast("FunctionType", function)
    function.__module__ = module
    function.__qualname__ = qualname
    function.__name__ = qualname.rpartition(".")[2]
    function.__doc__ = description or None
    function.__annotations__ = {}
    shown = signature_of(signature, first)
    if shown is not None:
        function.__dict__["__signature__"] = shown
    return function


# -- classes -----------------------------------------------------------------------------------------------------------


def _class(library: Library, schema: ClassSchema) -> type[RemoteObject]:
    """Return a class whose instances live in the plugin."""
    namespace: dict[str, Any] = {"__slots__": (), "__module__": library.name, "__qualname__": schema.name}
    namespace["__doc__"] = schema.description or None
    namespace["__init__"] = _constructor(library, schema)
    for method in schema.methods:
        namespace[method.name] = _method(library, schema.name, method)
    for described in schema.properties:
        namespace[described.name] = _property(described)
    made = type(schema.name, (RemoteObject,), namespace)
    shown = signature_of(schema.constructor.signature) if schema.constructor else None
    if shown is not None:
        made.__signature__ = shown  # type: ignore[attr-defined]
    return made


def _constructor(library: Library, schema: ClassSchema) -> Callable[..., None]:
    name = schema.name

    def __init__(self: RemoteObject, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        library.connected_plugin().new(self, name, args, kwargs)

    constructor = schema.constructor or FunctionSchema(name)
    qualname = f"{name}.__init__"
    return _dressed(__init__, library.name, qualname, constructor.description, constructor.signature, ("self",))


def _method(library: Library, class_name: str, schema: FunctionSchema) -> Callable[..., Any]:
    name = schema.name

    def proxy(self: RemoteObject, /, *args: Any, **kwargs: Any) -> Any:
        return handle_of(self).call(name, args, kwargs)

    return _dressed(proxy, library.name, f"{class_name}.{name}", schema.description, schema.signature, ("self",))


def _property(schema: PropertySchema) -> property:
    name = schema.name

    def read(self: RemoteObject) -> Any:
        return handle_of(self).call(name, (), {})

    def write(self: RemoteObject, value: Any) -> None:
        if not schema.settable:
            raise AttributeError(f"can't set attribute {name!r}: property is read-only")
        handle_of(self).call(name, (value,), {})

    return property(read, write, doc=schema.description or None)


# -- wrappers that the plugin wrote ------------------------------------------------------------------------------------


def _evaluate_sources(
    module: ModuleType, entries: list[FunctionSchema] | list[ClassSchema], connection: ScriptlingConnection
) -> None:
    """Run the ``source`` of each entry that has one; it defines the entry's name in the module."""
    for entry in entries:
        if entry.source:
            _evaluate(module, entry.name, entry.source, connection)


def _evaluate(module: ModuleType, name: str, source: str, connection: ScriptlingConnection) -> None:
    import scriptling.plugin  # noqa: PLC0415 - what wrappers call; this is a part of it

    filename = f"<{module.__name__}.{name}>"
    # Without a time of modification it is kept, and tracebacks show the lines.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = vars(module)
    namespace["scriptling"] = scriptling
    placeholder = namespace.pop(name, None)
    try:
        exec(compile(source, filename, "exec"), namespace)
    except Exception as error:
        raise PluginLoadError(
            f"{connection.peer.label}: the source of {name} cannot be evaluated: {type(error).__name__}: {error}"
        ) from error
    if name not in namespace:
        namespace[name] = placeholder
        raise PluginLoadError(f"{connection.peer.label}: the source of {name} does not define {name}")
    if not getattr(namespace[name], "__doc__", True):
        namespace[name].__doc__ = _description(connection, name)


def _description(connection: ScriptlingConnection, name: str) -> str | None:
    schema = connection.agreed.schema
    found = {function.name: function.description for function in schema.functions}
    found |= {described.name: described.description for described in schema.classes}
    return found.get(name) or None
