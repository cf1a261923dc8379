"""Functions of the host in the hands of handlers (protocol section 4; specification, Callbacks)."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server
from tests.wire.values import CallFailedError, Raw

pytestmark = pytest.mark.conversation


def test_callback_is_called_with_arguments_and_returns_a_value(server: Server) -> None:
    assert server.call("apply", lambda x: x * 2, [1, 2, 3]) == [2, 4, 6]


@pytest.mark.parametrize("value", [None, True, 2**63 - 1, 1.0, "é", [1, [None]], {"a": {"b": []}}], ids=repr)
def test_every_kind_of_value_passes_both_ways(server: Server, value: Any) -> None:
    seen = []

    def note(x: Any) -> Any:
        seen.append(x)
        return x

    assert server.call("apply", note, [value]) == [value]
    assert seen == [value]


def test_callbacks_may_be_nested_in_containers_and_keyword_arguments(server: Server) -> None:
    container = {"a": [lambda key: key + "1", lambda key: key + "2"], "b": [lambda key: [key]]}
    assert server.call("first_of", container, more={"call": lambda one, two: [one, two]}) == [
        ["a1", "a2", ["b"]],
        {"more": [1, 2]},
    ]


def test_callback_in_a_constructor(server: Server) -> None:
    assert server.method(server.new("Asks", lambda text: text.upper()), "told") == "MADE"


def test_callback_in_a_method(server: Server) -> None:
    assert server.method(server.new("Counter", 3), "each", lambda n: n * n) == [0, 1, 4]


def test_error_of_a_callback_is_raised_in_the_handler_with_the_host_s_message(server: Server) -> None:
    def fail() -> None:
        raise ValueError("unsupported plugin value type EXCEPTION")

    kind, text = server.call("caught", fail)
    assert text == "unsupported plugin value type EXCEPTION"
    assert kind.endswith("Error")
    failure = server.failure(server.begin("through", fail))
    assert (failure.code, failure.message) == (-32000, "unsupported plugin value type EXCEPTION")


def test_result_of_a_callback_may_be_missing(server: Server) -> None:
    """As existing peers send null."""
    number = len(server.questions)
    call = server.begin("apply", Raw({"type": "callback", "callback": {"id": "by-hand"}}), [1])
    server.send({"jsonrpc": "2.0", "id": server.question(number)["id"]})
    assert server.value(call) == [None]


def test_request_of_the_plugin_has_the_recorded_form(server: Server) -> None:
    number = len(server.questions)
    call = server.begin("apply", Raw({"type": "callback", "callback": {"id": "by-hand"}}), [1])
    question = server.question(number)
    assert question["params"] == {"id": "by-hand", "args": [{"type": "int", "value": 1}]}
    assert type(question["id"]) is int
    server.reply(question, "done")
    assert server.value(call) == ["done"]


def test_both_id_spaces_collide_without_harm(server: Server) -> None:
    """The host's request and the plugin's are in flight under the same id."""
    number = len(server.questions)
    call = server.begin("apply", Raw({"type": "callback", "callback": {"id": "by-hand"}}), [1])
    question = server.question(number)
    id = question["id"]
    params = server.call_params("pause", [0.0], {})
    if not server.answered(id):
        server.expect(id)
    server.send({"jsonrpc": "2.0", "id": f"same {id}", "method": "function.call", "params": params})
    server.expect(f"same {id}")
    server.result(f"same {id}")
    server.reply(question, "mine")
    assert server.value(call) == ["mine"]


def test_bad_value_from_a_callback_is_an_error_in_the_handler(server: Server) -> None:
    number = len(server.questions)
    call = server.begin("caught", Raw({"type": "callback", "callback": {"id": "by-hand"}}))
    server.send({"jsonrpc": "2.0", "id": server.question(number)["id"], "result": {"type": "x"}})
    assert 'unsupported plugin transport value type "x"' in server.value(call)[1]


def test_many_callbacks_at_once_each_get_their_own_answer(serve: Serve) -> None:
    """Threads of one handler ask in parallel, in many calls at once."""
    server = serve(
        """
        from concurrent.futures import ThreadPoolExecutor
        def many(f, tag, n):
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(lambda number: f(tag, number), range(n)))
        """,
        "",
        "--workers",
        "2",
    )
    calls = [server.begin("many", lambda tag, number: f"{tag}{number}", tag, 40) for tag in "abcd"]
    for tag, id in zip("abcd", calls, strict=True):
        assert server.value(id) == [f"{tag}{number}" for number in range(40)]


def test_callback_answers_may_come_in_any_order(server: Server) -> None:
    number = len(server.questions)
    by_hand = Raw({"type": "callback", "callback": {"id": "by-hand"}})
    calls = {tag: server.begin("apply", by_hand, [tag]) for tag in ("a", "b")}
    questions = [server.question(number), server.question(number + 1)]
    for question in reversed(questions):
        server.reply(question, question["params"]["args"][0]["value"] * 2)
    assert {tag: server.value(id) for tag, id in calls.items()} == {"a": ["aa"], "b": ["bb"]}


def test_callback_lives_until_its_call_has_returned(serve: Serve) -> None:
    """Kept in an object, where it outlives the call that brought it."""
    server = serve(
        """
        class Keeper:
            def __init__(self): self.kept = None
            def keep(self, f):
                self.kept = f
                return f()
            def use(self, *more): return self.kept()
        """
    )
    keeper = server.new("Keeper")
    assert server.method(keeper, "keep", lambda: "in time") == "in time"
    for more in ([], [lambda: None]):  # also while another call has callbacks of its own
        failure = server.failure(server.begin_method(keeper, "use", *more))
        assert failure.code == -32000
        assert re.fullmatch(r"callback cb-\d+ is not attached to an active plugin call", failure.message)


def test_callback_kept_by_a_thread_is_an_error_after_the_call(serve: Serve, tmp_path: Path) -> None:
    server = serve(
        """
        import threading
        def leave(f, path):
            def later():
                while main.is_set() is False: pass
                try: f()
                except Exception as error: text = str(error)
                else: text = "called"
                with open(path, "w") as file: file.write(text)
            main = threading.Event()
            thread = threading.Thread(target=later, daemon=True)
            thread.start()
            threading.Timer(0.2, main.set).start()
        """
    )
    path = tmp_path / "said"
    os.mkfifo(path)
    assert server.call("leave", lambda: None, str(path)) is None
    assert re.fullmatch(r"callback cb-\d+ is not attached to an active plugin call", path.read_text())


def test_host_may_call_the_plugin_from_inside_a_callback(server: Server) -> None:
    assert server.call("through", lambda: server.call("add", 1, 2)) == 3


def test_callback_may_call_a_method_of_the_object_that_called_it(server: Server) -> None:
    """Check 15 of the faults: it completes."""
    counter = server.new("Counter", 1)
    before, inner, after = server.method(counter, "call_self", lambda: server.method(counter, "inc", 5))
    assert (before, inner, after) == (1, 6, 6)


@pytest.mark.parametrize(("depth", "workers"), [(24, 2), (32, 4)])
def test_calls_nested_in_callbacks_far_beyond_the_pool(serve: Serve, depth: int, workers: int) -> None:
    server = serve("def through(f): return f()", "", "--workers", str(workers))

    def deeper(level: int) -> Any:
        return level if level == depth else server.call("through", lambda: deeper(level + 1))

    assert deeper(0) == depth
    assert server.call("through", lambda: "after") == "after"


def test_nesting_beyond_the_cap_is_an_error_at_once(serve: Serve) -> None:
    server = serve("def through(f): return f()", "", "--workers", "2", "--callback-depth", "5")

    def deeper(level: int) -> Any:
        return level if level == 8 else server.call("through", lambda: deeper(level + 1))

    with pytest.raises(CallFailedError, match="--callback-depth"):
        deeper(0)
    assert server.call("through", lambda: "after") == "after"


def test_every_worker_waits_for_a_callback_and_a_plain_call_is_served(serve: Serve) -> None:
    server = serve("def through(f): return f()\ndef plain(): return 'plain'", "", "--workers", "2")
    release = threading.Event()
    arrived = threading.Barrier(7)

    def wait() -> str:
        arrived.wait(20)
        release.wait(20)
        return "released"

    calls = [server.begin("through", wait) for _ in range(6)]
    arrived.wait(20)
    assert server.call("plain") == "plain"
    release.set()
    assert [server.value(id) for id in calls] == ["released"] * 6


def test_chain_through_functions_methods_and_constructors(serve: Serve) -> None:
    server = serve(
        """
        def through(f): return f()
        class Asks:
            def __init__(self, f): self.said = f()
            def ask(self, f): return [self.said, f()]
        """,
        "",
        "--workers",
        "2",
    )

    def made() -> Any:
        return server.call("through", lambda: "made")

    def asked() -> Any:
        return server.method(server.new("Asks", made), "ask", lambda: server.call("through", lambda: "asked"))

    assert server.call("through", asked) == ["made", "asked"]


def test_callback_after_the_end_of_input_is_an_error_at_once(serve: Serve, gate: Gate) -> None:
    """The host is gone for callbacks: the handler gets an error instead of waiting for ever."""
    server = serve(PASS + "def ask(f, path):\n    f()\n    _pass_gate(path)\n    return f()")
    started = server.enter("ask", str(gate))
    server.end()
    gate.open()
    failure = server.failure(started)
    assert "host" in failure.message
    assert server.program.exit_code() == 0
