"""What a server counts, as text that Prometheus reads. Imported when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from workers.front_end.metrics import Gauges, Metrics, Outcome, Timing

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SIZES = range(14, 40, 2)  # bits of a time in ns, from 16 µs to 275 s


class _Server(Collector):
    """One look at a server."""

    def __init__(self, metrics: Metrics, gauges: Gauges) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._timings = _joined(metrics.timings, metrics.store_timings)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; see :class:`prometheus_client.registry.Collector`."""
        yield self._calls()
        yield self._seconds()
        yield from self._counters()
        yield from self._now()

    def _calls(self) -> Metric:
        family = CounterMetricFamily(
            "scriptling_calls", "Calls by what was called and what came of them.", labels=("handler", "outcome")
        )
        outcomes = self._metrics.outcomes.copy()
        for name, timing in self._timings.items():
            outcomes[name, Outcome.OK] += timing.count - timing.errors
            outcomes[name, Outcome.ERROR] += timing.errors
        for (name, outcome), number in outcomes.items():
            if number:
                family.add_metric((name, outcome), number)
        return family

    def _seconds(self) -> Metric:
        family = HistogramMetricFamily(
            "scriptling_call_seconds", "Time for which calls ran that ran to their end.", labels=("handler",)
        )
        for name, timing in self._timings.items():
            buckets = [(str((1 << size) / 1e9), sum(timing.by_size[: size + 1])) for size in _SIZES]
            family.add_metric((name,), [*buckets, ("+Inf", timing.count)], timing.total / 1e9)
        return family

    def _counters(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _counters("refused_requests", "Requests that were not accepted.", "code", metrics.refusals)
        yield _counters("restarts", "Processes that died without being told to.", "role", metrics.restarts)
        yield CounterMetricFamily("scriptling_callbacks", "Calls of functions in hosts.", metrics.callbacks)
        yield _counters("shared_operations", "Operations on what calls share.", "operation", metrics.operations)
        received = {name: traffic.received for name, traffic in metrics.traffic.items()}
        yield _counters("received_bytes", "Bytes that came, by transport.", "transport", received)
        sent = {name: traffic.sent for name, traffic in metrics.traffic.items()}
        yield _counters("sent_bytes", "Bytes that were sent, by transport.", "transport", sent)

    def _now(self) -> Iterator[Metric]:
        gauges = self._gauges
        calls = {"queued": gauges.queued, "running": gauges.running, "in_store": gauges.in_store}
        yield _gauges("pending_calls", "Calls that are owed an answer, by where they are.", "place", calls)
        yield _gauges("workers", "Worker processes by state.", "state", gauges.workers)
        yield GaugeMetricFamily("scriptling_objects", "Objects that live.", gauges.objects)
        yield GaugeMetricFamily("scriptling_sessions", "Conversations with hosts.", gauges.sessions)


def _joined(*sources: Mapping[str, Timing]) -> dict[str, Timing]:
    """Return timings from several places; a function and a class may have the same name."""
    joined: dict[str, Timing] = {}
    for source in sources:
        for name, timing in source.items():
            joined.setdefault(name, Timing()).add(timing)
    return {name: timing for name, timing in joined.items() if timing.count}


def _counters(name: str, text: str, label: str, values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(f"scriptling_{name}", text, labels=(label,))
    for key, value in values.items():
        family.add_metric((str(key),), value)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"scriptling_{name}", text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def render(metrics: Metrics, gauges: Gauges) -> bytes:
    """Return the text, UTF-8."""
    text: bytes = generate_latest(_Server(metrics, gauges))
    return text
