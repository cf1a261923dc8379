"""One exchange over HTTP: whatever becomes of its answer is its own client's business."""

from __future__ import annotations

from typing import cast

import pytest

from workers.front_end.metrics import Traffic
from workers.front_end.session import Session
from workers.http.calls import Exchange, PostedCalls
from workers.http.replies import Reply


class Calls:
    def __init__(self) -> None:
        self.traffic = Traffic()
        self.ended_sessions: list[Session | None] = []

    def ended(self, session: Session | None) -> None:
        self.ended_sessions.append(session)


def test_an_answer_that_cannot_be_given_is_no_error_for_whoever_has_made_it(caplog: pytest.LogCaptureFixture) -> None:
    def broken(reply: Reply) -> None:
        raise RuntimeError("the connection is in pieces")

    calls = Calls()
    exchange = Exchange(cast(PostedCalls, calls), broken, refused=False)
    exchange.put(b"7")
    assert "could not be given" in caplog.text
    assert calls.ended_sessions == [None]
    exchange.put(b"8")
    assert (calls.ended_sessions, calls.traffic.sent) == ([None], 1)
