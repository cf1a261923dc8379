"""In somebody else's web application: served below a path, started and ended with its lifespan, and nothing left."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import scriptling.asgi
from tests.wire.gates import WAIT, Gate
from tests.wire.network import JSON, call, text
from tests.wire.program import DEADLINE, Program
from tests.wire.server import write_plugin
from workers.http.mounted import Mounted, MountError
from workers.http.replies import Message

EXAMPLE = Path(__file__).parents[3] / "examples" / "mounted"


async def post(app: Mounted, body: bytes, root: str = "", to: str = "/json-rpc", **headers: str) -> tuple[int, Any]:
    """Make one request in the terms of ASGI."""
    sent: list[Message] = []
    received: list[Message] = [
        {"type": "http.request", "body": body[:10], "more_body": True},
        {"type": "http.request", "body": body[10:]},
    ]

    async def receive() -> Message:
        if received:
            return received.pop(0)
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    all_headers = {"content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": root + to,
        "raw_path": (root + to).encode(),
        "query_string": b"",
        "root_path": root,
        "headers": [(name.encode(), value.encode()) for name, value in all_headers.items()],
    }
    await asyncio.wait_for(app(scope, receive, send), DEADLINE)
    return sent[0]["status"], json.loads(sent[1]["body"])


def add(tmp_path: Path, **settings: Any) -> Mounted:
    return scriptling.asgi.application(write_plugin(tmp_path, "def add(a, b): return a + b\n"), workers=1, **settings)


ADD = call("add", text("3"), text("4"))


def test_a_request_that_the_host_s_server_cancels_costs_nobody_else_anything(tmp_path: Path, gate: Gate) -> None:
    mark = tmp_path / "mark"

    async def live() -> Any:
        app = scriptling.asgi.application(write_plugin(tmp_path, WAIT), workers=1)
        async with app.lifespan():
            waiting = asyncio.ensure_future(post(app, call("wait", text(gate), text(mark))))
            async with asyncio.timeout(DEADLINE):
                while not mark.exists():
                    await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            gate.open()
            return await post(app, call("wait", text(gate), text(mark)))

    status, answer = asyncio.run(live())
    assert (status, answer["result"]) == (200, {"type": "null"})


ROUTES = """
import scriptling.runtime.http as http
@http.post("/hello")
def hello(request): return http.json(200, ["hello", request.body])
"""


@pytest.mark.parametrize("beside", ["", "import scriptling.runtime.plugin as plugin\nplugin.serve('x')\n"])
def test_it_serves_routes_alone_or_beside_a_plugin(
    tmp_path: Path, beside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "setup.py").write_text(beside + ROUTES)

    async def live() -> tuple[int, Any]:
        app = scriptling.asgi.application(tmp_path / "setup.py", workers=1)
        async with app.lifespan():
            return await post(app, b"to somebody", "/tools", to="/hello")

    assert asyncio.run(live()) == (200, ["hello", "to somebody"])
    assert "not served" not in capfd.readouterr().err


@pytest.mark.parametrize("root", ["", "/tools"])
def test_it_serves_below_where_it_is_mounted(tmp_path: Path, root: str) -> None:
    async def live() -> tuple[int, Any]:
        app = add(tmp_path)
        async with app.lifespan():
            return await post(app, ADD, root)

    status, answer = asyncio.run(live())
    assert (status, answer["result"]) == (200, text("34"))


def test_it_starts_with_the_first_request_and_again_after_its_end(tmp_path: Path) -> None:
    async def live() -> list[Any]:
        app = add(tmp_path)
        answers = [await post(app, ADD)]
        for _ in range(2):
            async with app.lifespan():
                answers.append(await post(app, ADD))
        return answers

    assert [answer["result"] for _, answer in asyncio.run(live())] == [text("34")] * 3


def test_its_own_token_counts(tmp_path: Path) -> None:
    async def live() -> list[int]:
        app = add(tmp_path, bearer_token="abc")
        async with app.lifespan():
            known = (await post(app, ADD, authorization="Bearer abc"))[0]
            return [known]

    assert asyncio.run(live()) == [200]


def test_a_setup_script_that_fails_keeps_the_application_from_starting(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("raise ValueError('broken')")

    async def live() -> None:
        async with scriptling.asgi.application(tmp_path / "setup.py").lifespan():
            raise AssertionError("not reached")

    with pytest.raises(MountError, match="could not be served"):
        asyncio.run(live())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"wokers": 2}, "did you mean workers"), ({"workers": 0}, "whole number"), ({"server": ":1"}, "unknown setting")],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        scriptling.asgi.application(write_plugin(tmp_path, ""), **settings)


def test_the_example_runs_on_uvicorn_and_leaves_nothing() -> None:
    wrapper = [sys.executable, "-c", "import uvicorn; uvicorn.run('app:app', port=0)"]
    program = Program([], EXAMPLE, wrapper=wrapper)
    try:
        program.listen()
        program.wait_for_stderr("Uvicorn running on")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", program.stderr)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=DEADLINE)
        connection.request("POST", "/tools/json-rpc", call("shout", text("hello")), JSON)
        assert json.loads(connection.getresponse().read())["result"] == text("HELLO!")
        connection.request("GET", "/tools/health")
        assert connection.getresponse().read() == b"ready\n"
        connection.close()
        program.signal(signal.SIGTERM)
        program.exit_code()
        program.check_nothing_is_left()
    finally:
        program.destroy()
        program.close()
