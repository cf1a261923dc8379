"""A registered class as the object store calls it: construct, call, read, write, destroy."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.messages import ClassSchema
from scriptling.schema import describe_class
from workers.outcomes import run_coroutine
from workers.words import available, shown


@dataclass(frozen=True)
class Exposed:
    """One class, and what of it may be used from outside.

    :ivar properties: names of properties, and whether each can be set
    """

    cls: type
    schema: ClassSchema
    methods: frozenset[str]
    properties: Mapping[str, bool]

    @classmethod
    def of(cls, name: str, resolved: type) -> Exposed:
        """Describe a resolved class under the name it is exposed by."""
        schema = describe_class(name, resolved)
        _run_once(resolved)
        properties = {prop.name: bool(prop.settable) for prop in schema.properties or ()}
        return cls(resolved, schema, frozenset(method.name for method in schema.methods or ()), properties)

    def call(self, value: Any, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a method, or read or write a property (protocol section 3)."""
        if method in self.methods:
            result = getattr(value, method)(*args, **kwargs)
            return run_coroutine(result) if type(result) is CoroutineType else result
        if method in self.properties:
            return self._use_property(value, method, args, kwargs)
        names = available([*self.methods, *self.properties])
        message = f"unknown method {shown(method)} on {self.schema.name} (available: {names})"
        raise RpcError(ErrorCode.HANDLER_ERROR, message)

    def _use_property(self, value: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not args and not kwargs:
            return getattr(value, name)
        if len(args) > 1 or kwargs:
            raise RpcError(
                ErrorCode.INVALID_PARAMS, f"property {name} takes one argument to be set, or none to be read"
            )
        if not self.properties[name]:
            raise RpcError(ErrorCode.HANDLER_ERROR, f"can't set attribute '{name}': property is read-only")
        setattr(value, name, args[0])
        return None


_destroyed: set[int] = set()
"""Ids of objects whose ``__del__`` has run and which are still referred to by something."""


def destroy(value: Any) -> None:
    """Run an object's ``__del__``, if it has one, now; :func:`_run_once` has made sure that it does not run again."""
    finaliser = getattr(type(value), "__del__", None)
    if finaliser is not None:
        try:
            finaliser(value)
        finally:
            _destroyed.add(id(value))


def _run_once(cls: type) -> None:
    """Make a class's ``__del__`` do nothing for an object that :func:`destroy` has run it for.

    Python itself runs it when the last reference goes, which may be never, or long after ``object.destroy``.
    """
    finaliser = getattr(cls, "__del__", None)
    if finaliser is None:
        return

    @functools.wraps(finaliser)
    def once(self: Any) -> None:
        if id(self) in _destroyed:
            _destroyed.discard(id(self))
        else:
            finaliser(self)

    cls.__del__ = once  # type: ignore[attr-defined]
