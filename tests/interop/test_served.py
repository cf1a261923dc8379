"""Our clients with our server on a port, over each transport that it has."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import nothing_stays_loaded  # noqa: F401 - holds here, too
from tests.wire.network import Port, on_a_port
from tests.wire.program import DEADLINE, wait_until

SETUP = """
import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("served", "2.0")
plugin_srv.register_function("add", "handlers.add")
plugin_srv.register_function("wait", "handlers.wait")
plugin_srv.register_function("apply", "handlers.apply")
plugin_srv.register_function("log", "handlers.log")
plugin_srv.register_class("handlers.Counter")
runtime.start_server()
"""
HANDLERS = """
import logging, threading

def add(a, b): return a + b
def wait(): threading.Event().wait()
def apply(function, items): return [function(item) for item in items]
def log(text): logging.getLogger().warning(text)

class Counter:
    def __init__(self, count=0): self.count = count
    def increment(self): self.count += 1; return self.count
    def __del__(self): open("ended", "a").write("x")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the server runs."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[Port]:
    (folder / "setup.py").write_text(SETUP)
    (folder / "handlers.py").write_text(HANDLERS)
    with on_a_port(folder / "setup.py", "--workers", "2") as port:
        yield port


def url(port: Port, scheme: str) -> str:
    host, number = port.address
    return f"{scheme}://{host}:{number}/json-rpc"


@pytest.fixture(params=["http", "ws"])
def target(request: pytest.FixtureRequest, port: Port) -> str:
    return url(port, request.param)


def test_functions_objects_and_batches(target: str) -> None:
    with plugin.load("served", target, scriptling=True) as name:
        assert plugin.call_function(name, "add", 3, 4) == 7
        assert plugin.batch_call(name, [{"name": "add", "args": [n, 1]} for n in range(5)]) == [1, 2, 3, 4, 5]
        module: Any = plugin.__getattr__("served")
        counter = module.Counter(5)
        assert (counter.increment(), counter.increment()) == (6, 7)
        plugin.release(counter)
        with pytest.raises(plugin.PluginCallError, match=r"unknown function nothing \(available: add, "):
            plugin.call_function(name, "nothing")


def test_server_keeps_the_time_limit_and_names_the_handler(target: str) -> None:
    with plugin.load("served", target, scriptling=True) as name:
        assert "call_timeout" in plugin.describe(name)["capabilities"]
        with plugin.time_limit(0.3), pytest.raises(plugin.PluginTimeout) as caught:
            plugin.call_function(name, "wait")
        assert "did not answer" not in str(caught.value)
        assert "wait" in str(caught.value)
        assert plugin.call_function(name, "add", 1, 1) == 2


def test_callbacks_and_log_records_over_a_websocket(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    with plugin.load("served", url(port, "ws"), scriptling=True) as name:
        assert plugin.call_function(name, "apply", lambda x: x * 2, [1, 2, 3]) == [2, 4, 6]
        assert plugin.call_function(name, "apply", lambda x: plugin.call_function(name, "add", x, x), [1]) == [2]
        plugin.call_function(name, "log", "hello from afar")
        # A record may come after the answer of the call that wrote it.
        wait_until(lambda: "hello from afar" in caplog.text, DEADLINE, lambda: caplog.text)


def test_clients_that_leave_take_only_their_own_objects(target: str, folder: Path) -> None:
    ended = folder / "ended"
    ended.unlink(missing_ok=True)

    async def two() -> None:
        async with plugin.connect(target) as stays:
            mine = await stays.Counter()
            async with plugin.connect(target) as leaves:
                others = await leaves.Counter(10)
                assert await others.increment() == 11
            assert await mine.increment() == 1
            await asyncio.to_thread(wait_until, ended.exists, DEADLINE, lambda: "the object lives")
            assert ended.read_text() == "x"
            await stays.release(mine)

    asyncio.run(two())
    gc.collect()


def test_event_loop(target: str) -> None:
    async def main() -> None:
        async with plugin.connect(target) as served:
            assert await asyncio.gather(*(served.add(n, n) for n in range(50))) == [2 * n for n in range(50)]
            with plugin.time_limit(0.3), pytest.raises(plugin.PluginTimeout):
                await served.wait()

    asyncio.run(main())


def test_cancelled_call_does_not_keep_a_program(port: Port) -> None:
    async def main() -> None:
        async with plugin.connect(url(port, "http")) as served:
            with plugin.time_limit(5), pytest.raises(TimeoutError):
                await asyncio.wait_for(served.wait(), 0.2)
            assert await served.add(1, 2) == 3

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_token(folder: Path, port: Port, scheme: str) -> None:
    with on_a_port(folder / "setup.py", "--workers", "1", "--bearer-token", "open-sesame") as guarded:
        target = url(guarded, scheme)
        for headers in ({}, {"Authorization": "Bearer guessed-wrong"}):
            with pytest.raises(plugin.PluginLoadError, match=r"token") as caught:
                plugin.load("served", target, scriptling=True, headers=headers)
            assert "guessed-wrong" not in str(caught.value)
        with plugin.load("served", target, scriptling=True, headers={"Authorization": "Bearer open-sesame"}) as name:
            assert plugin.call_function(name, "add", 3, 4) == 7


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_tls(folder: Path, port: Port, scheme: str) -> None:
    with on_a_port(folder / "setup.py", "--workers", "1", "--tls-generate") as secure:
        target = url(secure, scheme)
        with pytest.raises(plugin.PluginLoadError, match="certificate verify failed"):
            plugin.load("served", target, scriptling=True)
        with plugin.load("served", target, scriptling=True, insecure_skip_tls=True) as name:
            assert plugin.call_function(name, "add", 3, 4) == 7

        async def main() -> None:
            async with plugin.connect(target, insecure_skip_tls=True) as served:
                assert await asyncio.gather(*(served.add(n, 1) for n in range(5))) == [1, 2, 3, 4, 5]

        asyncio.run(main())
