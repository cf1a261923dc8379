"""A running call asks the host or the store and gets the answer; once it is over it can ask nothing."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from scriptling.errors import PluginCallError, PluginTimeout, RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.protocol.values import RemoteRef, Undecodable, Unsendable
from tests.workers.fakes import PATIENCE, next_message
from workers import frames
from workers.children.asking import Asker, Scope, scope_of_script
from workers.frames import Answer, Ask, Call, Flag, Kind, Want
from workers.sockets import Hub, Line, RunFolder

ONE = b'{"type":"int","value":1}'
Reply = Callable[[Ask], Answer]


class NoObjects:
    """A process that knows no instances."""

    def resolve(self, scope: Scope, reference: RemoteRef) -> Any:
        return reference.id

    def reference(self, scope: Scope, value: Any) -> dict[str, Any] | None:
        return None


class RecordedScope(Scope):
    """Writes down when its call begins to wait and when it goes on."""

    def __init__(self, call: Call, steps: list[str]) -> None:
        super().__init__(call)
        self._steps = steps

    def pause(self, parks: bool) -> None:
        self._steps.append("pause")

    def resume(self, parks: bool) -> None:
        self._steps.append("resume")


class Setting:
    """An asker, and a front-end that answers as the test says."""

    def __init__(self, hub: Hub, line: Line) -> None:
        self.asker = Asker(line, "worker-1", "key", 128)
        self.asker.objects = NoObjects()
        self.asked: list[Ask] = []
        self.steps: list[str] = []
        self._hub = hub
        self._replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def scope(self, flags: int = Flag.CALLBACKS) -> Scope:
        call = Call(7, Kind.FUNCTION, "f", "", b"{}", flags, 1, 0.0)
        return RecordedScope(call, self.steps)

    def will_answer(self, payload: bytes = ONE, failed: bool = False) -> None:
        self._replies.put(lambda ask: Answer(failed, payload))

    def will_fail(self, error: RpcError) -> None:
        self.will_answer(encode_error_object(error), failed=True)

    def _answer(self) -> None:
        while (reply := self._replies.get()) is not None:
            route, frame = next_message(self._hub.relay)
            ask = frames.decode_from_relay(frame)
            assert isinstance(ask, Ask)
            self.asked.append(ask)
            self._hub.relay.send(route, frames.encode(reply(ask)))

    def close(self) -> None:
        self._replies.put(None)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def setting() -> Iterator[Setting]:
    folder = RunFolder()
    hub = Hub(folder.path)
    line = Line(hub.doors, b"worker-1:key")
    made = Setting(hub, line)
    yield made
    made.close()
    line.context.destroy(linger=0)
    hub.close()
    folder.remove()


def test_a_callback_is_called_with_values_and_returns_one(setting: Setting) -> None:
    setting.will_answer()
    callback = setting.asker.make_callback(setting.scope(), "cb-1")
    assert callback(2, key="x") == 1
    (ask,) = setting.asked
    assert (ask.key, ask.child, ask.seq, ask.kind, ask.target) == ("key", "worker-1", 7, Want.CALLBACK, "cb-1")
    assert json.loads(ask.params) == {
        "id": "cb-1",
        "args": [{"type": "int", "value": 2}],
        "kwargs": {"key": {"type": "string", "value": "x"}},
    }
    assert repr(callback) == "<callback cb-1>"


def test_a_method_of_an_object_is_called_likewise(setting: Setting) -> None:
    setting.will_answer()
    assert setting.asker.method(setting.scope(), "1.abc", "get", (), {}) == 1
    (ask,) = setting.asked
    assert (ask.kind, ask.target, ask.method) == (Want.METHOD, "1.abc", "get")
    assert json.loads(ask.params) == {"object_id": "1.abc", "method": "get"}


def test_whoever_runs_the_call_knows_that_it_waits(setting: Setting) -> None:
    setting.will_answer()
    setting.asker.make_callback(setting.scope(), "cb-1")()
    assert setting.steps == ["pause", "resume"]


def test_errors_are_raised_with_the_hosts_message_and_kind(setting: Setting) -> None:
    callback = setting.asker.make_callback(setting.scope(), "cb-1")
    setting.will_fail(RpcError(-32000, "bad thing", {"type": "KeyError"}))
    with pytest.raises(PluginCallError, match="bad thing") as caught:
        callback()
    assert caught.value.remote_type == "KeyError"
    setting.will_fail(RpcError(-32002, "too late"))
    with pytest.raises(PluginTimeout, match="too late"):
        callback()
    assert setting.steps == ["pause", "resume"] * 2


def test_what_is_shared_is_asked_for_by_the_call_that_runs(setting: Setting) -> None:
    setting.asker.enter(setting.scope())
    setting.will_answer(b"payload")
    assert setting.asker.ask_others("sync", "jobs", "queue.get", b"params", 2.5) == b"payload"
    (ask,) = setting.asked
    assert (ask.seq, ask.kind, ask.target, ask.method) == (7, Want.SYNC, "jobs", "queue.get")
    assert (ask.params, ask.patience) == (b"params", 2.5)


def test_threads_that_run_no_call_ask_for_what_their_process_says(setting: Setting) -> None:
    with pytest.raises(PluginCallError, match="by a call that runs"):
        setting.asker.ask_others("sync", "jobs", "queue.get", b"", None)
    setting.asker.elsewhere = scope_of_script()
    setting.will_answer(b"payload")
    assert setting.asker.ask_others("sync", "jobs", "queue.get", b"", None) == b"payload"
    assert setting.asked[0].seq == 0


def test_a_callback_whose_call_is_over_asks_nobody(setting: Setting) -> None:
    scope = setting.scope()
    callback = setting.asker.make_callback(scope, "cb-1")
    scope.active = False
    with pytest.raises(PluginCallError, match="is not attached to an active plugin call"):
        callback()
    assert setting.asked == []


def test_what_cannot_be_sent_asks_nobody(setting: Setting) -> None:
    callback = setting.asker.make_callback(setting.scope(), "cb-1")
    with pytest.raises(Unsendable):
        callback(object())
    with pytest.raises(Unsendable):
        callback(2**70)
    assert setting.asked == []


def test_large_integers_go_to_hosts_that_take_them(setting: Setting) -> None:
    setting.will_answer()
    setting.asker.make_callback(setting.scope(Flag.CALLBACKS | Flag.BIG_INTEGERS), "cb-1")(2**70)
    assert json.loads(setting.asked[0].params)["args"] == [{"type": "int", "value": 2**70}]


def test_an_answer_that_is_no_value_is_an_error(setting: Setting) -> None:
    setting.will_answer(b'{"type":"strange"}')
    with pytest.raises(Undecodable):
        setting.asker.make_callback(setting.scope(), "cb-1")()


def test_without_a_way_back_there_are_no_callbacks(setting: Setting) -> None:
    with pytest.raises(Undecodable, match="callbacks are not supported over http json-rpc transport"):
        setting.asker.make_callback(setting.scope(0), "cb-1")


def test_callbacks_and_objects_are_found_anywhere_in_arguments(setting: Setting) -> None:
    setting.will_answer()
    nested = {
        "type": "list",
        "items": [
            {"type": "callback", "callback": {"id": "cb-9"}},
            {"type": "remote", "remote": {"library": "l", "class": "C", "id": "1.x"}},
        ],
    }
    callback, instance = setting.asker.decoder(setting.scope()).decode(msgspec.json.encode(nested))
    assert instance == "1.x"
    assert callback() == 1
    assert setting.asked[0].target == "cb-9"


def test_threads_of_one_call_get_their_own_answers(setting: Setting) -> None:
    scope = setting.scope()
    results: dict[int, Any] = {}

    def ask(number: int) -> None:
        results[number] = setting.asker.callback(scope, f"cb-{number}", (), {})
        setting.asker._local.socket.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for _ in threads:
        setting._replies.put(lambda ask: Answer(False, b'{"type":"string","value":"%b"}' % ask.target.encode()))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == {number: f"cb-{number}" for number in range(8)}
