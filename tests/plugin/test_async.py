"""The client for event loops, over every kind of target; what it shares with the client for threads is tested there."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import scriptling.plugin as plugin
from scriptling.plugin import websocket
from scriptling.plugin.aio import AsyncObject
from tests.plugin.conftest import FAKE_ARGS, WritePeer, bridge_process
from tests.plugin.http_server import Server, serving

Connect = Callable[..., Any]


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own, which has to be left as it was found."""

    async def alone(*args: Any, **kwargs: Any) -> None:
        await asyncio.wait_for(test(*args, **kwargs), 60)
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(alone(*args, **kwargs), debug=True)

    return run


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving(Server())


def local(**more: Any) -> AbstractAsyncContextManager[Any]:
    return plugin.connect(sys.executable, args=FAKE_ARGS, name="fake", **more)


@pytest.fixture(params=["stdio", "websocket"])
def two_way(request: pytest.FixtureRequest) -> Connect:
    """Return what connects the plugin of ``fake_plugin.py`` over a two-way transport."""
    if request.param == "stdio":
        return local
    host = request.getfixturevalue("websocket_host")
    return lambda **more: plugin.connect(f"ws://{host}/json-rpc", name="fake", **more)


@pytest.fixture(params=["stdio", "websocket", "http"])
def any_way(request: pytest.FixtureRequest) -> Connect:
    """Return what connects the plugin of ``fake_plugin.py``."""
    if request.param == "http":
        url = request.getfixturevalue("server").url()
        return lambda **more: plugin.connect(url, name="fake", **more)
    if request.param == "stdio":
        return local
    host = request.getfixturevalue("websocket_host")
    return lambda **more: plugin.connect(f"ws://{host}/json-rpc", name="fake", **more)


def test_nothing_of_event_loops_is_imported_before_it_is_used() -> None:
    code = "import scriptling.plugin, sys; print({'asyncio', 'ssl', 'h11', 'websockets'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@in_loop
async def test_functions_constants_and_values(any_way: Connect) -> None:
    async with any_way() as fake:
        assert (fake.VERSION, fake.TABLE) == ("1.0.0", {"a": []})
        assert await fake.add(3, 4) == 7
        assert await fake.add(3, b=4, exact=False) == 7
        value = [None, True, 1.5, "ü", {"a": [1]}]
        assert await fake.echo(value) == value
        assert await fake.call_function("everything", 1, x=2) == {"args": [1], "kwargs": {"x": 2}}


@in_loop
async def test_objects(any_way: Connect) -> None:
    async with any_way() as fake:
        counter = await fake.Counter(5)
        assert isinstance(counter, fake.Counter)
        assert issubclass(fake.Counter, AsyncObject)
        assert await counter.inc() == 6
        assert await counter.inc(by=2) == 8
        assert await counter.value == 8
        await fake.call_method(counter, "value", 20)
        assert await fake.call_method(counter, "value") == 20
        await fake.release(counter)
        await fake.release(counter)
        with pytest.raises(plugin.PluginError, match="plugin object has been released"):
            await counter.inc()
        async with await fake.Counter() as another:
            assert await another.inc() == 1
        with pytest.raises(plugin.PluginError, match="plugin object has been released"):
            await another.inc()


@in_loop
async def test_properties_are_not_assigned_to(two_way: Connect) -> None:
    async with two_way() as fake:
        counter = await fake.Counter()
        with pytest.raises(AttributeError, match=r"write it with: await plugin.call_method\(obj, 'value', value\)"):
            counter.value = 5
        with pytest.raises(AttributeError, match="property is read-only"):
            counter.fixed = 5


@in_loop
async def test_collected_objects_are_destroyed(two_way: Connect) -> None:
    async with two_way() as fake:
        counter = await fake.Counter()
        before = await fake.call_function("destroyed", 0)
        del counter
        gc.collect()
        assert len(await fake.call_function("destroyed", len(before) + 1)) == len(before) + 1


@in_loop
async def test_collected_objects_are_destroyed_over_http(server: Server) -> None:
    async with plugin.connect(server.url()) as fake:
        counter = await fake.Counter()
        del counter
        gc.collect()
        while "object.destroy" not in server.methods:
            await fake.echo(1)
    assert server.methods[-1] == "plugin.shutdown"
    assert len({headers["Scriptling-Session"] for _, headers, _ in server.heard}) == 1


@in_loop
async def test_objects_that_a_function_returns(two_way: Connect) -> None:
    async with two_way() as fake:
        made = await fake.call_function("make")
        assert isinstance(made, fake.Counter)
        assert await made.inc() == 1
        assert await fake.call_function("is_same", made, made) is True


@in_loop
async def test_errors(any_way: Connect) -> None:
    async with any_way() as fake:
        with pytest.raises(plugin.PluginCallError) as caught:
            await fake.call_function("boom", "bad", "KeyError")
        assert (str(caught.value), caught.value.remote_type) == ("bad", "KeyError")
        with pytest.raises(TypeError, match="cannot send"):
            await fake.echo(object())
        with pytest.raises(AttributeError, match="plugin 'fake' has no attribute 'nothing'"):
            _ = fake.nothing


@in_loop
async def test_batches(any_way: Connect) -> None:
    async with any_way() as fake:
        calls = [{"name": "add", "args": [1, 2]}, {"name": "boom", "args": ["bad"]}, {"name": "echo"}]
        first, second, third = await fake.batch_call(calls, return_exceptions=True)
        assert (first, str(second), third) == (3, "bad", None)
        with pytest.raises(plugin.PluginCallError, match="bad"):
            await fake.batch_call(calls)
        assert await fake.batch_call([]) == []
        with pytest.raises(plugin.PluginError, match="callbacks are not supported in batch calls"):
            await fake.batch_call([{"name": "echo", "args": [len]}])


@in_loop
async def test_callbacks_are_plain_or_async_functions(two_way: Connect) -> None:
    async with two_way() as fake:

        async def double(x: int) -> int:
            await asyncio.sleep(0)
            return int(await fake.add(x, x))

        assert await fake.call_function("apply", double, [1, 2, 3]) == [2, 4, 6]
        assert await fake.call_function("apply", lambda x: x + 1, [1, 2]) == [2, 3]
        assert await fake.call_function("call_nested", {"deep": [double]}) == 10


@in_loop
async def test_callbacks_run_in_the_context_of_their_caller(two_way: Connect) -> None:
    variable = contextvars.ContextVar("variable", default="")
    async with two_way() as fake:

        async def caller(value: str) -> Any:
            variable.set(value)
            return await fake.call_function("both", lambda _: variable.get(), lambda _: variable.get())

        seen = await asyncio.gather(*(caller(str(number)) for number in range(5)))
    assert seen == [{"first": str(number), "second": str(number)} for number in range(5)]


@in_loop
async def test_error_of_a_callback_is_raised_in_the_plugin(two_way: Connect) -> None:
    async def fail(_: int) -> None:
        raise ValueError("no such luck")

    async with two_way() as fake:
        with pytest.raises(plugin.PluginCallError, match="no such luck"):
            await fake.call_function("apply", fail, [1])


@in_loop
async def test_callback_ends_with_its_call(two_way: Connect) -> None:
    async with two_way() as fake:
        reached, ended = asyncio.Event(), asyncio.Event()

        async def never(_: int) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        call = asyncio.create_task(fake.call_function("apply", never, [1]))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert ended.is_set()
        assert await fake.echo(1) == 1


@in_loop
async def test_callbacks_over_http_are_refused(server: Server) -> None:
    async with plugin.connect(server.url()) as fake:
        with pytest.raises(plugin.PluginError, match="callbacks are not supported over http json-rpc transport"):
            await fake.call_function("apply", len, [])


@in_loop
async def test_many_tasks_call_at_the_same_time(any_way: Connect) -> None:
    async with any_way() as fake:
        assert await asyncio.gather(*(fake.echo(number) for number in range(150))) == list(range(150))


@in_loop
async def test_slow_call_holds_nobody_up(two_way: Connect) -> None:
    async with two_way() as fake:
        slow = asyncio.create_task(fake.call_function("pass_gate", "door"))
        assert await fake.echo(1) == 1
        await fake.call_function("open_gate", "door")
        assert await slow == "door"


@in_loop
async def test_cancelled_call_is_abandoned(two_way: Connect) -> None:
    async with two_way() as fake:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fake.call_function("pass_gate", "door")
        await fake.call_function("open_gate", "door")
        assert await fake.echo(1) == 1


@in_loop
async def test_cancelled_call_over_http_closes_its_connection(server: Server) -> None:
    async with plugin.connect(server.url()) as fake:
        await fake.echo(1)
        server.note_hang_ups = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fake.call_function("hang")
        assert await asyncio.to_thread(server.hung_up.wait, 30)
        assert await fake.echo(1) == 1


@in_loop
async def test_time_limit(any_way: Connect) -> None:
    async with any_way() as fake:
        name = "hang" if fake.describe()["transport"] == "http" else "pass_gate"
        args = [] if name == "hang" else ["door"]
        told = f"plugin 'fake' .* did not answer function.call {name} within 0.1 seconds"
        with plugin.time_limit(0.1), pytest.raises(plugin.PluginTimeout, match=told):
            await fake.call_function(name, *args)
        assert await fake.echo(1) == 1
        if name != "hang":
            await fake.call_function("open_gate", "door")


@in_loop
async def test_describe_dir_and_repr(any_way: Connect) -> None:
    async with any_way() as fake:
        described = fake.describe()
        assert (described["name"], described["version"], described["alive"]) == ("plugin.fake", "3.1", True)
        assert {"add", "Counter", "VERSION", "call_function"} <= set(dir(fake))
        assert repr(fake).startswith("<plugin 'fake' (")
        assert fake.add.__doc__ == "Return the sum."
        assert fake.Counter.__module__ == "plugin.fake"
        json.dumps(described)


@in_loop
async def test_awaited_instead_of_entered(two_way: Connect) -> None:
    fake = await two_way()
    assert await fake.echo(1) == 1
    await fake.close()
    await fake.close()
    with pytest.raises(plugin.PluginError, match=r"plugin 'fake'"):
        await fake.echo(1)


@in_loop
async def test_wrappers_that_a_plugin_sent_are_not_used() -> None:
    async with local() as fake:
        with pytest.raises(plugin.PluginCallError, match="unknown function twice"):
            await fake.twice(2)


@in_loop
async def test_plain_peer(server: Server) -> None:
    server.canned = (200, b'{"jsonrpc":"2.0","id":1,"result":[1]}')
    async with plugin.connect(server.url(), scriptling=False) as peer:
        assert await peer.call_function("m", 1, 2) == [1]
    assert server.methods == ["m"]


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        ("exit", [5], "it exited with status 5"),
        ("die", [], "it was killed by SIGKILL"),
        ("close_stdout", [], "has closed its output"),
        ("garbage", [], "this is no JSON"),
    ],
)
@in_loop
async def test_end_of_a_plugin_wakes_every_waiter(function: str, args: list[int], told: str) -> None:
    async with local() as fake:
        waiting = [asyncio.create_task(fake.call_function("pass_gate", "never")) for _ in range(3)]
        await fake.call_function("wait_until_reached", "never")
        waiting.append(asyncio.create_task(fake.call_function(function, *args)))
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(error, plugin.PluginCrashed)
            assert told in str(error)
        assert fake.describe()["alive"] is False
        with pytest.raises(plugin.PluginCrashed, match=told):
            await fake.echo(1)


@in_loop
async def test_end_of_a_websocket_names_url_and_code(websocket_host: str) -> None:
    async with plugin.connect(f"ws://{websocket_host}/") as fake:
        with pytest.raises(plugin.PluginCrashed, match=rf"\(ws://{websocket_host}/\) .* \(code 1011: the program"):
            await fake.call_function("exit", 0)


@in_loop
async def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_SILENCE", 0.3)
    with bridge_process() as (server, host):
        async with plugin.connect(f"ws://{host}/") as fake:
            server.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(plugin.PluginCrashed, match="has not been heard of"):
                    await fake.echo(1)
            finally:
                server.send_signal(signal.SIGCONT)


@in_loop
async def test_handshake_that_fails(write_peer: WritePeer, websocket_host: str, server: Server) -> None:
    exiting = write_peer("sys.exit(3)")
    with pytest.raises(plugin.PluginLoadError, match="it exited with status 3"):
        await plugin.connect(exiting)
    mute = write_peer("while receive(): pass")
    with pytest.raises(plugin.PluginLoadError, match=r"did not answer scriptling.handshake within 0\.3 seconds"):
        await plugin.connect(mute, timeout=0.3)
    with pytest.raises(plugin.PluginLoadError, match="HTTP status 401"):
        await plugin.connect(f"ws://{websocket_host}/secret")
    server.canned = (401, b"")
    with pytest.raises(plugin.PluginLoadError, match="HTTP status 401"):
        await plugin.connect(server.url())
    with pytest.raises(plugin.PluginLoadError, match="there is no executable"):
        await plugin.connect("surely-not-there")


@in_loop
async def test_connecting_can_be_cancelled(write_peer: WritePeer) -> None:
    mute = write_peer("while receive(): pass")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await plugin.connect(mute)


@in_loop
async def test_calls_of_other_tasks_are_finished_before_the_end(two_way: Connect) -> None:
    async with two_way() as fake:
        call = asyncio.create_task(fake.call_function("pass_gate", "door"))
        await fake.call_function("wait_until_reached", "door")
        closing = asyncio.create_task(fake.close())
        opening = asyncio.create_task(fake.call_function("open_gate", "door"))
        assert await call == "door"
        await closing
        await asyncio.wait([opening])
        assert opening.exception() is None or isinstance(opening.exception(), plugin.PluginError)


@in_loop
async def test_plugin_that_does_not_end_is_killed(write_peer: WritePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scriptling.plugin.process._TERMINATE_GRACE", 0.1)
    stubborn = write_peer(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nshake_hands()\nwhile True: signal.pause()"
    )
    peer = await plugin.connect(stubborn)
    await peer.close(timeout=0.1)


@in_loop
async def test_request_is_sent_again_only_if_the_server_cannot_have_got_it(server: Server) -> None:
    async with plugin.connect(server.url()) as fake:
        await fake.echo(1)
        server.close_after_silence = True
        await fake.echo(1)
        assert await asyncio.to_thread(server.hung_up.wait, 30)
        server.close_after_silence = False
        assert await fake.echo(2) == 2
        server.hang_up = True
        calls = server.methods.count("function.call")
        with pytest.raises(plugin.PluginCrashed, match="before the answer was complete"):
            await fake.echo(3)
        assert server.methods.count("function.call") == calls + 1
        server.hang_up = False


@in_loop
async def test_large_values_pass_both_ways(any_way: Connect) -> None:
    large = "ü" * 3_000_000
    async with any_way() as fake:
        assert await asyncio.gather(*(fake.echo(large) for _ in range(3))) == [large] * 3


def test_ctrl_c_ends_the_program_soon(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(
        "import asyncio, sys, scriptling.plugin as plugin\n"
        "async def main():\n"
        f"    async with plugin.connect(sys.executable, args={FAKE_ARGS!r}) as fake:\n"
        "        call = asyncio.create_task(fake.call_function('pass_gate', 'never'))\n"
        "        await fake.call_function('wait_until_reached', 'never')\n"
        "        print('ready', flush=True)\n"
        "        await call\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-X", "dev", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path.cwd()
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        os.kill(client.pid, signal.SIGINT)
        _, said = client.communicate(timeout=30)
    assert said.splitlines()[-1] == b"KeyboardInterrupt"
    assert b"Warning" not in said
