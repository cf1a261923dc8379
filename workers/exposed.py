"""A registered class as the object store uses it: its methods are called, its properties read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.messages import ClassSchema
from scriptling.schema import describe_class
from workers.finalisers import guard
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
        guard(resolved)
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
