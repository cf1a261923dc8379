"""The client for event loops: ``async with scriptling.plugin.connect(target) as calculator``.

It differs from the client for threads in who waits, and in nothing else: the codec, the conversation, the channels and
what HTTP answers mean are the same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from scriptling.errors import PluginCallError, PluginError
from scriptling.plugin.access import CLOSE_GRACE, Access, open_channel
from scriptling.plugin.channel import Channel
from scriptling.plugin.codec import PlainCodec, PluginCodec, Prepared, function_requests, raise_first
from scriptling.plugin.handshake import agreed, described, failed, handshake
from scriptling.plugin.library import Origin
from scriptling.plugin.loop_peer import AsyncPeer
from scriptling.plugin.objects import Dynamic, Proxy, handle_of
from scriptling.plugin.origin import PREFIX, normalised
from scriptling.plugin.proxies import Owner, class_namespace, contents_of, sign
from scriptling.protocol.messages import ClassSchema, HandshakeResult, PropertySchema


class AsyncObject(Proxy):
    """Base of all proxies of objects that live in a plugin, for event loops.

    ``await obj.method(...)`` calls a method, ``await obj.name`` reads a property. The object is destroyed in the plugin
    when the proxy is garbage-collected, at the end of an ``async with`` block, or by :meth:`AsyncPlugin.release`.
    """

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await release(self)


class _AsyncClass(type):
    """Class of the classes whose instances live in a plugin: to call one gives what an instance is awaited from."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._construct(*args, **kwargs)  # type: ignore[attr-defined]


class AsyncDynamicObject(Dynamic, AsyncObject):
    """Proxy of an object whose class the schema does not describe: any public attribute is taken for a method."""

    __slots__ = ()


async def release(obj: Proxy) -> None:
    """Destroy an object in the plugin, once, and wait until that is done."""
    handle = handle_of(obj)
    if handle.let_go():
        await handle.connection.destroy(handle.reference.id)


# -- calls -------------------------------------------------------------------------------------------------------------


class AsyncPlainConnection(PlainCodec):
    """Calls of a peer that is no Scriptling plugin."""

    def __init__(self, peer: AsyncPeer) -> None:
        self.peer = peer

    def ask(self, call: Prepared) -> Coroutine[Any, Any, Any]:
        """Return what the result of a call is awaited from."""
        return _ask(self.peer, call)


class AsyncPluginConnection(PluginCodec):
    """Calls of a plugin that has answered the handshake."""

    peer: AsyncPeer

    def __init__(self, peer: AsyncPeer, told: HandshakeResult) -> None:
        super().__init__(peer, told, AsyncDynamicObject)

    def ask(self, call: Prepared) -> Coroutine[Any, Any, Any]:
        """Return what the result of a call is awaited from."""
        return _ask(self.peer, call)

    def callback(self, function: Callable[..., Any]) -> Callable[[bytes], Coroutine[Any, Any, bytes]]:
        """Return what is awaited when the plugin calls a function of the program."""
        return partial(self._run_callback, function)

    async def _run_callback(self, function: Callable[..., Any], params: bytes) -> bytes:
        args, kwargs = self.callback_arguments(params)
        result = function(*args, **kwargs)
        return self.callback_result(await result if isawaitable(result) else result)


async def _ask(peer: AsyncPeer, call: Prepared) -> Any:
    return call.result(await peer.exchange(call.requests, call.batch, call.callbacks, call.timeout))


# -- what a program sees -----------------------------------------------------------------------------------------------


class AsyncPlugin:
    """A plugin, for the tasks of the event loop that it was connected in.

    Functions, classes and constants of the plugin are its attributes: ``await calculator.add(3, 4)``,
    ``counter = await calculator.Counter(5)``, ``calculator.VERSION``. Where the plugin has a function of the name of a
    method of this class, :meth:`call_function` calls it.
    """

    def __init__(self, name: str, origin: Origin, connection: AsyncPlainConnection | AsyncPluginConnection) -> None:
        self._name = name
        self._origin = origin
        self._connection = connection
        self._contents: dict[str, Any] = {}
        if isinstance(connection, AsyncPluginConnection):
            self._contents = contents_of(_Owner(connection), connection, _class, sources=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_contents"][name]
        except KeyError:
            raise AttributeError(f"plugin {self._name!r} has no attribute {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._contents})

    def __repr__(self) -> str:
        return f"<{self._connection.peer.label}>"

    def describe(self) -> dict[str, Any]:
        """Return what is known of the plugin, as :func:`scriptling.plugin.describe` does."""
        return described(PREFIX + self._name, self._origin, self._connection, self._connection.peer.alive)

    async def call_function(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function by its name; errors as :func:`scriptling.plugin.call_function`."""
        return await self._connection.call_function(name, args, kwargs)

    async def batch_call(self, calls: Sequence[Mapping[str, Any]], *, return_exceptions: bool = False) -> list[Any]:
        """Call several functions in one JSON-RPC batch; see :func:`scriptling.plugin.batch_call`."""
        requests = function_requests(calls)
        return raise_first(await self._connection.batch_call(requests) if requests else [], return_exceptions)

    async def call_method(self, obj: Proxy, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method of an object by its name; a property is read with no argument and written with one."""
        return await handle_of(obj).call(name, args, kwargs)

    async def release(self, obj: Proxy) -> None:
        """Destroy an object in the plugin, and wait until that is done; again, it does nothing."""
        await release(obj)

    async def close(self, timeout: float = CLOSE_GRACE) -> None:
        """Say goodbye; calls that other tasks have in flight are finished first.

        :param timeout: seconds until the plugin's process is terminated, or the connection broken off
        """
        await self._connection.peer.close(timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


class _Owner:
    """Gives the proxies of a plugin its connection (see :class:`~scriptling.plugin.proxies.Owner`)."""

    def __init__(self, connection: AsyncPluginConnection) -> None:
        self.name = PREFIX + connection.agreed.library.name
        self._connection = connection

    def connected(self) -> AsyncPluginConnection:
        return self._connection

    def connected_plugin(self) -> AsyncPluginConnection:
        return self._connection


def _class(owner: Owner, schema: ClassSchema) -> type[AsyncObject]:
    """Return a class whose instances live in the plugin."""

    async def construct(cls: type[AsyncObject], /, *args: Any, **kwargs: Any) -> AsyncObject:
        made = cls.__new__(cls)
        await owner.connected_plugin().new(made, schema.name, args, kwargs)
        return made

    namespace = class_namespace(owner, schema) | {"_construct": classmethod(construct)}
    for each in schema.properties:
        namespace[each.name] = _property(each)
    return cast("type[AsyncObject]", sign(_AsyncClass(schema.name, (AsyncObject,), namespace), schema))


def _property(schema: PropertySchema) -> property:
    name = schema.name

    def read(self: AsyncObject) -> Any:
        return handle_of(self).call(name, (), {})

    def write(self: AsyncObject, value: object) -> None:
        how = f"write it with: await plugin.call_method(obj, {name!r}, value)"
        raise AttributeError(f"can't set attribute {name!r}: {how if schema.settable else 'property is read-only'}")

    return property(read, write, doc=schema.description or None)


# -- connecting --------------------------------------------------------------------------------------------------------


class Connecting:
    """What :func:`scriptling.plugin.connect` returns: to be used with ``async with``, or awaited."""

    def __init__(self, name: str, origin: Origin, scriptling: bool, access: Access) -> None:
        self._name = name or _own_name(origin)
        self._origin = origin
        self._scriptling = scriptling
        self._access = access
        self._plugin: AsyncPlugin | None = None

    def __await__(self) -> Generator[Any, None, AsyncPlugin]:
        return self._connect().__await__()

    async def __aenter__(self) -> AsyncPlugin:
        if self._plugin is not None:
            raise PluginError("this is connected already; call connect() for each connection")
        self._plugin = await self._connect()
        return self._plugin

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        plugin, self._plugin = self._plugin, None
        if plugin is not None:
            await plugin.__aexit__(kind, error, tb)

    async def _connect(self) -> AsyncPlugin:
        peer = await self._peer()
        try:
            if not self._scriptling:
                return AsyncPlugin(self._name, self._origin, AsyncPlainConnection(peer))
            told = await _shake_hands(peer, self._access.timeout)
            return AsyncPlugin(self._name, self._origin, AsyncPluginConnection(peer, told))
        except BaseException:
            await peer.close(0)
            raise

    async def _peer(self) -> AsyncPeer:
        """Start a process, or reach for a URL; what that needs is imported here, for a program may need one of them."""
        if self._origin.transport == "http":
            from scriptling.plugin.loop_http import LoopHttpPeer  # noqa: PLC0415
            from scriptling.plugin.url import address_of  # noqa: PLC0415

            access = self._access
            address = address_of(self._name, self._origin.path, access.headers, access.insecure_skip_tls)
            return LoopHttpPeer(address, self._scriptling)
        from scriptling.plugin.hostlog import HostLog  # noqa: PLC0415
        from scriptling.plugin.loop_peer import LoopPeer  # noqa: PLC0415

        label, channel = await self._channel()
        return LoopPeer(label, channel, HostLog(PREFIX + self._name), self._scriptling)

    async def _channel(self) -> tuple[str, Channel]:
        """Open the channel in another thread, since that blocks."""
        opening = asyncio.get_running_loop().run_in_executor(None, open_channel, self._name, self._origin, self._access)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise


def _discard(opening: asyncio.Future[tuple[str, Channel]]) -> None:
    """End what was opened for a task that has been cancelled."""
    if not opening.cancelled() and opening.exception() is None:
        _, channel = opening.result()
        opening.get_loop().run_in_executor(None, channel.free)


async def _shake_hands(peer: AsyncPeer, timeout: float) -> HandshakeResult:
    """Agree on the protocol.

    :raises PluginLoadError: that failed
    """
    try:
        responses = await peer.exchange(handshake(), timeout=timeout)
    except PluginCallError as error:
        raise failed(error) from error
    return agreed(peer, responses[0])


def _own_name(origin: Origin) -> str:
    """Return what a plugin is called that was given no name: its file's, or its host's."""
    own = PurePath(origin.path).stem if origin.transport == "stdio" else urlsplit(origin.path).hostname
    return normalised((own or "plugin").replace(" ", "_")).removeprefix(PREFIX)
