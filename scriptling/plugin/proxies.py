"""Proxy libraries: modules, functions and classes that look like the plugin's own (protocol section 6).

Everything in a proxy library asks its :class:`Owner` for the connection at each call, so that it works again when a
plugin that had died was loaded again. What a connection for event loops is asked returns awaitables, and so do its
proxies.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, Protocol, TypeVar, cast

from scriptling.errors import PluginLoadError
from scriptling.plugin.codec import PlainCodec, PluginCodec
from scriptling.plugin.objects import Proxy, RemoteObject, handle_of
from scriptling.plugin.signatures import signature_of
from scriptling.protocol.messages import ClassSchema, FunctionSchema, PropertySchema, SignatureSchema

T = TypeVar("T")


class Owner(Protocol):
    """What knows the connection of a plugin.

    :ivar name: of the plugin's module
    """

    name: str

    def connected(self) -> PlainCodec | PluginCodec:
        """Return the connection."""

    def connected_plugin(self) -> PluginCodec:
        """Return the connection of a plugin that answered a handshake."""


MakeClass = Callable[[Owner, ClassSchema], type[Proxy]]


def contents_of(owner: Owner, connection: PluginCodec, make_class: MakeClass, sources: bool) -> dict[str, Any]:
    """Return constants, functions and classes of a plugin by name.

    :param make_class: makes a class whose instances live in the plugin
    :param sources: leave out what the plugin has sent wrappers for
    """
    schema = connection.agreed.schema
    contents: dict[str, Any] = {each.name: connection.constant(each.name, each.value) for each in schema.constants}
    for function in schema.functions:
        contents[function.name] = _function(owner, function)
    for described in schema.classes:
        if not (sources and described.source):
            made = make_class(owner, described)
            contents[described.name] = connection.classes[described.name] = made
    return contents


def fill_module(module: ModuleType, owner: Owner, connection: PluginCodec) -> None:
    """Make a module the proxy library of a plugin, whatever it held before.

    :raises PluginLoadError: a wrapper that the plugin sent as ``source`` cannot be evaluated
    """
    agreed = connection.agreed
    contents = contents_of(owner, connection, _class, sources=True)
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


# -- functions ---------------------------------------------------------------------------------------------------------


def _function(owner: Owner, schema: FunctionSchema) -> Callable[..., Any]:
    name = schema.name

    def proxy(*args: Any, **kwargs: Any) -> Any:
        return owner.connected().call_function(name, args, kwargs)

    return _dressed(proxy, owner.name, name, schema.description, schema.signature)


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


def _class(owner: Owner, schema: ClassSchema) -> type[RemoteObject]:
    """Return a class whose instances live in the plugin."""
    namespace = class_namespace(owner, schema) | {"__init__": _constructor(owner, schema)}
    for described in schema.properties:
        namespace[described.name] = _property(described)
    return sign(type(schema.name, (RemoteObject,), namespace), schema)


def class_namespace(owner: Owner, schema: ClassSchema) -> dict[str, Any]:
    """Return what all classes have whose instances live in a plugin: a docstring, and methods."""
    namespace: dict[str, Any] = {"__slots__": (), "__module__": owner.name, "__qualname__": schema.name}
    namespace["__doc__"] = schema.description or None
    for method in schema.methods:
        namespace[method.name] = _method(owner, schema.name, method)
    return namespace


def sign(made: T, schema: ClassSchema) -> T:
    """Give a class the signature of its constructor in the plugin."""
    shown = signature_of(schema.constructor.signature) if schema.constructor else None
    if shown is not None:
        made.__signature__ = shown  # type: ignore[attr-defined]
    return made


def _constructor(owner: Owner, schema: ClassSchema) -> Callable[..., None]:
    name = schema.name

    def __init__(self: RemoteObject, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        owner.connected_plugin().new(self, name, args, kwargs)

    constructor = schema.constructor or FunctionSchema(name)
    qualname = f"{name}.__init__"
    return _dressed(__init__, owner.name, qualname, constructor.description, constructor.signature, ("self",))


def _method(owner: Owner, class_name: str, schema: FunctionSchema) -> Callable[..., Any]:
    name = schema.name

    def proxy(self: RemoteObject, /, *args: Any, **kwargs: Any) -> Any:
        return handle_of(self).call(name, args, kwargs)

    return _dressed(proxy, owner.name, f"{class_name}.{name}", schema.description, schema.signature, ("self",))


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
    module: ModuleType, entries: list[FunctionSchema] | list[ClassSchema], connection: PluginCodec
) -> None:
    """Run the ``source`` of each entry that has one; it defines the entry's name in the module."""
    for entry in entries:
        if entry.source:
            _evaluate(module, entry.name, entry.source, connection)


def _evaluate(module: ModuleType, name: str, source: str, connection: PluginCodec) -> None:
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


def _description(connection: PluginCodec, name: str) -> str | None:
    schema = connection.agreed.schema
    found = {function.name: function.description for function in schema.functions}
    found |= {described.name: described.description for described in schema.classes}
    return found.get(name) or None
