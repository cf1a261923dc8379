"""Stores under a server whose workers are killed, and beside another server (faults, check 38)."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures
from tests.wire.program import wait_until
from tests.wire.server import SETUP, Serve, running, write_plugin

HANDLERS = """
import itertools, os
import scriptling.runtime.kv as kv

def set(name, key, value, ttl=0): (kv.open(name) if name else kv.default).set(key, value, ttl=ttl)
def get(name, key): return (kv.open(name) if name else kv.default).get(key)

def incr(name, times):
    store = kv.open(name)
    for _ in range(times):
        store.incr("incr")

def update(name, times):
    store = kv.open(name)
    for _ in range(times):
        store.update("update", lambda value: {"count": value["count"] + 1}, {"count": 0})

def _value(number, version): return {"number": number, "version": version, "text": f"{number}.{version} " * 500}

def write(name, number): kv.open(name).set(f"key {number}", _value(number, 0))

def write_until_killed(name, number, mark):
    store = kv.open(name)
    for version in itertools.count():
        store.set(f"key {number}", _value(number, version))
        if version == 1:
            with open(mark, "w") as file: file.write(str(os.getpid()))
            os.rename(mark, mark + ".done")

def versions(name, numbers):
    # -1 for what is torn, None for what is not there
    store = kv.open(name)
    values = [(n, store.get(f"key {n}")) for n in numbers]
    return [value and (value["version"] if value == _value(n, value["version"]) else -1) for n, value in values]

class Counter:
    def count(self): return kv.default.incr("count")
    def see(self): return kv.default.get("setup")
"""
FULL = getattr(pytest.mark, FULL_SCALE)
LONG = [FULL, pytest.mark.timeout(600)]
MEMORY, PERSISTENT = ":memory:shared", "store"


@pytest.mark.parametrize("times", [2_000, pytest.param(100_000, marks=FULL)])
def test_counters_of_four_workers_are_exact(serve: Serve, figures: Figures, times: int) -> None:
    server = serve(HANDLERS, "", "--workers", "4")
    for name in ("incr", "update"):
        for id in [server.begin(name, MEMORY, times // 20) for _ in range(20)]:
            server.value(id, 120)
    figures.count(38, f"{times:,} incr from 4 workers: counted", server.call("get", MEMORY, "incr"), times)
    assert server.call("get", MEMORY, "update") == {"count": times}


@pytest.mark.parametrize("name", [MEMORY, PERSISTENT])
@pytest.mark.parametrize(("writes", "kills"), [(1_000, 20), pytest.param(10_000, 100, marks=LONG)])
def test_acknowledged_writes_of_killed_workers_are_whole(
    serve: Serve, figures: Figures, tmp_path: Path, name: str, writes: int, kills: int
) -> None:
    """Check 38: what was answered is there, nothing is torn, answered or not, and no lock is left held.

    One of each part is written again and again, and whoever does so is killed in the middle of that.
    """
    server = serve(HANDLERS, "", "--workers", "4")
    name = name if name == MEMORY else str(tmp_path / name)
    numbers = range(writes)
    acknowledged, cut_off = set[int](), set[int]()
    for part in range(kills):
        mine, mark = list(numbers[part::kills]), tmp_path / f"{part}"
        calls: list[tuple[str, list[Any]]] = [("write", [name, number]) for number in mine]
        victim = len(calls) // 2
        calls[victim] = ("write_until_killed", [name, mine[victim], str(mark)])
        ids = server.begin_many(calls)
        told = mark.with_suffix(".done")
        wait_until(told.exists, 20, lambda: "nobody writes")
        os.kill(int(told.read_text()), signal.SIGKILL)
        for number, id in zip(mine, ids, strict=True):
            (cut_off if "error" in server.answer(id) else acknowledged).add(number)
        assert "SIGKILL" in server.failure(ids[victim]).message
    assert len(cut_off) == kills
    found = [server.call("versions", name, list(numbers[at : at + 500])) for at in range(0, writes, 500)]
    present = dict(zip(numbers, itertools.chain.from_iterable(found), strict=True))
    whole = sum(present[number] == 0 for number in acknowledged)
    what = f"{writes:,} writes, in memory and on disk, {kills} kills: acknowledged ones that are whole"
    figures.count(38, what, whole, len(acknowledged))
    whole = sum(present[number] > 0 for number in cut_off)
    figures.count(38, "the same: those that were cut off, whole in some version", whole, kills)
    server.call("write", name, writes)


def test_every_process_of_a_server_shares_its_stores(serve: Serve) -> None:
    setup = (
        SETUP
        + "import scriptling.runtime.kv as kv\nkv.default.set('setup', [1])\n"
        + "plugin.register_function('get', 'handlers.get')\nplugin.register_class('handlers.Counter')\n"
    )
    server = serve(HANDLERS, setup, "--workers", "2")
    counter = server.new("Counter")
    assert server.method(counter, "see") == server.call("get", "", "setup") == [1]
    assert [server.method(counter, "count"), server.method(counter, "count")] == [1, 2]
    assert server.call("get", "", "count") == 2


def test_two_servers_share_paths_but_not_memory(serve: Serve, tmp_path: Path) -> None:
    first = serve(HANDLERS)
    folder = tmp_path / "second"
    folder.mkdir()
    with running(write_plugin(folder, HANDLERS)) as second:
        path = str(tmp_path / "store")
        for name in ("", MEMORY, path):
            first.call("set", name, "k", "first")
        assert [second.call("get", name, "k") for name in ("", MEMORY, path)] == [None, None, "first"]
        second.call("set", path, "k", "second")
        assert first.call("get", path, "k") == "second"


def test_the_default_store_persists_if_it_has_a_folder(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, HANDLERS)
    for expected in (None, "kept"):
        with running(plugin, "--kv-storage", str(tmp_path / "new" / "folder")) as server:
            assert server.call("get", "", "k") == expected
            server.call("set", "", "k", "kept")


def test_a_durable_store_survives_a_server_that_is_killed(serve: Serve, tmp_path: Path) -> None:
    name = str(tmp_path / "store")
    with running(write_plugin(tmp_path, HANDLERS)) as server:
        server.call("set", name, "k", "kept")
        server.program.kill()
        server.program.wait_until_nothing_is_left()
        server.forgive()
        memory = Path("/dev/shm").glob(f"scriptling-stores-{server.program.process.pid}-*")
        assert list(memory) == []
    assert serve(HANDLERS).call("get", name, "k") == "kept"


def test_handlers_that_fork_may_use_stores_in_both_processes(serve: Serve) -> None:
    server = serve(
        """
import os
import scriptling.runtime.kv as kv
def work():
    kv.default.incr("n")
    pid = os.fork()
    if not pid:
        kv.default.incr("n")
        os._exit(0)
    os.waitpid(pid, 0)
    return kv.default.incr("n")
"""
    )
    assert [server.call("work"), server.call("work")] == [3, 6]


@pytest.mark.parametrize(("kills", "writes"), [(30, 500), pytest.param(100, 10_000, marks=LONG)])
def test_writers_killed_at_random_lose_no_write_and_hold_nobody_up(
    figures: Figures, tmp_path: Path, kills: int, writes: int
) -> None:
    """Faults, check 38; the figures of a run are in the guide."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", str(tmp_path), str(kills), str(writes)],
        cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True, check=True,
        timeout=50 * max(1, kills / 30),
    )  # fmt: skip
    acknowledged, torn, longest = result.stdout.split()
    assert int(acknowledged) >= writes / 3
    assert torn == "[]"
    what = f"writers killed {kills} times: longest that another waits for a write"
    figures.at_most(38, what, float(longest) / 1000, 1, room=10)
