"""What scripts import as ``scriptling.runtime.kv``: keys and values that all processes of a server share.

``kv.default`` is always there; ``kv.open(":memory:NAME")`` is a store in memory, ``kv.open(PATH)`` one that persists in
a folder, ``kv.open("redis://HOST")`` one that several machines share. Every operation is atomic, whoever is at work.

A value is None, a bool, an int of any size, a float, a str, bytes, a list or a dict; it is copied on its way in and
out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

from scriptling.runtime.counts import operations as _operations
from scriptling.stores import registry
from scriptling.stores.errors import StoreError, StoreFullError

__all__ = ["KV", "StoreError", "StoreFullError", "default", "open"]

_MEMORY = ":memory:"
_REDIS = ("redis://", "rediss://", "unix://")


class _Backend(Protocol):
    """What a store is kept in."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any, ttl: float = 0) -> None: ...
    def incr(self, key: str, delta: int = 1) -> int: ...
    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any: ...
    def delete(self, key: str) -> bool: ...
    def exists(self, key: str) -> bool: ...
    def keys(self, pattern: str = "*") -> list[str]: ...
    def clear(self) -> None: ...
    def ttl(self, key: str) -> float: ...
    def close(self) -> None: ...


class _Closed:
    """What is behind a store that was closed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise ValueError(f"the store {self._name!r} is closed; open it again with kv.open()")

    def close(self) -> None:
        """Do nothing, because that was done."""


class KV:
    """A store of keys and values, as :func:`open` returns it. One that is pickled is opened where it is unpickled.

    A key is a str of at most 65,535 bytes in UTF-8. Methods raise :class:`StoreError` if the store cannot be used.
    """

    _store: _Backend

    def __init__(self, name: str, store: _Backend, opened_as: str = "") -> None:
        self.name = name
        self._store = store
        self._opened_as = opened_as or name

    def get(self, key: str, default: Any = None) -> Any:
        """Return a copy of the value of a key, or the default if there is no such key."""
        _operations["kv.get"] += 1
        return self._store.get(key, default)

    def set(self, key: str, value: Any, ttl: float = 0) -> None:
        """Store a copy of a value.

        :param ttl: seconds until the key is gone, fractions included; 0 for never
        :raises TypeError: a value of another type, which is named together with the key
        :raises ValueError: a value of more than 64 MiB, or nested in more than 128 lists and dicts, or a ttl below 0
        :raises StoreFullError: no room for it; what was there before stays
        """
        _operations["kv.set"] += 1
        self._store.set(key, value, ttl)

    def incr(self, key: str, delta: int = 1) -> int:
        """Add to an int, which begins at 0, and return the sum. A key that expires does so when it would have.

        :raises TypeError: the value, or the delta, is not an int (a bool is none)
        """
        _operations["kv.incr"] += 1
        return self._store.incr(key, delta)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace a value by what a function makes of it, and return that; nobody's change gets lost in between.

        Nothing is locked while the function runs: if the value was changed meanwhile, the function is called again with
        the new one, so it should do nothing but compute. What it raises passes through, and nothing has changed then.

        :param function: is given a copy of the value, or the default, and returns the new value
        :raises TypeError: it returned a value of another type
        :raises StoreError: others were quicker 10,000 times
        """
        _operations["kv.update"] += 1
        return self._store.update(key, function, default)

    def delete(self, key: str) -> bool:
        """Delete a key, and return whether it was there."""
        _operations["kv.delete"] += 1
        return self._store.delete(key)

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        _operations["kv.exists"] += 1
        return self._store.exists(key)

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match a glob pattern, sorted; only those with its literal beginning are looked at.

        :param pattern: ``*`` is any text, ``?`` one character, ``[abc]`` one of several, ``[!abc]`` any other
        """
        _operations["kv.keys"] += 1
        return self._store.keys(pattern)

    def clear(self) -> None:
        """Delete all keys."""
        _operations["kv.clear"] += 1
        self._store.clear()

    def ttl(self, key: str) -> float:
        """Return how many seconds a key has left: -1 for ever, -2 if there is no such key."""
        _operations["kv.ttl"] += 1
        return self._store.ttl(key)

    def close(self) -> None:
        """Close the store; what is in it stays, and :func:`open` opens it again. Other users of it notice nothing."""
        self._store.close()
        self._store = _Closed(self.name)

    def __enter__(self) -> KV:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<scriptling.runtime.kv store {self.name!r}>"

    def __reduce__(self) -> tuple[Callable[[str], KV], tuple[str]]:
        return open, (self._opened_as,)


class _Default(KV):
    """The store that is always there: in memory, or where ``--kv-storage`` says."""

    def __init__(self) -> None:
        self.name = "default"

    @cached_property
    def _store(self) -> _Backend:  # type: ignore[override]
        return registry.open_default()

    def close(self) -> None:
        """Do nothing: everybody uses this store."""

    def __reduce__(self) -> str:  # type: ignore[override]
        return "default"


default: KV = _Default()
"""The store that is always there."""


def open(name: str) -> KV:
    """Return the store of a name: the same from every process of the server, or of the script.

    :param name: ``":memory:NAME"`` for one in memory, which ends with the server; a URL such as ``"redis://host:6379/0"``;
        anything else is the path of a folder, which is made if need be
    :raises TypeError: the name is no str
    :raises ValueError: it is empty, a URL of another kind, or almost one in memory
    :raises StoreError: for Redis, when the package ``redis`` is not installed
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a store is a str, not a {type(name).__name__}: {name!r}")
    if not name:
        raise ValueError('a store needs a name: ":memory:NAME", a path, or "redis://HOST"')
    if name.startswith(_MEMORY):
        return KV(name, registry.open_memory("kv", name.removeprefix(_MEMORY)))
    if name.startswith(_REDIS):
        from scriptling.stores.redis_store import open_redis  # noqa: PLC0415 - an extra that few have installed

        shared = open_redis(name)
        return KV(shared.name, shared, name)
    if name.startswith(_MEMORY[1:]):
        raise ValueError(f"{name!r} would be a folder; a store in memory is called ':{name}', and a folder './{name}'")
    if "://" in name:
        raise ValueError(f"{name!r} names no store: of URLs, only those of redis://, rediss:// and unix:// do")
    folder = str(Path(name).resolve())
    return KV(folder, registry.open_path(folder))
