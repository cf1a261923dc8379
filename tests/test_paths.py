"""Paths of routes: which there are, and how the router is told of them."""

from __future__ import annotations

import pytest

from scriptling.paths import find_problem, to_template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/{id}/files/{rest...}", "/users/{id}/files/{rest:path}"),
        ("/a.b(c)+/{x}-{y}", "/a.b(c)+/{x}-{y}"),
        ("/ä/ü", "/ä/ü"),
    ],
)
def test_paths(path: str, template: str) -> None:
    assert find_problem(path) is None
    assert to_template(path) == template


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "begins with a slash"),
        ("users", "begins with a slash"),
        (3, "begins with a slash"),
        ("/{}", "neither {name} nor {name...}"),
        ("/{id:int}", "neither {name} nor {name...}"),
        ("/{1a}", "neither"),
        ("/{a", "neither"),
        ("/a}", "neither"),
        ("/{a}/{a}", "same name twice"),
        ("/{a...}/b", "follows what takes the rest"),
        ("/a?b=1", "has a query"),
    ],
)
def test_what_is_no_path(path: object, words: str) -> None:
    problem = find_problem(path)
    assert problem is not None
    assert words in problem
