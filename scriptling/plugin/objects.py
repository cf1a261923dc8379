"""Objects that live in a plugin, as the program sees them: one proxy for each, which releases what it stands for."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from scriptling.errors import PluginError
from scriptling.protocol.values import RemoteRef

if TYPE_CHECKING:
    from scriptling.plugin.codec import PluginCodec

RELEASED = "plugin object has been released"


class Handle:
    """What a proxy holds: the object's reference, and the connection it can be reached through.

    :ivar held: the object has not been released, and is ours to release: not so in a forked child
    """

    __slots__ = ("connection", "held", "reference", "released")

    def __init__(self, connection: PluginCodec, reference: RemoteRef) -> None:
        self.connection = connection
        self.reference = reference
        self.held = True
        self.released = False

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method, or read (no argument) or write (one) a property.

        :return: the result, or what it can be awaited from
        :raises PluginError: the object has been released
        :raises PluginCallError: the method raised, or could not be called
        """
        if self.released:
            raise PluginError(RELEASED)
        return self.connection.call_method(self.reference.id, method, args, kwargs)

    def let_go(self) -> bool:
        """Make the object unusable; return whether it still has to be destroyed, which is so once."""
        self.released = True
        held, self.held = self.held, False
        # Where the plugin is gone, so is the object.
        return held and self.connection.peer.alive

    def drop(self) -> None:
        """Have the object destroyed, without waiting: for the garbage collector."""
        if self.held:
            self.held = False
            self.connection.destroy_later(self.reference.id)


class Proxy:
    """Base of all proxies of objects that live in a plugin, for threads and for event loops.

    The object is destroyed in the plugin when the proxy is garbage-collected.
    """

    __slots__ = ("__weakref__", "_remote_handle")

    _remote_handle: Handle

    def __del__(self) -> None:
        handle = getattr(self, "_remote_handle", None)
        if handle is not None:
            handle.drop()

    def __repr__(self) -> str:
        handle = getattr(self, "_remote_handle", None)
        state = "without an object" if handle is None else "released" if handle.released else "in the plugin"
        return f"<{type(self).__module__}.{type(self).__qualname__} object {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot copy or pickle {type(self).__qualname__}: the object lives in a plugin")


class RemoteObject(Proxy):
    """Base of all proxies for threads.

    The object is also destroyed at the end of a ``with`` block, or by :func:`scriptling.plugin.release`. After that
    every use raises ``PluginError``.
    """

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        release(self)


class Dynamic(Proxy):
    """Proxy of an object whose class the schema does not describe: any public attribute is taken for a method."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__qualname__!r} object has no attribute {name!r}")
        handle = handle_of(self)

        def method(*args: Any, **kwargs: Any) -> Any:
            return handle.call(name, args, kwargs)

        method.__name__ = method.__qualname__ = name
        return method


class DynamicObject(Dynamic, RemoteObject):
    """Such a proxy for threads."""

    __slots__ = ()


def release(proxy: Proxy) -> None:
    """Destroy an object in the plugin, once, and wait until that is done."""
    handle = handle_of(proxy)
    if handle.let_go():
        handle.connection.destroy(handle.reference.id)


def handle_of(proxy: object) -> Handle:
    """Return what a proxy stands for.

    :raises TypeError: it is no proxy
    :raises PluginError: its constructor has not succeeded
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f"{type(proxy).__qualname__} is not a plugin object")
    try:
        return proxy._remote_handle
    except AttributeError:
        raise PluginError(f"{type(proxy).__qualname__} was not constructed: call super().__init__()") from None
