"""Who may import whom: ``scriptling`` says what a call is, ``workers`` where it runs; neither leaks into the other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imports() -> Iterator[tuple[str, str]]:
    """Yield every file of both packages with each module that it imports when it runs, wherever in the file."""
    for package in ("scriptling", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            for node in executed(ast.parse(path.read_bytes())):
                for module in imported(node):
                    yield path.relative_to(ROOT).as_posix(), module


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only type checkers see."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from executed(child)


def imported(node: ast.AST) -> list[str]:
    """Return the modules that one statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def importers(*names: str, under: str = "") -> set[str]:
    """Return the files below a folder that import one of some packages."""
    return {file for file, module in imports() if file.startswith(under) and module.split(".")[0] in names}


def test_only_the_ways_in_import_workers() -> None:
    assert importers("workers", under="scriptling/") == {"scriptling/asgi.py", "scriptling/cli.py"}


def test_scriptling_knows_no_processes_pool_and_no_zeromq() -> None:
    assert importers("zmq", "multiprocess", "multiprocessing", under="scriptling/") == set()


def test_one_file_imports_zeromq() -> None:
    assert importers("zmq") == {"workers/sockets.py"}


def test_the_protocol_has_no_sockets_threads_or_clock() -> None:
    assert (
        importers("socket", "select", "selectors", "threading", "time", "asyncio", under="scriptling/protocol/")
        == set()
    )


def test_imports_are_absolute() -> None:
    assert [file for file, module in imports() if module.startswith(".")] == []
