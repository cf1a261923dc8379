"""``scriptling.runtime.jsonrpc`` as setup scripts and handlers use it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import scriptling.runtime as runtime
from scriptling.errors import RpcError
from scriptling.registry import MethodDeclaration, RegistrationError
from scriptling.runtime import jsonrpc
from tests.runtime.conftest import FakeServer


def names(server: FakeServer) -> list[tuple[str, bool, str]]:
    return [(each.name, each.is_notification, each.handler.reference) for each in server.declared().methods]


def test_it_is_reached_both_ways() -> None:
    assert runtime.jsonrpc is jsonrpc


def test_imperative_registrations(server: FakeServer) -> None:
    jsonrpc.method("add", "app.handlers.add")
    jsonrpc.notification("seen", "h.seen")
    jsonrpc.notification("add", "h.added")
    assert names(server) == [
        ("add", False, "app.handlers.add"),
        ("seen", True, "h.seen"),
        ("add", True, "h.added"),
    ]


def test_decorators_bare_and_called_leave_the_function_as_it_is(server: FakeServer) -> None:
    @jsonrpc.method
    def bare(params: Any) -> Any:
        return params

    @jsonrpc.method()
    def called(params: Any) -> Any:
        return params

    @jsonrpc.method("other", timeout=1.5)
    @jsonrpc.notification
    def named(params: Any) -> Any:
        return params

    declared = server.declared().methods
    assert [(each.name, each.is_notification, each.timeout) for each in declared] == [
        ("bare", False, None),
        ("called", False, None),
        ("named", True, None),
        ("other", False, 1.5),
    ]
    assert all(each.handler.pickled for each in declared)
    assert named(1) == 1


def test_registering_again_replaces(server: FakeServer) -> None:
    jsonrpc.method("add", lambda params: 1)
    jsonrpc.method("add", "h.add")
    (declared,) = server.declared().methods
    assert isinstance(declared, MethodDeclaration)
    assert (declared.handler.reference, declared.handler.pickled) == ("h.add", b"")


@pytest.mark.parametrize(
    ("name", "handler", "timeout", "words"),
    [
        ("", "h.add", None, "name must be a str"),
        (3, "h.add", None, "name must be a str"),
        ("add", "nothing", None, "library.function"),
        ("add", 3, None, 'must be "library.function" or a function, not int'),
        ("add", "h.add", 0, "above 0"),
        ("add", "h.add", "1", "above 0"),
    ],
)
def test_what_is_no_registration_is_an_error(
    server: FakeServer, name: Any, handler: Any, timeout: Any, words: str
) -> None:
    with pytest.raises(RegistrationError, match=words):
        jsonrpc.method(name, handler, timeout=timeout)


def test_a_lambda_needs_a_name(server: FakeServer) -> None:
    with pytest.raises(RegistrationError, match='method\\("name", function\\)'):
        jsonrpc.method(lambda params: params)


def test_registrations_after_the_start_are_ignored_with_a_warning(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.registry.freeze()
    jsonrpc.notification("late", "h.late")
    assert names(server) == []
    assert "notification('late') came after the server had started" in capsys.readouterr().err


def test_outside_of_a_server_registrations_do_nothing() -> None:
    jsonrpc.method("add", "h.add")


def test_an_error_can_be_returned_or_raised() -> None:
    made = jsonrpc.error(7, "seven", {"why": [1]})
    assert isinstance(made, RpcError)
    assert (made.code, made.message, made.data) == (7, "seven", {"why": [1]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("7", "x"), "code must be of type int, not str"),
        ((True, "x"), "code must be of type int, not bool"),
        ((7, b"x"), "message must be of type str, not bytes"),
        ((7, "x", {"when": datetime.date(2026, 1, 1)}), r"datetime\.date at data\['when'\]"),
    ],
)
def test_an_error_that_cannot_be_sent_is_refused_where_it_is_made(arguments: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        jsonrpc.error(*arguments)
