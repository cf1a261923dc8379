"""Servers with a test's own handlers; and the full scale of each check, which runs only when it is asked for."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.faults.figures import figures, path_of
from tests.wire.fixtures import gate, listen, serve

__all__ = ["figures", "gate", "listen", "serve"]

FULL_SCALE = "full_scale"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{FULL_SCALE}: at the size that the checks name; run by make faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the full scale, unless it is asked for; ``make faults`` leaves out what it is a smaller scale of."""
    if path_of(config) is not None:
        left_out = scaled_down(items)
    elif FULL_SCALE in config.option.markexpr:
        left_out = set()
    else:
        left_out = {item for item in items if item.get_closest_marker(FULL_SCALE)}
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


def scaled_down(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the items whose test has others at full scale."""
    tests = defaultdict(set)
    for item in items:
        tests[item.nodeid.partition("[")[0]].add(item)
    both = (same for same in tests.values() if any(item.get_closest_marker(FULL_SCALE) for item in same))
    return {item for same in both for item in same if not item.get_closest_marker(FULL_SCALE)}
