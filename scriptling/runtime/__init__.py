"""What scripts import as ``scriptling.runtime``: the server's life, and the libraries for handlers.

The libraries below are reached both ways, ``import scriptling.runtime.plugin`` and ``runtime.plugin``.
"""

from __future__ import annotations

from typing import Any

from scriptling.runtime import context

_LIBRARIES = ("http", "jsonrpc", "kv", "plugin", "sandbox", "sync")
_FUNCTIONS = {"background": "tasks", "TaskError": "tasks"}  # by the module that has them, which few scripts need

__all__ = [
    "TaskError",
    "background",
    "http",
    "jsonrpc",
    "kv",
    "plugin",
    "sandbox",
    "server_running",
    "start_server",
    "sync",
]


def start_server(wait: bool = True) -> None:
    """Serve what the script has registered.

    A setup script that ends without calling this is served all the same. Outside server mode it returns at once.

    :param wait: return only when the server has stopped; False returns as soon as it has started
    """
    server = context.current()
    if server is not None:
        server.start(wait)


def server_running() -> bool:
    """Whether the server has been started and not yet been asked to stop; always False outside server mode."""
    server = context.current()
    return server is not None and server.running()


def __getattr__(name: str) -> Any:
    if name not in _LIBRARIES and name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - most scripts import the library by its full name

    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LIBRARIES, *_FUNCTIONS})
