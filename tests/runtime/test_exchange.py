"""What a handler may return, what becomes of it, and what a request tells."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scriptling.runtime.exchange import (
    BadRequest,
    Request,
    Response,
    encode_response,
    html,
    json,
    parse_query,
    redirect,
    text,
)

JSON = ("content-type", "application/json")
TEXT = ("content-type", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("returned", "status", "headers", "body"),
    [
        (None, 200, [JSON], b"null"),
        ("words", 200, [JSON], b'"words"'),
        ({"a": (1, None)}, 200, [JSON], b'{"a":[1,null]}'),
        ({"status": "ok"}, 200, [JSON], b'{"status":"ok"}'),
        ({"status": 200, "more": 1}, 200, [JSON], b'{"status":200,"more":1}'),
        ({"status": 201}, 201, [], b""),
        ({"status": 201, "body": "made"}, 201, [TEXT], b"made"),
        ({"status": 200, "headers": {"Content-Type": "application/json"}, "body": "[1, 2]"}, 200, [JSON], b"[1, 2]"),
        ({"status": 200, "body": {"a": 1}}, 200, [JSON], b'{"a":1}'),
        ({"status": 200, "body": b"\xff"}, 200, [("content-type", "application/octet-stream")], b"\xff"),
        ({"status": 204, "body": "nothing"}, 204, [], b""),
        (json([1]), 200, [JSON], b"[1]"),
        (json("words"), 200, [JSON], b'"words"'),
        (json(201, {"id": 1}), 201, [JSON], b'{"id":1}'),
        (json({"id": 1}, headers={"X-Id": "1"}), 200, [JSON, ("x-id", "1")], b'{"id":1}'),
        (text("words"), 200, [TEXT], b"words"),
        (text(404, "nothing"), 404, [TEXT], b"nothing"),
        (html(500, "<p>ä"), 500, [("content-type", "text/html; charset=utf-8")], "<p>ä".encode()),
        (text("a", headers={"Content-Type": "text/csv"}), 200, [("content-type", "text/csv")], b"a"),
        (redirect("/there"), 302, [("location", "/there")], b""),
        (redirect("/a b?c=ä\r\nX: 1", 308), 308, [("location", "/a%20b?c=%C3%A4%0D%0AX:%201")], b""),
        (Response(200, {"Set-Cookie": ["a=1", "b=2"]}), 200, [("set-cookie", "a=1"), ("set-cookie", "b=2")], b""),
        (Response(200, {"Content-Length": "7", "Connection": "close"}, "x"), 200, [TEXT], b"x"),
        (Response(body=memoryview(b"x")), 200, [("content-type", "application/octet-stream")], b"x"),
    ],
)  # fmt: skip
def test_what_is_returned_is_sent(returned: Any, status: int, headers: list[Any], body: bytes) -> None:
    encoded = encode_response(returned)
    assert (encoded.status, encoded.headers, encoded.body) == (status, headers, body)


def test_plain_data_may_have_another_status() -> None:
    assert encode_response({"why": 1}, 404).status == 404
    assert encode_response(json({"why": 1}), 404).status == 200


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"a": math.nan}, r"the float nan at response\['a'\]"),
        ({"status": 200, "body": {"a": {1}}}, r"cannot send set at body\['a'\]"),
        (Response(100), "from 200 to 599, not 100"),
        (Response("200"), "from 200 to 599, not '200'"),  # type: ignore[arg-type]
        (Response(True), "not True"),
        (Response(200, {"X-A": "1\r\nX-B: 2"}), "X-A cannot have the value"),
        (Response(200, {"X-A": "\u20ac"}), "Latin-1"),
        (Response(200, {"X A": "1"}), "'X A' is no name of a header"),
        ({"status": 200, "headers": [1]}, "must be a dict, not list"),
    ],
)
def test_what_cannot_be_sent_is_an_error(returned: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        encode_response(returned)


def test_helpers_take_one_or_two_arguments() -> None:
    with pytest.raises(TypeError, match="not 3 arguments"):
        json(1, 2, 3)
    with pytest.raises(TypeError, match="not 0 arguments"):
        text()


def test_a_value_that_is_no_json_fails_where_it_is_given() -> None:
    with pytest.raises(TypeError, match=r"cannot send set at data\[0\]"):
        json([{1}])


def test_queries() -> None:
    query = parse_query("?a=1&b=&a=2&c=%C3%A4+x&d")
    assert query == {"a": "1", "b": "", "c": "ä x", "d": ""}
    assert query.all("a") == ["1", "2"]
    assert query.all("z") == []
    assert parse_query("") == {}


def test_bodies_as_text_bytes_and_json() -> None:
    request = Request("POST", "/", '{"a": "ä"}'.encode())
    assert (request.body, request.raw, request.json()) == ('{"a": "ä"}', '{"a": "ä"}'.encode(), {"a": "ä"})
    assert Request("POST", "/", b"a\xff").body == "a\ufffd"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[" * 200 + b"]" * 200])
def test_a_body_that_is_no_json_is_the_client_s_fault(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body"):
        Request("POST", "/", body).json()
