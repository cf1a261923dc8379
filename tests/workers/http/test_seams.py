"""What is taken of uvicorn that it does not promise: a version without it fails here, not at a client's request."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from workers.http.protocol import Protocol
from workers.http.websocket_protocol import WebSocketProtocol

OWN = {"count_unread", "look", "refuse"}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Protocol, HttpToolsProtocol), (WebSocketProtocol, WebSocketsSansIOProtocol)]
)
def test_every_public_method_of_ours_takes_the_place_of_one(ours: type, theirs: type) -> None:
    methods = {name for name, value in vars(ours).items() if callable(value) and not name.startswith("_")}
    assert {name for name in methods - OWN if not hasattr(theirs, name)} == set()


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        (HttpToolsProtocol, {"_start_asgi_task": ["self", "cycle", "app"], "_should_upgrade": ["self"]}),
        (HttpToolsProtocol, {"send_400_response": ["self", "msg"], "on_response_complete": ["self"]}),
        (WebSocketsSansIOProtocol, {"schedule_ping": ["self"], "keepalive_timeout": ["self"]}),
    ],
)
def test_what_is_called_is_called_as_before(theirs: type, names: dict[str, list[str]]) -> None:
    assert {name: [*signature(getattr(theirs, name)).parameters] for name in names} == names


@pytest.mark.parametrize(
    ("theirs", "attributes"),
    [
        (HttpToolsProtocol, {"connections", "cycle", "flow", "headers", "parser", "pipeline", "server_state"}),
        (
            RequestResponseCycle,
            {"body", "default_headers", "keep_alive", "more_body", "response_complete", "response_started", "scope"},
        ),
    ],
)
def test_what_is_read_is_set(theirs: Any, attributes: set[str]) -> None:
    assert attributes <= {*theirs.__init__.__code__.co_names}
