"""Where a cost bends as the work grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Points = Sequence[tuple[float, float]]

GROWS = 0.5  # exponent from which a cost counts as growing with the work; below it something else is paid for
WORSE = 1.15  # exponent above which it grows faster than linearly, noise allowed for


class Segment(NamedTuple):
    """Between two neighbouring sizes the cost grows like size to the power of ``exponent``."""

    start: float
    end: float
    exponent: float


def segments(points: Points) -> list[Segment]:
    """Return the segments between points with positive coordinates, in the order of their sizes."""
    return [Segment(x1, x2, math.log(y2 / y1) / math.log(x2 / x1)) for (x1, y1), (x2, y2) in pairwise(points)]


def sentence(points: Points) -> str:
    """Say where it bends, and whether it ever grows faster than the work."""
    found = segments(points)
    if not found:
        return "One size only: nothing to compare."
    growing = [each for each in found if each.exponent >= GROWS]
    worse = [each for each in found if each.exponent > WORSE]
    if not growing:
        return "Hardly grows."
    begins = (
        "Grows from the beginning" if growing[0] is found[0] else f"Bends at {growing[0].start:,g}: hardly grows before"
    )
    if worse:
        places = " and ".join(f"from {each.start:,g} to {each.end:,g} (exponent {each.exponent:.2f})" for each in worse)
        return f"{begins}; FASTER THAN LINEARLY {places}."
    steepest = max(growing, key=lambda each: each.exponent)
    return f"{begins}; never faster than linearly (largest exponent {steepest.exponent:.2f})."
