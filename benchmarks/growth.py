"""How costs grow with the work: in each plot one size grows, and everything else stays.

Every point is the fastest of several: what is asked is how a cost grows, not how busy the machine is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks import load, memory, wire
from benchmarks.model import PeerFailed
from benchmarks.pace import Pace
from benchmarks.report import number
from benchmarks.server import Server, ours
from benchmarks.slopes import sentence
from benchmarks.stage import start
from benchmarks.svg import Series, line_charts

Measured = Iterator[tuple[float, float]]

_TRIES = 5


class Plot(NamedTuple):
    """One size that grows.

    :ivar measure: yields size and cost for sizes in rising order
    :ivar remark: what else the points tell, in a sentence
    """

    title: str
    x: str
    y: str
    sizes: Sequence[int]
    measure: Callable[[Sequence[int]], Measured]
    remark: Callable[[Sequence[tuple[float, float]]], str]


class Grown(NamedTuple):
    """What came of a plot; ``failure`` says why points are missing, if any are."""

    plot: Plot
    points: list[tuple[float, float]]
    failure: str

    @property
    def note(self) -> str:
        """Where it bends, and what else there is to say."""
        if self.failure:
            return f"Failed: {self.failure}"
        return f"{sentence(self.points)} {self.plot.remark(self.points)}"


def _with_server(measure: Callable[[Server, Sequence[int]], Measured]) -> Callable[[Sequence[int]], Measured]:
    def measured(sizes: Sequence[int]) -> Measured:
        server = start(ours())
        try:
            yield from measure(server, sizes)
        finally:
            server.close()

    return measured


def _in_flight(server: Server, sizes: Sequence[int]) -> Measured:
    stock = wire.Stock([wire.function_tail("add", 3, 4)])
    for size in sizes:
        requests = stock.take(size)
        taken = []
        for _ in range(max(5, min(50, 20_000 // size))):
            run = server.drive(requests, load.UNLIMITED)
            load.check(run, size)
            taken.append(run.elapsed * 1000)
        yield size, min(taken)


def _arguments(server: Server, sizes: Sequence[int]) -> Measured:
    for size in sizes:
        stock = wire.Stock([wire.function_tail("echo", "x" * size)])
        yield size, min(1000 / _rate(server, stock, 1, 0.15) for _ in range(_TRIES))


def _rate(server: Server, stock: wire.Stock, depth: int, seconds: float) -> float:
    def run(count: int) -> float:
        seen = server.drive(stock.take(count), depth)
        load.check(seen, count)
        return seen.elapsed

    return Pace(run, most=min(stock.most, 50_000)).rate(seconds)


def _objects(server: Server, sizes: Sequence[int]) -> Measured:
    births = wire.Stock([wire.tail("object.new", {"class": "Counter", "args": wire.values(0)})])
    live = 0
    for size in sizes:
        while live < size:
            count = min(size - live, 50_000)
            load.check(server.drive(births.take(count), 256), count)
            live += count
        yield size, memory.proportional(server.pid)


def _functions(sizes: Sequence[int]) -> Measured:
    for size in sizes:
        names = [f"f{i}" for i in range(size)]
        library = "".join(f'def {name}(a, b=2):\n    """Return a and b."""\n    return a + b\n\n\n' for name in names)
        calls = [f'plugin.register_function("{name}", "library.{name}")' for name in names]
        with _served({"library": library}, calls) as folder:
            yield size, min(_handshake(Path(folder) / "setup.py") for _ in range(_TRIES))


def _handshake(setup: Path) -> float:
    began = time.perf_counter()
    server = start(ours(), setup=setup)
    taken = time.perf_counter() - began
    server.close()
    return taken * 1000


def _modules(sizes: Sequence[int]) -> Measured:
    libraries = {f"part{i}": f"def value():\n    return {i}\n" for i in range(max(sizes))}
    for size in sizes:
        libraries[f"library{size}"] = "".join(f"import part{i}\n" for i in range(size)) + "\n\ndef f():\n    return 7\n"
    calls = [f'plugin.register_function("f{size}", "library{size}.f")' for size in sizes]
    with _served(libraries, calls) as folder:
        server = start(ours(), setup=Path(folder) / "setup.py")
        try:
            for size in sizes:
                stock = wire.Stock([wire.function_tail(f"f{size}")])
                yield size, min(1e6 / _rate(server, stock, 32, 0.15) for _ in range(_TRIES))
        finally:
            server.close()


def _served(libraries: Mapping[str, str], calls: Sequence[str]) -> TemporaryDirectory[str]:
    """Return a folder with libraries, and a setup script that does ``calls``."""
    folder = TemporaryDirectory(prefix="bench-")
    head = 'import scriptling.runtime.plugin as plugin\n\nplugin.serve("grown", "1.0", "")\n'
    texts = {"setup": head + "\n".join(calls) + "\n", **libraries}
    for name, text in texts.items():
        (Path(folder.name) / f"{name}.py").write_text(text)
    return folder


def _per_unit(points: Sequence[tuple[float, float]], scale: float, unit: str) -> str:
    """Say what one more costs where there are many: over the last two points."""
    if len(points) < 2:
        return ""
    (x1, y1), (x2, y2) = points[-2:]
    return f"One more at the end: {number((y2 - y1) / (x2 - x1) * scale)} {unit}."


PLOTS: dict[str, Plot] = {
    "inflight": Plot(
        "Calls in flight",
        "calls sent at once",
        "ms until all are answered",
        (1, 10, 100, 1000, 10_000, 50_000),
        _with_server(_in_flight),
        lambda points: _per_unit(points, 1000, "µs"),
    ),
    "argument": Plot(
        "Argument size",
        "bytes of a string",
        "ms to echo it",
        (10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
        _with_server(_arguments),
        lambda points: _per_unit(points, 1e6, "ns"),
    ),
    "live": Plot(
        "Live objects",
        "objects",
        "MiB of all processes",
        (1, 10, 100, 1000, 10_000, 100_000, 1_000_000),
        _with_server(_objects),
        lambda points: _per_unit(points, 2**20, "bytes"),
    ),
    "functions": Plot(
        "Registered functions",
        "functions",
        "ms from start to handshake",
        (1, 10, 100, 1000, 10_000),
        _functions,
        lambda points: _per_unit(points, 1000, "µs"),
    ),
    "modules": Plot(
        "Modules that a handler imports",
        "library modules",
        "µs a call, 32 in flight",
        (1, 2, 5, 10, 20, 50, 100),
        _modules,
        lambda points: _per_unit(points, 1, "µs"),
    ),
}


def run(plots: Mapping[str, Plot], quick: bool, say: Callable[[str], None]) -> dict[str, Grown]:
    """Measure; ``quick`` leaves the largest size of each plot out.

    :param say: told what is going on, a line at a time
    """
    grown = {}
    for name, plot in plots.items():
        points, failure = [], ""
        try:
            for point in plot.measure(plot.sizes[:-1] if quick else plot.sizes):
                points.append(point)
                say(f"{plot.title}: {point[0]:,g} {plot.x}: {point[1]:,.4g} {plot.y}")
        except PeerFailed as error:
            failure = str(error)
        grown[name] = Grown(plot, points, failure)
    return grown


def text(grown: Mapping[str, Grown]) -> str:
    """Return a line for every plot."""
    return "".join(f"{each.plot.title}: {each.note}\n" for each in grown.values())


def picture(grown: Mapping[str, Grown]) -> str:
    """Return all plots in one SVG."""
    series = [
        Series(each.plot.title, each.plot.x, each.plot.y, each.points, each.note)
        for each in grown.values()
        if each.points
    ]
    return line_charts("What grows with the work", series)


def markdown(grown: Mapping[str, Grown], machine: str) -> str:
    """Return the sentences and the points for the docs."""
    parts = [f"Measured on: {machine}."]
    for each in grown.values():
        points = ", ".join(f"{x:,g}: {y:,.3g}" for x, y in each.points)
        parts.append(f"- **{each.plot.title}** ({each.plot.y}). {each.note} Points: {points}.")
    return "\n".join([parts[0], "", *parts[1:]])


def as_json(grown: Mapping[str, Grown], machine: dict[str, Any]) -> dict[str, Any]:
    """Return all points."""
    plots = {
        name: {
            "title": each.plot.title,
            "x": each.plot.x,
            "y": each.plot.y,
            "points": each.points,
            "note": each.note,
        }
        for name, each in grown.items()
    }
    return {"machine": machine, "plots": plots}
