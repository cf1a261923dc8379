"""Functions of the program that a plugin calls back (protocol section 4)."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import FAKE_ARGS


def test_function_and_lambda_are_called_with_the_plugins_arguments(fake: str) -> None:
    assert plugin.call_function(fake, "apply", lambda x: x * 2, [1, 2, 3]) == [2, 4, 6]
    assert plugin.call_function(fake, "apply", str.upper, ["a"]) == ["A"]


def test_callbacks_may_sit_anywhere_in_an_argument(fake: str) -> None:
    assert plugin.call_function(fake, "call_nested", {"deep": [lambda x: x + 1]}) == 6
    assert plugin.call_function(fake, "apply", fn=lambda x: -x, items=[1]) == [-1]


def test_exception_of_a_callback_is_raised_in_the_plugin_with_its_message(fake: str) -> None:
    def refuse(_: int) -> None:
        raise LookupError("not that one")

    with pytest.raises(plugin.PluginCallError, match=r"^not that one$"):
        plugin.call_function(fake, "apply", refuse, [1])


def test_exception_without_text_has_its_class_name_for_message(fake: str) -> None:
    def refuse(_: int) -> None:
        raise LookupError

    with pytest.raises(plugin.PluginCallError, match=r"^LookupError$"):
        plugin.call_function(fake, "apply", refuse, [1])


def test_result_of_a_callback_that_cannot_be_sent_is_an_error_of_the_callback(fake: str) -> None:
    with pytest.raises(plugin.PluginCallError, match="cannot send object at result"):
        plugin.call_function(fake, "apply", lambda _: object(), [1])


def test_callback_runs_in_the_thread_that_made_the_call(fake: str) -> None:
    (ident,) = plugin.call_function(fake, "apply", lambda _: threading.get_ident() % 2**62, [1])
    assert ident == threading.get_ident() % 2**62


def test_two_callbacks_at_once_are_both_served(fake: str) -> None:
    assert plugin.call_function(fake, "both", str.upper, str.title) == {"first": "FIRST", "second": "Second"}


def test_callbacks_call_the_plugin_again_to_great_depth(fake: str) -> None:
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + plugin.call_function(fake, "apply", down, [depth - 1])[0]

    assert down(100) == 100


def test_callback_of_an_outer_call_is_served_while_an_inner_call_waits(fake: str) -> None:
    """The outer call has two callbacks at once; the first makes a call that needs the second to be served."""

    def first(_: str) -> str:
        return str(plugin.call_function(fake, "pass_gate", "inner"))

    def second(_: str) -> str:
        plugin.call_function(fake, "open_gate", "inner")
        return "opened"

    assert plugin.call_function(fake, "both", first, second) == {"first": "inner", "second": "opened"}


def test_recursion_without_end_is_an_error_and_leaves_the_client_usable(fake: str) -> None:
    def down(depth: int) -> Any:
        return plugin.call_function(fake, "apply", down, [depth + 1])

    with pytest.raises((plugin.PluginCallError, RecursionError), match=r"recursion|levels of nesting"):
        down(0)
    assert plugin.call_function(fake, "echo", 1) == 1


def test_callback_is_gone_when_its_call_has_returned(fake: str) -> None:
    plugin.call_function(fake, "keep", lambda x: x)
    with pytest.raises(plugin.PluginCallError, match="callback ID is not attached to an active plugin call"):
        plugin.call_function(fake, "call_kept")


def test_callback_still_waiting_when_its_call_returns_is_answered_with_an_error(fake: str) -> None:
    plugin.call_function(fake, "ask_in_background", lambda x: x)
    (seen,) = plugin.call_function(fake, "what_was_seen")
    assert seen in (1, "callback ID is not attached to an active plugin call")


def test_ctrl_c_while_waiting_leaves_the_client_usable(fake: str) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        plugin.call_function(fake, "wait_until_reached", "never")
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        interrupting = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            plugin.call_function(fake, "pass_gate", "never")
        interrupting.result()
    assert plugin.call_function(fake, "apply", lambda x: x + 1, [1]) == [2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_from_a_callback_ends_the_outer_call_and_is_told_to_the_plugin(
    fake: str, error: type[BaseException]
) -> None:
    def leave(_: int) -> None:
        raise error

    with pytest.raises(error):
        plugin.call_function(fake, "apply", leave, [1])
    assert plugin.call_function(fake, "echo", 1) == 1


def test_callbacks_between_two_plugins(fake: str) -> None:
    second = plugin.load("second", sys.executable, scriptling=True, args=[*FAKE_ARGS, "second"])

    def outer(x: int) -> Any:
        return plugin.call_function(second, "apply", lambda y: plugin.call_function(fake, "add", x, y), [10, 20])

    assert plugin.call_function(fake, "apply", outer, [1, 2]) == [[11, 21], [12, 22]]


def test_callbacks_of_many_threads_are_not_mixed_up(fake: str) -> None:
    def work(number: int) -> bool:
        return all(
            plugin.call_function(fake, "apply", lambda x: x + number, [turn]) == [turn + number] for turn in range(20)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(0, 8000, 1000)))
