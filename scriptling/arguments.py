"""Takes an argument vector apart, by the table of :mod:`scriptling.options`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scriptling.options import BY_NAME, BY_SHORT, OPTIONS, Option, UsageError, unknown


class Arguments(NamedTuple):
    """An argument vector, taken apart but not yet understood.

    :ivar given: the texts given to each option, by the option's name
    :ivar script: the script as named (``-`` included), or None
    :ivar script_args: everything behind the script or the code of ``-c``
    :ivar wants: ``"help"`` or ``"version"`` where that was asked for, else ``""``
    """

    given: dict[str, list[str]]
    script: str | None = None
    script_args: tuple[str, ...] = ()
    wants: str = ""


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Take an argument vector apart, without the program's name.

    Flags end at the script, behind the code of ``-c``, or at ``--``; the rest is the script's own.

    :raises UsageError: an unknown flag, or a flag with a value missing or too many
    """
    given: dict[str, list[str]] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        for option, value in _read_flag(word, rest):
            if option.name in ("help", "version"):
                return Arguments(given, wants=option.name)
            _store(given, option, value)
        if "code" in given:
            return Arguments(given, None, tuple(rest))
    return Arguments(given, rest[0] if rest else None, tuple(rest[1:]))


def _read_flag(word: str, rest: list[str]) -> list[tuple[Option, str]]:
    """Return the options that one word gives, taking a value from ``rest`` where one is missing in the word."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        option = BY_NAME.get(name)
        if option is None:
            raise UsageError(unknown(f"--{name}", [known.flag for known in OPTIONS]))
        if equals or not option.metavar:
            return [(option, value if equals else "true")]
        return [(option, _next(option, word, rest))]
    return _read_short(word, rest)


def _read_short(word: str, rest: list[str]) -> list[tuple[Option, str]]:
    """Return the options of a word such as ``-i``, ``-Lfolder`` or ``-ic``."""
    found: list[tuple[Option, str]] = []
    for place, letter in enumerate(word[1:], start=2):
        option = BY_SHORT.get(letter)
        if option is None:
            raise UsageError(unknown(f"-{letter}", [f"-{short}" for short in BY_SHORT]))
        if option.metavar:
            return [*found, (option, word[place:] or _next(option, f"-{letter}", rest))]
        found.append((option, "true"))
    return found


def _next(option: Option, word: str, rest: list[str]) -> str:
    """Return the value that stands behind a flag."""
    if not rest:
        raise UsageError(f"{word} needs a value: {word} {option.metavar}")
    return rest.pop(0)


def _store(given: dict[str, list[str]], option: Option, value: str) -> None:
    """Note a value; a switch or a value given again counts once if it says the same."""
    values = given.setdefault(option.name, [])
    if values and not option.repeatable and values != [value]:
        if option.secret:
            raise UsageError(f"{option.flag} is given twice; give it once")
        raise UsageError(f"{option.flag} is given twice, as {values[0]!r} and as {value!r}; give it once")
    if option.repeatable or not values:
        values.append(value)
