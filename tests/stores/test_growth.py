"""Maps that are outgrown: by this process, and by others that have larger ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from scriptling.stores.environment import Environment
from scriptling.stores.store import Store
from tests.stores.processes import run, start

MIB = 1 << 20
WITH_MAP = "store = Store(Environment(lambda: Path(sys.argv[1]), False, int(sys.argv[2])), lambda: 1)\n"
WRITE_WHEN_ASKED = "for line in sys.stdin: store.set(line, b'x' * 1_000_000); print(flush=True)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def small_map(folder: Path) -> Store:
    return Store(Environment(lambda: folder, durable=False, first_map=MIB), lambda: 1)


class Writer:
    """Another process, which writes a megabyte whenever it is asked to."""

    def __init__(self, folder: Path, first_map: int) -> None:
        self.written = 0
        self._process = start(WITH_MAP + WRITE_WHEN_ASKED, folder, first_map)

    def write(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{self.written}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "\n"
        self.written += 1

    def end(self) -> None:
        self._process.communicate(timeout=50)


@pytest.fixture(params=[1, 2, 64])
def writer(request: pytest.FixtureRequest, folder: Path) -> Iterator[Writer]:
    """Yield a writer that begins with a map of so many MiB."""
    writer = Writer(folder, request.param * MIB)
    yield writer
    writer.end()


@pytest.fixture
def outgrown_when_opened(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Have the writer write whenever this process has opened the store and not begun a transaction yet."""
    open_it = lmdb.open

    def outgrown(*arguments: Any, **options: Any) -> Any:
        opened = open_it(*arguments, **options)
        writer.write()
        return opened

    monkeypatch.setattr(lmdb, "open", outgrown)
    return writer


@pytest.mark.parametrize("before", [0, 3, 10])
def test_a_store_can_be_opened_while_it_is_outgrown(folder: Path, outgrown_when_opened: Writer, before: int) -> None:
    for _ in range(before):
        outgrown_when_opened.write()
    store = small_map(folder)
    assert store.incr("n") == 1
    store.close()
    assert store.get("n") == 1
    store.close()
    assert len(store.keys()) == outgrown_when_opened.written + 1 == before + 4


def test_a_store_that_is_outgrown_within_its_opening_is_opened_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_it, errors = lmdb.open, [lmdb.MapResizedError("by others"), lmdb.MapResizedError("by others")]

    def outgrown(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return open_it(*arguments, **options)

    monkeypatch.setattr(lmdb, "open", outgrown)
    assert small_map(folder).incr("n") == 1


def test_who_opens_a_store_takes_over_the_size_of_its_map(folder: Path) -> None:
    run(WITH_MAP + "store.set('k', b'x' * 3_000_000)", folder, 16 * MIB)
    store = small_map(folder)
    assert len(store.get("k")) == 3_000_000
    assert store.environment._opened
    assert store.environment._opened.info()["map_size"] == 16 * MIB


def test_who_opened_a_store_long_ago_follows_when_others_have_outgrown_it(folder: Path, writer: Writer) -> None:
    store = small_map(folder)
    store.set("n", 0)
    for number in range(1, 4):
        for _ in range(4**number):
            writer.write()
        assert store.incr("n") == number
        assert len(store.keys()) == writer.written + 1
    for _ in range(50):
        writer.write()
    assert len(store.get(f"{writer.written - 1}\n")) == 1_000_000


def test_processes_with_maps_of_different_sizes_write_at_the_same_time(folder: Path) -> None:
    code = WITH_MAP + "for number in range(100): store.set(f'{sys.argv[2]} {number}', b'x' * 100_000)"
    processes = [start(code, folder, size * MIB) for size in (1, 2, 4, 64)]
    assert [_ended(process) for process in processes] == [0] * 4
    assert len(small_map(folder).keys()) == 400


def test_others_go_on_when_one_is_killed_while_it_enlarges_the_store(folder: Path) -> None:
    store = small_map(folder)
    store.set("k", "before")
    code = WITH_MAP + (
        "def hang(txn):\n  txn.put(b'kk', b'x' * 20_000_000); print('in', flush=True); sys.stdin.read()\n"
        "store.environment.write(hang)"
    )
    for number in range(3):
        process = start(code, folder, MIB)
        assert process.stdout
        assert process.stdout.readline() == "in\n"
        process.kill()
        process.communicate()
        assert store.get("k") == "before"
        store.set(str(number), b"x" * 3_000_000)
    assert store.keys() == ["0", "1", "2", "k"]


def _ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=50)
    return process.returncode
