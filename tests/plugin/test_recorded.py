"""The plugin side of the recorded conversation, replayed: our client gets from it what the recorded host got."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import WritePeer

RECORDED = Path(__file__).parents[1] / "data" / "session.jsonl"

REPLAY = """
entries = [json.loads(line) for line in open(sys.argv[1])]
log = open(sys.argv[2], "w")
for entry in entries:
    if entry["from"] == "plugin":
        sys.stdout.write(entry["line"] + "\\n")
        sys.stdout.flush()
    else:
        line = sys.stdin.readline()
        log.write(line)
        log.flush()
while sys.stdin.readline():
    pass
"""


def test_client_understands_the_recorded_plugin_and_speaks_as_the_recorded_host(
    write_peer: WritePeer, tmp_path: Path
) -> None:
    name = plugin.load("calculator", write_peer(REPLAY), scriptling=True, args=[RECORDED, tmp_path / "sent"])
    calculator = import_module(name)
    assert calculator.VERSION == "1.0.0"
    assert calculator.TABLE == {"a": [1, 2.5, None, True], "b": {}, "c": []}
    assert calculator.add(3, 4) == 7
    assert calculator.add("a", "b") == "ab"
    summed = calculator.add(1.5, 2.5)
    assert (summed, type(summed)) == (4.0, float)
    assert calculator.add([1], []) == [1]
    assert calculator.kw(1) == [1, 2]
    assert calculator.kw(1, b=None) == [1, None]
    assert calculator.nest({"k": True}) == {"l": [{"k": True}, [], {}], "n": None, "t": False}
    assert calculator.apply(lambda x: x * 2, [1, 2]) == [2, 4]
    with pytest.raises(plugin.PluginCallError, match="unsupported plugin value type EXCEPTION"):
        calculator.apply(_raise, [1])
    with pytest.raises(plugin.PluginCallError, match=r"^bad thing$"):
        calculator.boom("bad thing")
    counter = calculator.Counter(2)
    assert counter.inc(3) == 5
    assert counter.each(lambda number: number) == [0, 1, 2, 3, 4]
    counter.value = 9
    assert counter.value == 9
    calls: list[dict[str, Any]] = [{"name": "add", "args": [1, 2]}, {"name": "kw", "args": [1], "kwargs": {"b": 3}}]
    assert plugin.batch_call(name, calls) == [3, [1, 3]]
    plugin.release(counter)
    plugin.unload(name)
    entries = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    expected = [json.loads(entry["line"]) for entry in entries if entry["from"] == "host"]
    sent = [json.loads(line) for line in (tmp_path / "sent").read_text().splitlines()]
    for message in (sent[0], expected[0]):
        for ours in ("host_version", "capabilities"):
            del message["params"][ours]
    assert [_essential(message) for message in sent] == [_essential(message) for message in expected]


def _raise(_: int) -> None:
    raise ValueError("unsupported plugin value type EXCEPTION")


def _essential(message: object) -> object:
    """Return a message without the data of an error, which is free; what is empty may be missing."""
    if isinstance(message, dict) and "error" in message:
        message["error"].pop("data", None)
    if isinstance(message, dict) and message.get("type") in ("list", "dict"):
        content = {"list": "items", "dict": "entries"}[message["type"]]
        return {"type": message["type"], content: _essential(message.get(content) or None)}
    if isinstance(message, dict):
        return {key: _essential(item) for key, item in message.items()}
    return [_essential(item) for item in message] if isinstance(message, list) else message
