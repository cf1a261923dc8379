"""Paths of routes: ``/users/{id}/files/{rest...}``."""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")


def find_problem(path: object) -> str | None:
    """Return a sentence if a text is no path of a route; else None."""
    if not isinstance(path, str) or not path.startswith("/"):
        return f"the path must be a str that begins with a slash, not {path!r}"
    if {"{", "}"} & set(_PARAMETER.sub("", path)):
        return f"the path {path!r} has braces that are neither {{name}} nor {{name...}}"
    if "?" in path or "#" in path:
        return f"the path {path!r} has a query; a route is found by its path alone"
    names = [match[1] for match in _PARAMETER.finditer(path)]
    if len(set(names)) < len(names):
        return f"the path {path!r} has the same name twice"
    rest = [match.end() for match in _PARAMETER.finditer(path) if match[2]]
    if rest and rest[0] < len(path):
        return f"in the path {path!r} something follows what takes the rest"
    return None


def to_template(path: str) -> str:
    """Return a path as Starlette's router writes it."""
    return _PARAMETER.sub(lambda match: f"{{{match[1]}:path}}" if match[2] else f"{{{match[1]}}}", path)
