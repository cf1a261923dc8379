"""What a host is told when something goes wrong (protocol sections 2 and 3)."""

from __future__ import annotations

import pytest

from tests.wire.server import Serve, Server


def test_message_is_the_exception_s_text_and_data_tells_type_and_traceback(server: Server) -> None:
    failure = server.failure(server.begin("boom", "bad thing"))
    assert (failure.code, failure.message, failure.data["type"]) == (-32000, "bad thing", "ValueError")


def test_traceback_begins_in_the_user_s_code(server: Server) -> None:
    lines = server.failure(server.begin("boom", "bad thing")).data["traceback"].splitlines()
    assert "handlers.py" in next(line for line in lines if "File" in line)
    assert not any("workers/" in line or "evaluator" in line for line in lines)
    assert "raise ValueError(message)" in "\n".join(lines)


@pytest.mark.parametrize(
    ("raised", "message"),
    [("ValueError()", "ValueError"), ("KeyError('k')", "'k'"), ("Own('text')", "text"), ("Own()", "Own")],
)
def test_exception_without_text_is_named_by_its_class(serve: Serve, raised: str, message: str) -> None:
    server = serve(f"class _Own(Exception): pass\n_Own.__name__ = 'Own'\nOwn = _Own\ndef f(): raise {raised}")
    assert server.failure(server.begin("f")).message == message


def test_tracebacks_can_be_turned_off(serve: Serve) -> None:
    server = serve("def f(): raise ValueError('secret path')", "", "--no-traceback")
    failure = server.failure(server.begin("f"))
    assert (failure.message, failure.data) == ("secret path", None)


def test_unknown_function_is_answered_with_those_there_are(serve: Serve) -> None:
    server = serve("def b(): pass\ndef a(): pass\ndef c(): pass")
    failure = server.failure(server.begin("nosuch"))
    assert (failure.code, failure.message) == (-32000, "unknown function nosuch (available: a, b, c)")


def test_where_there_is_nothing_none_is_available(serve: Serve) -> None:
    server = serve("")
    assert server.failure(server.begin("f")).message == "unknown function f (available: none)"
    failure = server.failure(server.request("object.new", {"class": "C"}))
    assert failure.message == "unknown class C (available: none)"
    failure = server.failure(server.request("object.call_method", {"object_id": "1", "method": "m"}))
    assert (failure.code, failure.message) == (-32000, "unknown object 1")


def test_error_in_a_handler_s_module_is_an_error_of_each_call(serve: Serve) -> None:
    server = serve("raise RuntimeError('not today')\ndef f(): pass")
    for _ in range(3):
        failure = server.failure(server.begin("f"))
        assert (failure.message, failure.data["type"]) == ("not today", "RuntimeError")


def test_handler_whose_module_names_it_only_at_run_time_is_found(serve: Serve) -> None:
    setup = (
        "import scriptling.runtime.plugin as plugin\nplugin.serve('t')\nplugin.register_function('f', 'handlers.made')"
    )
    assert serve("globals()['made'] = lambda: 'made'", setup).call("f") == "made"


def test_text_of_an_exception_that_cannot_be_sent_is_still_an_answer(serve: Serve) -> None:
    server = serve(
        """
        class _Bad(Exception):
            def __str__(self): raise RuntimeError("no text")
        def f(): raise _Bad()
        def g(): raise ValueError("\\ud800")
        """
    )
    assert server.failure(server.begin("f")).code == -32000
    assert server.failure(server.begin("g")).code == -32000
