"""A host: numbers its requests, gathers the answers, answers callbacks, and keeps count of what is owed."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from tests.wire.program import DEADLINE
from tests.wire.transport import Transport
from tests.wire.values import CallFailedError, Raw, Remote, from_wire, to_reference, to_wire

Json = dict[str, Any]


class Host:
    """One host of a plugin.

    Callbacks are answered on threads of their own, so that they may call the plugin again.

    :ivar questions: requests of the plugin that no function of this host answers, in the order in which they came
    :ivar anonymous: answers with id null
    :ivar arrays: answers to batches
    :ivar among_strangers: set if ids may be answered that are not owed, because more is sent than is counted
    :ivar lines: every message of the plugin as it came, if ``keep_lines`` was set
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.keep_lines = False
        self.among_strangers = False
        self.lines: list[bytes] = []
        self.questions: list[Json] = []
        self.notifications: list[Json] = []
        self.anonymous: list[Json] = []
        self.arrays: list[list[Json]] = []
        self._functions: dict[str, Callable[..., Any]] = {}
        self._ids = itertools.count(1)
        self._names = itertools.count(1)
        self._owed: set[str] = set()
        self._answers: dict[str, Json] = {}
        self._counts: Counter[str] = Counter()
        self._faults: list[str] = []
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self.ended = False
        self._reader = threading.Thread(target=self._read, name="host", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._reader.start()

    def join(self) -> None:
        """Wait for the last message, if anybody listens."""
        if self._reader.ident is not None:
            self._reader.join(DEADLINE)

    # Sending

    def send(self, message: Any) -> None:
        """Send any JSON-able message; nothing is expected of it."""
        self.send_raw(json.dumps(message).encode())

    def send_raw(self, text: bytes) -> None:
        """Send any text."""
        with self._sending:
            self.transport.send(text)

    def new_request(self, method: str, params: Any = None) -> Json:
        """Return a request with an id of its own, which is owed an answer from now on."""
        message: Json = {"jsonrpc": "2.0", "id": next(self._ids), "method": method}
        if params is not None:
            message["params"] = params
        with self._news:
            self._owed.add(json.dumps(message["id"]))
        return message

    def request(self, method: str, params: Any = None) -> Any:
        """Send a request, and return its id."""
        message = self.new_request(method, params)
        self.send(message)
        return message["id"]

    def expect(self, *ids: Any) -> None:
        """Note that messages sent by hand are owed exactly one answer under each of these ids."""
        with self._news:
            self._owed.update(json.dumps(each) for each in ids)

    def call_params(self, name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Json:
        """Return the params of ``function.call``."""
        return {"name": name, **self.arguments(args, kwargs)}

    def arguments(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Json:
        """Return the members that carry arguments; empty ones are left out, as hosts do."""
        found: Json = {}
        if values := [self.wire(value) for value in args]:
            found["args"] = values
        if named := {key: self.wire(value) for key, value in kwargs.items()}:
            found["kwargs"] = named
        return found

    def wire(self, value: Any) -> Any:
        """Return a value's wire form; functions get an id that this host answers to."""
        return to_wire(value, self._name)

    def _name(self, function: Callable[..., Any]) -> str:
        name = f"cb-{next(self._names)}"
        self._functions[name] = function
        return name

    def begin(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function without waiting, and return the id of the call."""
        return self.request("function.call", self.call_params(name, args, kwargs))

    def enter(self, name: str, *args: Any) -> Any:
        """Call a function that calls its first argument at once; return when it has, and nothing is to be sent."""
        by_hand = Raw({"type": "callback", "callback": {"id": "enter"}})
        known = len(self.questions)
        id = self.begin(name, by_hand, *args)
        self.reply(self.question(known), None)
        return id

    def begin_many(self, calls: Iterable[tuple[str, list[Any]]]) -> list[Any]:
        """Call many functions with one write."""
        messages = [self.new_request("function.call", self.call_params(name, args, {})) for name, args in calls]
        self.send_raw(b"\n".join(json.dumps(message).encode() for message in messages))
        return [message["id"] for message in messages]

    def begin_method(self, target: Remote, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method without waiting."""
        params = {"object_id": target.id, "method": method, **self.arguments(args, kwargs)}
        return self.request("object.call_method", params)

    # Waiting

    def answer(self, id: Any, deadline: float = DEADLINE) -> Json:
        """Wait for the answer to a request."""
        key = json.dumps(id)
        self.wait_for(lambda: key in self._answers or self.ended, deadline, f"an answer to {id!r}")
        assert key in self._answers, f"the program has ended without an answer to {id!r}"
        return self._answers[key]

    def latest(self, number: int) -> list[Json]:
        """Return the answers that came last."""
        with self._news:
            return list(itertools.islice(reversed(self._answers.values()), number))

    def answered(self, id: Any) -> bool:
        """Whether a request has its answer already."""
        with self._news:
            return json.dumps(id) in self._answers

    def result(self, id: Any, deadline: float = DEADLINE) -> Any:
        """Wait for the result of a request, whatever it is.

        :raises CallFailedError: it is an error
        """
        answer = self.answer(id, deadline)
        if "error" in answer:
            raise CallFailedError(answer["error"])
        return answer["result"]

    def value(self, id: Any, deadline: float = DEADLINE) -> Any:
        """Wait for the value that a call returned."""
        return from_wire(self.result(id, deadline))

    def failure(self, id: Any, deadline: float = DEADLINE) -> CallFailedError:
        """Wait for the error that a request is answered with."""
        answer = self.answer(id, deadline)
        assert "error" in answer, f"no error: {str(answer)[:500]}"
        return CallFailedError(answer["error"])

    def wait_for(self, condition: Callable[[], bool], deadline: float, what: str) -> None:
        """Wait until something holds, looking at every message that comes."""
        with self._news:
            assert self._news.wait_for(condition, deadline), f"{what} did not come within {deadline} s"

    def question(self, number: int = 0, deadline: float = DEADLINE) -> Json:
        """Wait for a request of the plugin that only the test itself answers; the first is number 0."""
        self.wait_for(lambda: len(self.questions) > number, deadline, f"request {number} of the plugin")
        return self.questions[number]

    def wait_for_end(self, deadline: float = DEADLINE) -> None:
        """Wait until the program has closed its side."""
        self.wait_for(lambda: self.ended, deadline, "the end of the stream")

    # All in one

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function and return its value."""
        return self.value(self.begin(name, *args, **kwargs))

    def new(self, class_name: str, *args: Any, **kwargs: Any) -> Remote:
        """Make an object."""
        params = {"class": class_name, **self.arguments(args, kwargs)}
        return to_reference(self.result(self.request("object.new", params)))

    def method(self, target: Remote, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method and return its value."""
        return self.value(self.begin_method(target, method, *args, **kwargs))

    def destroy(self, target: Remote, deadline: float = DEADLINE) -> None:
        """Destroy an object."""
        assert self.result(self.request("object.destroy", {"object_id": target.id}), deadline) is None

    def handshake(self, *capabilities: str) -> Json:
        """Shake hands as Go hosts do."""
        params = {
            "protocol": "1.0",
            "host": "wire",
            "host_version": "1",
            "transports": ["json"],
            "capabilities": ["remote_objects", *capabilities],
        }
        result: Json = self.result(self.request("scriptling.handshake", params))
        return result

    def batch(self, messages: list[Any]) -> list[Json]:
        """Send an array, and return the array that answers it."""
        known = len(self.arrays)
        self.send(messages)
        self.wait_for(lambda: len(self.arrays) > known, DEADLINE, "an array of answers")
        return self.arrays[known]

    # Receiving

    def _read(self) -> None:
        try:
            while (line := self.transport.receive()) is not None:
                self._receive(line)
        except Exception as error:
            self._faults.append(repr(error))
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _receive(self, line: bytes) -> None:
        try:
            message = json.loads(line, parse_int=whole, parse_constant=_refuse)
        except ValueError as error:
            self._faults.append(f"no JSON on stdout ({error}): {line[:200]!r}")
            return
        with self._news:
            if self.keep_lines:
                self.lines.append(line)
            self._sort(message)
            self._news.notify_all()

    def _sort(self, message: Any) -> None:
        items = message if isinstance(message, list) else [message]
        if isinstance(message, list):
            self.arrays.append(message)
        for item in items:
            if not isinstance(item, dict) or item.get("jsonrpc") != "2.0":
                self._faults.append(f"no message of JSON-RPC 2.0: {str(item)[:200]}")
            elif "method" in item:
                self._take_request(item)
            else:
                self._take_answer(item)

    def _take_answer(self, item: Json) -> None:
        if set(item) not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}):
            self._faults.append(f"an answer with other members: {str(item)[:200]}")
            return
        key = json.dumps(item["id"])
        self._counts[key] += 1
        self._answers[key] = item
        if item["id"] is None:
            self.anonymous.append(item)

    def _take_request(self, item: Json) -> None:
        if "id" not in item:
            self.notifications.append(item)
            return
        params = item.get("params") or {}
        function = self._functions.get(str(params.get("id"))) if item["method"] == "callback.call" else None
        if function is None:
            self.questions.append(item)
        else:
            threading.Thread(target=self._serve, args=(item, function), name="callback", daemon=True).start()

    def _serve(self, item: Json, function: Callable[..., Any]) -> None:
        params = item["params"]
        args = [from_wire(each) for each in params.get("args") or []]
        kwargs = {key: from_wire(each) for key, each in (params.get("kwargs") or {}).items()}
        try:
            answer = {"result": self.wire(function(*args, **kwargs))}
        except Exception as error:
            answer = {"error": {"code": -32000, "message": str(error)}}
        with suppress(OSError, ValueError):  # the test has ended the input meanwhile
            self.send({"jsonrpc": "2.0", "id": item["id"], **answer})

    def reply(self, question: Json, value: Any) -> None:
        """Answer a request of the plugin."""
        self.send({"jsonrpc": "2.0", "id": question["id"], "result": self.wire(value)})

    def reply_error(self, question: Json, message: str, code: int = -32000) -> None:
        """Answer a request of the plugin with an error."""
        self.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": code, "message": message}})

    # The count

    def forgive(self) -> None:
        """Demand no more answers: the program was killed, or the test has looked at all of them itself."""
        with self._news:
            self._owed.clear()
            self._counts.clear()

    def strangers(self) -> Counter[str]:
        """Forget the ids (as JSON text) that were answered and not owed; return how often each of them was."""
        with self._news:
            found = Counter({id: count for id, count in self._counts.items() if id not in self._owed and id != "null"})
            for id in found:
                del self._counts[id], self._answers[id]
        return found

    def check(self, deadline: float = DEADLINE) -> None:
        """Hold that every request has had exactly one answer, and that nothing else came."""
        self.wait_for(lambda: self.ended or self._owed <= self._counts.keys(), deadline, "the last answer")
        missing = sorted(self._owed - self._counts.keys())
        assert not missing, f"{len(missing)} requests were never answered, such as {missing[:5]}"
        if self.among_strangers:
            self.strangers()
        twice = [id for id, count in self._counts.items() if count > 1 and id != "null"]
        assert not twice, f"answered more than once: {twice[:5]}"
        strange = sorted(self._counts.keys() - self._owed - {"null"})
        assert not strange, f"answers to what was never asked: {strange[:5]}"
        assert not self._faults, self._faults[:3]


def whole(text: str) -> int | str:
    """Return an integer, or the text of one that is too long for Python to read."""
    return int(text) if len(text) < 4_000 else text


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
