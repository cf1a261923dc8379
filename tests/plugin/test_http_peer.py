"""Plugins behind a URL (protocol sections 1 and 6), against a small server of the tests' own."""

from __future__ import annotations

import gc
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import scriptling.plugin as plugin
from scriptling.plugin import http_peer, posting
from tests.plugin.conftest import WritePeer
from tests.plugin.http_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield from serving(server)


@pytest.fixture
def loaded(server: Server) -> str:
    return plugin.load("web", server.url(), scriptling=True)


def test_functions_constants_objects_and_batches(loaded: str) -> None:
    module: Any = getattr(plugin, "web")  # noqa: B009
    assert module.VERSION == "1.0.0"
    assert module.add(3, 4) == 7
    assert module.Counter(2).inc() == 3
    assert plugin.batch_call(loaded, [{"name": "add", "args": [1, 2]}, {"name": "echo", "args": ["x"]}]) == [3, "x"]
    assert plugin.describe(loaded)["transport"] == "http"


def test_connection_is_kept_for_the_next_call(server: Server, loaded: str) -> None:
    for _ in range(5):
        plugin.call_function(loaded, "echo", 1)
    assert server.connections == 1


def test_closed_connection_is_replaced(server: Server, loaded: str) -> None:
    server.close_after = True
    for _ in range(3):
        assert plugin.call_function(loaded, "echo", 1) == 1
    assert server.connections == 3


def test_threads_call_at_the_same_time(server: Server, loaded: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        hanging = pool.submit(plugin.call_function, loaded, "hang")
        assert list(pool.map(lambda n: plugin.call_function(loaded, "echo", n), range(20))) == list(range(20))
        server.release.set()
        with pytest.raises(plugin.PluginCallError, match="unknown function hang"):
            hanging.result()


def test_headers_are_sent_with_every_request(server: Server) -> None:
    plugin.load("web", server.url() + "?a=b", scriptling=True, headers={"Authorization": "Bearer secret"})
    plugin.call_function("web", "echo", 1)
    assert {(headers["Authorization"], headers["Content-Type"], path) for _, headers, path in server.heard} == {
        ("Bearer secret", "application/json", "/json-rpc?a=b")
    }


def test_secrets_of_the_url_and_headers_are_in_no_error(server: Server) -> None:
    server.canned = (401, b"unauthorized")
    with pytest.raises(plugin.PluginLoadError) as caught:
        plugin.load("web", server.url() + "?token=secret", scriptling=True, headers={"Authorization": "Bearer secret"})
    assert "with HTTP status 401" in str(caught.value)
    assert "unauthorized" in str(caught.value)
    for headers, url in (({"Authorization": "secret\n"}, server.url()), ({}, "http://user:secret@127.0.0.1/")):
        with pytest.raises(plugin.PluginLoadError) as refused:
            plugin.load("web", url, scriptling=True, headers=headers)
        assert "secret" not in str(caught.value) + str(refused.value)


@pytest.mark.parametrize("headers", [{"X Y": "1"}, {"": "1"}, {"X": "ü"}, {"X": "a\r\nY: b"}, {"X": " 1"}])
def test_headers_that_cannot_be_sent(server: Server, headers: dict[str, str]) -> None:
    with pytest.raises(plugin.PluginLoadError, match=r"the header '.*' cannot be sent"):
        plugin.load("web", server.url(), headers=headers)
    assert server.connections == 0


def test_objects_belong_to_the_client_that_made_them(server: Server) -> None:
    def tokens() -> set[str]:
        found = {headers.get("Scriptling-Session", "") for _, headers, _ in server.heard}
        server.heard.clear()
        return found

    for _ in range(2):
        plugin.load("web", server.url(), scriptling=True)
        plugin.call_function("web", "echo", 1)
        plugin.unload("web")
    assert [method for method, _, _ in server.heard].count("plugin.shutdown") == 2
    assert len(both := tokens()) == 2
    assert all(re.fullmatch("[A-Za-z0-9_-]{16,128}", token) for token in both)
    server.canned = (200, b'{"jsonrpc":"2.0","id":1,"result":1}')
    plugin.load("plain", server.url())
    plugin.call_function("plain", "m")
    assert tokens() == {""}


def test_forked_child_is_another_client(server: Server, loaded: str) -> None:
    pid = os.fork()
    if pid == 0:
        plugin.call_function(loaded, "echo", "child")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    parent, child = (server.heard[index][1]["Scriptling-Session"] for index in (0, -1))
    assert parent != child


def test_callbacks_are_refused_at_once(server: Server, loaded: str) -> None:
    heard = len(server.heard)
    with pytest.raises(plugin.PluginError, match="callbacks are not supported over http json-rpc transport"):
        plugin.call_function(loaded, "apply", len, [])
    assert len(server.heard) == heard


def test_error_of_a_function(loaded: str) -> None:
    with pytest.raises(plugin.PluginCallError) as caught:
        plugin.call_function(loaded, "boom", "bad")
    assert str(caught.value) == "bad"
    assert caught.value.remote_type == "ValueError"


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (401, "it wants a token", -32603),
        (403, "does not allow this", -32603),
        (413, "larger than it takes", -32007),
        (429, "asked too often", -32003),
        (503, "overloaded", -32003),
    ],
)
def test_refusals_say_what_they_mean(server: Server, status: int, told: str, code: int) -> None:
    server.canned = (status, b"Bearer open-sesame is no good")
    server.retry_after = "3" if status in (429, 503) else ""
    plugin.load("web", server.url(), headers={"Authorization": "Bearer open-sesame"})
    with pytest.raises(plugin.PluginCallError) as caught:
        plugin.call_function("web", "m")
    sentence = str(caught.value)
    assert caught.value.code == code
    assert f"answered m with HTTP status {status}" in sentence
    assert told in sentence
    assert "open-sesame" not in sentence
    assert ("can be asked again in 3 seconds" in sentence) == (status in (429, 503))


def test_refusal_that_comes_before_the_body_is_read(server: Server) -> None:
    server.refuse_early = True
    plugin.load("web", server.url())
    with pytest.raises(plugin.PluginCallError, match="HTTP status 413"):
        plugin.call_function("web", "m", "x" * 30_000_000)


def test_answer_larger_than_the_bound(server: Server, loaded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "MAX_RESPONSE", 100_000)
    assert plugin.call_function(loaded, "echo", "x" * 50_000) == "x" * 50_000
    with pytest.raises(plugin.PluginCrashed, match="larger than 100000 bytes"):
        plugin.call_function(loaded, "echo", "x" * 200_000)
    assert plugin.call_function(loaded, "echo", 1) == 1


def test_request_is_not_sent_twice_if_it_may_have_been_executed(server: Server, loaded: str) -> None:
    plugin.call_function(loaded, "echo", 1)
    server.hang_up = True
    with pytest.raises(plugin.PluginCrashed, match="closed the connection before the answer was complete"):
        plugin.call_function(loaded, "echo", 2)
    assert server.methods.count("function.call") == 2


def test_request_is_sent_again_if_the_kept_connection_took_only_a_part(
    server: Server, loaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_peer._Link, "fresh", True)  # the server closes after we have looked
    server.close_after_silence = True
    plugin.call_function(loaded, "echo", 1)
    assert server.hung_up.wait(30)
    large = "x" * 30_000_000
    assert plugin.call_function(loaded, "echo", large) == large
    assert server.methods.count("function.call") == 2


def test_time_limit_is_told_to_the_server(server: Server, loaded: str) -> None:
    with plugin.time_limit(2.5):
        plugin.call_function(loaded, "echo", 1)
    plugin.call_function(loaded, "echo", 1)
    assert [headers.get("Scriptling-Timeout") for _, headers, _ in server.heard[-2:]] == ["2.5", None]


def test_json_rpc_error_with_an_http_status_is_that_error(server: Server) -> None:
    server.canned = (503, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"overloaded"}}')
    plugin.load("web", server.url())
    with pytest.raises(plugin.PluginCallError, match=r"^overloaded$"):
        plugin.call_function("web", "m")


@pytest.mark.parametrize("canned", [(200, b""), (204, b""), (200, b"<html>"), (500, b"oops"), (200, b"[]")])
def test_answers_that_are_none(server: Server, canned: tuple[int, bytes]) -> None:
    server.canned = canned
    plugin.load("web", server.url())
    with pytest.raises(plugin.PluginCallError, match=r"plugin 'web' \(http://127.0.0.1:"):
        plugin.call_function("web", "m")


def test_server_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(plugin.PluginLoadError, match=r"plugin 'web' .* cannot be reached, or broke off: .*refused"):
        plugin.load("web", url, scriptling=True)
    assert plugin.list() == []


def test_time_limit(server: Server, loaded: str) -> None:
    told = r"did not answer function.call hang within 0.1 seconds"
    with pytest.raises(plugin.PluginTimeout, match=told), plugin.time_limit(0.1):
        plugin.call_function(loaded, "hang")
    assert plugin.call_function(loaded, "echo", 1) == 1


def test_handshake_has_its_time(server: Server) -> None:
    server.canned = (200, b"{}")
    with pytest.raises(plugin.PluginLoadError):
        plugin.load("web", server.url(), scriptling=True, timeout=0.2)


def test_objects_are_destroyed_on_release_and_when_collected(server: Server, loaded: str) -> None:
    module: Any = getattr(plugin, "web")  # noqa: B009
    counter, dropped = module.Counter(), module.Counter()
    plugin.release(counter)
    assert server.methods.count("object.destroy") == 1
    del dropped
    gc.collect()
    deadline = time.monotonic() + 30
    while server.methods.count("object.destroy") < 2 and time.monotonic() < deadline:
        plugin.call_function(loaded, "echo", 1)
    plugin.unload(loaded)
    assert server.methods.count("object.destroy") == 2
    assert server.methods[-1] == "plugin.shutdown"


def test_unload_does_not_need_the_servers_goodbye(server: Server, loaded: str) -> None:
    server.canned = (500, b"")
    plugin.unload(loaded, timeout=0.5)
    assert plugin.list() == []


def test_same_url_under_another_name_is_refused(server: Server, loaded: str) -> None:
    assert plugin.load("web", server.url(), scriptling=True) == loaded
    with pytest.raises(plugin.PluginLoadError, match=r"is loaded as plugin.web already"):
        plugin.load("other", server.url(), scriptling=True)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Server]:
    """A server whose certificate nobody trusts."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*made, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    yield from serving(server)


def test_certificate_is_checked_unless_told_otherwise(tls_server: Server) -> None:
    with pytest.raises(plugin.PluginLoadError, match=r"certificate verify failed.*insecure_skip_tls=True trusts any"):
        plugin.load("web", tls_server.url("https"), scriptling=True)
    plugin.load("web", tls_server.url("https"), scriptling=True, insecure_skip_tls=True)
    assert plugin.call_function("web", "add", 1, 2) == 3
    assert plugin.call_function("web", "add", 1, 3) == 4


def test_a_server_without_tls_is_told_from_one_that_is_not_there(server: Server) -> None:
    with pytest.raises(plugin.PluginLoadError, match=r"what is there may speak no TLS: try http://"):
        plugin.load("web", server.url("https"), scriptling=True)


def test_plain_peer_over_http_is_not_told_goodbye(server: Server) -> None:
    plugin.load("web", server.url())
    assert server.heard == []
    server.canned = (200, b'{"jsonrpc":"2.0","id":1,"result":[1]}')
    assert plugin.call_function("web", "m", 1, 2) == [1]
    plugin.unload("web")
    assert server.methods == ["m"]


def test_stdio_and_http_peers_side_by_side(server: Server, loaded: str, write_peer: WritePeer) -> None:
    plugin.load("mini", write_peer("shake_hands()\nanswer(receive(), {'type': 'int', 'value': 5})\nreceive()"), True)
    assert (plugin.call_function("mini", "f"), plugin.call_function(loaded, "echo", 6)) == (5, 6)
