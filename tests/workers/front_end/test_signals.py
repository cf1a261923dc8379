"""Signals drain and stop, force when they come twice, recycle, and change the number of workers (cli.md)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest

from tests.workers.fakes import wait_readable
from workers.front_end.frontend import FrontEnd
from workers.front_end.signals import Signals

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)


class FakeFrontEnd:
    def __init__(self) -> None:
        self.stopped_by_signal = False
        self.done: list[str] = []

    def stop(self) -> None:
        self.stopped_by_signal = True
        self.done.append("end")

    def recycle(self) -> None:
        self.done.append("recycle")

    def change_workers(self, difference: int) -> None:
        self.done.append(f"{difference:+}")


class Setting:
    def __init__(self) -> None:
        self.front_end = FakeFrontEnd()
        self.signals = Signals(cast(FrontEnd, self.front_end))

    def raise_all(self, *numbers: int) -> list[str]:
        """Send signals to this process, let the loop act, and return what it did."""
        for number in numbers:
            signal.raise_signal(number)
        wait_readable(self.signals.fileno())
        self.signals.take(0)
        done, self.front_end.done = self.front_end.done, []
        return done


@pytest.fixture
def setting() -> Iterator[Setting]:
    handlers = {number: signal.getsignal(number) for number in ALL}
    made = Setting()
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    yield made
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for fd in (made.signals.fileno(), wakeup):
        os.close(fd)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_request_to_end_drains(setting: Setting, number: int) -> None:
    assert setting.raise_all(number) == ["end"]
    assert setting.front_end.stopped_by_signal
    assert setting.signals.forced == 0


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_request_forces(setting: Setting, number: int, exit_code: int) -> None:
    setting.raise_all(signal.SIGTERM)
    assert setting.raise_all(number) == []
    assert setting.signals.forced == exit_code


def test_two_requests_at_once_are_two(setting: Setting) -> None:
    assert setting.raise_all(signal.SIGINT, signal.SIGTERM) == ["end"]
    assert setting.signals.forced == 143


@pytest.mark.parametrize(
    ("number", "done"), [(signal.SIGHUP, "recycle"), (signal.SIGTTIN, "+1"), (signal.SIGTTOU, "-1")]
)
def test_other_signals_have_their_meanings(setting: Setting, number: int, done: str) -> None:
    assert setting.raise_all(number, number) == [done, done]
    assert setting.signals.forced == 0


def test_other_signals_that_wake_the_loop_do_nothing(setting: Setting) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    assert setting.raise_all(signal.SIGUSR1) == []
    signal.signal(signal.SIGUSR1, before)


def test_nothing_to_read_is_no_error(setting: Setting) -> None:
    setting.signals.take(0)
    assert setting.front_end.done == []
