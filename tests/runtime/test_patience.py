"""How long an operation may wait."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from scriptling.runtime.patience import LONGEST, checked_timeout
from scriptling.runtime.sync import Queue


@pytest.mark.parametrize(("timeout", "patience"), [(None, None), (0, 0), (2, 2), (1e300, LONGEST), (10**400, LONGEST)])
def test_a_time_out_is_none_or_a_number_that_clocks_can_count(timeout: Any, patience: float | None) -> None:
    assert checked_timeout("get()", timeout) == patience


@pytest.mark.parametrize("timeout", [-1, -(10**400), math.nan, math.inf, "1", True])
def test_anything_else_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"get\(\): the timeout must be a number of seconds"):
        checked_timeout("get()", timeout)


def test_ages_can_be_waited_for() -> None:
    thread = threading.Thread(target=lambda: Queue("ages").put(1))
    thread.start()
    assert Queue("ages").get(10**400) == 1
    thread.join()
