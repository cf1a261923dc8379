"""Writers that are stopped in the middle of a write: others are told which process it is, and go on when it does."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scriptling.stores import patience
from scriptling.stores.environment import Environment
from scriptling.stores.errors import StoreError
from scriptling.stores.store import Store
from tests.stores.processes import start

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64") or platform.libc_ver()[0] != "glibc",
    reason="where LMDB's lock is in its file is known for glibc on these machines only",
)
HOLD = (
    "def hold(txn):\n  txn.put(b'ktheirs', b'\\0\\x01'); print('in', flush=True); sys.stdin.readline()\n"
    "store.environment.write(hold); print('done', flush=True); sys.stdin.read()"
)


def new_store(folder: Path) -> Store:
    return Store(Environment(lambda: folder, durable=False), lambda: 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that is in the middle of a write, until it is told to go on."""
    process = start(HOLD, tmp_path / "store")
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.communicate()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def stop(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.parametrize("opened", [True, False])
def test_a_stopped_writer_is_named_to_those_who_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    monkeypatch.setattr(patience, "STOPPED", 0.3)
    store = new_store(tmp_path / "store")
    if opened:
        store.set("k", 0)
    process = start(HOLD, tmp_path / "store")
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    stop(process)
    for _ in range(2):
        with pytest.raises(StoreError, match=rf"the store in .*/store cannot be written: process {process.pid} has"):
            store.set("k", 1)
    assert store.get("k") == (0 if opened else None)
    os.kill(process.pid, signal.SIGCONT)
    go_on(process)
    assert (store.incr("k"), store.get("theirs")) == (1, 1)
    process.communicate()


def test_a_writer_that_runs_is_waited_for(
    store: Store, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STOPPED", 0)
    looked = threading.Event()
    look = patience.is_stopped

    def tell(thread: int) -> bool:
        looked.set()
        return look(thread)

    monkeypatch.setattr(patience, "is_stopped", tell)
    thread = threading.Thread(target=store.set, args=("k", 1))
    thread.start()
    assert looked.wait(50)
    go_on(holder)
    thread.join(50)
    assert (store.get("k"), store.get("theirs")) == (1, 1)


def test_a_writer_that_runs_is_not_waited_for_for_ever(
    store: Store, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STOPPED", 0)
    monkeypatch.setattr(patience, "BUSY", 0.1)
    with pytest.raises(StoreError, match=f"process {holder.pid} has begun to write and does not go on"):
        store.set("k", 1)


def test_those_who_wait_go_on_when_a_stopped_writer_is_killed(store: Store, holder: subprocess.Popen[str]) -> None:
    stop(holder)
    thread = threading.Thread(target=store.set, args=("k", 1))
    thread.start()
    holder.kill()
    thread.join(50)
    assert (store.get("k"), store.get("theirs")) == (1, None)


def test_the_word_of_the_lock_is_the_thread_that_holds_it(store: Store) -> None:
    seen: list[Any] = []
    environment = store.environment

    def look(txn: Any) -> None:
        seen.append(environment._lock_word[0])

    def write() -> None:
        environment.write(look)
        seen.append(threading.get_native_id())

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert seen[0] == seen[1]
    assert environment._lock_word[0] == 0
    assert patience.process_of(threading.get_native_id()) == os.getpid()


def test_a_lock_file_that_is_not_known_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "lock.mdb"
    file.write_bytes(b"\xff" * 8192)
    lock = patience.WriteLock(file)
    assert lock.word() is patience.NEVER_HELD
    lock.close()
