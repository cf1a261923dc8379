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

MARK = "mark"
BODY = call("wait", text("no gate"), text(MARK))
"""It leaves a mark in the folder of the plugin if it runs."""
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
CHUNKS = CHUNK + b"0\r\n\r\n"
WHOLE = LENGTH + b"\r\n" + BODY
LOCAL = b"host: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("port")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[Port]:
    with on_a_port(write_plugin(folder, HANDLERS), "--workers", "2") as port:
        yield port
    assert not (folder / MARK).exists()  # what was begun has ended by now


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"content-length: %d\r\n" % (len(BODY) - 1) + WHOLE, 400),
        (HEAD + LENGTH + b"content-length: %d\r\n\r\n%b " % (len(BODY) + 1, BODY), 400),
        (HEAD + b"content-length: %d\r\n" % len(CHUNKS) + CHUNKED + b"\r\n" + CHUNKS, 400),
        (HEAD + CHUNKED + LENGTH + b"\r\n" + CHUNKS, 400),
        (HEAD + LENGTH + CHUNKED + b"\r\n" + BODY, 400),
        (HEAD + b"content-length: -%d\r\n\r\n%b" % (len(BODY), BODY), 400),
        (HEAD + b"content-length: five\r\n\r\n" + BODY, 400),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n" + BODY, 400),
        (HEAD + CHUNKED + b"\r\nxyz\r\n" + BODY, 400),
        (HEAD + CHUNKED + b"\r\n" + CHUNK + b"xyz\r\n", 400),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS, 501),
        (HEAD + b"transfer-encoding: gzip\r\n" + CHUNKED + b"\r\n" + CHUNKS, 501),
        (HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS, 400),
        (b"POST /json-rpc HTTP/9.9\r\n" + LOCAL + WHOLE, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + HEAD + WHOLE, 400),
        (b"G\x00T / HTTP/1.1\r\n" + LOCAL + WHOLE, 400),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n" + WHOLE, 431),
        (b"POST /" + b"y" * 70_000 + b" HTTP/1.1\r\n" + LOCAL + WHOLE, 431),
        (HEAD + b"scriptling-session: short\r\n" + WHOLE, 400),
        (HEAD + b"scriptling-timeout: never\r\n" + WHOLE, 400),
        (HEAD.replace(b"POST", b"GET") + WHOLE, 405),
        (HEAD.replace(b"POST", b"PUT") + WHOLE, 405),
        (b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\n" + WHOLE, 415),
        (HEAD.replace(b"application/json", b"text/plain") + WHOLE, 415),
        (HEAD.replace(b"/json-rpc", b"/health") + WHOLE, 405),
        (HEAD.replace(b"localhost", b"evil.example") + WHOLE, 421),
        (HEAD.replace(b"localhost", b"evil.example@localhost") + WHOLE, 421),
        (HEAD.replace(b"localhost", b"localhost/x") + WHOLE, 421),
        (HEAD.replace(b"host: localhost\r\n", b"") + WHOLE, 421),
        (HEAD + b"origin: https://evil.example\r\n" + WHOLE, 403),
        (HEAD + b"origin: null\r\n" + WHOLE, 403),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_its_client_s_error(
    port: Port, folder: Path, figures: Figures, request_: bytes, status: int
) -> None:
    """Check 30: and no handler runs, although each has a call in it that would."""
    right = raw(port, request_).startswith(b"HTTP/1.1 %d " % status)
    served = port.post(ADD).json["result"] == SEVEN
    right = right and served and not (folder / MARK).exists()
    figures.count(30, "wrong requests: the right refusal, no handler runs, and the next is served", right, 1)


@pytest.mark.parametrize("request_", [HEAD + WHOLE, HEAD + CHUNKED + b"\r\n" + CHUNKS])
def test_what_is_right_about_the_same_request_runs_its_handler(listen: Listen, tmp_path: Path, request_: bytes) -> None:
    port = listen(HANDLERS)
    assert raw(port, request_).startswith(b"HTTP/1.1 200 ")
    assert (tmp_path / MARK).read_text() == "x"


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
