"""Plugins behind a WebSocket ; what is the same over every two-way transport is tested elsewhere, over each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from websockets.client import ClientProtocol

import scriptling.plugin as plugin
from scriptling.plugin import websocket
from tests.plugin.conftest import bridge_process, bridged


def url(host: str, path: str = "/json-rpc") -> str:
    return f"ws://{host}{path}"


@pytest.fixture
def remote(websocket_host: str) -> str:
    return plugin.load("fake", url(websocket_host), scriptling=True)


def load_error(path: str, **how: object) -> str:
    with pytest.raises(plugin.PluginLoadError) as caught:
        plugin.load("bad", path, scriptling=True, **how)  # type: ignore[arg-type]
    assert plugin.list() == []
    return str(caught.value)


def test_describe(remote: str, websocket_host: str) -> None:
    described = plugin.describe(remote)
    assert (described["transport"], described["path"]) == ("websocket", url(websocket_host))
    assert (described["args"], described["alive"]) == ([], True)


@pytest.mark.parametrize("function", ["exit", "close_stdout"])
def test_connection_that_ends_wakes_every_waiter_with_url_and_close_code(
    remote: str, websocket_host: str, function: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(plugin.call_function, remote, "pass_gate", "never") for _ in range(3)]
        plugin.call_function(remote, "wait_until_reached", "never")
        waiting.append(pool.submit(plugin.call_function, remote, function, *([5] if function == "exit" else [])))
        for future in waiting:
            with pytest.raises(plugin.PluginCrashed, match=r"code 1011: the program has ended") as caught:
                future.result(30)
            assert f"plugin 'fake' ({url(websocket_host)})" in str(caught.value)


def test_dead_peer_is_replaced_by_the_next_load(remote: str, websocket_host: str) -> None:
    with pytest.raises(plugin.PluginCrashed):
        plugin.call_function(remote, "exit", 0)
    assert plugin.describe(remote)["alive"] is False
    with pytest.raises(plugin.PluginCrashed, match="code 1011"):
        plugin.call_function(remote, "echo", 1)
    plugin.load("fake", url(websocket_host), scriptling=True)
    assert plugin.call_function(remote, "echo", 1) == 1


def test_unload_of_a_dead_peer_works(remote: str) -> None:
    with pytest.raises(plugin.PluginCrashed):
        plugin.call_function(remote, "exit", 0)
    plugin.unload(remote)


def test_headers_are_sent_and_a_missing_one_is_a_clear_error(websocket_host: str) -> None:
    told = load_error(url(websocket_host, "/secret"))
    assert "answered the opening of a WebSocket with HTTP status 401" in told
    assert "it wants a token" in told
    plugin.load("fake", url(websocket_host, "/secret"), True, headers={"Authorization": "Bearer open-sesame"})
    assert plugin.call_function("fake", "echo", 1) == 1


def test_refusal_tells_when_to_come_back_and_shows_no_secret(websocket_host: str) -> None:
    told = load_error(url(websocket_host, "/refuse/503?t=hidden"), headers={"Authorization": "Bearer hush-hush"})
    assert "HTTP status 503" in told
    assert "overloaded" in told
    assert "asked again in 7 seconds" in told
    assert "hush-hush" not in told
    assert "hidden" not in told


def test_server_that_closes_during_the_handshake(websocket_host: str) -> None:
    assert "has closed the connection (code 4001: enough)" in load_error(url(websocket_host, "/close/4001"))


def test_server_that_does_not_answer_the_handshake(websocket_host: str) -> None:
    told = load_error(url(websocket_host, "/silent"), timeout=0.3)
    assert "did not answer scriptling.handshake within 0.3 seconds" in told


def test_server_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        path = f"ws://127.0.0.1:{unused.getsockname()[1]}/"
    assert "cannot be reached: " in load_error(path)
    assert "refused" in load_error(path)


def test_server_that_is_no_http_server() -> None:
    with answering(b"SSH-2.0-something\r\n") as path:
        assert "did not open a WebSocket" in load_error(path)


def test_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        told = load_error(f"ws://127.0.0.1:{mute.getsockname()[1]}/", timeout=0.2)
    assert "did not open a WebSocket: there was no answer within 0.2 seconds" in told


class answering:  # noqa: N801 - used as a function
    """A server that answers the first bytes it gets with fixed ones."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def __enter__(self) -> str:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return f"ws://127.0.0.1:{self._server.getsockname()[1]}/"

    def __exit__(self, *error: object) -> None:
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self._answer)


@pytest.mark.parametrize("path", ["ws://", "ws://u:p@host/", "ws://host:99999/", "ws://host/a b"])
def test_urls_that_cannot_be_talked_to(path: str) -> None:
    assert "plugin 'bad' (ws://" in load_error(path)


def test_message_larger_than_the_bound_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, websocket_host: str
) -> None:
    monkeypatch.setattr(websocket, "MAX_RESPONSE", 100_000)
    plugin.load("fake", url(websocket_host), scriptling=True)
    assert plugin.call_function("fake", "echo", "x" * 50_000) == "x" * 50_000
    with pytest.raises(plugin.PluginCrashed, match=r"broke the WebSocket protocol \(code 1009\)"):
        plugin.call_function("fake", "echo", "x" * 200_000)


def test_silent_server_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_SILENCE", 0.3)
    with bridge_process() as (server, host):
        plugin.load("fake", url(host), scriptling=True)
        assert plugin.call_function("fake", "echo", 1) == 1
        server.send_signal(signal.SIGSTOP)  # the kernel goes on to take what is sent
        try:
            with pytest.raises(plugin.PluginCrashed, match=r"has not been heard of for 0\.6 seconds"):
                plugin.call_function("fake", "echo", 1)
        finally:
            server.send_signal(signal.SIGCONT)


def test_quiet_connection_is_kept(monkeypatch: pytest.MonkeyPatch, websocket_host: str) -> None:
    pings, often = count(1), threading.Event()
    send_ping = ClientProtocol.send_ping

    def counted(protocol: ClientProtocol, data: bytes) -> None:
        send_ping(protocol, data)
        if next(pings) == 5:
            often.set()

    monkeypatch.setattr(websocket, "_SILENCE", 0.3)
    monkeypatch.setattr(ClientProtocol, "send_ping", counted)
    plugin.load("fake", url(websocket_host), scriptling=True)
    assert often.wait(30)
    assert plugin.describe("fake")["alive"]


@pytest.fixture
def tls_host(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate nobody trusts."""
    both = tmp_path / "both.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*made, "-keyout", both, "-out", tmp_path / "cert"], check=True, capture_output=True)
    both.write_text(both.read_text() + (tmp_path / "cert").read_text())
    with bridged(both) as host:
        yield host
        for name in plugin.list():
            plugin.unload(name)


def test_certificate_is_checked_unless_told_otherwise(tls_host: str) -> None:
    path = f"wss://{tls_host}/json-rpc"
    assert "insecure_skip_tls=True trusts any" in load_error(path)
    plugin.load("fake", path, scriptling=True, insecure_skip_tls=True)
    assert plugin.call_function("fake", "apply", lambda x: x + 1, [1, 2]) == [2, 3]
    large = "ü" * 3_000_000
    assert plugin.call_function("fake", "echo", large) == large


def test_large_messages_pass_both_ways_while_small_ones_go_on(remote: str) -> None:
    large = "x" * 20_000_000
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(plugin.call_function, remote, "echo", large)
        assert [plugin.call_function(remote, "echo", turn) for turn in range(20)] == list(range(20))
        assert slow.result() == large


def test_same_url_is_no_new_connection_and_another_name_is_refused(remote: str, websocket_host: str) -> None:
    pid = plugin.call_function(remote, "pid")
    assert plugin.load("fake", url(websocket_host), scriptling=True) == remote
    assert plugin.call_function(remote, "pid") == pid
    with pytest.raises(plugin.PluginLoadError, match=r"is loaded as plugin.fake already"):
        plugin.load("other", url(websocket_host), scriptling=True)


def test_args_do_not_go_with_a_url() -> None:
    assert "takes no args" in load_error("ws://127.0.0.1/", args=["x"])


def test_plain_peer_over_a_websocket(websocket_host: str) -> None:
    plugin.load("plain", url(websocket_host))
    assert plugin.call_function("plain", "scriptling.handshake")["library"]["name"] == "fake"


def test_forked_child_leaves_the_connection_to_its_parent(remote: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            plugin.call_function(remote, "echo", 1)
        except plugin.PluginError as error:
            os._exit(0 if "belongs to the process that forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert plugin.call_function(remote, "echo", 1) == 1
