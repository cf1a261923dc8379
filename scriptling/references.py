"""Handler references: ``"library.function"`` taken apart, and sentences about those that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_SHOWN = 10


def split(reference: str) -> tuple[str, str] | None:
    """Return library and name of ``"library.function"``; None where the text is no such reference."""
    library, _, name = reference.rpartition(".")
    if not library or not all(part.isidentifier() for part in reference.split(".")):
        return None
    return library, name


def malformed(reference: str) -> str:
    """Return the sentence for a text that is no reference."""
    return f'{reference!r} is no handler: write "library.function"'


def unknown_name(reference: str, library: str, name: str, available: Iterable[str]) -> str:
    """Return the sentence for a library that has no such name."""
    return f'no handler {reference}: the library {library} has no "{name}"{_hint(name, available)}'


def unknown_library(reference: str, library: str, folders: Sequence[str]) -> str:
    """Return the sentence for a library that is in none of the folders, nor in Python.

    ``folders`` are those that the last part of the dotted name was looked for in.
    """
    from pkgutil import iter_modules  # noqa: PLC0415 - needed for this mistake only

    name = library.rpartition(".")[2]
    names = [module.name for module in iter_modules([*folders])]
    return f'no handler {reference}: there is no library "{library}"{_hint(name, names)}'


def _hint(name: str, available: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - needed for a mistake only

    public = sorted(other for other in available if not other.startswith("_"))
    close = get_close_matches(name, public, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    if not public:
        return " (available: none)"
    more = ", …" if len(public) > _SHOWN else ""
    return f" (available: {', '.join(public[:_SHOWN])}{more})"
