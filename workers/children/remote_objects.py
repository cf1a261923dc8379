"""Instances of registered classes as those see them who do not have them: they live in an object store."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from scriptling.protocol.messages import ClassSchema
from scriptling.protocol.values import RemoteRef
from workers.children.asking import Asker, Scope
from workers.frames import Init, Want
from workers.store.finalisers import disarm


class RemoteObjects:
    """Makes proxies of references, and sends instances that a handler has made to the store.

    :param init: what is served; tells properties from methods, and which classes are registered
    """

    def __init__(self, asker: Asker, init: Init) -> None:
        self._asker = asker
        self._schemas: Mapping[str, ClassSchema] = {schema.name: schema for schema in init.classes}
        self._names = {declared.handler.reference: declared.name for declared in init.declaration.classes}

    def resolve(self, scope: Scope, reference: RemoteRef) -> RemoteObject:
        """Return a proxy; see :class:`workers.children.asking.Objects`."""
        schema = self._schemas.get(reference.class_name) or ClassSchema(name=reference.class_name)
        return RemoteObject(self._asker, scope, reference, schema)

    def reference(self, scope: Scope, value: Any) -> dict[str, Any] | None:
        """Return the wire Value of a proxy, or of an instance, which moves to the store by this."""
        if type(value) is RemoteObject:
            return remote_value(referred_to(value))
        name = self._names.get(f"{type(value).__module__}.{type(value).__qualname__}")
        if name is None:
            return None
        bare = self._asker.ask(scope, Want.ADOPT, name, pickle.dumps(value))
        disarm(value)  # it lives in the store from now on; what stays here is a copy
        return {"type": "remote", "remote": msgspec.json.decode(bare)}


class RemoteObject:
    """An instance in the store: its methods and properties run there.

    Whatever call uses it waits for that, which need not be the one that it was given to: methods keep what they are
    given. A thread that runs no call asks on behalf of that one, for as long as it runs.
    """

    __slots__ = ("_asker", "_reference", "_schema", "_scope")

    def __init__(self, asker: Asker, scope: Scope, reference: RemoteRef, schema: ClassSchema) -> None:
        assign = object.__setattr__  # because this class sends every assignment to the store
        assign(self, "_asker", asker)
        assign(self, "_scope", scope)
        assign(self, "_reference", reference)
        assign(self, "_schema", schema)

    def _call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        scope = self._asker.scope() or self._scope
        return self._asker.method(scope, self._reference.id, method, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if any(prop.name == name for prop in self._schema.properties):
                return self._call(name)
            if any(method.name == name for method in self._schema.methods):
                return lambda *args, **kwargs: self._call(name, *args, **kwargs)
        raise AttributeError(f"{self._schema.name!r} object has no public attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self._call(name, value)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} lives in an object store, and cannot be copied from there; pass it by itself")

    def __dir__(self) -> list[str]:
        return [each.name for each in (*self._schema.methods, *self._schema.properties)]

    def __repr__(self) -> str:
        return f"<{self._schema.name} {self._reference.id}>"


def referred_to(proxy: RemoteObject) -> RemoteRef:
    """Return what a proxy stands for."""
    reference: RemoteRef = object.__getattribute__(proxy, "_reference")
    return reference


def remote_value(reference: RemoteRef) -> dict[str, Any]:
    """Return the wire Value of an instance living in this plugin (protocol section 5)."""
    bare = {"library": reference.library, "class": reference.class_name, "id": reference.id}
    return {"type": "remote", "remote": bare}
