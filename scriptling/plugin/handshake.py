"""The beginning of a conversation: what is said in the handshake, and what a plugin tells of itself in it."""

from __future__ import annotations

from typing import Any

import msgspec

from scriptling.errors import PluginCallError, PluginLoadError, PluginTimeout, from_wire
from scriptling.plugin.calls import AnyPeer
from scriptling.plugin.codec import PlainCodec, PluginCodec
from scriptling.plugin.library import Origin
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import (
    CAPABILITIES,
    HandshakeParams,
    HandshakeResult,
    Method,
    decode_result,
    encode_message,
)
from scriptling.version import __version__


class HandshakeTimeout(PluginLoadError, PluginTimeout):  # noqa: N818 - named as its bases are
    """A plugin was started, and did not answer the handshake in time."""


def handshake() -> list[tuple[str, bytes]]:
    """Return the request."""
    params = HandshakeParams(
        host="scriptling", host_version=__version__, transports=["json"], capabilities=list(CAPABILITIES)
    )
    return [(Method.HANDSHAKE, encode_message(params))]


def agreed(peer: AnyPeer, response: Response) -> HandshakeResult:
    """Return what a plugin has answered.

    :raises PluginLoadError: it is nothing to agree with
    """
    if response.error is not None:
        refused = PluginLoadError(f"{peer.label} refused the handshake: {response.error}")
        raise refused from from_wire(response.error)
    try:
        result = decode_result(response.result, HandshakeResult)
    except ValueError as error:
        raise PluginLoadError(f"{peer.label} answered the handshake with something else: {error}") from None
    if result.protocol.partition(".")[0] != "1":
        raise PluginLoadError(f"{peer.label} speaks version {result.protocol} of the protocol, and not 1.0")
    return result


def failed(error: PluginCallError) -> PluginLoadError:
    """Return the error for a handshake that was not answered."""
    return HandshakeTimeout(str(error), error.code) if isinstance(error, PluginTimeout) else PluginLoadError(str(error))


def described(name: str, origin: Origin, connection: PlainCodec | PluginCodec | None, alive: bool) -> dict[str, Any]:
    """Return what is known of a plugin as plain data; see :func:`scriptling.plugin.describe`."""
    known: dict[str, Any] = {
        "name": name,
        "path": origin.path,
        "args": list(origin.args),
        "transport": origin.transport,
        "scriptling": isinstance(connection, PluginCodec),
        "alive": alive,
    }
    if isinstance(connection, PluginCodec):
        told = connection.agreed
        known |= {"version": told.library.version, "description": told.library.description}
        known["capabilities"] = told.capabilities
        known["functions"] = msgspec.to_builtins(told.schema.functions)
        known["classes"] = msgspec.to_builtins(told.schema.classes)
        known["constants"] = {each.name: connection.constant(each.name, each.value) for each in told.schema.constants}
    return known
