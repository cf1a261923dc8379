"""Any JSON-RPC 2.0 peer, loaded without ``scriptling=True`` (protocol section 6)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import WritePeer

ECHO = """
while True:
    request = receive()
    if request is None:
        break
    items = request if isinstance(request, list) else [request]
    replies = []
    for item in items:
        if item["method"] == "fail":
            error = {"code": -32001, "message": "no", "data": [1]}
            replies.append({"jsonrpc": "2.0", "id": item["id"], "error": error})
        else:
            replies.append({"jsonrpc": "2.0", "id": item["id"], "result": item})
    send(replies if isinstance(request, list) else replies[0])
open(sys.argv[1], "w").write("end of input")
"""


@pytest.fixture
def echo(write_peer: WritePeer, tmp_path: Path) -> str:
    return plugin.load("echo", write_peer(ECHO), args=[tmp_path / "ended"])


def test_params_are_what_the_arguments_say(echo: str) -> None:
    assert "params" not in plugin.call_function(echo, "m")
    assert plugin.call_function(echo, "m")["method"] == "m"
    assert plugin.call_function(echo, "m", {"a": [1]})["params"] == {"a": [1]}
    assert plugin.call_function(echo, "m", [1, 2])["params"] == [1, 2]
    assert plugin.call_function(echo, "m", 1, "b", None)["params"] == [1, "b", None]
    assert plugin.call_function(echo, "m", a=1, lib="x")["params"] == {"a": 1, "lib": "x"}
    assert plugin.call_function(echo, "m", 2**70, "ü")["params"] == [2**70, "ü"]


def test_one_argument_is_sent_as_it_is(echo: str) -> None:
    assert plugin.call_function(echo, "m", 5)["params"] == 5


def test_what_json_rpc_cannot_say_is_refused(echo: str) -> None:
    with pytest.raises(TypeError, match="positional or keyword"):
        plugin.call_function(echo, "m", 1, a=2)
    with pytest.raises(TypeError):
        plugin.call_function(echo, "m", len)
    with pytest.raises(ValueError, match="JSON compliant"):
        plugin.call_function(echo, "m", float("nan"))
    with pytest.raises(ValueError, match="surrogates"):
        plugin.call_function(echo, "\ud800")
    assert plugin.call_function(echo, "m", {})["params"] == {}


def test_error_keeps_code_and_data(echo: str) -> None:
    with pytest.raises(plugin.PluginCallError) as caught:
        plugin.call_function(echo, "fail")
    assert (caught.value.code, caught.value.data, str(caught.value)) == (-32001, [1], "no")


def test_batch(echo: str) -> None:
    first, second = plugin.batch_call(echo, [{"name": "a", "args": [1, 2]}, {"name": "b", "kwargs": {"x": 1}}])
    assert (first["method"], first["params"]) == ("a", [1, 2])
    assert (second["method"], second["params"]) == ("b", {"x": 1})


def test_there_is_no_library_to_import(echo: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("plugin.echo")
    assert plugin.describe(echo)["scriptling"] is False


def test_end_is_the_end_of_its_input_and_nothing_else(echo: str, tmp_path: Path) -> None:
    plugin.unload(echo)
    assert (tmp_path / "ended").read_text() == "end of input"


def test_notifications_of_the_peer_are_ignored(write_peer: WritePeer) -> None:
    note = json.dumps({"jsonrpc": "2.0", "method": "progress", "params": [1]})
    path = write_peer(f"request = receive(); print({note!r}, flush=True); answer(request, 1); receive()")
    assert plugin.call_function(plugin.load("chatty", path), "m") == 1
