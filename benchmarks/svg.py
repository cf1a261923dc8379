"""Just enough SVG: bars with names, and lines over two logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_BAR = 18  # pixels from one bar to the next
_NAMES = 230  # pixels for names left of the bars
_WIDTH = 760
_OURS = "#2563a8"
_OTHERS = "#9aa7b4"
_LIMITS = "#d8dde2"
_INK = "#1f2933"
_FAINT = "#6b7783"
_SMALL = 11


class Bar(NamedTuple):
    """One bar: its name, its length, and the text at its end; ``kind`` is ours, peer or limit."""

    name: str
    value: float
    label: str
    kind: str = "peer"


class Chart(NamedTuple):
    """Bars that are compared with each other."""

    title: str
    bars: Sequence[Bar]


class Series(NamedTuple):
    """Points over logarithmic axes; ``note`` is a sentence below."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]
    note: str


def text(x: float, y: float, words: str, size: int = 12, anchor: str = "start") -> str:
    """Return a line of text; small print is paler."""
    fill = _FAINT if size < _SMALL else _INK
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'


def document(width: int, height: int, parts: Iterable[str]) -> str:
    """Return a whole picture, on white so that it can be read on any page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif">\n<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def bar_charts(title: str, charts: Sequence[Chart], footer: str = "") -> str:
    """Return charts below each other, each with its own scale."""
    parts, y = [text(20, 30, title, 17)], 50.0
    for chart in charts:
        parts.append(text(20, y + 14, chart.title, 13))
        y += 24
        longest = max((bar.value for bar in chart.bars), default=1) or 1
        for bar in chart.bars:
            parts += _bar(bar, y, longest)
            y += _BAR
        y += 14
    small_print = _wrapped(footer, 130)
    parts += [text(20, y + 12 + 13 * i, line, 10) for i, line in enumerate(small_print)]
    return document(_WIDTH, int(y + 16 + 13 * len(small_print)), parts)


def _bar(bar: Bar, y: float, longest: float) -> list[str]:
    length = max(1.0, bar.value / longest * (_WIDTH - _NAMES - 130))
    fill = {"ours": _OURS, "limit": _LIMITS}.get(bar.kind, _OTHERS)
    return [
        text(_NAMES - 8, y + 12, bar.name, 11, "end"),
        f'<rect x="{_NAMES}" y="{y + 2:g}" width="{length:.1f}" height="{_BAR - 5}" fill="{fill}"/>',
        text(_NAMES + length + 6, y + 12, bar.label, 10),
    ]


def line_charts(title: str, charts: Sequence[Series], columns: int = 2) -> str:
    """Return small charts in a grid, each with its sentence."""
    wide, high = 420, 300
    parts = [text(20, 30, title, 17)]
    for i, chart in enumerate(charts):
        x, y = 20 + i % columns * wide, 46 + i // columns * high
        parts.append(f'<g transform="translate({x} {y})">' + "\n".join(_lines(chart, wide - 30, high - 40)) + "</g>")
    rows = math.ceil(len(charts) / columns)
    return document(20 + columns * wide, 56 + rows * high, parts)


def _lines(chart: Series, wide: int, high: int) -> list[str]:
    left, top, right, bottom = 52, 24, wide, high - 58
    across, up = _axis([x for x, _ in chart.points]), _axis([y for _, y in chart.points])

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + across.share(point[0]) * (right - left), bottom - up.share(point[1]) * (bottom - top)

    grid = [_rule(at((tick, up.low)), at((tick, up.high)), _short(tick), "x") for tick in across.ticks]
    grid += [_rule(at((across.low, tick)), at((across.high, tick)), _short(tick), "y") for tick in up.ticks]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, chart.points))
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_OURS}"/>' for x, y in map(at, chart.points)]
    line = f'<polyline points="{path}" fill="none" stroke="{_OURS}" stroke-width="1.5"/>'
    words = [text(0, 12, f"{chart.title}: {chart.y}", 12), text(right, bottom + 28, chart.x, 10, "end")]
    notes = [text(0, bottom + 44 + 12 * i, each, 10) for i, each in enumerate(_wrapped(chart.note, 76))]
    return [*words, *grid, line, *dots, *notes]


class _Axis(NamedTuple):
    low: float
    high: float

    def share(self, value: float) -> float:
        """Return where a value lies, 0 to 1."""
        return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))

    @property
    def ticks(self) -> list[float]:
        """The powers of ten on it."""
        return [10.0**i for i in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]


def _axis(values: Sequence[float]) -> _Axis:
    low, high = (10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values))))
    return _Axis(low, high if high > low else low * 10)


def _rule(start: tuple[float, float], end: tuple[float, float], label: str, axis: str) -> str:
    (x1, y1), (x2, y2) = start, end
    line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e4e8ec"/>'
    word = text(x1, y1 + 14, label, 9, "middle") if axis == "x" else text(x1 - 5, y1 + 3, label, 9, "end")
    return line + word


def _short(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def _wrapped(words: str, most: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
