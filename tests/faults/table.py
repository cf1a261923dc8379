"""The table of what each check demands and what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import reduce

import msgspec

from tests.faults.figures import Figure


def merge(figures: Iterable[Figure]) -> list[Figure]:
    """Return one figure for each thing: the worst, or for counts the sum."""
    things: dict[tuple[int, str], list[Figure]] = defaultdict(list)
    for figure in figures:
        things[figure.check, figure.what].append(figure)
    return [reduce(_both, things[key]) for key in sorted(things, key=lambda key: key[0])]


def _both(one: Figure, other: Figure) -> Figure:
    if one.relation == "of":
        total, good = one.demanded + other.demanded, one.measured + other.measured
        return msgspec.structs.replace(one, demanded=total, measured=good)
    worse = max if one.relation == "≤" else min
    return worse(one, other, key=lambda figure: figure.measured - figure.demanded)


def shown(number: float, unit: str) -> str:
    """Return a number with its unit, as exactly as it is worth."""
    if unit == "s" and number < 1:
        return f"{number * 1000:.3g} ms"
    text = f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
    return f"{text}{'' if unit in {'', '/s'} else ' '}{unit}"


def markdown(figures: Iterable[Figure]) -> str:
    """Return the table."""
    lines = ["| check | what | demanded | measured |", "| ---: | --- | --- | --- |"]
    for figure in merge(figures):
        demanded, measured = shown(figure.demanded, figure.unit), shown(figure.measured, figure.unit)
        demanded = f"all {demanded}" if figure.relation == "of" else f"{figure.relation} {demanded}"
        measured = measured if figure.holds else f"**{measured}**, does not hold"
        lines.append(f"| {figure.check} | {figure.what} | {demanded} | {measured} |")
    return "\n".join(lines)
