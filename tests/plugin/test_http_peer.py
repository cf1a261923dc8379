"""Plugins behind a URL (protocol sections 1 and 6), against a small server of the tests' own."""

from __future__ import annotations

import gc
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin import fake_plugin
from tests.plugin.conftest import WritePeer


class Handler(BaseHTTPRequestHandler):
    """Answers as ``fake_plugin`` does, and notes what it saw."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        items = message if isinstance(message, list) else [message]
        self.server.heard += [(item["method"], dict(self.headers), self.path) for item in items]
        if self.server.canned is not None:
            self.respond(*self.server.canned)
            return
        if any(item.get("params", {}).get("name") == "hang" for item in items):
            self.server.release.wait(30)
        replies = [fake_plugin.respond(item) for item in items]
        # Line breaks in a body are no ends of messages.
        self.respond(200, json.dumps(replies if isinstance(message, list) else replies[0], indent=1).encode())

    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.server.close_after:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """A plugin over HTTP.

    :ivar canned: what to answer everything with, instead
    """

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, dict[str, str], str]] = []
        self.connections = 0
        self.canned: tuple[int, bytes] | None = None
        self.close_after = False
        self.release = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Expect clients that leave."""

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.heard]

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/json-rpc"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield from serving(server)


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    for name in plugin.list():
        server.canned = None
        plugin.unload(name)
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


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
    with pytest.raises(plugin.PluginLoadError, match="certificate verify failed"):
        plugin.load("web", tls_server.url("https"), scriptling=True)
    plugin.load("web", tls_server.url("https"), scriptling=True, insecure_skip_tls=True)
    assert plugin.call_function("web", "add", 1, 2) == 3
    assert plugin.call_function("web", "add", 1, 3) == 4


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
