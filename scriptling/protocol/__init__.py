"""The wire, sans-IO: bytes in, events out, bytes out.

Envelopes are in :mod:`.jsonrpc`, Values in :mod:`.values`, the messages of the plugin methods in :mod:`.messages`.
"""
