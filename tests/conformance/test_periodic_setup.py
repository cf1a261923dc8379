"""A setup script that works beside its calls, in every way in which a server can be stopped: its clean-up runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wire.program import wait_until
from tests.wire.server import Server, running

SETUP = Path(__file__).parents[2] / "examples" / "periodic" / "setup.py"

ENDS: dict[str, Callable[[Server], object]] = {
    "end of input": lambda server: server.end(),
    "plugin.shutdown": lambda server: server.result(server.request("plugin.shutdown")),
    "SIGTERM": lambda server: server.program.signal(signal.SIGTERM),
    "SIGINT": lambda server: server.program.signal(signal.SIGINT),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_calls_have_left_is_kept_whatever_stops_the_server(end: str, tmp_path: Path) -> None:
    kept = tmp_path / "sales.json"
    for life in (1, 2):
        with running(SETUP, after=(str(kept),)) as server:
            for price in (10, 5):
                server.call("sell", price)
            seen = {"sales": 2 * life, "total": 15 * life}
            wait_until(lambda: server.call("report") == seen, 10, lambda: "the loop has not summed up")  # noqa: B023
            server.call("sell", 1)
            ENDS[end](server)
            assert server.program.exit_code(10) == 0
            server.program.check_nothing_is_left()
        written = json.loads(kept.read_text())
        assert written == {"sales": 2 * life + 1, "total": 15 * life + 1}
        kept.write_text(json.dumps(seen))
