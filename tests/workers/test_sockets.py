"""Sockets between our processes: private, addressed by a name and a secret, and never waiting for who is gone."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zmq

from scriptling.settings import Settings
from tests.workers.fakes import PATIENCE, next_message, wait_readable, wait_until
from workers import sockets
from workers.home import Home
from workers.sockets import Hub, Line, RunFolder


@pytest.fixture
def folder() -> Iterator[Path]:
    made = RunFolder()
    yield made.path
    made.remove()


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    made = Hub(folder)
    yield made
    made.close()


@pytest.fixture
def line(hub: Hub, folder: Path) -> Iterator[Line]:
    made = Line(hub.doors, home(folder).identity("worker-1"))
    yield made
    made.context.destroy(linger=0)


def home(folder: Path) -> Home:
    return Home(folder, folder, "0123456789abcdef", Settings())


# Names and places


def test_a_child_is_known_by_its_name_and_the_runs_secret(folder: Path) -> None:
    assert home(folder).identity("worker-1") == b"worker-1:0123456789abcdef"
    assert home(folder).identity("worker-1") != home(folder).identity("worker-2")


def test_the_run_folder_is_private_and_goes() -> None:
    folder = RunFolder()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "socket").touch()
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


def test_run_folders_are_never_in_one_anothers_way() -> None:
    folders = [RunFolder() for _ in range(3)]
    assert len({folder.path for folder in folders}) == 3
    for folder in folders:
        folder.remove()


def test_the_run_folder_is_where_temporary_files_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="t") as place:
        monkeypatch.setenv("TMPDIR", place)
        folder = RunFolder()
        assert str(folder.path.parent) == place
        folder.remove()


def test_a_socket_path_is_never_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    folder = RunFolder()
    try:
        assert len(os.fsencode(folder.path / sockets.CALLS)) <= sockets.LONGEST_IPC_PATH
        Hub(folder.path).close()
    finally:
        folder.remove()


def test_sockets_have_no_path_that_anybody_could_connect_to(hub: Hub, folder: Path) -> None:
    assert not list(folder.iterdir())
    assert stat.S_IMODE(Path(f"/proc/self/fd/{hub.doors[0]}").stat().st_mode) == 0o600


def test_sockets_are_reached_although_the_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    hub = Hub(tmp_path / "run")
    (tmp_path / "run").rmdir()
    line = Line(hub.doors, b"worker-1:key")
    line.send(b"hello")
    assert next_message(hub.calls) == (b"worker-1:key", b"hello")
    line.context.destroy(linger=0)
    hub.close()


def test_the_file_mode_mask_is_left_as_it_was(folder: Path) -> None:
    mask = os.umask(0o022)
    try:
        Hub(folder).close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


# Hub and line


def test_frames_go_both_ways(hub: Hub, line: Line) -> None:
    line.send(b"hello")
    identity, frame = next_message(hub.calls)
    assert (identity, frame) == (b"worker-1:0123456789abcdef", b"hello")
    hub.calls.send(identity, b"answer")
    assert line.recv() == b"answer"


def test_many_frames_keep_their_order(hub: Hub, line: Line) -> None:
    for number in range(5000):
        line.send(b"%d" % number)
    received = [next_message(hub.calls)[1] for _ in range(5000)]
    assert received == [b"%d" % number for number in range(5000)]


def test_nothing_is_none(hub: Hub, line: Line) -> None:
    assert not hub.calls.has_input
    assert not hub.relay.has_input
    assert line.recv_within(0) is None


def test_a_frame_that_comes_unnoticed_while_another_is_sent_is_found(hub: Hub, line: Line) -> None:
    line.send(b"hello")
    identity, _ = next_message(hub.calls)
    assert not hub.calls.has_input
    line.send(b"news")
    wait_readable(hub.calls.fileno())
    hub.calls.send(identity, b"first")  # takes in what the descriptor had to tell
    assert next_message(hub.calls)[1] == b"news"


def test_a_frame_to_nobody_vanishes(hub: Hub, line: Line) -> None:
    hub.calls.send(b"worker-9:key", b"lost")
    line.send(b"hello")
    hub.calls.send(next_message(hub.calls)[0], b"answer")
    assert line.recv() == b"answer"


def test_each_thread_has_a_way_of_its_own_for_questions(hub: Hub, line: Line) -> None:
    first, second = line.relay(), line.relay()
    for name, socket in ((b"first", first), (b"second", second)):
        socket.send(name)
    routes = {frame: route for route, frame in (next_message(hub.relay) for _ in range(2))}
    assert len({*routes.values()}) == 2
    for name, route in routes.items():
        hub.relay.send(route, b"to " + name)
    assert (first.recv(), second.recv()) == (b"to first", b"to second")
    assert not hub.calls.has_input
    first.close()
    second.close()


def test_a_child_has_no_more_sockets_than_it_may(hub: Hub) -> None:
    line = Line(hub.doors, b"worker-1:key", most=3)
    try:
        held = [line.relay(), line.relay()]
        with pytest.raises(OSError, match="Too many open files"):
            line.relay()
        held.pop().close()
        wait_until(lambda: can_ask(line), "room for a socket")
    finally:
        line.close()


def can_ask(line: Line) -> bool:
    """Whether there is room for a socket: a closed one makes it a moment later."""
    try:
        line.relay().close()
    except OSError:
        return False
    return True


def test_messages_of_another_shape_are_nothing_that_decodes(hub: Hub, line: Line) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.connect(f"ipc:///proc/self/fd/{hub.doors[0]}")
        stranger.send_multipart([b"a", b"b", b"c"])
        assert next_message(hub.calls)[1] == b""
        stranger.send(b"one")
        assert next_message(hub.calls)[1] == b"one"


@pytest.mark.parametrize(("bound", "size"), [("_MOST_AT_ONCE", 1), ("_MOST_BYTES", 10)])
def test_no_more_is_received_at_once_than_takes_some_time(
    hub: Hub, line: Line, monkeypatch: pytest.MonkeyPatch, bound: str, size: int
) -> None:
    """What is left is known without anything new to come: the descriptor may have told of it already."""
    monkeypatch.setattr(sockets, bound, 20)
    for _ in range(300):
        line.send(b"x" * size)
    received, most = 0, 0
    while received < 300:
        while not hub.calls.has_input:
            wait_readable(hub.calls.fileno())
            hub.calls.wake()
        together = len([*hub.calls.receive()])
        received, most = received + together, max(most, together)
    assert most <= 20
    assert (most > 10) == (size == 1)
    assert not hub.calls.has_input


def test_what_the_front_end_does_not_take_waits_in_the_child(hub: Hub, line: Line) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as child:
        child.linger, child.sndhwm = 0, 1
        child.connect(f"ipc:///proc/self/fd/{hub.doors[0]}")
        sent = 0
        while child.poll(500, zmq.POLLOUT):
            child.send(b"x" * 1000)
            sent += 1
            assert sent < 50_000


def test_who_reads_no_answers_misses_some_and_is_answered_when_it_does(hub: Hub, line: Line) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as deaf:
        deaf.linger, deaf.rcvhwm = 0, 1
        deaf.connect(f"ipc:///proc/self/fd/{hub.doors[1]}")
        deaf.send(b"question")
        route, _ = next_message(hub.relay)
        for _ in range(20_000):
            hub.relay.send(route, b"x" * 1000)
        read = 0
        while deaf.poll(500):
            assert deaf.recv() == b"x" * 1000
            read += 1
        assert read < 10_000
        hub.relay.send(route, b"answer")
        assert deaf.recv() == b"answer"


def test_nobody_can_take_over_the_name_of_a_child(hub: Hub, line: Line) -> None:
    line.send(b"hello")
    identity, _ = next_message(hub.calls)
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.setsockopt(zmq.IDENTITY, identity)
        stranger.connect(f"ipc:///proc/self/fd/{hub.doors[0]}")
        stranger.send(b"stolen")
        hub.calls.send(identity, b"for the child")
        assert line.recv() == b"for the child"
        assert not stranger.poll(0)


# Waiting


def test_waiting_ends_with_the_time(line: Line) -> None:
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    assert line.recv_within(0.01) is None
    assert line.recv_or_wake(wake, 0.01) is None
    os.close(wake)


def test_a_waiting_line_can_be_woken(hub: Hub, line: Line) -> None:
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    woken = threading.Timer(0.01, os.eventfd_write, (wake, 1))
    woken.start()
    assert line.recv_or_wake(wake, PATIENCE) is None
    line.send(b"hello")
    hub.calls.send(next_message(hub.calls)[0], b"frame")
    assert line.recv_or_wake(wake, PATIENCE) == b"frame"
    woken.join()
    os.close(wake)


def test_last_words_leave_before_a_line_is_closed(hub: Hub) -> None:
    line = Line(hub.doors, b"setup-1:key")
    line.send(b"stopped")
    line.close()
    assert next_message(hub.calls) == (b"setup-1:key", b"stopped")


def test_closing_waits_for_nobody(folder: Path) -> None:
    hub = Hub(folder)
    line = Line(hub.doors, b"worker-1:key")
    line.send(b"hello")
    hub.calls.send(next_message(hub.calls)[0], b"x" * 1_000_000)
    hub.close()
    line.send(b"to nobody")
    line.context.destroy(linger=0)
