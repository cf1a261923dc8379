"""The host side of the recorded session, replayed: the answers are those of the Go plugin (protocol, page head)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import Server
from tests.wire.values import from_wire

pytestmark = pytest.mark.conversation

RECORDS = [json.loads(line) for line in (Path(__file__).parents[1] / "data/session.jsonl").read_text().splitlines()]


def messages(side: str) -> list[Any]:
    return [json.loads(record["line"]) for record in RECORDS if record["from"] == side]


def comparable(answer: Any) -> Any:
    """What of an answer does not depend on the plugin's language: null results are always written by us."""
    if isinstance(answer, list):
        return [comparable(item) for item in answer]
    if "error" in answer:
        return {"id": answer["id"], "code": answer["error"]["code"]}
    result = answer.get("result")
    if isinstance(result, dict) and "schema" in result:
        return {"id": answer["id"], "library": result["library"], "protocol": result["protocol"]}
    if isinstance(result, dict) and "class" in result:
        return {"id": answer["id"], "reference": [result["library"], result["class"]]}
    return {"id": answer["id"], "value": from_wire(result) if isinstance(result, dict) else result}


def test_replayed_session_gets_the_recorded_answers(server: Server) -> None:
    """In lockstep: each message of the plugin is awaited before the host's next one, its questions included."""
    object_id = ""
    questions = 0
    question: dict[str, Any] = {}
    arrays = 0
    for record in RECORDS[:-2]:  # the shutdown has a test of its own
        message = json.loads(record["line"])
        if record["from"] == "host":
            if isinstance(message, list):
                server.expect(*[each["id"] for each in message])
            elif "method" in message:
                server.expect(message["id"])
                if "object_id" in message.get("params", {}):
                    message["params"]["object_id"] = object_id
            else:
                message["id"] = question["id"]
            server.send(message)
        elif isinstance(message, list):
            server.wait_for(lambda: len(server.arrays) > arrays, 20, "the array")  # noqa: B023
            assert comparable(server.arrays[arrays]) == comparable(message)
            arrays += 1
        elif "method" in message:
            question = server.question(questions)
            questions += 1
            assert question["method"] == message["method"]
            assert question["params"] == message["params"]
        else:
            answer = server.answer(message["id"])
            assert comparable(answer) == comparable(message)
            if message["id"] == 12:
                object_id = answer["result"]["id"]


def test_error_of_a_handler_has_its_text_alone_as_message(server: Server) -> None:
    # Ids of this test are far from those of the recording.
    server.expect("boom")
    params = {"name": "boom", "args": [{"type": "string", "value": "bad thing"}]}
    server.send({"jsonrpc": "2.0", "id": "boom", "method": "function.call", "params": params})
    assert server.failure("boom").message == "bad thing"


def test_handshake_declares_everything_the_recorded_one_does(server: Server) -> None:
    (recorded,) = (each["result"] for each in messages("plugin") if "schema" in str(each))
    server.expect("shake")
    request = messages("host")[0]
    server.send({**request, "id": "shake"})
    result = server.result("shake")
    assert {key: result[key] for key in ("protocol", "transport", "library")} == {
        key: recorded[key] for key in ("protocol", "transport", "library")
    }
    assert set(recorded["capabilities"]) <= set(result["capabilities"])
    for kind in ("functions", "constants"):
        names = [each["name"] for each in result["schema"][kind]]
        assert [each["name"] for each in recorded["schema"][kind]] == names[: len(recorded["schema"][kind])]
    constants = {each["name"]: from_wire(each["value"]) for each in result["schema"]["constants"]}
    assert constants == {each["name"]: from_wire(each["value"]) for each in recorded["schema"]["constants"]}
    (counter,) = (each for each in result["schema"]["classes"] if each["name"] == "Counter")
    assert counter["constructor"]["name"] == "Counter"
    assert {"inc", "each"} <= {each["name"] for each in counter["methods"]}
    value = counter["properties"][0]
    assert (value["name"], value["settable"]) == ("value", True)
