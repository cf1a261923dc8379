"""Servers with a test's own handlers; and the full scale of each check, which runs only when it is asked for."""

from __future__ import annotations

import pytest

from tests.wire.fixtures import gate, listen, serve

__all__ = ["gate", "listen", "serve"]

FULL_SCALE = "full_scale"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{FULL_SCALE}: at the size that the checks name; run with -m {FULL_SCALE}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if FULL_SCALE not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker(FULL_SCALE)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
