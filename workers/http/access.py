"""Who may ask anything over HTTP: tokens, and pages of browsers. Pure.

A server without a token that listens on this machine only is still within reach of every page that a browser shows: by
a request across origins, or by a name of the page's own that comes to point here. Hence the checks of ``Origin`` and
``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from hmac import compare_digest

from workers.http.replies import Header, Reply, Scope, header, sentence

_BEARER = (b"www-authenticate", b"Bearer")
_WRONG_TOKEN = sentence(401, "this is not the token of this server", _BEARER)
_UNAUTHORIZED = sentence(401, "this server wants a token: send it as Authorization: Bearer TOKEN", _BEARER)
_FOREIGN_HOST = sentence(
    421, "this server is for this machine only: ask for it as localhost, or give it a token with --bearer-token"
)
_FOREIGN_ORIGIN = sentence(403, "pages of other origins may not use this server; allow one with --allow-origin ORIGIN")
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_SHARED = b"authorization, content-type, scriptling-session, scriptling-timeout"
_PREFLIGHT = (
    (b"access-control-allow-methods", _METHODS),
    (b"access-control-allow-headers", _SHARED),
    (b"access-control-max-age", b"600"),
)
_HOST = re.compile(rb"([\w.-]+|\[[\da-fA-F:.]+\])(?::\d*)?")
"""What RFC 9110 (7.2) has in the header ``Host``: no user, no path."""


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    :ivar token: what every request has to bring; empty for none
    :ivar origins: whose pages may use the server, beside the server's own; ``*`` is everybody's
    :ivar hosts: names that the server may be asked for by; empty for any
    """

    token: bytes = b""
    origins: Collection[bytes] = ()
    hosts: Collection[str] = ()

    def refuse(self, scope: Scope) -> Reply | None:
        """Return the answer to a request that may not be made, or that asks only whether it may be, before its body."""
        origin = host = authorization = None
        preflight = False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value if host is None else b""
            elif name == b"origin":
                origin = value
            elif name == b"authorization":
                authorization = value
            elif name == b"access-control-request-method":
                preflight = scope.get("method") == "OPTIONS"
        if origin is not None and preflight and self._allows(origin):
            return Reply(204, b"", (*_PREFLIGHT, *self.headers(scope)))
        if self.token:
            return _refuse_token(authorization, self.token)
        if self.hosts and _name(host) not in self.hosts:
            return _FOREIGN_HOST
        if origin is not None and not (self._allows(origin) or _is_own(origin, host)):
            return _FOREIGN_ORIGIN
        return None

    def _allows(self, origin: bytes) -> bool:
        return origin in self.origins or b"*" in self.origins

    def headers(self, scope: Scope) -> tuple[Header, ...]:
        """Return what lets the page that has asked see the answer, if it may."""
        origin = header(scope, b"origin") if self.origins else None
        if origin is None or not self._allows(origin):
            return ()
        return (b"access-control-allow-origin", origin), (b"vary", b"origin")


def _refuse_token(authorization: bytes | None, token: bytes) -> Reply | None:
    scheme, _, given = (authorization or b"").partition(b" ")
    if compare_digest(given.strip(), token) and scheme.lower() == b"bearer":
        return None
    return _UNAUTHORIZED if authorization is None else _WRONG_TOKEN


def _name(host: bytes | None) -> str:
    """Return the name in a ``Host`` header, without the port; empty for what is none."""
    found = _HOST.fullmatch(host or b"")
    return found[1].strip(b"[]").decode().lower() if found else ""


def _is_own(origin: bytes, host: bytes | None) -> bool:
    return bool(host) and origin.partition(b"://")[2] == host
