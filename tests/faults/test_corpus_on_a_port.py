"""Malformed messages are answered over HTTP and WebSocket as they are over stdio (faults, check 23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.faults.figures import Figures
from tests.faults.test_input import HANDLERS, cases, expected_of, text_of
from tests.wire.network import Port, on_a_port
from tests.wire.server import write_plugin

ANSWERS = {"an answer to nobody", "an error to nobody"}
"""Cases that are no requests; over HTTP nobody can have been asked anything, and they are refused."""

NEXT = b'{"jsonrpc":"2.0","id":"next","method":"environment.open"}'


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with on_a_port(write_plugin(tmp_path_factory.mktemp("corpus"), HANDLERS), "--workers", "1") as port:
        yield port


@pytest.fixture(scope="module")
def websocket(port: Port) -> Iterator[ClientConnection]:
    url = f"{port.url.replace('http', 'ws', 1)}/json-rpc"
    with connect(url, proxy=None, compression=None, max_size=None) as connection:
        yield connection


def codes(answers: list[bytes]) -> list[int]:
    """The codes of all errors, in the order in which they came."""
    decoded = [json.loads(answer, parse_int=str, parse_float=str) for answer in answers if answer]
    items = [item for answer in decoded for item in (answer if isinstance(answer, list) else [answer])]
    return [int(item["error"]["code"]) for item in items if "error" in item]


def sendable(case: dict[str, Any]) -> bytes:
    """The message of a case, unless it is one about lines only."""
    text = text_of(case)
    if not text.strip(b" \r\n"):
        pytest.skip("a blank line, which only stdio has")
    return text


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_its_one_answer_over_http(
    port: Port, figures: Figures, case: dict[str, Any]
) -> None:
    answer = port.post(sendable(case))
    assert answer.status in {200, 204}
    expected = [-32600] if case["name"] in ANSWERS else [code for _, code in expected_of(case["answer"])]
    right = codes([answer.body]) == expected
    figures.count(23, "malformed messages over HTTP: the one answer, and the next is served", right, 1)
    assert port.post(NEXT).json["result"] is None


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_its_one_answer_over_a_websocket(
    websocket: ClientConnection, figures: Figures, case: dict[str, Any]
) -> None:
    try:
        text = sendable(case).decode()
    except UnicodeDecodeError:
        pytest.skip("no text, so that the protocol of WebSockets itself refuses it")
    websocket.send(text)
    websocket.send(NEXT.decode())
    answers: list[bytes] = []
    while not answers or b'"next"' not in answers[-1]:
        message = websocket.recv(20)
        assert isinstance(message, str)
        answers.append(message.encode())
    right = codes(answers) == [code for _, code in expected_of(case["answer"])]
    figures.count(23, "malformed messages over WebSocket: the one answer, and the next is served", right, 1)
