"""What every kind of registration in a setup script has in common: names, handlers, and coming too late."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from scriptling import references
from scriptling.registry import Handler, RegistrationError, Registry
from scriptling.runtime import context

Handles = str | Callable[..., Any]
"""A handler as scripts give it: ``"library.function"``, or the function itself, which travels by value."""


def open_registry(call: str) -> Registry | None:
    """Return the registry; None where there is no server, and, with a warning, where it has started."""
    server = context.current()
    if server is None:
        return None
    if not server.registry.frozen:
        return server.registry
    sys.stderr.write(f"scriptling: warning: {call} came after the server had started and is ignored\n")
    return None


def make_handler(call: str, handler: Handles) -> Handler:
    """Return where a handler's code is to be found, or the code itself.

    :raises RegistrationError: the reference is malformed, or the function cannot travel
    """
    if isinstance(handler, str):
        if references.split(handler) is None:
            raise RegistrationError(f"{call}: {references.malformed(handler)}")
        return Handler(handler)
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", type(handler).__name__)
    if module != "__main__" and name.isidentifier() and getattr(sys.modules.get(str(module)), name, None) is handler:
        return Handler(f"{module}.{name}")
    return Handler(name, pickle_handler(call, handler))


def pickle_handler(call: str, handler: object) -> bytes:
    """Return a function or class by value.

    :raises RegistrationError: it uses something that cannot travel
    """
    import cloudpickle  # noqa: PLC0415 - only functions that travel by value need it

    try:
        pickled: bytes = cloudpickle.dumps(handler)
    except Exception as error:
        raise RegistrationError(
            f"{call}: the function uses something that cannot travel to another process: {error}"
        ) from error
    return pickled


def check_handler_type(call: str, handler: object) -> None:
    """Hold that a handler is a reference or can be called.

    :raises RegistrationError: it is neither
    """
    if not isinstance(handler, str) and not callable(handler):
        raise RegistrationError(
            f'{call}: the handler must be "library.function" or a function, not {type(handler).__name__}'
        )


def check_name(call: str, name: object) -> None:
    """Hold that a name is text.

    :raises RegistrationError: it is not, or it is empty
    """
    if not isinstance(name, str) or not name:
        raise RegistrationError(f"{call}: the name must be a str that is not empty, not {name!r}")


def check_timeout(call: str, timeout: object) -> None:
    """Hold that a time-out is None or a number of seconds.

    :raises RegistrationError: it is not
    """
    if timeout is None:
        return
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not math.isfinite(timeout) or timeout <= 0:  # type: ignore[arg-type,operator]  # see number
        raise RegistrationError(f"{call}: timeout must be a number of seconds above 0, not {timeout!r}")


def name_of(call: str, function: Any) -> str:
    """Return the name that a decorated function is registered by.

    :param call: the decorator as people write it, for the error
    :raises RegistrationError: it is no function, or has no name
    """
    if not callable(function):
        raise RegistrationError(f"{call}(): {function!r} is no function, nor the name of one")
    own = getattr(function, "__name__", None)
    if not own or own == "<lambda>":
        raise RegistrationError(f'this function has no name of its own: {call}("name", function)')
    return str(own)
