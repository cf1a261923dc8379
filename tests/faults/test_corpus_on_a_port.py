"""Malformed messages are answered over HTTP and WebSocket as they are over stdio, word for word (faults, check 23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.faults.corpus import (
    answers_in,
    cases,
    expected_of,
    expected_over_http,
    text_of,
    without_messages,
)
from tests.faults.figures import Figures
from tests.faults.test_input import HANDLERS, asked
from tests.wire.network import Port, on_a_port
from tests.wire.server import Server, running, write_plugin

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


@pytest.fixture(scope="module")
def stdio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is asked the same over stdio."""
    with running(write_plugin(tmp_path_factory.mktemp("stdio"), HANDLERS), "--workers", "1") as server:
        server.keep_lines = True
        server.among_strangers = True
        yield server


def sendable(case: dict[str, Any]) -> bytes:
    """The message of a case, unless it is one about lines only."""
    text = text_of(case)
    if not text.strip(b" \r\n"):
        pytest.skip("a blank line, which only stdio has")
    return text


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_its_one_answer_over_http(
    port: Port, stdio: Server, figures: Figures, case: dict[str, Any]
) -> None:
    answer = port.post(sendable(case))
    answers, expected = answers_in([answer.body]), expected_over_http(case)
    assert answer.status == (200 if expected else 204)
    over_stdio = answers_in(asked(stdio, f"HTTP, after {case['name']}", sendable(case)))
    right = without_messages(answers) == expected and (answers == over_stdio or expected != expected_of(case["answer"]))
    figures.count(23, "malformed messages over HTTP: the one answer, and the next is served", right, 1)
    assert port.post(NEXT).json["result"] is None


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_its_one_answer_over_a_websocket(
    websocket: ClientConnection, stdio: Server, figures: Figures, case: dict[str, Any]
) -> None:
    try:
        text = sendable(case).decode()
    except UnicodeDecodeError:
        pytest.skip("no text, so that the protocol of WebSockets itself refuses it")
    websocket.send(text)
    websocket.send(NEXT.decode())
    texts: list[bytes] = []
    while not texts or b'"next"' not in texts[-1]:
        message = websocket.recv(20)
        assert isinstance(message, str)
        texts.append(message.encode())
    answers = answers_in(texts[:-1])
    over_stdio = answers_in(asked(stdio, f"WebSocket, after {case['name']}", sendable(case)))
    right = without_messages(answers) == expected_of(case["answer"]) and answers == over_stdio
    figures.count(23, "malformed messages over WebSocket: the one answer, and the next is served", right, 1)
