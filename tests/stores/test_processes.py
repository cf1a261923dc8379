"""Stores in several processes and threads: shared, exact, and unharmed by those that are killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scriptling.stores import openings, places, registry
from scriptling.stores.environment import Environment
from scriptling.stores.errors import StoreError, StoreFullError
from scriptling.stores.registry import open_memory, open_path
from scriptling.stores.store import Store
from tests.stores.processes import PRELUDE, ROOT, run, start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def in_child(action: Callable[[], object]) -> int:
    """Return 0 if an action succeeds in a forked process."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_same_path_is_the_same_store_in_every_process(folder: Path) -> None:
    store = open_path(folder)
    store.set("here", 1)
    assert run("store.set('there', 2); print(store.get('here'))", folder) == "1"
    assert store.get("there") == 2


def test_the_same_path_is_the_same_store_however_it_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    assert open_path("store") is open_path(folder) is open_path("link") is open_path("x/../store")


def test_names_of_memory_stores_are_any_text() -> None:
    names = ["a", "A", "a/b", "../a", "", "\0", "ü" * 5000, "\ud800"]
    for number, name in enumerate(names):
        open_memory("test", name).set("k", number)
    assert [open_memory("test", name).get("k") for name in names] == list(range(len(names)))
    assert open_memory("other", "a").get("k") is None


def test_increments_and_updates_of_several_processes_are_exact(folder: Path) -> None:
    code = (
        "for _ in range(1000):\n  store.incr('incr')\n  store.update('update', lambda n: n + 1, 0)\n"
        "  store.update('dict', lambda d: {**d, 'n': d['n'] + 1}, {'n': 0})"
    )
    processes = [start(code, folder) for _ in range(4)]
    assert [process.communicate(timeout=50)[0] or process.returncode for process in processes] == [0] * 4
    store = open_path(folder)
    assert (store.get("incr"), store.get("update"), store.get("dict")) == (4000, 4000, {"n": 4000})


def test_increments_of_several_threads_are_exact(folder: Path) -> None:
    store = open_memory("test", str(folder))

    def work(name: int) -> None:
        for number in range(300):
            store.incr("n")
            store.set(f"{name} {number}", number)
            assert store.get("n") > 0

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("n") == 2400
    assert len(store.keys()) == 2401


def test_threads_read_while_the_map_grows(folder: Path) -> None:
    store = Store(Environment(lambda: folder, durable=False, first_map=1 << 20), lambda: 1)
    store.set("k", "v")
    done = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not done.is_set():
            if store.get("k") != "v" or "k" not in store.keys("k*"):
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(200):
        store.set(f"n{number}", b"x" * 50_000)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_store_may_be_used_before_and_after_a_fork(folder: Path) -> None:
    store = open_path(folder)
    store.set("k", 1)
    for expected in (2, 3):
        assert in_child(lambda: store.incr("k")) == 0
        assert store.get("k") == expected


def test_a_fork_while_threads_use_the_store_harms_nobody(folder: Path) -> None:
    store = open_memory("test", str(folder))
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            store.incr("n")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = [in_child(lambda: store.incr("children")) for _ in range(20)]
    done.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert store.get("children") == 20


def test_children_of_a_script_share_its_memory_stores_even_if_they_open_them_first() -> None:
    code = (
        "pid = os.fork()\nstore = open_memory('kv', 'x')\nif not pid: store.set('k', 5); os._exit(0)\n"
        "os.waitpid(pid, 0); print(store.get('k'))"
    )
    assert run(code, "unused") == "5"


def test_a_writer_killed_in_its_transaction_changes_nothing_and_holds_nobody_up(folder: Path) -> None:
    store = open_path(folder)
    store.set("k", "before")
    code = (
        "def hang(txn):\n  txn.put(b'kk', b'torn'); print('in', flush=True); sys.stdin.read()\n"
        "store.environment.write(hang)"
    )
    process = start(code, folder)
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    process.kill()
    process.communicate()
    assert store.get("k") == "before"
    store.set("k", "after")
    assert store.get("k") == "after"


def test_readers_that_were_killed_leave_their_slots(folder: Path) -> None:
    store = open_path(folder)
    store.set("k", 1)
    code = (
        "import lmdb; store.get('k'); env = store.environment._opened\nheld = []\n"
        "try:\n  while True: held.append(env.begin())\nexcept lmdb.ReadersFullError: print('full', flush=True)\n"
        "sys.stdin.read()"
    )
    process = start(code, folder)
    assert process.stdout
    assert process.stdout.readline() == "full\n"
    store.close()
    with pytest.raises(StoreError, match="MDB_READERS_FULL"):
        store.get("k")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert store.get("k") == 1


def test_a_full_disk_is_an_error_to_the_writer_and_nothing_worse(folder: Path) -> None:
    code = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nstore.set('k', 'before')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))\n"
        "from scriptling.stores.errors import *\n"
        "try: store.set('large', b'x' * 2_000_000)\nexcept StoreError as error: print(type(error).__name__, error)\n"
        "print(store.get('k'), store.get('large'))\nstore.set('k', 'after'); print(store.get('k'))"
    )
    lines = run(code, folder).splitlines()
    assert lines[0].startswith("StoreFullError the store in")
    assert lines[1:] == ["before None", "after"]
    assert open_path(folder).get("k") == "after"


def test_a_full_disk_can_be_made_room_on(folder: Path) -> None:
    code = (
        "from scriptling.stores.errors import *\nnumber = 0\n"
        "try:\n  while True: store.set(str(number), b'x' * 1000); number += 1\nexcept StoreFullError: pass\n"
        "print(len(store.keys()) == number > 1000)\nfor each in range(200): store.delete(str(each))\n"
        "for each in range(150): store.set(str(each), b'x' * 1000)\n"
        "try:\n  while True: store.set(str(number), b'x' * 1000); number += 1\nexcept StoreFullError: pass\n"
        "store.clear(); store.set('k', 1); print(store.keys())"
    )
    program = shlex.join([sys.executable, "-c", PRELUDE + code, str(folder / "small")])
    mounted = f"mount -t tmpfs -o size=4m tmpfs {shlex.quote(str(folder))} && exec {program}"
    folder.mkdir()
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip("this machine lets no user mount a file system of its own")
    assert (result.stdout.split("\n"), result.stderr) == (["True", "['k']", ""], "")


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot open the store in .*/file/store: Not a directory"):
        open_path(tmp_path / "file" / "store").get("k")


def test_memory_stores_are_private_and_gone_with_their_script() -> None:
    code = "open_memory('kv', 'x').set('k', 1); from scriptling.stores import places; f = places.memory_folder()\n"
    name, mode = run(code + "print(f); print(oct(f.stat().st_mode & 0o777))", "unused").split()
    assert mode == "0o700"
    assert not Path(name).exists()


def test_what_a_killed_script_leaves_behind_is_removed_by_the_next_one() -> None:
    code = (
        "open_memory('kv', 'x').set('k', 1); from scriptling.stores import places\n"
        "print(places.memory_folder(), flush=True); os.kill(os.getpid(), 9)"
    )
    left = Path(run(code, "unused"))
    places.remove_memory_folder(places.make_memory_folder())
    assert not left.exists()


def test_folders_of_those_who_live_stay() -> None:
    process = start(
        "from scriptling.stores import places; print(places.memory_folder(), flush=True); sys.stdin.read()", "unused"
    )
    assert process.stdout
    theirs = Path(process.stdout.readline().strip())
    places.remove_memory_folder(places.make_memory_folder())
    assert theirs.exists()
    process.communicate()
    assert not theirs.exists()


def test_a_bounded_number_of_stores_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MOST_OPEN", 3)
    monkeypatch.setattr(openings, "MOST", 3)
    stores = [open_path(tmp_path / str(number)) for number in range(10)]
    for store in stores:
        store.set("k", 1)
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line}
    assert 0 < len({Path(file).parent for file in mapped}) <= 3
    assert [store.incr("k") for store in stores] == [2] * 10


def test_a_store_in_the_middle_of_a_write_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "MOST", 1)
    first, second = (open_path(tmp_path / name) for name in ("first", "second"))

    def write(txn: Any) -> None:
        second.set("k", 1)
        txn.put(b"kk", b"\0\x02")

    first.environment.write(write)
    assert (first.get("k"), second.get("k")) == (2, 1)


def test_many_memory_stores_take_little_room() -> None:
    for number in range(20):
        open_memory("test", f"room {number}").set("k", 1)
    folders = [places.folder_of("test", f"room {number}") for number in range(20)]
    taken = sum(file.stat().st_blocks * 512 for folder in folders for file in folder.iterdir())
    assert taken / 20 < 128 << 10


def test_no_space_is_its_own_error() -> None:
    assert issubclass(StoreFullError, StoreError)
