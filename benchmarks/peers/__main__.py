"""The child's side of :class:`benchmarks.server.Helper`: reads what to measure, writes figures, a line of JSON each."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import msgspec

from benchmarks.model import PeerFailed, Unavailable
from benchmarks.pace import Pace
from benchmarks.peers import Tasks


def main(module: str) -> None:
    """Serve until stdin ends. What libraries print goes to stderr."""
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        tasks: Tasks = importlib.import_module(module).open_tasks()
    except Unavailable as reason:
        _write(output, {"unavailable": str(reason)})
        return
    _write(output, {"ready": True})
    paces: dict[bytes, Pace] = {}
    for line in sys.stdin.buffer:
        _write(output, _measure(tasks, paces, msgspec.json.decode(line)))


def _measure(tasks: Tasks, paces: dict[bytes, Pace], request: Any) -> dict[str, Any]:
    task, options = request["task"], request["options"]
    key = msgspec.json.encode([task, options])
    try:
        if key not in paces:
            paces[key] = Pace(tasks[task](**options))
        return {"rate": paces[key].rate(request["seconds"])}
    except (PeerFailed, Unavailable) as error:
        return {"failed": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _write(output: int, figures: dict[str, Any]) -> None:
    os.write(output, msgspec.json.encode(figures) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
