"""Memory and processes as they are measured."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import memory


def test_a_process_that_ends_while_it_is_looked_at_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(folder: Path, pattern: str) -> object:
        raise ProcessLookupError(pattern)

    monkeypatch.setattr(Path, "glob", vanish)
    assert memory.tree(os.getpid()) == [os.getpid()]
    assert memory.cpu_seconds(os.getpid()) == 0
