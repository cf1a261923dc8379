"""A store that several machines share: Redis, or whatever speaks its protocol, by the package ``redis``.

An int of 64 bits is kept as Redis itself keeps numbers, so that it counts them; any other value is a byte that no UTF-8
text and no MessagePack begins with, and MessagePack.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from scriptling.stores import records, values
from scriptling.stores.errors import StoreError, StoreFullError
from scriptling.stores.patterns import Pattern

try:
    import redis
except ImportError:
    raise StoreError("stores in Redis need the package redis; install it: pip install 'scriptling[redis]'") from None

_PACKED = b"\xc1"
_MOST_TRIES = 10_000
_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
_CONNECT_TIMEOUT = 5.0  # seconds
_TIMEOUT = 30.0  # seconds that one command may take
_LATEST = 10**15  # ms

# KEYS: key. ARGV: the value it must have, or nothing if it must not be there; the new one.
_SWAP = """
local found = redis.call('GET', KEYS[1])
if ARGV[3] == '0' and found or ARGV[3] == '1' and found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""

_lock = threading.Lock()
_all: dict[str, RedisStore] = {}


class RedisStore:
    """Keys and values in a database of Redis, or those in it whose keys have a prefix.

    :ivar name: its URL without what is secret
    :param url: as the package ``redis`` takes it; ``?prefix=TEXT`` keeps to keys that begin with that
    """

    def __init__(self, url: str) -> None:
        parts, (address, _, query) = urlsplit(url), url.partition("?")
        options = dict(parse_qsl(query))
        self._prefix = options.pop("prefix", "")
        self.name = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._client = redis.Redis.from_url(
            f"{address}?{urlencode(options)}",
            **{"socket_timeout": _TIMEOUT, "socket_connect_timeout": _CONNECT_TIMEOUT},
        )
        self._swap_script = self._client.register_script(_SWAP)

    def get(self, key: str, default: Any = None) -> Any:
        """See :meth:`scriptling.stores.store.Store.get`; so for all methods."""
        name = self._redis_key(key)
        with self._errors():
            found: Any = self._client.get(name)
        return default if found is None else self._decode(key, found)

    def set(self, key: str, value: Any, ttl: float = 0) -> None:
        """Store a copy of a value."""
        name, encoded = self._redis_key(key), _encode(key, value)
        if type(ttl) not in (int, float) or not (0 <= ttl < math.inf):
            raise ValueError(f"a ttl is a number of seconds, 0 for ever, not {ttl!r}")
        with self._errors():
            self._client.set(name, encoded, px=min(math.ceil(ttl * 1000), _LATEST) or None)

    def incr(self, key: str, delta: int = 1) -> int:
        """Add to an integer."""
        if type(delta) is not int:
            raise TypeError(f"cannot increment {key!r} by {delta!r}: a {type(delta).__name__} is no int")
        name = self._redis_key(key)
        with self._errors():
            try:
                return int(self._client.incrby(name, delta))
            except redis.ResponseError as error:  # the value is no number of 64 bits, or would not be one any more
                if "integer" not in str(error) and "overflow" not in str(error):
                    raise

        def add(number: Any) -> int:
            if type(number) is not int:
                raise TypeError(f"cannot increment {key!r}: its value is a {type(number).__name__}, not an int")
            return number + delta

        return int(self.update(key, add, 0))

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace a value by what a function makes of it."""
        name = self._redis_key(key)
        for _ in range(_MOST_TRIES):
            with self._errors():
                found: Any = self._client.get(name)
            value = function(default if found is None else self._decode(key, found))
            arguments = [found or b"", _encode(key, value), b"0" if found is None else b"1"]
            with self._errors():
                if self._swap_script(keys=[name], args=arguments):
                    return value
        raise StoreError(f"cannot update {key!r}: others changed it {_MOST_TRIES} times while the function ran")

    def delete(self, key: str) -> bool:
        """Delete a key."""
        name = self._redis_key(key)
        with self._errors():
            return bool(self._client.delete(name))

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        name = self._redis_key(key)
        with self._errors():
            return bool(self._client.exists(name))

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match a glob pattern, sorted."""
        wanted = Pattern(pattern)
        with self._errors():
            found = {name.decode(errors="replace")[len(self._prefix) :] for name in self._scan(wanted.prefix)}
        return sorted(key for key in found if wanted.matches(key))

    def clear(self) -> None:
        """Delete all keys: of the database, or those with the prefix."""
        with self._errors():
            if not self._prefix:
                self._client.flushdb()
                return
            for name in self._scan(""):
                self._client.unlink(name)

    def ttl(self, key: str) -> float:
        """Return how many seconds a key has left."""
        name = self._redis_key(key)
        with self._errors():
            left = int(self._client.pttl(name))
        return max(left, 1) / 1000 if left >= 0 else left

    def close(self) -> None:
        """Close the connections; the next command opens one."""
        self._client.close()

    def _redis_key(self, key: str) -> bytes:
        records.stored_key(key)  # what is no key here is none in any store
        return (self._prefix + key).encode()

    def _scan(self, prefix: str) -> Iterator[bytes]:
        return iter(self._client.scan_iter((self._prefix + prefix).translate(_SPECIAL) + "*", count=1000))

    def _decode(self, key: str, found: bytes) -> Any:
        if found[:1] == _PACKED:
            return values.decode(memoryview(found)[1:])
        try:
            return int(found)
        except ValueError:
            raise StoreError(f"the value of {key!r} in {self.name} was not written by a store of ours") from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except redis.exceptions.OutOfMemoryError as error:
            raise StoreFullError(f"{self.name} is full: {error}") from None
        except redis.RedisError as error:
            raise StoreError(f"{self.name} failed: {error}") from None


def _encode(key: str, value: Any) -> bytes:
    if type(value) is int and -(2**63) <= value < 2**63:
        return b"%d" % value
    return _PACKED + values.encode(key, value)


def open_redis(url: str) -> RedisStore:
    """Return the store of a URL, one for each process.

    :raises ValueError: it is no URL of Redis
    """
    with _lock:
        store = _all.get(url)
        if store is None:
            store = _all[url] = RedisStore(url)
        return store
