"""A plugin written by hand, sharing no code with the client: each request runs in a thread of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

SCHEMA: dict[str, Any] = {
    "functions": [
        {
            "name": "add",
            "description": "Return the sum.",
            "signature": {
                "parameters": [
                    {"name": "a", "annotation": "int"},
                    {"name": "b", "kind": "positional_or_keyword", "default": "2"},
                    {"name": "exact", "kind": "keyword_only", "default": "True"},
                ],
                "returns": "int",
            },
        },
        {"name": "echo"},
        {"name": "odd", "signature": {"parameters": [{"name": "x", "kind": "no such kind"}]}},
        {
            "name": "twice",
            "source": "def twice(n):\n    return scriptling.plugin.call_function('plugin.fake', 'add', n, n)\n",
        },
    ],
    "classes": [
        {
            "name": "Counter",
            "description": "Counts.",
            "constructor": {"name": "Counter", "signature": {"parameters": [{"name": "start", "default": "0"}]}},
            "methods": [
                {"name": "inc", "description": "Add.", "signature": {"parameters": [{"name": "by", "default": "1"}]}},
                {"name": "each"},
                {"name": "me"},
            ],
            "properties": [
                {"name": "value", "description": "The count.", "settable": True},
                {"name": "fixed"},
            ],
        },
        {
            "name": "Wrapped",
            "source": "class Wrapped:\n    def __init__(self):\n        self.sum = twice(21)\n",
        },
    ],
    "constants": [
        {"name": "VERSION", "value": {"type": "string", "value": "1.0.0"}},
        {"name": "TABLE", "value": {"type": "dict", "entries": {"a": {"type": "list"}}}},
    ],
}


class Callback:
    def __init__(self, id: str) -> None:
        self.id = id

    def __call__(self, *args: Any) -> Any:
        return ask("callback.call", {"id": self.id, "args": [wire(value) for value in args]})


class Failure(Exception):  # noqa: N818
    """What is answered with an error, and its data."""

    data: Any = None


class Counter:
    fixed = 7

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def inc(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def each(self, fn: Callback) -> list[Any]:
        return [fn(number) for number in range(self.value)]

    def me(self) -> "Counter":
        return self


objects: dict[str, Counter] = {}
destroyed: list[str] = []
waiting: dict[int, list[Any]] = {}
gates: dict[str, threading.Event] = {}
seen: list[Any] = []
lock = threading.RLock()
numbers = iter(range(1, 1 << 62))


def gate(name: str) -> threading.Event:
    with lock:
        return gates.setdefault(name, threading.Event())


def send(message: Any) -> None:
    with lock:
        sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
        sys.stdout.buffer.flush()


def ask(method: str, params: dict[str, Any]) -> Any:
    with lock:
        id = next(numbers)
        answer: list[Any] = [threading.Event(), None]
        waiting[id] = answer
    send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    answer[0].wait()
    if "error" in answer[1]:
        raise Failure(answer[1]["error"]["message"])
    return python(answer[1].get("result") or {})


def wire(value: Any) -> dict[str, Any]:
    if value is None:
        return {"type": "null"}
    if isinstance(value, Counter):
        id = next(id for id, known in objects.items() if known is value)
        return {"type": "remote", "remote": {"library": "fake", "class": "Counter", "id": id}}
    if isinstance(value, list):
        return {"type": "list", "items": [wire(item) for item in value]}
    if isinstance(value, dict):
        return {"type": "dict", "entries": {key: wire(item) for key, item in value.items()}}
    kinds = {bool: "bool", int: "int", float: "float", str: "string"}
    return {"type": kinds[type(value)], "value": value}


def python(value: dict[str, Any]) -> Any:
    kind = value.get("type", "null")
    if kind == "callback":
        return Callback(value["callback"]["id"])
    if kind == "remote":
        return objects[value["remote"]["id"]]
    if kind == "list":
        return [python(item) for item in value.get("items", [])]
    if kind == "dict":
        return {key: python(item) for key, item in value.get("entries", {}).items()}
    return value.get("value")


class Functions:
    kept: Callback

    def add(self, a: Any, b: Any = 2, exact: bool = True) -> Any:
        return a + b

    def echo(self, value: Any = None) -> Any:
        return value

    def everything(self, *args: Any, **kwargs: Any) -> Any:
        return {"args": list(args), "kwargs": kwargs}

    def boom(self, text: str, kind: str = "ValueError") -> None:
        error = Failure(text)
        error.data = {"type": kind, "traceback": "Traceback of the plugin"}
        raise error

    def apply(self, fn: Callback, items: list[Any]) -> list[Any]:
        return [fn(item) for item in items]

    def both(self, first: Callback, second: Callback) -> dict[str, Any]:
        """Call two functions at once."""
        results: dict[str, Any] = {}

        def put(key: str, fn: Callback) -> None:
            results[key] = fn(key)

        threads = [threading.Thread(target=put, args=(key, fn)) for key, fn in (("first", first), ("second", second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def keep(self, fn: Callback) -> None:
        self.kept = fn

    def call_kept(self) -> Any:
        return self.kept(1)

    def ask_in_background(self, fn: Callback) -> None:
        """Call back, and return before the answer is there."""

        def work() -> None:
            try:
                seen.append(fn(1))
            except Failure as error:
                seen.append(str(error))
            gate("seen").set()

        threading.Thread(target=work).start()

    def what_was_seen(self) -> list[Any]:
        gate("seen").wait()
        return seen

    def pass_gate(self, name: str) -> str:
        gate(name + " reached").set()
        gate(name).wait()
        return name

    def wait_until_reached(self, name: str) -> None:
        gate(name + " reached").wait()

    def call_nested(self, value: Any) -> Any:
        return value["deep"][0](5)

    def open_gate(self, name: str) -> None:
        gate(name + " reached").wait()
        gate(name).set()

    def log(self, level: str, message: str, *pairs: Any) -> None:
        ask("host.log", {"level": level, "message": message, "args": [wire(value) for value in pairs]})

    def ask(self, method: str) -> Any:
        return ask(method, {})

    def write_stderr(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def stubborn(self, fn: Callback) -> None:
        """Say so to the host, and go on until the process is killed; the end of the input does not end it."""
        staying.set()
        with contextlib.suppress(Failure):  # the host was interrupted at once
            fn("stubborn")
        threading.Event().wait()

    def exit(self, status: int) -> None:
        os._exit(status)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def close_stdout(self) -> None:
        os.close(1)
        threading.Event().wait()

    def exit_leaving_child(self) -> None:
        subprocess.Popen(["sleep", "30"], stderr=subprocess.DEVNULL)
        os._exit(4)

    def garbage(self) -> None:
        with lock:
            sys.stdout.write("this is no JSON\n")
            sys.stdout.flush()
        threading.Event().wait()

    def unknown_id(self) -> None:
        send({"jsonrpc": "2.0", "id": 987654, "result": {"type": "null"}})
        threading.Event().wait()

    def null_id_error(self) -> None:
        send({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "what?"}})
        threading.Event().wait()

    def strange_value(self) -> None:
        return None

    def make(self) -> Counter:
        with lock:
            id = f"made-{next(numbers)}"
            objects[id] = Counter()
        return objects[id]

    def is_same(self, one: Any, other: Any) -> bool:
        return one is other

    def destroyed(self, count: int) -> list[str]:
        with changed:
            changed.wait_for(lambda: len(destroyed) >= count)
        return sorted(destroyed)

    def pid(self) -> int:
        return os.getpid()


staying = threading.Event()
functions = Functions()
changed = threading.Condition(lock)


def arguments(params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    args = [python(value) for value in params.get("args") or []]
    return args, {key: python(value) for key, value in (params.get("kwargs") or {}).items()}


def handle(method: str, params: dict[str, Any]) -> Any:
    if method == "scriptling.handshake":
        library = {"name": "fake", "version": "3.1", "description": "A plugin for tests."}
        return {
            "protocol": "1.0",
            "transport": "json",
            "library": library,
            "capabilities": ["remote_objects"],
            "schema": SCHEMA,
        }
    if method == "function.call":
        args, kwargs = arguments(params)
        function = getattr(functions, params["name"], None)
        if function is None:
            raise Failure(f"unknown function {params['name']} (available: none)")
        if params["name"] == "strange_value":
            return {"type": "picture"}
        return wire(function(*args, **kwargs))
    if method == "object.new":
        args, kwargs = arguments(params)
        with lock:
            id = f"object-{next(numbers)}"
            objects[id] = Counter(*args, **kwargs)
        return {"library": "fake", "class": params["class"], "id": id}
    if method == "object.call_method":
        args, kwargs = arguments(params)
        target = objects[params["object_id"]]
        if params["method"] in ("value", "fixed"):
            if args:
                setattr(target, params["method"], args[0])
                return wire(None)
            return wire(getattr(target, params["method"]))
        return wire(getattr(target, params["method"])(*args, **kwargs))
    if method == "object.destroy":
        with changed:
            destroyed.append(params["object_id"])
            objects.pop(params["object_id"], None)
            changed.notify_all()
        return None
    return None


def respond(request: dict[str, Any]) -> dict[str, Any]:
    try:
        result = handle(request["method"], request.get("params") or {})
        reply = {"jsonrpc": "2.0", "id": request["id"], "result": result}
        if result is None:
            del reply["result"]
    except Exception as error:
        member: dict[str, Any] = {"code": -32000, "message": str(error)}
        if isinstance(error, Failure) and error.data:
            member["data"] = error.data
        reply = {"jsonrpc": "2.0", "id": request["id"], "error": member}
    return reply


def serve(message: Any) -> None:
    if isinstance(message, list):
        send([respond(request) for request in message])
    else:
        send(respond(message))


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if isinstance(message, dict) and "method" not in message:
            answer = waiting.pop(message["id"], None)
            if answer:
                answer[1] = message
                answer[0].set()
        elif isinstance(message, dict) and message["method"] == "plugin.shutdown":
            send({"jsonrpc": "2.0", "id": message["id"]})
        else:
            threading.Thread(target=serve, args=(message,), daemon=True).start()
    if staying.is_set():
        threading.Event().wait()


if __name__ == "__main__":
    main()
