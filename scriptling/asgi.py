"""Plugins in web applications: a setup script as an ASGI application, for any server and any framework.

``app = scriptling.asgi.application("setup.py", workers=4)`` can be run by ``uvicorn myapp:app``, or mounted:
``Starlette(routes=[Mount("/tools", app)], lifespan=app.lifespan)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from scriptling.arguments import Arguments
from scriptling.options import BY_NAME, UsageError, unknown
from scriptling.settings import load

if TYPE_CHECKING:
    from workers.http.mounted import Mounted


def application(
    script: str | os.PathLike[str], *, bearer_token: str = "", allow_origin: Sequence[str] = (), **settings: Any
) -> Mounted:
    """Return the application that serves what a setup script registers.

    It starts its processes with the host's lifespan, or with the first request, and ends them with either the lifespan
    or the process. ``/json-rpc``, ``/health``, ``/metrics`` and the routes of the script lie below where it is mounted.

    :param script: the setup script
    :param bearer_token: required of every request; leave it to the host by giving none
    :param allow_origin: whose pages in browsers may use it, beside the host's own; ``"*"`` is everybody's
    :param settings: as flags are named, with ``_`` for ``-``: ``workers=4, call_timeout=2.5``; the environment counts
    :raises ValueError: a setting is unknown or wrong, or there is no such script
    """
    from workers.http.access import Access  # noqa: PLC0415 - that is where calls run, and only this asks for it
    from workers.http.mounted import Mounted  # noqa: PLC0415

    given = {name.replace("_", "-"): [_text(value)] for name, value in {"json_rpc": True, **settings}.items()}
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    try:
        _check_names(given)
        chosen = load(Arguments(given, os.fspath(script)), environment)._replace(mounted=True)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return Mounted(chosen, Access(bearer_token.encode(), tuple(each.encode() for each in allow_origin)))


def _check_names(given: Iterable[str]) -> None:
    known = [name for name in BY_NAME if name not in _NOT_HERE]
    for name in given:
        if name not in known:
            raise UsageError(unknown(name, known).replace("unknown flag", "unknown setting"))


_NOT_HERE = frozenset(
    {"server", "bearer-token", "bearer-token-file", "tls-cert", "tls-key", "tls-generate", "allow-origin", "code"}
    | {"interactive", "plugin-dir", "config", "version", "help", "max-connections", "request-timeout", "keep-alive"}
)
_NOT_OURS = frozenset({"SCRIPTLING_SERVER", "SCRIPTLING_BEARER_TOKEN", "SCRIPTLING_PLUGIN_DIR"})


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
