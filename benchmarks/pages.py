"""Puts figures into a page of the docs, between two marks that the page has for them."""

from __future__ import annotations

from pathlib import Path

BENCHMARKS = "python -m benchmarks"


def marks(name: str, writer: str = BENCHMARKS) -> tuple[str, str]:
    """Return the lines before and after what is put in."""
    return f"<!-- {name}: begin, written by {writer} -->", f"<!-- {name}: end -->"


def put(page: str, name: str, body: str, writer: str = BENCHMARKS) -> str:
    """Return the page with ``body`` between the marks of that name.

    :raises ValueError: the page has no such marks
    """
    begin, end = marks(name, writer)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no place for figures: a line {begin!r}, and later a line {end!r}")
    return f"{before}{begin}\n\n{body.strip()}\n\n{end}{after}"


def update(path: Path, name: str, body: str, writer: str = BENCHMARKS) -> None:
    """Do :func:`put` to a file."""
    path.write_text(put(path.read_text(encoding="utf-8"), name, body, writer), encoding="utf-8")
