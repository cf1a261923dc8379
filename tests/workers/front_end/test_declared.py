"""What of a declaration is served, by the flags: problems, warnings, and the line that says what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scriptling.registry import (
    ClassDeclaration,
    Declaration,
    FunctionDeclaration,
    Handler,
    MethodDeclaration,
    RouteDeclaration,
    RouteKind,
)
from scriptling.settings import Settings
from workers.front_end.declared import count_all, describe, find_problems, find_unserved

STDIO = Settings(json_rpc=True)
BOTH = Settings(json_rpc=True, server=":0")
PORT = Settings(server=":0")

FUNCTIONS = (FunctionDeclaration("root", Handler("math.sqrt")),)
CLASSES = (ClassDeclaration("Fraction", Handler("fractions.Fraction")),)
METHODS = (
    MethodDeclaration("sqrt", Handler("math.sqrt")),
    MethodDeclaration("note", Handler("math.floor"), is_notification=True),
)
ROUTES = (RouteDeclaration(RouteKind.ROUTE, "/a", Handler("math.ceil"), ("GET",)),)
PLUGIN = Declaration("calc", "1.0", functions=FUNCTIONS, classes=CLASSES)
PLAIN = Declaration(methods=METHODS)
WEB = Declaration(routes=ROUTES)
ALL = Declaration("calc", functions=FUNCTIONS, methods=METHODS, routes=ROUTES)


@pytest.mark.parametrize(
    ("declaration", "settings"),
    [
        (PLUGIN, STDIO),
        (PLAIN, STDIO),
        (ALL, STDIO),
        (PLUGIN, BOTH),
        (PLAIN, BOTH),
        (WEB, BOTH),
        (WEB, PORT),
        (ALL, PORT),
    ],
)
def test_there_is_something_to_serve(declaration: Declaration, settings: Settings) -> None:
    assert find_problems(declaration, settings) == []


@pytest.mark.parametrize(
    ("declaration", "settings", "advice"),
    [
        (Declaration(), STDIO, "call scriptling.runtime.plugin.serve(name), or register methods"),
        (Declaration(functions=FUNCTIONS), STDIO, "call scriptling.runtime.plugin.serve(name)"),
        (Declaration(), PORT, "register routes with scriptling.runtime.http"),
        (Declaration(), BOTH, "scriptling.runtime.jsonrpc, or register routes with scriptling.runtime.http"),
        (WEB, STDIO, "its routes need a port, --server ADDR"),
        (PLUGIN, PORT, "its plugin or methods need --json-rpc"),
        (PLAIN, PORT, "its plugin or methods need --json-rpc"),
    ],
)
def test_there_is_nothing_to_serve(declaration: Declaration, settings: Settings, advice: str) -> None:
    (problem,) = find_problems(declaration, settings)
    assert problem.startswith("the setup script declared nothing to serve: ")
    assert advice in problem


def test_handlers_that_are_not_there_are_found_in_every_kind(tmp_path: Path) -> None:
    missing = Handler("math.no")
    declaration = Declaration(
        methods=(MethodDeclaration("m", missing), MethodDeclaration("n", missing, is_notification=True)),
        routes=(
            RouteDeclaration(RouteKind.ROUTE, "/a", Handler("nosuch.f"), ("GET",)),
            RouteDeclaration(RouteKind.MIDDLEWARE, handler=Handler("nosuch.g")),
            RouteDeclaration(RouteKind.STATIC, "/s", directory=str(tmp_path)),
        ),
    )
    problems = find_problems(declaration, BOTH)
    assert [problem.partition(": ")[0] for problem in problems] == ["GET /a", "middleware"]
    assert 'there is no library "nosuch"' in problems[0]


def test_what_nobody_will_see_is_told() -> None:
    assert find_unserved(PLUGIN, STDIO) == find_unserved(PLAIN, BOTH) == find_unserved(WEB, PORT) == []
    methods, routes = find_unserved(ALL, STDIO)
    assert methods == (
        "these methods of runtime.jsonrpc are not served, because plugin.serve() was called, "
        "and --json-rpc then serves the plugin: sqrt, note"
    )
    assert routes.endswith("because they need a port, --server ADDR: GET /a")
    (plugin,) = find_unserved(Declaration(functions=FUNCTIONS, classes=CLASSES, methods=METHODS), STDIO)
    assert plugin.endswith("because plugin.serve() was not called: root, Fraction")
    (calls,) = find_unserved(ALL, PORT)
    assert calls.endswith("because --json-rpc was not given: root, sqrt, note")


def test_paths_of_the_server_s_own_cannot_be_taken() -> None:
    routes = (RouteDeclaration(RouteKind.ROUTE, "/health", Handler("math.ceil"), ("GET",)), *ROUTES)
    (sentence,) = find_unserved(Declaration(routes=routes), PORT)
    assert sentence.endswith("because their paths are the server's own: GET /health")


@pytest.mark.parametrize(
    ("declaration", "settings", "told"),
    [
        (PLUGIN, STDIO, ("calc 1.0", "1 function, 1 class, 0 constants")),
        (ALL, BOTH, ("calc", "1 function, 0 classes, 0 constants, 1 route")),
        (PLAIN, STDIO, ("JSON-RPC", "1 method, 1 notification")),
        (WEB, PORT, ("HTTP", "1 route")),
        (ALL, PORT, ("HTTP", "1 route")),
    ],
)
def test_the_offer_in_words(declaration: Declaration, settings: Settings, told: tuple[str, str]) -> None:
    name, kinds = describe(declaration, settings)
    assert (name, count_all(kinds)) == told
