"""What a setup script declares: collected while it runs, frozen when the server starts.

A :class:`Registry` is filled in the setup process through ``scriptling.runtime.plugin``; :meth:`Registry.freeze` makes
the :class:`Declaration` that travels, encoded, to the front-end, every worker and the object store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

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


class Declaration(msgspec.Struct, frozen=True):
    """Everything that a setup script declared; immutable, and encoded with :mod:`msgspec` between processes."""

    library: str = ""
    version: str = ""
    description: str = ""
    functions: Sequence[FunctionDeclaration] = ()
    constants: Sequence[ConstantDeclaration] = ()
    classes: Sequence[ClassDeclaration] = ()

    @property
    def serves_plugin(self) -> bool:
        """Whether ``plugin.serve()`` was called."""
        return bool(self.library)


Copy = Callable[[], bytes]
"""Pickles a function or class by value."""

T = TypeVar("T", FunctionDeclaration, ClassDeclaration)


class Registry:
    """The registrations of one setup script, in the order of their names' first appearance.

    Registering a name again replaces the earlier registration. After :meth:`freeze` nothing is added: ``add_*`` return
    False, and the caller warns (specification, Notes).
    """

    def __init__(self) -> None:
        self.frozen = False
        self._library = ("", "", "")
        self._functions: dict[str, FunctionDeclaration] = {}
        self._constants: dict[str, ConstantDeclaration] = {}
        self._classes: dict[str, ClassDeclaration] = {}
        self._copies: dict[tuple[type, str], Copy] = {}

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
            self._note_copy(function, copy)
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
            self._note_copy(declared, copy)
        return not self.frozen

    def _note_copy(self, declared: FunctionDeclaration | ClassDeclaration, copy: Copy | None) -> None:
        if copy is not None:
            self._copies[type(declared), declared.name] = copy

    def _with_copy(self, declared: T) -> T:
        """Return a declaration with its handler as it is by now: it may refer to what the script has defined since."""
        copy = self._copies.get((type(declared), declared.name))
        if copy is None or not declared.handler.pickled:
            return declared
        return msgspec.structs.replace(declared, handler=Handler(declared.handler.reference, copy()))

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
            tuple(self._with_copy(function) for function in self._functions.values()),
            tuple(self._constants.values()),
            tuple(self._with_copy(declared) for declared in self._classes.values()),
        )
