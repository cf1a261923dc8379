"""What is said to be pure cannot be otherwise: it imports nothing that waits, tells the time or reaches the system."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

from tests import test_import_directions

IMPURE = {
    "asyncio", "datetime", "fcntl", "mmap", "multiprocess", "multiprocessing", "os", "select", "selectors", "signal",
    "socket", "subprocess", "sys", "threading", "time", "zmq",
}  # fmt: skip
PURE = [
    "calls/dispatch",
    "front_end/ending",
    "frames",
    "calls/lanes",
    "front_end/metrics",
    "front_end/opening",
    "front_end/owners",
    "questions/relay",
    "front_end/service",
    "front_end/session",
    "front_end/store_link",
    "front_end/supervisor",
    "calls/shards",
    "calls/tickets",
    "words",
]


@cache
def imports() -> list[tuple[str, str]]:
    return [*test_import_directions.imports()]


def imported_by(file: str) -> set[str]:
    return {module for importer, module in imports() if importer == file}


@pytest.mark.parametrize("name", PURE)
def test_pure_parts_import_nothing_that_waits_or_tells_the_time(name: str) -> None:
    modules = imported_by(f"workers/{name}.py")
    assert modules
    assert {module.partition(".")[0] for module in modules} & IMPURE == set()


@pytest.mark.parametrize(
    "name",
    [
        "calls/dispatch",
        "calls/shards",
        "front_end/ending",
        "frames",
        "front_end/metrics",
        "front_end/opening",
        "front_end/owners",
        "questions/relay",
        "front_end/service",
        "front_end/session",
    ],
)
def test_pure_parts_import_only_pure_parts(name: str) -> None:
    ours = {module for module in imported_by(f"workers/{name}.py") if module.startswith("workers.")}
    assert ours <= {f"workers.{pure.replace('/', '.')}" for pure in PURE}


def test_the_protocol_knows_nothing_of_who_uses_it() -> None:
    ours = {
        module
        for importer, module in imports()
        if importer.startswith("scriptling/protocol/") and module.partition(".")[0] in {"scriptling", "workers"}
    }
    assert {module for module in ours if not module.startswith("scriptling.protocol")} <= {"scriptling.errors"}


def test_only_the_nursery_makes_processes() -> None:
    makers = {importer for importer, module in imports() if module.partition(".")[0] in {"multiprocess", "subprocess"}}
    assert {maker for maker in makers if maker.startswith("workers/")} <= {
        "workers/nursery.py",
        "workers/spawned_nursery.py",
        "workers/children/roles.py",
    }


def test_the_front_end_imports_nothing_that_runs_user_code() -> None:
    running = {
        "workers.children.worker",
        "workers.store.object_store",
        "workers.children.setup",
        "scriptling.evaluator",
        "scriptling.script",
    }
    seen: set[str] = set()
    new = {"workers.front_end.frontend", "workers.stdio.host", "workers.front_end.signals"}
    while new:
        seen |= new
        files = {f"{module.replace('.', '/')}.py" for module in new}
        new = {module for importer, module in imports() if importer in files and module.startswith("workers")} - seen
        assert not running & {module for importer, module in imports() if importer in files}


def test_the_front_end_of_a_host_loads_nothing_that_only_others_need() -> None:
    parts = "workers.main, workers.front_end.frontend, workers.front_end.signals, workers.stdio.host"
    code = f"import sys, {parts}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    others = {"asyncio", "lmdb", "multiprocess", "scriptling.evaluator", "scriptling.schema", "starlette", "uvicorn"}
    assert others & {*loaded} == set()
