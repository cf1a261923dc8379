"""Routes, middleware, files and errors over ASGI, with handlers that run at once in this process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptling.errors import ErrorCode, RpcError
from scriptling.registry import Declaration, Handler, RouteDeclaration, RouteKind
from scriptling.runtime import http
from scriptling.settings import Settings
from tests.workers.asgi_client import Answer, ask, exchange, make_scope
from workers.children.outcomes import encode_error
from workers.frames import Call, Kind
from workers.web.application import Web
from workers.web.calls import WebCalls

Handle = Callable[[http.Request], Any]


class Handlers:
    """Registrations whose handlers are plain functions, and a pool that runs them at once."""

    def __init__(self) -> None:
        self.routes: list[RouteDeclaration] = []
        self.functions: dict[str, Handle] = {}
        self.calls: list[tuple[str, float | None]] = []

    def add(self, kind: RouteKind, path: str, handle: Handle | None, *methods: str, **more: Any) -> None:
        name = f"h.f{len(self.routes)}"
        handler = Handler(name) if handle else None
        if handle:
            self.functions[name] = handle
        self.routes.append(RouteDeclaration(kind, path, handler, methods, **more))

    def get(self, path: str, handle: Handle, *methods: str, **more: Any) -> None:
        self.add(RouteKind.ROUTE, path, handle, *(methods or ("GET",)), **more)

    def middleware(self, handle: Handle) -> None:
        self.add(RouteKind.MIDDLEWARE, "", handle)

    async def call(self, kind: Kind, target: str, params: bytes, timeout: float | None = None) -> bytes:
        self.calls.append((target, timeout))
        evaluator: Any = SimpleNamespace(function=lambda handler: self.functions[handler.reference])
        runner = WebCalls(evaluator, Declaration(routes=self.routes), Settings(max_message=1), no_socket)
        try:
            return await asyncio.to_thread(runner.run, Call(1, kind, target, "", params, 0, 1, 0))
        except Exception as error:
            raised = json.loads(encode_error(error, True))
            raise RpcError(raised["code"], raised["message"]) from None

    @property
    def web(self) -> Web:
        return Web(self.routes, self, no_websockets, 1)

    def ask(self, method: str, target: str, *body: bytes, **more: Any) -> Answer:
        return ask(self.web, method, target, *body, **more)


def no_socket(call: Call) -> Any:
    raise AssertionError("this call has no websocket")


async def no_websockets(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this is no websocket")


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


def everything(request: http.Request) -> Any:
    return {
        "method": request.method,
        "path": request.path,
        "body": request.body,
        "headers": request.headers,
        "query": request.query,
        "path_params": request.path_params,
        "remote_addr": request.remote_addr,
    }


def test_a_handler_sees_the_whole_request(handlers: Handlers) -> None:
    handlers.get("/a/{x}/{rest...}", everything, "POST")
    answer = handlers.ask(
        "POST",
        "/a/1%20%C3%A4/b/c?q=1&q=2&e=%20",
        b"one ",
        b"two",
        headers=[("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("cookie", "b=2")],
    )
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.json() == {
        "method": "POST",
        "path": "/a/1 ä/b/c",
        "body": "one two",
        "headers": {"x-a": "1, 2", "cookie": "a=1; b=2"},
        "query": {"q": "1", "e": " "},
        "path_params": {"x": "1 ä", "rest": "b/c"},
        "remote_addr": "192.0.2.7",
    }


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/", "root"),
        ("/users/me", "me"),
        ("/users/7", "user 7"),
        ("/files/", "file "),
        ("/files/a/b.txt", "file a/b.txt"),
        ("/a.b", "dot"),
        ("/users/7/", None),
        ("/users", None),
        ("/axb", None),
    ],
)
def test_the_first_route_that_fits_is_taken(handlers: Handlers, target: str, found: str | None) -> None:
    handlers.get("/", lambda request: "root")
    handlers.get("/users/me", lambda request: "me")
    handlers.get("/users/{id}", lambda request: f"user {request.path_params['id']}")
    handlers.get("/users/{name}", lambda request: "never")
    handlers.get("/files/{path...}", lambda request: f"file {request.path_params['path']}")
    handlers.get("/a.b", lambda request: "dot")
    answer = handlers.ask("GET", target)
    if found is None:
        assert (answer.status, answer.body) == (404, b"there is nothing at this path\n")
    else:
        assert (answer.status, answer.json()) == (200, found)


def test_other_methods_are_refused_with_all_that_there_are(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: 1)
    handlers.get("/a", lambda request: 2, "DELETE", "PUT")
    assert handlers.ask("PUT", "/a").json() == 2
    answer = handlers.ask("POST", "/a")
    assert (answer.status, answer.header("allow")) == (405, "DELETE, GET, HEAD, PUT")
    assert len(handlers.calls) == 1


def test_another_route_may_take_the_method_that_the_first_does_not(handlers: Handlers) -> None:
    handlers.get("/users/me", lambda request: "me", "POST")
    handlers.get("/users/{id}", lambda request: "some user")
    assert handlers.ask("GET", "/users/me").json() == "some user"


def test_head_is_a_get_without_its_body(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: request.method)
    answer = handlers.ask("HEAD", "/a")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "6")


def test_responses_of_every_kind(handlers: Handlers) -> None:
    handlers.get("/json", lambda request: http.json(201, [1]))
    handlers.get("/dict", lambda request: {"status": 418, "headers": {"X-Pot": "tea"}, "body": "short"})
    handlers.get("/none", lambda request: {"status": 204})
    handlers.get("/away", lambda request: http.redirect("/there"))

    async def later(request: http.Request) -> Any:
        return http.html("<p>later")

    handlers.get("/later", later)
    assert (handlers.ask("GET", "/json").status, handlers.ask("GET", "/json").body) == (201, b"[1]")
    answer = handlers.ask("GET", "/dict")
    assert (answer.status, answer.header("x-pot"), answer.body) == (418, "tea", b"short")
    assert handlers.ask("GET", "/none").headers == []
    assert handlers.ask("GET", "/away").header("location") == "/there"
    assert handlers.ask("GET", "/later").body == b"<p>later"


def test_middleware_runs_in_its_order_in_the_same_call_as_the_route(handlers: Handlers) -> None:
    seen: list[str] = []

    def note(name: str) -> Handle:
        def middleware(request: http.Request) -> None:
            seen.append(name)
            request.headers[f"x-{name}"] = "passed"

        return middleware

    handlers.middleware(note("one"))
    handlers.get("/a", everything)
    handlers.middleware(note("two"))
    assert handlers.ask("GET", "/a").json()["headers"] == {"x-one": "passed", "x-two": "passed"}
    assert seen == ["one", "two"]
    assert handlers.calls == [("GET /a", None)]


def test_middleware_may_answer_itself(handlers: Handlers, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    handlers.middleware(lambda request: None if "x-token" in request.headers else http.text(401, "no"))
    handlers.middleware(lambda request: None)
    handlers.get("/a", lambda request: "a")
    handlers.add(RouteKind.STATIC, "/files", None, directory=str(tmp_path))
    token = {"X-Token": "1"}
    for target, status in (("/a", 200), ("/nowhere", 404), ("/files/file", 200), ("/files/none", 404)):
        assert handlers.ask("GET", target).body == b"no"
        assert handlers.ask("GET", target, headers=token).status == status
    assert handlers.ask("POST", "/a").status == 401
    assert handlers.ask("POST", "/a", headers=token).status == 405


def test_a_handler_for_what_is_not_found(handlers: Handlers, tmp_path: Path) -> None:
    handlers.add(RouteKind.NOT_FOUND, "", lambda request: {"missing": request.path})
    handlers.add(RouteKind.STATIC, "/files", None, directory=str(tmp_path))
    handlers.get("/a", lambda request: {"status": 404})
    for target in ("/nowhere", "/files/none"):
        answer = handlers.ask("GET", target)
        assert (answer.status, answer.json()) == (404, {"missing": target})
    assert handlers.ask("GET", "/a").body == b""
    assert handlers.ask("PUT", "/a").status == 405


def test_a_handler_that_raises_shows_nothing_to_the_client(
    handlers: Handlers, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(request: http.Request) -> Any:
        raise ValueError("the password is tiger")

    handlers.get("/a", fail)
    answer = handlers.ask("GET", "/a?token=1")
    assert (answer.status, answer.body) == (500, b"the server has failed to answer this request\n")
    stderr = capsys.readouterr().err
    assert "error in GET /a, for GET '/a':" in stderr
    assert "the password is tiger" in stderr
    assert "token" not in stderr


def test_a_response_that_cannot_be_sent_is_the_handler_s_fault(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: {"a": {1}})
    handlers.get("/b", lambda request: b"x" * (2 << 20))
    handlers.get("/c", lambda request: http.Response(99))
    assert [handlers.ask("GET", target).status for target in ("/a", "/b", "/c")] == [500, 500, 500]


def test_a_body_that_is_no_json_is_the_client_s(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: request.json(), "POST")
    answer = handlers.ask("POST", "/a", b"{")
    assert answer.status == 400
    assert answer.body.startswith(b"the body is not JSON")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.TIMED_OUT, 504),
        (ErrorCode.WORKER_DIED, 502),
        (ErrorCode.OVERLOADED, 503),
        (ErrorCode.SHUTTING_DOWN, 503),
        (ErrorCode.INTERNAL_ERROR, 500),
        (7, 500),
    ],
)
def test_what_becomes_of_a_call_is_told_by_the_status(handlers: Handlers, code: int, status: int) -> None:
    def fail(request: http.Request) -> Any:
        raise RpcError(code, "inside")

    handlers.get("/a", fail)
    answer = handlers.ask("GET", "/a")
    assert answer.status == status
    assert b"inside" not in answer.body
    assert (answer.header("retry-after") is not None) == (status == 503)


def test_a_body_has_a_bound(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: len(request.raw), "POST")
    half = b"x" * (1 << 19)
    assert handlers.ask("POST", "/a", half, half).json() == 1 << 20
    answer = handlers.ask("POST", "/a", half, half, b"x", half)
    assert (answer.status, answer.header("connection")) == (413, "close")


def test_time_outs_are_the_route_s(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: 1, timeout=1.5)
    handlers.ask("GET", "/a")
    assert handlers.calls == [("GET /a", 1.5)]


def test_routes_below_a_root_path(handlers: Handlers) -> None:
    handlers.get("/a/{b}", everything)
    assert handlers.ask("GET", "/a/b", root_path="/mounted").json()["path_params"] == {"b": "b"}
    assert handlers.ask("GET", "/b", root_path="/mounted").status == 404


# Files


@pytest.fixture
def site(handlers: Handlers, tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "docs").mkdir(parents=True)
    (folder / "a.txt").write_text("0123456789")
    (folder / "docs" / "index.html").write_text("<p>index")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    handlers.add(RouteKind.STATIC, "/site", None, directory=str(folder))
    return folder


def test_files_with_their_types_and_ranges(handlers: Handlers, site: Path) -> None:
    answer = handlers.ask("GET", "/site/a.txt")
    assert (answer.status, answer.body, answer.header("content-type")) == (
        200,
        b"0123456789",
        "text/plain; charset=utf-8",
    )
    part = handlers.ask("GET", "/site/a.txt", headers={"Range": "bytes=2-4"})
    assert (part.status, part.body, part.header("content-range")) == (206, b"234", "bytes 2-4/10")
    assert handlers.ask("GET", "/site/a.txt", headers={"Range": "bytes=20-"}).status == 416
    head = handlers.ask("HEAD", "/site/a.txt")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", "10")


def test_files_that_a_client_has_are_not_sent_again(handlers: Handlers, site: Path) -> None:
    etag = handlers.ask("GET", "/site/a.txt").header("etag")
    assert etag
    assert handlers.ask("GET", "/site/a.txt", headers={"If-None-Match": etag}).status == 304


def test_a_folder_shows_its_index(handlers: Handlers, site: Path) -> None:
    assert handlers.ask("GET", "/site/docs/").body == b"<p>index"
    assert handlers.ask("GET", "/site/docs", headers={"Host": "h"}).header("location") == "http://h/site/docs/"


@pytest.mark.parametrize(
    "target",
    [
        "/site/../secret",
        "/site/%2e%2e/secret",
        "/site/..%2fsecret",
        "/site/docs/../../secret",
        "/site//etc/passwd",
        "/site/%2fetc%2fpasswd",
        "/site/link",
        "/site/circle",
        "/site/pipe",
        "/site/docs/..%00",
        "/site/none",
        "/site/",
        "/site",
        "/site/" + "x" * 5000,
        "/siteless",
    ],
)
def test_nothing_else_is_reached(handlers: Handlers, site: Path, target: str) -> None:
    assert handlers.ask("GET", target).status == 404


def test_files_are_read_only(handlers: Handlers, site: Path) -> None:
    answer = handlers.ask("POST", "/site/a.txt")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_routes_and_longer_paths_come_first(handlers: Handlers, site: Path) -> None:
    handlers.add(RouteKind.STATIC, "", None, directory=str(site.parent))
    handlers.get("/site/a.txt", lambda request: "route")
    assert handlers.ask("GET", "/site/a.txt").json() == "route"
    assert handlers.ask("GET", "/site/docs/").body == b"<p>index"
    assert handlers.ask("GET", "/secret").body == b"secret"


# Going away


def test_a_client_that_goes_away_takes_its_call_with_it(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: 1)
    cancelled: list[str] = []

    class Never(Handlers):
        async def call(self, kind: Kind, target: str, params: bytes, timeout: float | None = None) -> bytes:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(target)
                raise
            raise AssertionError

    messages = [{"type": "http.request"}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    web = Web(handlers.routes, Never(), no_websockets, 1)
    asyncio.run(web(make_scope("GET", "/a"), receive, send))
    assert (cancelled, sent) == (["GET /a"], [])


def test_a_client_that_goes_away_before_the_end_of_its_body_is_not_handled(handlers: Handlers) -> None:
    handlers.get("/a", lambda request: 1, "POST")
    messages = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    asyncio.run(handlers.web(make_scope("POST", "/a"), receive, receive))  # type: ignore[arg-type]
    assert handlers.calls == []


# Whatever comes

TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
PIECES = st.lists(st.binary(max_size=30), max_size=3)


@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "BREW"]),
    path=st.text(max_size=30).map(lambda text: f"/{text}") | st.sampled_from(["/json", "/x/{y}", "/site/a.txt"]),
    query=st.binary(max_size=30),
    headers=st.lists(st.tuples(TOKENS, st.text(st.characters(max_codepoint=255), max_size=20)), max_size=4),
    body=PIECES,
)
def test_no_client_can_cause_an_error_of_the_server(
    tmp_path_factory: pytest.TempPathFactory,
    method: str,
    path: str,
    query: bytes,
    headers: Sequence[tuple[str, str]],
    body: list[bytes],
) -> None:
    handlers = Handlers()
    handlers.get("/json", lambda request: request.json(), "POST", "GET")
    handlers.get("/x/{y}", everything, "GET", "PUT")
    handlers.get("/away/{to...}", lambda request: http.redirect(request.path_params["to"]))
    handlers.add(RouteKind.STATIC, "/site", None, directory=str(tmp_path_factory.getbasetemp()))
    scope = make_scope(method, "/") | {"path": path, "query_string": query}
    scope["headers"] = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope["headers"] += [(b"range", b"bytes=1-")]
    answer = asyncio.run(exchange(handlers.web, scope, *body))
    assert answer.status < 500
