"""Counts add up wherever they were counted, and no name in them comes from a client."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scriptling.errors import ErrorCode, RpcError
from tests.workers.fakes import Listener, make_ticket
from workers.calls.dispatch import Dispatcher
from workers.frames import Kind, Reply
from workers.front_end import metrics as metrics_module
from workers.front_end.exposition import render
from workers.front_end.metrics import Gauges, Metrics, Outcome, Report, Timing, worker_states

MS = 1_000_000


def make_timing(*elapsed: int, errors: int = 0) -> Timing:
    timing = Timing()
    for index, each in enumerate(elapsed):
        timing.note(each, index < errors)
    return timing


def gauges(states: tuple[str, ...] = ("idle",)) -> Gauges:
    return Gauges(3, 2, 1, 6, worker_states(states), 4)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return every value of a rendering, by its name and the values of its labels."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(render(metrics, gauges()).decode()):
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


# Counting


def test_what_is_taken_is_counted_no_more_and_what_is_expected_stays() -> None:
    timing = make_timing(5, 6 * MS, errors=1)
    timing.expected = 7
    taken = timing.take()
    assert (taken.count, taken.total, taken.errors) == (2, 6 * MS + 5, 1)
    assert (timing.count, timing.total, timing.errors, timing.expected) == (0, 0, 0, 7)


def test_names_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """User code in the process that reports can forge them."""
    monkeypatch.setattr(metrics_module, "_MOST_NAMES", 10)
    metrics = Metrics()
    for number in range(100):
        name = str(number)
        metrics.take_report(Report(0, {name: make_timing(1)}, {name: 1}, {name: 1}))
    metrics.take_report(Report(operations={"0": 4}))
    assert [len(kind) for kind in (metrics.store_timings, metrics.outcomes, metrics.operations)] == [10, 10, 10]
    assert metrics.operations["0"] == 5


def test_reports_of_other_processes_add_up() -> None:
    metrics = Metrics()
    metrics.take_report(Report(5, {"Thing.get": make_timing(1, 2)}, {"Thing.get": 1}))
    metrics.take_report(Report(3, {"Thing.get": make_timing(4, errors=1), "Thing": make_timing(9)}))
    metrics.take_report(Report(operations={"kv.get": 7}))
    metrics.take_report(Report(operations={"kv.get": 2}))
    assert {name: timing.count for name, timing in metrics.store_timings.items()} == {"Thing.get": 3, "Thing": 1}
    assert metrics.outcomes == {("Thing.get", Outcome.TIMEOUT): 1}
    assert metrics.operations == {"kv.get": 9}


def test_a_report_of_another_shape_does_no_harm() -> None:
    metrics = Metrics()
    metrics.take_report(Report(0, {"f": Timing(0, [1] * 500), "g": Timing(0, [1])}))
    assert len(metrics.store_timings["f"].by_size) == len(metrics.store_timings["g"].by_size) == 65


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (ErrorCode.TIMED_OUT, Outcome.TIMEOUT),
        (ErrorCode.WORKER_DIED, Outcome.DIED),
        (ErrorCode.OBJECT_LOST, Outcome.DIED),
        (ErrorCode.SHUTTING_DOWN, Outcome.REFUSED),
        (ErrorCode.CANCELLED, Outcome.CANCELLED),
        (ErrorCode.INTERNAL_ERROR, Outcome.ERROR),
        (-1, Outcome.ERROR),
    ],
)
def test_an_error_code_tells_the_outcome(code: int, outcome: Outcome) -> None:
    assert Outcome.of(code) is outcome


def test_every_state_of_workers_is_named() -> None:
    assert worker_states(["busy", "busy", "idle"]) == Counter(
        {"starting": 0, "idle": 1, "busy": 2, "waiting": 0, "parked": 0, "ending": 0}
    )


# In the dispatcher


def test_calls_are_counted_when_they_are_settled() -> None:
    dispatcher = Dispatcher(10)
    lane = dispatcher.add_lane("worker-1")
    for seq, failed in ((1, False), (2, True), (3, False)):
        dispatcher.submit(make_ticket(seq))
        dispatcher.assign()
        dispatcher.done(lane, [Reply(seq, failed, b"", MS)])
    timing = dispatcher.metrics.timings["add"]
    assert (timing.count, timing.errors, timing.total) == (3, 1, 3 * MS)


def test_calls_that_are_given_up_or_withdrawn_are_counted_as_that() -> None:
    dispatcher = Dispatcher(10)
    host = Listener()
    for seq in (1, 2):
        dispatcher.submit(make_ticket(seq, caller=host))
    dispatcher.withdraw(host)
    ticket = make_ticket(3, caller=host)
    dispatcher.fail(ticket, RpcError(ErrorCode.TIMED_OUT, "too long"))
    assert dispatcher.metrics.outcomes == {("add", Outcome.CANCELLED): 2, ("add", Outcome.TIMEOUT): 1}
    ((seq, failed, payload),) = host.answers
    assert (seq, failed, json.loads(payload)["message"]) == (3, True, "too long")


def test_what_a_client_has_named_is_no_label() -> None:
    ticket = make_ticket(1, target="1.whatever")
    for kind in (Kind.METHOD, Kind.DESTROY, Kind.FORGET):
        ticket.kind = kind
        assert ticket.label == "(object)"


# As text


def test_calls_are_shown_by_handler_and_outcome() -> None:
    metrics = Metrics()
    metrics.timings["add"] = make_timing(*[MS] * 5, errors=2)
    metrics.store_timings["Thing.get"] = make_timing(MS)
    metrics.outcomes["add", Outcome.TIMEOUT] = 1
    shown = samples(metrics)
    calls = {key[1:]: value for key, value in shown.items() if key[0] == "scriptling_calls_total"}
    assert calls == {("add", "ok"): 3, ("add", "error"): 2, ("add", "timeout"): 1, ("Thing.get", "ok"): 1}


def test_times_are_shown_as_a_histogram_in_seconds() -> None:
    metrics = Metrics()
    metrics.timings["add"] = make_timing(1000, 100_000, 10 * MS, 3600 * 1000 * MS)
    shown = samples(metrics)
    buckets = {float(key[2]): value for key, value in shown.items() if key[0] == "scriptling_call_seconds_bucket"}
    assert [*buckets] == sorted(buckets)
    assert [*buckets.values()] == sorted(buckets.values())
    for bound, number in buckets.items():
        assert number == sum(each < bound for each in (1e-6, 1e-4, 0.01, 3600))
    assert shown["scriptling_call_seconds_count", "add"] == 4
    assert shown["scriptling_call_seconds_sum", "add"] == pytest.approx(3600.0101, abs=1e-4)


def test_a_function_and_a_class_of_one_name_are_shown_as_one() -> None:
    metrics = Metrics()
    metrics.timings["make"] = make_timing(1, 2)
    metrics.store_timings["make"] = make_timing(3)
    assert samples(metrics)["scriptling_calls_total", "make", "ok"] == 3


def test_everything_else_is_shown_too() -> None:
    metrics = Metrics(callbacks=5)
    metrics.refusals[-32601] = 2
    metrics.restarts["worker"] = 3
    metrics.operations["kv.get"] = 4
    metrics.traffic_of("stdio").received = 100
    metrics.traffic_of("stdio").sent += 200
    shown = samples(metrics)
    expected = {
        ("refused_requests_total", "-32601"): 2, ("restarts_total", "worker"): 3, ("callbacks_total",): 5,
        ("shared_operations_total", "kv.get"): 4, ("received_bytes_total", "stdio"): 100,
        ("sent_bytes_total", "stdio"): 200, ("pending_calls", "queued"): 3, ("pending_calls", "running"): 2,
        ("pending_calls", "in_store"): 1, ("workers", "idle"): 1, ("workers", "busy"): 0, ("objects",): 6,
        ("sessions",): 4,
    }  # fmt: skip
    assert {key: shown["scriptling_" + key[0], *key[1:]] for key in expected} == expected


def test_a_server_that_has_done_nothing_shows_that() -> None:
    assert samples(Metrics())["scriptling_callbacks_total",] == 0


def test_names_that_are_hard_to_write_are_written() -> None:
    metrics = Metrics()
    name = 'a"b\\c\nd'
    metrics.timings[name] = make_timing(1)
    assert samples(metrics)["scriptling_calls_total", name, "ok"] == 1
