"""Calling functions of a plugin over stdio: values, errors, batches, many calls at once (protocol sections 2, 5, 6)."""

from __future__ import annotations

import datetime
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest

import scriptling.plugin as plugin
from scriptling.errors import ErrorCode
from scriptling.protocol.values import Unsendable


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**63 - 1, 2.5, 1.0, "", "ü😀", [], {}, [1, [2.5, {"a": None}]], {"b": 1, "a": [True]}],
)
def test_values_come_back_equal_and_of_the_same_type(fake: str, value: object) -> None:
    back = plugin.call_function(fake, "echo", value)
    assert back == value
    assert type(back) is type(value)


def test_arguments_and_keyword_arguments(fake: str) -> None:
    got = plugin.call_function(fake, "everything", 1, "x", name="n", lib=[1])
    assert got == {"args": [1, "x"], "kwargs": {"name": "n", "lib": [1]}}


def test_name_is_taken_with_and_without_prefix(fake: str) -> None:
    assert fake == "plugin.fake"
    assert plugin.call_function("fake", "add", 3, 4) == plugin.call_function("plugin.fake", "add", 3, 4) == 7


def test_remote_exception_keeps_message_type_and_traceback(fake: str) -> None:
    with pytest.raises(plugin.PluginCallError) as caught:
        plugin.call_function(fake, "boom", "bad thing", kind="KeyError")
    assert str(caught.value) == "bad thing"
    assert caught.value.code == ErrorCode.HANDLER_ERROR
    assert caught.value.remote_type == "KeyError"
    assert caught.value.data["traceback"] in caught.value.__notes__[0]


def test_unknown_function_is_told_as_the_plugin_words_it(fake: str) -> None:
    with pytest.raises(plugin.PluginCallError, match=r"unknown function nothing \(available: none\)"):
        plugin.call_function(fake, "nothing")


def test_what_cannot_be_sent_is_named_with_its_place_and_harms_nothing(fake: str) -> None:
    with pytest.raises(Unsendable, match=r"cannot send datetime.datetime at args\[1\]\['when'\]"):
        plugin.call_function(fake, "echo", 1, {"when": datetime.datetime(2020, 1, 1)})
    with pytest.raises(Unsendable, match=r"kwargs\['value'\]"):
        plugin.call_function(fake, "echo", value=float("nan"))
    with pytest.raises(Unsendable, match="64 bits"):
        plugin.call_function(fake, "echo", 2**64)
    assert plugin.call_function(fake, "echo", 5) == 5


def test_result_that_is_no_value_is_an_error_of_that_call(fake: str) -> None:
    with pytest.raises(
        plugin.PluginCallError, match=r'plugin \'fake\'.*unsupported plugin transport value type "picture"'
    ):
        plugin.call_function(fake, "strange_value")
    assert plugin.call_function(fake, "echo", 5) == 5


def test_large_values_go_both_ways(fake: str) -> None:
    text = "x" * 3_000_000
    assert plugin.call_function(fake, "echo", [text, text]) == [text, text]


def test_batch_gives_results_in_order(fake: str) -> None:
    calls: list[dict[str, Any]] = [
        {"name": "add", "args": [1, 2]},
        {"name": "add", "args": [1], "kwargs": {"b": 9}},
        {"name": "echo"},
    ]
    assert plugin.batch_call(fake, calls) == [3, 10, None]


def test_batch_of_nothing_is_nothing(fake: str) -> None:
    assert plugin.batch_call(fake, []) == []


def test_batch_refuses_callbacks(fake: str) -> None:
    with pytest.raises(plugin.PluginError, match="callbacks are not supported in batch calls"):
        plugin.batch_call(fake, [{"name": "apply", "args": [len, []]}])


def test_batch_raises_the_first_error_or_returns_it(fake: str) -> None:
    calls: list[dict[str, Any]] = [
        {"name": "add", "args": [1, 2]},
        {"name": "boom", "args": ["one"]},
        {"name": "boom", "args": ["two"]},
    ]
    with pytest.raises(plugin.PluginCallError, match="one"):
        plugin.batch_call(fake, calls)
    first, second, third = plugin.batch_call(fake, calls, return_exceptions=True)
    assert first == 3
    assert (str(second), str(third)) == ("one", "two")


@pytest.mark.parametrize("call", [{"args": [1]}, {"name": 5}, {"name": "add", "argz": []}])
def test_batch_refuses_malformed_calls(fake: str, call: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"calls\[0\]"):
        plugin.batch_call(fake, [call])


def test_many_threads_share_one_plugin_and_answers_find_their_callers(fake: str) -> None:
    def work(number: int) -> bool:
        return all(plugin.call_function(fake, "echo", [number, turn]) == [number, turn] for turn in range(20))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def test_a_slow_call_holds_up_no_fast_one(fake: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(plugin.call_function, fake, "pass_gate", "slow")
        assert plugin.call_function(fake, "echo", "fast") == "fast"
        plugin.call_function(fake, "open_gate", "slow")
        assert slow.result() == "slow"


def test_time_limit_ends_a_call_and_its_late_answer_is_dropped(fake: str) -> None:
    told = r"plugin 'fake' .* did not answer function.call pass_gate within 0.05 seconds"
    with pytest.raises(plugin.PluginTimeout, match=told), plugin.time_limit(0.05):
        plugin.call_function(fake, "pass_gate", "late")
    plugin.call_function(fake, "open_gate", "late")
    assert plugin.call_function(fake, "echo", 1) == 1
    assert issubclass(plugin.PluginTimeout, TimeoutError)


def test_time_limit_ends_with_its_block(fake: str) -> None:
    with plugin.time_limit(0.01), plugin.time_limit(None):
        assert plugin.call_function(fake, "echo", 1) == 1
    assert plugin.call_function(fake, "echo", 1) == 1


def test_log_records_of_the_plugin_go_to_logging(fake: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(5, "scriptling.plugin.fake"):
        plugin.call_function(fake, "log", "trace", "beginning")
        plugin.call_function(fake, "log", "warn", "disk is full", "disk", "sda", "left", 0)
        plugin.unload(fake)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (5, "beginning"),
        (logging.WARNING, "disk is full disk='sda' left=0"),
    ]
    assert {record.name for record in caplog.records} == {"scriptling.plugin.fake"}


def test_request_that_is_unknown_to_hosts_is_answered_with_an_error(fake: str) -> None:
    with pytest.raises(plugin.PluginCallError, match=r"unknown method host\.paint"):
        plugin.call_function(fake, "ask", "host.paint")


def test_stderr_of_the_plugin_is_passed_on(local_fake: str, capsys: pytest.CaptureFixture[str]) -> None:
    plugin.call_function(local_fake, "write_stderr", "warning: hot\n")
    plugin.unload(local_fake)
    assert capsys.readouterr().err == "warning: hot\n"


def test_call_of_what_is_not_loaded_names_what_is(fake: str) -> None:
    with pytest.raises(plugin.PluginError, match=r"plugin.other is not loaded \(loaded: plugin.fake\)"):
        plugin.call_function("other", "f")


def test_call_during_unload_by_another_thread_is_finished(fake: str) -> None:
    """Unloading waits for the calls of other threads, and their callbacks are still answered."""
    inside, go_on = threading.Event(), threading.Event()

    def callback(value: int) -> int:
        inside.set()
        go_on.wait(30)
        return value + 1

    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(plugin.call_function, fake, "apply", callback, [1, 2])
        assert inside.wait(30)
        unloading = pool.submit(plugin.unload, fake)
        module = import_module("scriptling.plugin.loading")
        while module.loaded_names():
            pass
        go_on.set()
        assert call.result() == [2, 3]
        unloading.result()
