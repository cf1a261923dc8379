"""A registered class as the object store calls it: construct, call, read, write, destroy."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.messages import ClassSchema
from scriptling.schema import describe_class
from workers.outcomes import run_coroutine


def available(names: Sequence[str]) -> str:
    """Return names as hosts know such lists: sorted, ``none`` where there are none (protocol section 3)."""
    return ", ".join(sorted(names)) or "none"


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
        message = f"unknown method {method} on {self.schema.name} (available: {names})"
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


def destroy(value: Any) -> None:
    """Run an object's ``__del__``, if it has one, now and only once.

    Python would run it again when the last reference goes; therefore the object becomes one of a class that is the same
    but for an empty ``__del__``.
    """
    cls = type(value)
    finaliser = getattr(cls, "__del__", None)
    if finaliser is None:
        return
    finaliser(value)
    with contextlib.suppress(TypeError):  # a layout that cannot change its class keeps its __del__
        value.__class__ = type(
            cls.__name__, (cls,), {"__slots__": (), "__del__": _nothing, "__module__": cls.__module__}
        )


def _nothing(_value: Any) -> None:
    return None
