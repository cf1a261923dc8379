"""What a setup script declares: collected while it runs, frozen when the server starts.

A :class:`Registry` is filled in the setup process through ``scriptling.runtime.plugin``, ``.jsonrpc`` and ``.http``;
:meth:`Registry.freeze` makes the :class:`Declaration` that travels, encoded, to the front-end, every worker and the
object store.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from scriptling.protocol.messages import FunctionSchema


class RegistrationError(Exception):
    """A registration that cannot be served; the text says which and why."""


class Handler(msgspec.Struct, frozen=True):
    """Where the code of a function or class is to be found.

    :ivar reference: ``"library.function"``; for a pickled callable, the name people know it by
    :ivar pickled: the callable by value (cloudpickle), or empty when ``reference`` is to be imported
    """

    reference: str
    pickled: bytes = b""


class FunctionDeclaration(msgspec.Struct, frozen=True):
    """One ``register_function``.

    :ivar timeout: in seconds; None is the server's
    :ivar schema: what a function that travels by value looks like; None where the source text of a library tells
    """

    name: str
    handler: Handler
    timeout: float | None = None
    schema: FunctionSchema | None = None


class ConstantDeclaration(msgspec.Struct, frozen=True):
    """One ``register_constant``. ``value`` is a wire Value (protocol section 5) as JSON text."""

    name: str
    value: bytes


class ClassDeclaration(msgspec.Struct, frozen=True):
    """One ``register_class``, exposed as ``name``, the last segment of the reference."""

    name: str
    handler: Handler


class MethodDeclaration(msgspec.Struct, frozen=True):
    """One ``jsonrpc.method`` or ``jsonrpc.notification``; a name may be declared once as each.

    :ivar timeout: in seconds; None is the server's
    """

    name: str
    handler: Handler
    is_notification: bool = False
    timeout: float | None = None


class RouteKind(StrEnum):
    """What a :class:`RouteDeclaration` is for."""

    ROUTE = "route"
    MIDDLEWARE = "middleware"
    NOT_FOUND = "not_found"
    STATIC = "static"
    WEBSOCKET = "websocket"


class RouteDeclaration(msgspec.Struct, frozen=True):
    """One registration with ``runtime.http``.

    :ivar path: with ``{name}`` for one segment and ``{name...}`` for the rest; empty where the kind has none
    :ivar handler: None for static files
    :ivar methods: upper-case HTTP methods of a route
    :ivar directory: absolute folder of static files
    :ivar timeout: in seconds; None is the server's
    """

    kind: RouteKind
    path: str = ""
    handler: Handler | None = None
    methods: tuple[str, ...] = ()
    directory: str = ""
    timeout: float | None = None

    def with_handler(self, handler: Handler) -> RouteDeclaration:
        """Return the same registration with a handler."""
        return msgspec.structs.replace(self, handler=handler)

    @property
    def label(self) -> str:
        """What messages call it: ``GET /users/{id}``."""
        if self.kind == RouteKind.ROUTE:
            return f"{','.join(self.methods)} {self.path}"
        return f"{self.kind} {self.path}".rstrip()


class Declaration(msgspec.Struct, frozen=True):
    """Everything that a setup script declared; immutable, and encoded with :mod:`msgspec` between processes."""

    library: str = ""
    version: str = ""
    description: str = ""
    functions: Sequence[FunctionDeclaration] = ()
    constants: Sequence[ConstantDeclaration] = ()
    classes: Sequence[ClassDeclaration] = ()
    methods: Sequence[MethodDeclaration] = ()
    routes: Sequence[RouteDeclaration] = ()

    @property
    def serves_plugin(self) -> bool:
        """Whether ``plugin.serve()`` was called."""
        return bool(self.library)


Copy = Callable[[], bytes]
"""Pickles a function or class by value."""

WithHandler = FunctionDeclaration | ClassDeclaration | MethodDeclaration | RouteDeclaration

T = TypeVar("T", FunctionDeclaration, ClassDeclaration, MethodDeclaration, RouteDeclaration)


class Registry:
    """The registrations of one setup script, in the order of their names' first appearance.

    Registering a name again replaces the earlier registration; of middleware there may be any number. After
    :meth:`freeze` nothing is added: ``add_*`` return False, and the caller warns (specification, Notes).
    """

    def __init__(self) -> None:
        self.frozen = False
        self._library = ("", "", "")
        self._functions: dict[str, FunctionDeclaration] = {}
        self._constants: dict[str, ConstantDeclaration] = {}
        self._classes: dict[str, ClassDeclaration] = {}
        self._methods: dict[tuple[str, bool], MethodDeclaration] = {}
        self._routes: dict[Hashable, RouteDeclaration] = {}
        self._copies: dict[tuple[type, Hashable], Copy] = {}

    def serve(self, name: str, version: str = "", description: str = "") -> bool:
        """Name the library; a leading ``plugin.`` is dropped (protocol section 3)."""
        if not self.frozen:
            self._library = (name.removeprefix("plugin."), version, description)
        return not self.frozen

    def add_function(self, function: FunctionDeclaration, copy: Copy | None = None) -> bool:
        """Add one function; False if the server has started.

        :param copy: for a handler that travels by value, makes the copy that is to travel
        """
        if not self.frozen:
            self._functions[function.name] = function
            self._note_copy(function, function.name, copy)
        return not self.frozen

    def add_constant(self, constant: ConstantDeclaration) -> bool:
        """Add one constant; False if the server has started."""
        if not self.frozen:
            self._constants[constant.name] = constant
        return not self.frozen

    def add_class(self, declared: ClassDeclaration, copy: Copy | None = None) -> bool:
        """Add one class; False if the server has started. ``copy`` as for :meth:`add_function`."""
        if not self.frozen:
            self._classes[declared.name] = declared
            self._note_copy(declared, declared.name, copy)
        return not self.frozen

    def add_method(self, method: MethodDeclaration, copy: Copy | None = None) -> bool:
        """Add one JSON-RPC method or notification; False if the server has started. ``copy`` as above."""
        if not self.frozen:
            key = (method.name, method.is_notification)
            self._methods[key] = method
            self._note_copy(method, key, copy)
        return not self.frozen

    def add_route(self, route: RouteDeclaration, copy: Copy | None = None) -> bool:
        """Add one registration with ``runtime.http``; False if the server has started. ``copy`` as above."""
        if not self.frozen:
            is_middleware = route.kind == RouteKind.MIDDLEWARE
            key = len(self._routes) if is_middleware else (route.kind, route.path, route.methods)
            self._routes[key] = route
            self._note_copy(route, key, copy)
        return not self.frozen

    def _note_copy(self, declared: WithHandler, key: Hashable, copy: Copy | None) -> None:
        self._copies.pop((type(declared), key), None)
        if copy is not None and declared.handler is not None and declared.handler.pickled:
            self._copies[type(declared), key] = copy

    def _with_copy(self, key: Hashable, declared: T) -> T:
        """Return a declaration with its handler as it is by now: it may refer to what the script has defined since."""
        copy = self._copies.get((type(declared), key))
        if copy is None or declared.handler is None:
            return declared
        return msgspec.structs.replace(declared, handler=Handler(declared.handler.reference, copy()))

    def _with_copies(self, declared: Mapping[Any, T]) -> tuple[T, ...]:
        return tuple(self._with_copy(key, each) for key, each in declared.items())

    def freeze(self) -> Declaration:
        """Accept nothing more, and return what there is.

        :raises RegistrationError: what a handler refers to by now cannot travel to another process
        """
        self.frozen = True
        name, version, description = self._library
        return Declaration(
            name,
            version,
            description,
            self._with_copies(self._functions),
            tuple(self._constants.values()),
            self._with_copies(self._classes),
            self._with_copies(self._methods),
            self._with_copies(self._routes),
        )
