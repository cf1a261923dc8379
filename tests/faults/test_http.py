"""Requests at a port that are wrong, and what may be guessed (faults, checks 30 and 33)."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.at_a_port import ADD, HANDLERS, HEAD, SEVEN, raw
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.gates import Gate
from tests.wire.network import Port, call, on_a_port, text
from tests.wire.program import DEADLINE
from tests.wire.server import write_plugin


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with on_a_port(write_plugin(tmp_path_factory.mktemp("port"), HANDLERS), "--workers", "2") as port:
        yield port


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n12345", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"content-length: -5\r\n\r\n", 400),
        (HEAD + b"content-length: five\r\n\r\n", 400),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /json-rpc HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 431),
        (HEAD + b"scriptling-session: short\r\ncontent-length: 2\r\n\r\n{}", 400),
        (HEAD + b"scriptling-timeout: never\r\ncontent-length: 2\r\n\r\n{}", 400),
        (b"GET /json-rpc HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        (b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}", 405),
        (b"GET /json-rpc HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        (b"GET /json-rpc HTTP/1.1\r\nhost: evil.example@localhost\r\n\r\n", 421),
        (b"GET /json-rpc HTTP/1.1\r\nhost: localhost/x\r\n\r\n", 421),
        (b"GET /json-rpc HTTP/1.1\r\n\r\n", 421),
        (HEAD + b"origin: https://evil.example\r\ncontent-length: 2\r\n\r\n{}", 403),
        (HEAD + b"origin: null\r\ncontent-length: 2\r\n\r\n{}", 403),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_its_client_s_error(
    port: Port, figures: Figures, request_: bytes, status: int
) -> None:
    """Check 30."""
    right = raw(port, request_).startswith(b"HTTP/1.1 %d " % status)
    figures.count(30, "wrong requests: the right refusal, and the next is served", right, 1)
    assert port.post(ADD).json["result"] == SEVEN


def test_a_body_that_ends_early_runs_nothing(listen: Listen, tmp_path: Path, gate: Gate) -> None:
    port = listen(HANDLERS)
    body = call("wait", text(gate), text(tmp_path / "mark"))
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body) + 1, body))
    assert port.post(ADD).json["result"] == SEVEN
    assert not (tmp_path / "mark").exists()


def test_ids_of_objects_cannot_be_guessed(port: Port, figures: Figures) -> None:
    """Check 33."""
    request = b'{"id":1,"method":"object.new","params":{"class":"Thing"}}'
    ids = [port.post(request).json["result"]["id"] for _ in range(20)]
    parts = [id.rpartition(".")[2] for id in ids]
    assert len({part[:4] for part in parts}) > 10
    guessed = ids[0][:-1] + ("x" if ids[0][-1] != "x" else "y")

    def use(id: str) -> Any:
        params = {"object_id": id, "method": "hello"}
        return port.post(json.dumps({"id": 1, "method": "object.call_method", "params": params}).encode()).json

    assert use(ids[0])["result"] == text("hello")
    unknown = "".join(reversed(guessed.rpartition(".")[2]))
    assert use(guessed)["error"]["code"] == use(guessed.rpartition(".")[0] + "." + unknown)["error"]["code"]
    assert use(guessed)["error"]["message"].startswith("unknown object")
    answers = [use(id)["error"] for id in guesses(ids, 500)]
    same = {(error["code"], re.sub(r"1\.\S+", "ID", error["message"])) for error in answers}
    figures.count(33, "ids guessed from 20 known ones: unknown, all with the same words", 500 * (len(same) == 1), 500)


def guesses(ids: list[str], number: int) -> list[str]:
    """Ids that are like known ones: parts of two of them, or one letter changed."""
    chosen, guessed = random.Random(33), set[str]()
    while len(guessed) < number:
        one, other = chosen.sample(ids, 2)
        at = chosen.randrange(len(one.partition(".")[0]) + 2, len(one))
        guessed |= {one[:at] + other[at:], one[:at] + chosen.choice("aA0_-") + one[at + 1 :]} - {*ids}
    return sorted(guessed)[:number]


def test_health_tells_whether_the_server_is_ready_and_nothing_else(port: Port) -> None:
    answer = port.request("GET", "/health")
    assert (answer.status, answer.body) == (200, b"ready\n")
    assert port.request("HEAD", "/health").body == b""
