"""Pools of one and of two workers that tests play."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.workers.calls.setting import Setting


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Setting]:
    """A pool of two."""
    made = Setting(2)
    yield made
    made.close()
