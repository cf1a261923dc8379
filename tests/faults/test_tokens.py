"""Who may use a port: pages of browsers and tokens (faults, checks 31 and 41)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.faults.at_a_port import ADD, HANDLERS, HEAD, SEVEN, TOKEN, raw
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.network import Port, on_a_port
from tests.wire.program import Program
from tests.wire.server import write_plugin


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with on_a_port(write_plugin(tmp_path_factory.mktemp("port"), HANDLERS), "--workers", "2") as port:
        yield port


def test_pages_of_other_origins_may_connect_nothing_unless_allowed(listen: Listen) -> None:
    port = listen(HANDLERS, "--allow-origin", "https://app.example")
    url = f"{port.url.replace('http', 'ws')}/json-rpc"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=Origin("https://evil.example"), proxy=None):
        pass  # not reached
    assert refused.value.response.status_code == 403
    assert "ERROR" not in port.program.stderr
    with connect(url, origin=Origin("https://app.example"), proxy=None) as socket_:
        socket_.send(ADD.decode())
        assert json.loads(socket_.recv())["result"] == SEVEN
    answer = port.post(ADD, {"Origin": "https://app.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = port.request("OPTIONS", "/json-rpc", headers=asked)
    assert (answer.status, "POST" in answer.headers["access-control-allow-methods"]) == (204, True)
    assert port.request("OPTIONS", "/json-rpc", headers={**asked, "Origin": "https://evil.example"}).status == 403


def test_the_server_s_own_pages_may_use_it(port: Port) -> None:
    assert port.post(ADD, {"Origin": port.url}).status == 200


def test_wrong_tokens_are_refused_before_the_body_is_read(listen: Listen, figures: Figures) -> None:
    """Check 31."""
    port = listen(HANDLERS, "--bearer-token", TOKEN)
    for given in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN):
        line = f"authorization: {given}\r\n".encode() if given else b""
        answer = raw(port, HEAD + line + b"content-length: 1000000\r\n\r\n")
        assert b"www-authenticate: Bearer\r\n" in answer
        refused_unread = answer.startswith(b"HTTP/1.1 401 ")
        figures.count(31, "wrong tokens: 401 although no byte of the body was sent", refused_unread, 1)
    assert port.post(ADD, {"Authorization": f"Bearer {TOKEN}"}).json["result"] == SEVEN
    assert port.request("GET", "/elsewhere").status == 401
    assert port.request("GET", "/health").body == b"ready\n"
    url = f"{port.url.replace('http', 'ws')}/json-rpc"
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
        pass  # not reached
    assert refused.value.response.status_code == 401
    with connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None) as socket_:
        socket_.send(ADD.decode())
        assert json.loads(socket_.recv())["result"] == SEVEN


@pytest.mark.parametrize("by", ["flag", "environment", "file"])
def test_a_token_is_nowhere_to_be_seen(listen: Listen, tmp_path: Path, by: str) -> None:
    """Check 41: not in logs, arguments, or the environment of anybody."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    flags = {"flag": ["--bearer-token", TOKEN], "environment": [], "file": ["--bearer-token-file", "token"]}[by]
    environment = {"SCRIPTLING_BEARER_TOKEN": TOKEN} if by == "environment" else None
    port = listen(HANDLERS, *flags, "--log-level", "trace", environment=environment)
    answer = port.call("environment", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200
    assert TOKEN not in answer.body.decode()
    for pid in port.program.pids():
        assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    wrong = port.call("add", headers={"Authorization": f"Bearer {TOKEN}x"})
    assert (wrong.status, wrong.body) == (401, b"this is not the token of this server\n")
    assert TOKEN not in port.program.stderr


def test_a_server_that_others_can_reach_says_what_it_lacks(tmp_path: Path) -> None:
    program = Program(["--server", ":0", "--json-rpc", str(write_plugin(tmp_path, HANDLERS))], tmp_path)
    try:
        program.listen()
        program.wait_for_stderr("ready: ")
        assert program.stderr.count("without a token and TLS") == 1
    finally:
        program.destroy()
        program.close()


def test_metrics_are_for_those_with_the_token(listen: Listen) -> None:
    port = listen(HANDLERS, "--bearer-token", TOKEN)
    assert port.request("GET", "/metrics").status == 401
    known = {"Authorization": f"Bearer {TOKEN}"}
    port.post(ADD, known)
    answer = port.request("GET", "/metrics", headers=known)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b'handler="add"' in answer.body
    assert port.request("POST", "/metrics", b"", known).status == 405
