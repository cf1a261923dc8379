"""Objects: constructors, methods, properties, their end (protocol section 3; specification, register_class)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server
from tests.wire.values import CallFailedError, Remote


def test_new_object_is_a_bare_reference_whose_id_is_text(server: Server) -> None:
    counter = server.new("Counter", 5)
    assert (counter.library, counter.class_name) == ("calculator", "Counter")
    assert counter.id


def test_objects_keep_their_state_apart_between_calls(server: Server) -> None:
    one, two = server.new("Counter"), server.new("Counter", start=10)
    assert [server.method(one, "inc"), server.method(two, "inc", by=5), server.method(one, "inc", 2)] == [1, 15, 3]


def test_ids_are_never_used_again(server: Server) -> None:
    ids = set()
    for _ in range(20):
        counter = server.new("Counter")
        ids.add(counter.id)
        server.destroy(counter)
    assert len(ids) == 20


def test_property_is_read_without_argument_and_written_with_one(server: Server) -> None:
    counter = server.new("Counter", 2)
    assert server.method(counter, "value") == 2
    assert server.method(counter, "value", 9) is None
    assert (server.method(counter, "value"), server.method(counter, "double")) == (9, 18)


def test_property_without_setter_is_refused_in_known_words(server: Server) -> None:
    failure = server.failure(server.begin_method(server.new("Counter"), "double", 1))
    assert (failure.code, failure.message) == (-32000, "can't set attribute 'double': property is read-only")


@pytest.mark.parametrize("method", ["nosuch", "_hidden", "__init__", "__class__", "__dict__", "_value", "__del__"])
def test_unknown_and_private_members_are_refused_in_known_words(server: Server, method: str) -> None:
    failure = server.failure(server.begin_method(server.new("Counter"), method))
    assert failure.code == -32000
    assert failure.message.startswith(f"unknown method {method} on Counter (available: both, call_kept, call_self, ")
    assert "_" not in failure.message.partition("(available: ")[2].replace("call_kept", "").replace("call_self", "")


def test_inherited_methods_and_properties_are_there(server: Server) -> None:
    tally = server.new("Tally", 3, label="t")
    assert tally.class_name == "Tally"
    assert [server.method(tally, "inc"), server.method(tally, "value"), server.method(tally, "name")] == [4, 4, "t"]
    assert server.method(tally, "value", 1) is None


def test_unknown_class_is_refused_with_those_there_are(server: Server) -> None:
    failure = server.failure(server.request("object.new", {"class": "NoSuch"}))
    assert (failure.code, failure.message) == (-32000, "unknown class NoSuch (available: Asks, Counter, Tally)")


def test_unknown_object_is_refused_in_known_words(server: Server) -> None:
    for id in ("nosuch", "0", "1.", "1.x", "99.abc"):
        failure = server.failure(server.begin_method(Remote("calculator", "Counter", id), "inc"))
        assert (failure.code, failure.message) == (-32000, f"unknown object {id}")


def test_destroyed_object_is_unknown(server: Server) -> None:
    counter = server.new("Counter")
    server.destroy(counter)
    assert server.failure(server.begin_method(counter, "inc")).message == f"unknown object {counter.id}"


def test_destroying_what_is_not_there_is_no_error(server: Server) -> None:
    counter = server.new("Counter")
    for _ in range(3):
        server.destroy(counter)
    server.destroy(Remote("", "", "nosuch"))


def test_error_of_a_constructor_or_method_is_the_caller_s(server: Server) -> None:
    failure = server.failure(server.request("object.new", {"class": "Counter", "args": [{"type": "list"}] * 3}))
    assert (failure.code, failure.data["type"]) == (-32000, "TypeError")
    counter = server.new("Counter")
    failure = server.failure(server.begin_method(counter, "fail"))
    assert (failure.message, failure.data["type"]) == ("'nothing'", "KeyError")
    assert "handlers.py" in failure.data["traceback"]
    assert server.method(counter, "inc") == 1


def test_del_runs_at_destroy(server: Server, tmp_path: Path) -> None:
    """The answer comes after it."""
    path = tmp_path / "ends"
    tally = server.new("Tally", label="mine", path=str(path))
    assert not path.exists()
    server.destroy(tally)
    assert path.read_text() == "mine\n"
    server.destroy(tally)
    assert path.read_text() == "mine\n"


KEEPS_RECORD = """
class Thing:
    def __init__(self, path, name):
        self.path, self.name = path, name
    def __del__(self):
        with open(self.path, "a") as file:
            file.write(self.name + "\\n")
"""


@pytest.mark.parametrize("way", ["shutdown", "end of input", "SIGTERM", "SIGINT"])
def test_del_of_every_object_left_runs_at_the_end(serve: Serve, tmp_path: Path, way: str) -> None:
    server = serve(KEEPS_RECORD)
    path = tmp_path / "ends"
    for number in range(20):
        server.new("Thing", str(path), str(number))
    if way == "shutdown":
        assert server.result(server.request("plugin.shutdown")) is None
    if way.startswith("SIG"):
        server.program.signal({"SIGTERM": 15, "SIGINT": 2}[way])
    else:
        server.end()
    assert server.program.exit_code() == 0
    assert sorted(path.read_text().splitlines(), key=int) == [str(number) for number in range(20)]


def test_del_runs_before_the_clean_up_code_of_the_setup_script(serve: Serve, tmp_path: Path) -> None:
    setup = """
        import sys
        import scriptling.runtime as runtime, scriptling.runtime.plugin as plugin
        plugin.serve("t")
        plugin.register_class("handlers.Thing")
        runtime.start_server()
        print("cleaned up", open({path!r}).read(), file=sys.stderr)
        """
    path = tmp_path / "ends"
    server = serve(KEEPS_RECORD, setup.format(path=str(path)))
    server.new("Thing", str(path), "one")
    assert "cleaned up one" in server.stop()


def test_calls_of_one_object_do_not_overlap(serve: Serve) -> None:
    server = serve(
        """
        import time
        class Careful:
            def __init__(self): self.inside = self.count = 0
            def enter(self):
                self.inside += 1
                alone = self.inside == 1
                count = self.count
                time.sleep(0.0005)
                self.count = count + 1
                self.inside -= 1
                return alone
            def total(self): return self.count
        """
    )
    careful = server.new("Careful")
    ids = [server.begin_method(careful, "enter") for _ in range(100)]
    assert all(server.value(id) for id in ids)
    assert server.method(careful, "total") == 100


@pytest.mark.conversation
def test_calls_of_one_object_run_in_their_order(server: Server) -> None:
    counter = server.new("Counter")
    ids = [server.begin_method(counter, "inc") for _ in range(200)]
    assert [server.value(id) for id in ids] == list(range(1, 201))


def test_a_slow_method_does_not_hold_up_other_objects(serve: Serve, gate: Gate) -> None:
    server = serve(
        PASS
        + """
class Slow:
    def __init__(self): pass
    def wait(self, path): _pass_gate(path)
    def quick(self): return "quick"
"""
    )
    one, *others = [server.new("Slow") for _ in range(6)]
    waiting = [server.begin_method(one, "wait", str(gate))]
    waiting += [server.begin_method(other, "wait", str(gate)) for other in others[:4]]
    assert [server.method(others[4], "quick") for _ in range(20)] == ["quick"] * 20
    assert server.new("Slow").class_name == "Slow"
    behind = server.begin_method(one, "quick")
    assert not any(map(server.answered, [*waiting, behind]))
    gate.open()
    assert [server.value(id) for id in waiting] == [None] * 5
    assert server.value(behind) == "quick"


def test_class_is_resolved_once_and_lives_in_one_process(serve: Serve) -> None:
    server = serve(
        """
        import os
        class Shared:
            made = 0
            def __init__(self): Shared.made += 1
            def count(self): return [Shared.made, os.getpid()]
        def pid(): return os.getpid()
        """
    )
    objects = [server.new("Shared") for _ in range(3)]
    counts = [server.method(each, "count") for each in objects]
    assert [count for count, _ in counts] == [3, 3, 3]
    assert len({pid for _, pid in counts}) == 1
    assert server.call("pid") not in {counts[0][1], os.getpid()}


# Objects as values


def test_object_may_be_an_argument_of_a_function(server: Server) -> None:
    """All kinds of use of it reach the one instance."""
    counter = server.new("Counter", 1)
    assert server.call("use", counter, 4) == [6, 12, 8]
    assert server.method(counter, "value") == 8


def test_objects_may_be_nested_in_arguments_and_keyword_arguments(server: Server) -> None:
    one, two = server.new("Counter", 1), server.new("Counter", 2)
    assert server.call("use_nested", {"a": [one, two], "b": [one]}) == [2, 3, 3]
    assert server.call("use_nested", container={"a": [two]}) == [4]


def test_object_may_be_an_argument_of_a_method(server: Server) -> None:
    one, two, three = (server.new("Counter", start) for start in (1, 2, 4))
    assert server.method(one, "plus", two) == 3
    assert server.method(one, "plus", two, more=[three, one]) == 8
    assert server.method(one, "plus", one) == 2


def test_method_may_return_its_own_object(server: Server) -> None:
    counter = server.new("Counter")
    assert server.method(counter, "itself") == counter


def test_method_may_return_other_instances_of_registered_classes(server: Server) -> None:
    counter = server.new("Counter", 1)
    following = server.method(counter, "next")
    assert (following.class_name, following.id == counter.id) == ("Counter", False)
    assert [server.method(following, "inc"), server.method(counter, "inc")] == [3, 2]
    own, other = server.method(counter, "both")["both"]
    assert own == counter
    assert server.method(other, "value") == 100


def test_function_may_return_new_instances_of_registered_classes(server: Server) -> None:
    made = server.call("make", 7)
    assert isinstance(made, Remote)
    assert [server.method(made, "inc"), server.method(made, "inc")] == [8, 9]
    assert [server.method(each, "value") for each in server.call("make_many", 3)["all"]] == [0, 1, 2]


def test_function_may_return_an_object_that_it_was_given(server: Server) -> None:
    counter = server.new("Counter")
    assert server.call("same", counter) == [counter]


def test_instance_of_a_class_that_is_not_registered_cannot_be_sent(server: Server) -> None:
    failure = server.failure(server.begin("make_unregistered"))
    assert failure.code == -32000
    assert "Unregistered at result['when'][1]" in failure.message


def test_destroyed_object_cannot_be_used_in_a_handler(server: Server) -> None:
    counter = server.new("Counter")
    server.destroy(counter)
    for id in (server.begin("use", counter, 1), server.begin_method(server.new("Counter"), "plus", counter)):
        with pytest.raises(CallFailedError, match=f"unknown object {counter.id}"):
            server.value(id)


def test_objects_are_made_and_used_from_many_calls_at_once(server: Server) -> None:
    counters = [server.new("Counter") for _ in range(10)]
    calls = [server.begin("use_nested", {"all": counters}) for _ in range(5)]
    for id in calls:
        server.result(id)
    assert [server.method(counter, "value") for counter in counters] == [5] * 10


def test_concurrent_hosts_threads_get_their_own_answers(server: Server) -> None:
    def work(number: int) -> None:
        counter = server.new("Counter", number)
        results.append([server.method(counter, "inc", number) for _ in range(20)] == [number * n for n in range(2, 22)])

    results: list[bool] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [True] * 8
