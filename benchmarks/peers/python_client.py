"""The project's own client, as scripts use it: a plugin is loaded, and its proxy called from one or more threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from benchmarks.pace import timed
from benchmarks.peers import Tasks
from benchmarks.server import SETUP
from scriptling import plugin

ARGUMENTS = ["-m", "scriptling", "--json-rpc", "--workers", "2", str(SETUP)]


def open_tasks() -> Tasks:
    """Load the plugin."""
    name = plugin.load("bench", sys.executable, scriptling=True, args=ARGUMENTS)

    def calls(count: int) -> None:
        for _ in range(count):
            plugin.call_function(name, "add", 3, 4)

    def add(threads: int) -> Callable[[int], float]:
        return lambda count: timed(lambda: _in_threads(calls, count, threads))

    return {"add": add}


def _in_threads(calls: Callable[[int], None], count: int, threads: int) -> None:
    shares = [count // threads + (i < count % threads) for i in range(threads)]
    running = [threading.Thread(target=calls, args=(share,)) for share in shares]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
