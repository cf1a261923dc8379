"""The version of the distribution, told to peers in the handshake and by ``--version``."""

__version__ = "0.1.0"
