"""Requests as calls of the pool: accepted, answered, refused, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.settings import Settings
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Flag, Kind
from workers.front_end.life import Life
from workers.front_end.owners import SHARED
from workers.web.pool import WebPool


class Serving:
    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(call_timeout=7.0, **settings)
        self.dispatcher = Dispatcher(10)
        self.life = Life(self.settings, self.dispatcher, lambda: 0.0, lambda: None)
        self.wakes = 0
        self.pool = WebPool(self.life, self.dispatcher, self.settings, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def call(self, timeout: float | None = None) -> Coroutine[Any, Any, bytes]:
        return self.pool.call(Kind.HTTP, "GET /a", b"params", timeout)

    async def begin(self, timeout: float | None = None) -> tuple[asyncio.Task[bytes], Ticket]:
        task = asyncio.create_task(self.call(timeout))
        await asyncio.sleep(0)
        return task, self.dispatcher.queue[-1]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_a_request_is_a_call_that_is_answered() -> None:
    async def test() -> None:
        serving = Serving()
        task, ticket = await serving.begin()
        assert (ticket.kind, ticket.target, ticket.params, ticket.timeout) == (Kind.HTTP, "GET /a", b"params", 7.0)
        assert (ticket.caller.session, ticket.flags) == (SHARED, Flag.LEASED)
        assert serving.wakes == 1
        ticket.caller.answer(ticket, False, b"answer")
        assert await task == b"answer"

    run(test())


def test_time_outs_of_its_own() -> None:
    async def test() -> None:
        serving = Serving()
        task, ticket = await serving.begin(1.5)
        assert ticket.timeout == 1.5
        task.cancel()

    run(test())


def test_a_failure_is_raised() -> None:
    async def test() -> None:
        task, ticket = await Serving().begin()
        error = RpcError(ErrorCode.TIMED_OUT, "too late", {"traceback": "…"})
        ticket.caller.answer(ticket, True, encode_error_object(error))
        with pytest.raises(RpcError, match="too late") as caught:
            await task
        assert caught.value.code == ErrorCode.TIMED_OUT

    run(test())


def test_a_request_that_nobody_waits_for_is_taken_back() -> None:
    async def test() -> None:
        serving = Serving()
        task, _ = await serving.begin()
        other, ticket = await serving.begin()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [*serving.dispatcher.queue] == [ticket]
        other.cancel()

    run(test())


def test_no_request_is_taken_beyond_the_queue() -> None:
    async def test() -> None:
        serving = Serving(max_queue=1)
        task, _ = await serving.begin()
        with pytest.raises(RpcError) as caught:
            await serving.call()
        assert caught.value.code == ErrorCode.OVERLOADED
        task.cancel()

    run(test())


def test_no_request_is_taken_at_the_end() -> None:
    async def test() -> None:
        serving = Serving()
        serving.life.begin_ending()
        with pytest.raises(RpcError) as caught:
            await serving.call()
        assert caught.value.code == ErrorCode.SHUTTING_DOWN

    run(test())
