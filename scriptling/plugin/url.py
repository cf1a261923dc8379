"""Plugins at URLs: what a URL and its headers say, and the way to the machine that they name."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from scriptling.errors import PluginLoadError

CONNECT_TIMEOUT = 15.0
MAX_RESPONSE = 1 << 30
"""Most bytes of one answer."""

_SHORTEST_SECRET = 4
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


_HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "; SSL_CERT_FILE names certificates to trust, insecure_skip_tls=True trusts any",
    "WRONG_VERSION_NUMBER": "; what is there may speak no TLS: try http:// or ws://",
}


def reason_of(error: Exception) -> str:
    """Return why a server cannot be reached, with what to do about it where that is known."""
    text = str(error) or type(error).__name__
    return text + next((hint for sign, hint in _HINTS.items() if sign in text), "")


class Address(msgspec.Struct, frozen=True):
    """A URL that has been taken apart.

    :ivar label: what errors call the plugin
    :ivar authority: host and port for the ``Host`` header
    :ivar target: path and query
    :ivar tls: how it is encrypted, None where it is not
    :ivar headers: the caller's own, to be sent with every request
    """

    label: str
    host: str
    port: int
    authority: str
    target: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]

    def dial(self, timeout: float | None) -> socket.socket:
        """Return a connection; TLS included.

        :param timeout: seconds for this, and for each operation with the connection
        :raises OSError: there is none to be had
        """
        seconds = CONNECT_TIMEOUT if timeout is None else min(timeout, CONNECT_TIMEOUT)
        connection = socket.create_connection((self.host, self.port), seconds)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_hostname=self.host)
            connection.settimeout(timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def redacted(self, text: str) -> str:
        """Return a text of the server's without the values of our headers, which may be secret."""
        for value in self.headers.values():
            for secret in (value, value.rpartition(" ")[2]):
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, "***")
        return text


def address_of(name: str, url: str, headers: Mapping[str, str], insecure_skip_tls: bool) -> Address:
    """Return what a URL says.

    :param name: what the plugin is to be called, without the prefix
    :raises PluginLoadError: it cannot be talked to like that; the sentence does not show what may be secret
    """
    parts = urlsplit(url)
    label = f"plugin {name!r} ({public_url(url)})"
    if not parts.hostname:
        raise PluginLoadError(f"{label}: the URL names no host")
    if "@" in parts.netloc:
        raise PluginLoadError(f"{label}: give user and password as a header, not in the URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise PluginLoadError(f"{label}: the URL holds characters that have to be percent-encoded")
    port = _port(label, parts)
    tls = _tls_context(insecure_skip_tls) if parts.scheme in {"https", "wss"} else None
    return Address(label, parts.hostname, port, parts.netloc, target, tls, _checked_headers(label, headers))


def public_url(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _port(label: str, parts: SplitResult) -> int:
    try:
        return parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise PluginLoadError(f"{label}: {error}") from None


def _checked_headers(label: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers that can be sent; an error does not show the value, which may be secret."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii() or value != value.strip():
            raise PluginLoadError(
                f"{label}: the header {name!r} cannot be sent: it holds characters that are not allowed there"
            )
    return dict(headers)


def _tls_context(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
