"""Where an HTTP server listens: the socket, and what its address is called."""

from __future__ import annotations

import socket

CANNOT_LISTEN = 4
"""Exit code of a server that cannot have its address or its certificate (cli.md, exit codes)."""

BACKLOG = 2048
"""Clients that may wait to be accepted; the kernel has those beyond it try again after a second."""


class ListenError(Exception):
    """The server cannot listen as it was asked to; the text says why, and what to do."""


def listen(address: str) -> socket.socket:
    """Bind a socket to an address as :func:`scriptling.options.address` takes it; nothing is accepted yet.

    :raises ListenError: the address is taken, not ours, or not allowed
    """
    host, _, port = address.rpartition(":")
    try:
        if not host:
            return _bind_every_interface(int(port))
        family, kind, _, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        return _bind(family, kind, place)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror}; name another with --server") from None


def _bind_every_interface(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        except OSError:  # no IPv6 on this machine, or what IPv4 will say as well
            pass
    return socket.create_server(("", port), backlog=BACKLOG)


def _bind(family: int, kind: int, place: object) -> socket.socket:
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)  # type: ignore[arg-type]
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def url(bound: socket.socket, scheme: str) -> str:
    """Return the URL at which the server is reached from this machine."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "0.0.0.0"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_public(bound: socket.socket) -> bool:
    """Whether others than this machine may reach the address."""
    host = str(bound.getsockname()[0])
    return not (host.startswith("127.") or host == "::1")


def names_of(address: str) -> tuple[str, ...]:
    """Return the names by which a server that listens on this machine only may be asked for."""
    return ("localhost", "127.0.0.1", "::1", address.rpartition(":")[0].strip("[]").lower())
