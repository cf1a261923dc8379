"""What can go wrong with a store."""

from __future__ import annotations


class StoreError(Exception):
    """A store could not do what it was asked; the text names the store and says what to do."""


class StoreFullError(StoreError):
    """There is no room for what was to be written; nothing of it was, and what was there before is unharmed."""
