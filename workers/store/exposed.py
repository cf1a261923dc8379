"""A registered class as an object store uses it: its methods are called, its properties read and written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.evaluator import Evaluator, HandlerNotFound, user_traceback
from scriptling.protocol.messages import ClassSchema
from scriptling.registry import ClassDeclaration
from scriptling.schema import describe_class
from workers.children.outcomes import run_coroutine
from workers.store.finalisers import guard
from workers.words import available, shown

_log = logging.getLogger("scriptling.store")


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


class Catalogue:
    """The registered classes, by the name that each is exposed by and by type."""

    def __init__(self) -> None:
        self._by_name: dict[str, Exposed] = {}
        self._names: dict[type, str] = {}

    def resolve(self, declared: Iterable[ClassDeclaration], evaluator: Evaluator) -> str:
        """Find the classes that were declared, and return why one could not be found; ``""`` if all were."""
        for each in declared:
            problem = self._resolve(each, evaluator)
            if problem:
                return problem
        return ""

    def _resolve(self, declared: ClassDeclaration, evaluator: Evaluator) -> str:
        reference = declared.handler.reference
        try:
            resolved = evaluator.function(declared.handler)
        except HandlerNotFound as error:
            return f"register_class({reference!r}): {error}"
        except BaseException as error:
            _log.error("class %s cannot be resolved:\n%s", reference, user_traceback(error).rstrip())
            return f"register_class({reference!r}): {type(error).__name__}: {error}"
        if not isinstance(resolved, type):
            return f"register_class({reference!r}): this is a {type(resolved).__name__}, not a class"
        self._by_name[declared.name] = Exposed.of(declared.name, resolved)
        self._names[resolved] = declared.name
        return ""

    @property
    def schemas(self) -> list[ClassSchema]:
        """What the classes look like, in the order in which they were declared."""
        return [exposed.schema for exposed in self._by_name.values()]

    def offers(self, class_name: str, method: str) -> bool:
        """Whether there is such a method or property; a constructor's class is ``""``, and its method the class."""
        exposed = self._by_name.get(class_name)
        if exposed is None:
            return not class_name and method in self._by_name
        return method == "__del__" or method in exposed.methods or method in exposed.properties

    def schema_of(self, name: str) -> ClassSchema:
        """Return what a class looks like; one that is not known has nothing."""
        exposed = self._by_name.get(name)
        return ClassSchema(name=name) if exposed is None else exposed.schema

    def __getitem__(self, name: str) -> Exposed:
        return self._by_name[name]

    def name_of(self, value: Any) -> str | None:
        """Return the name that a value's class is exposed by; None if it is none of these."""
        return self._names.get(type(value))
