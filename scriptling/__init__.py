"""Scriptling for Python: serve and load plugins that live in processes of their own."""

from scriptling.version import __version__

__all__ = ["__version__"]
