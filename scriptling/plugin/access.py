"""How a plugin is reached: the settings of that, and the channel of a two-way conversation."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from scriptling.errors import PluginLoadError
from scriptling.plugin.channel import Channel
from scriptling.plugin.library import Origin

HANDSHAKE_TIMEOUT = 15.0
CLOSE_GRACE = 10.0
# Where nobody waits for the answers any more, because the program was interrupted.
INTERRUPTED_GRACE = 0.5


class Access(msgspec.Struct, frozen=True):
    """How a plugin is reached, beyond what identifies it.

    :ivar timeout: seconds for the handshake
    """

    timeout: float = HANDSHAKE_TIMEOUT
    insecure_skip_tls: bool = False
    headers: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise TypeError(f"timeout is a number of seconds, not a {type(self.timeout).__name__}: {self.timeout!r}")


def open_channel(name: str, origin: Origin, access: Access) -> tuple[str, Channel]:
    """Start a process, or open a WebSocket; this blocks.

    :param name: of the plugin, without the prefix
    :return: what errors call the plugin, and the channel
    :raises PluginLoadError: that failed
    """
    if origin.transport == "websocket":
        from scriptling.plugin.url import address_of  # noqa: PLC0415 - only what is needed is imported
        from scriptling.plugin.websocket import open_websocket  # noqa: PLC0415

        address = address_of(name, origin.path, access.headers, access.insecure_skip_tls)
        return address.label, open_websocket(address, access.timeout)
    from scriptling.plugin.process import Child  # noqa: PLC0415
    from scriptling.plugin.stdio import StdioChannel  # noqa: PLC0415

    label = f"plugin {name!r} ({origin.path})"
    try:
        return label, StdioChannel(Child((origin.path, *origin.args)))
    except OSError as error:
        raise PluginLoadError(f"{label} cannot be started: {error.strerror or error}") from error
