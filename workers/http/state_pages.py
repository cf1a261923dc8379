"""What a server says about itself: ``/health`` to everybody, ``/metrics`` to those who may use it."""

from __future__ import annotations

from collections.abc import Callable

from workers.front_end.frontend import FrontEnd
from workers.http.replies import RETRY, Reply, Scope, sentence

_ONLY_GET = sentence(405, "GET this", (b"allow", b"GET, HEAD"))
_READY = sentence(200, "ready")
_STARTING = sentence(503, "starting", RETRY)
_DRAINING = sentence(503, "draining", RETRY)


class StatePages:
    """The pages about one server."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end

    def health(self, scope: Scope) -> Reply:
        """Return whether it takes calls, and nothing else."""
        return _to_a_reader(scope, self._state)

    def _state(self) -> Reply:
        life = self._front_end.life
        if life.ending.begun:
            return _DRAINING
        return _READY if life.serving else _STARTING

    def metrics(self, scope: Scope) -> Reply:
        """Return what it has counted, in the text format of Prometheus."""
        return _to_a_reader(scope, self._counts)

    def _counts(self) -> Reply:
        from workers.front_end import exposition  # noqa: PLC0415 - 40 ms that only those pay who want it

        text = exposition.render(self._front_end.metrics, self._front_end.gauges())
        return Reply(200, text, ((b"content-type", exposition.CONTENT_TYPE.encode()),))


def _to_a_reader(scope: Scope, page: Callable[[], Reply]) -> Reply:
    return page() if scope["method"] in {"GET", "HEAD"} else _ONLY_GET
