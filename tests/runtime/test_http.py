"""``scriptling.runtime.http`` as setup scripts use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import scriptling.runtime as runtime
from scriptling.registry import RegistrationError, RouteDeclaration, RouteKind
from scriptling.runtime import http
from tests.runtime.conftest import FakeServer


def declared(server: FakeServer) -> list[RouteDeclaration]:
    return list(server.declared().routes)


def labels(server: FakeServer) -> list[str]:
    return [each.label for each in declared(server)]


def test_it_is_reached_both_ways() -> None:
    assert runtime.http is http


def test_imperative_registrations_in_their_order(server: FakeServer, tmp_path: Path) -> None:
    http.middleware("auth.check")
    http.get("/users/{id}", "users.show")
    http.post("/users", "users.create")
    http.put("/users/{id}", "users.replace")
    http.patch("/users/{id}", "users.change")
    http.delete("/users/{id}", "users.remove")
    http.route("/any", "users.any", methods=["post", "GET"])
    http.websocket("/live", "live.talk")
    http.static("/assets/", tmp_path)
    http.not_found("pages.missing")
    http.middleware("log.note")
    assert labels(server) == [
        "middleware",
        "GET /users/{id}",
        "POST /users",
        "PUT /users/{id}",
        "PATCH /users/{id}",
        "DELETE /users/{id}",
        "GET,POST /any",
        "websocket /live",
        "static /assets",
        "not_found",
        "middleware",
    ]
    handlers = [each.handler and each.handler.reference for each in declared(server)]
    assert handlers[:2] == ["auth.check", "users.show"]
    assert handlers[8] is None
    assert declared(server)[8].directory == str(tmp_path)


def test_decorators_leave_the_function_as_it_is(server: FakeServer) -> None:
    @http.middleware
    @http.not_found()
    @http.get("/a", timeout=2)
    @http.route("/b", methods=["GET", "POST"])
    @http.websocket("/c")
    def handle(request: Any) -> Any:
        return request

    assert handle(1) == 1
    assert labels(server) == ["websocket /c", "GET,POST /b", "GET /a", "not_found", "middleware"]
    assert declared(server)[2].timeout == 2
    assert all(each.handler and each.handler.pickled for each in declared(server))


def test_registering_again_replaces(server: FakeServer) -> None:
    http.get("/a", "h.old")
    http.not_found("h.old")
    http.get("/a", "h.new")
    http.not_found("h.new")
    assert [(each.label, each.handler and each.handler.reference) for each in declared(server)] == [
        ("GET /a", "h.new"),
        ("not_found", "h.new"),
    ]


untyped: Any = http


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: http.get("a", "h.f"), r"get\('a'\): the path must be a str that begins with a slash"),
        (lambda: http.get("/a", "f"), r"library\.function"),
        (lambda: untyped.get("/a", 3), 'must be "library.function" or a function, not int'),
        (lambda: http.get("/a", "h.f", timeout=-1), "above 0"),
        (lambda: http.route("/a", "h.f", methods=[]), "there must be a method"),
        (lambda: http.route("/a", "h.f", methods=["GET POST"]), "is no HTTP method"),
        (lambda: http.static("/a/{b}", "."), "no parameters"),
        (lambda: http.static("/a", "/no/such/folder"), "/no/such/folder is not a folder"),
        (lambda: untyped.middleware(3), "not int"),
        (lambda: untyped.get("/a")(3), "not int"),
    ],
)
def test_what_is_no_registration_is_an_error(server: FakeServer, call: Any, words: str) -> None:
    with pytest.raises(RegistrationError, match=words):
        call()
    assert declared(server) == []


def test_registrations_after_the_start_are_ignored_with_a_warning(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.registry.freeze()
    http.get("/late", "h.late")
    assert declared(server) == []
    assert "get('/late') came after the server had started" in capsys.readouterr().err


def test_kinds_are_told_apart_by_their_words() -> None:
    assert [kind.value for kind in RouteKind] == ["route", "middleware", "not_found", "static", "websocket"]
