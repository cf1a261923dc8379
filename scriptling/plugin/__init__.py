"""Load plugins, and call what they offer.

A plugin is an executable that speaks the Scriptling plugin protocol over its standard streams, or a URL that speaks it
over HTTP or a WebSocket; any other JSON-RPC 2.0 peer can be called, too::

    import scriptling.plugin as plugin

    plugin.load("calculator", "scriptling", scriptling=True, args=["--json-rpc", "setup.py"])
    import plugin.calculator

    plugin.calculator.add(3, 4)

Every function here may be called from any thread. Wherever a name of a library is asked for, it is taken with or
without the prefix ``plugin.``. What the client raises on purpose is a :class:`PluginError`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scriptling.errors import PluginCallError, PluginCrashed, PluginError, PluginLoadError, PluginTimeout
from scriptling.hints import install_hints
from scriptling.plugin import loading, objects
from scriptling.plugin.access import CLOSE_GRACE, HANDSHAKE_TIMEOUT, Access
from scriptling.plugin.calls import time_limit
from scriptling.plugin.codec import function_requests, raise_first
from scriptling.plugin.loading import PluginName
from scriptling.plugin.objects import RemoteObject, handle_of
from scriptling.plugin.origin import PathText, origin_of

if TYPE_CHECKING:
    from scriptling.plugin.aio import Connecting

install_hints()

__all__ = [
    "PluginCallError",
    "PluginCrashed",
    "PluginError",
    "PluginLoadError",
    "PluginName",
    "PluginTimeout",
    "RemoteObject",
    "batch_call",
    "call_function",
    "call_method",
    "connect",
    "describe",
    "list",
    "load",
    "load_folder",
    "release",
    "time_limit",
    "unload",
]


def load(
    name: str,
    path: PathText,
    scriptling: bool = False,
    args: Sequence[PathText] | None = None,
    insecure_skip_tls: bool = False,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = HANDSHAKE_TIMEOUT,
) -> PluginName:
    """Start a plugin, or connect to one, and return its name with the prefix ``plugin.``.

    Loading the same plugin under the same name again does nothing, unless it has died: then it is started anew.

    :param path: an executable (absolute, relative, or bare and looked up on PATH), or a URL: ``http``, ``https``,
        ``ws`` or ``wss``; over HTTP a plugin cannot call back
    :param scriptling: whether it speaks the Scriptling plugin protocol; then ``plugin.<name>`` can be imported.
        Otherwise it is any JSON-RPC 2.0 peer, for :func:`call_function` and :func:`batch_call`
    :param args: arguments of the executable
    :param insecure_skip_tls: accept any certificate
    :param headers: sent with every request to the URL, or with the opening of the WebSocket
    :param timeout: seconds that it may take to start and answer the handshake
    :return: a text that is a context manager, too, which unloads the plugin at the end of the block
    :raises PluginLoadError: it cannot be started, reached, or agreed with; or the name is in use for another plugin,
        or another name for this one
    """
    return loading.load(name, path, scriptling, args, Access(timeout, insecure_skip_tls, headers or {}))


def connect(
    target: PathText,
    *,
    args: Sequence[PathText] | None = None,
    name: str = "",
    scriptling: bool = True,
    insecure_skip_tls: bool = False,
    headers: Mapping[str, str] | None = None,
    timeout: float = HANDSHAKE_TIMEOUT,
) -> Connecting:
    """Connect a plugin for the tasks of an event loop, each time a new one; nothing becomes importable by that.

    It is used with ``async with``, or awaited and ended by ``await calculator.close()``::

        async with plugin.connect("scriptling", args=["--json-rpc", "setup.py"]) as calculator:
            await calculator.add(3, 4)

    :param target: an executable or a URL, as :func:`load` takes it
    :param name: what errors and the log call the plugin
    :raises PluginLoadError: the target cannot be a plugin; later, it cannot be started, reached or agreed with
    """
    from scriptling.plugin.aio import Connecting  # noqa: PLC0415 - programs without an event loop need none of it

    origin = origin_of(target, args, headers)
    return Connecting(name, origin, scriptling, Access(timeout, insecure_skip_tls, headers or {}))


def load_folder(folder: str) -> None:
    """Load every executable in a folder under the name that it declares; one that fails is a warning in the log.

    :param folder: absolute path
    """
    from scriptling.plugin.folder import load_folder  # noqa: PLC0415 - few programs have one

    load_folder(folder)


def unload(name: str, *, timeout: float = CLOSE_GRACE) -> None:
    """Say goodbye to a plugin, and remove its library; whether the plugin is alive or not.

    Calls that other threads have in flight are finished first.

    :param timeout: seconds until its process is terminated
    :raises PluginError: it is not loaded
    """
    loading.unload(name, timeout)


def list() -> builtins.list[str]:
    """Return the names of all loaded plugins, sorted."""
    return loading.loaded_names()


def describe(name: str) -> dict[str, Any]:
    """Return what is known of a plugin, as plain data.

    ``name``, ``path``, ``args``, ``transport`` ("stdio", "http" or "websocket"), ``scriptling`` and ``alive``; of a
    Scriptling plugin also ``version``, ``description``, ``capabilities``, ``functions``, ``classes`` and ``constants``.

    :raises PluginError: it is not loaded
    """
    return loading.describe(loading.find(name))


def call_function(lib: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function of a plugin by its name.

    Of a plain JSON-RPC peer, ``name`` is the method; its params are an object if there are keyword arguments, the value
    itself if there is one argument, an array if there are several, and absent if there are none.

    :raises PluginCallError: the function raised, or could not be called
    :raises PluginError: the plugin is not loaded
    """
    return loading.find(lib).connected().call_function(name, args, kwargs)


def batch_call(lib: str, calls: Sequence[Mapping[str, Any]], *, return_exceptions: bool = False) -> builtins.list[Any]:
    """Call several functions of a plugin in one JSON-RPC batch, and return their results in the same order.

    :param calls: for each, a dict with ``name`` and, as needed, ``args`` and ``kwargs``; callbacks are refused
    :param return_exceptions: put the exception of a call that failed in the place of its result; otherwise the first of
        them is raised, after all calls have ended
    :raises PluginCallError: a call failed
    :raises PluginError: the plugin is not loaded, or a call holds a callback
    """
    requests = function_requests(calls)
    results = loading.find(lib).connected().batch_call(requests) if requests else []
    return raise_first(results, return_exceptions)


def call_method(obj: RemoteObject, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a plugin's object by its name; a property is read with no argument and written with one.

    :raises PluginCallError: the method raised, or could not be called
    :raises PluginError: the object has been released
    """
    return handle_of(obj).call(name, args, kwargs)


def release(obj: RemoteObject) -> None:
    """Destroy a plugin's object, and wait until that is done; again, it does nothing."""
    objects.release(obj)


def __getattr__(name: str) -> Any:
    """Return a loaded library: ``plugin.calculator`` works before ``import plugin.calculator``, too."""
    full = f"plugin.{name}"
    if full in loading.loaded_names():
        return loading.find(full).module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
