"""``plugin.<name>``: modules, functions, classes and objects that look like the plugin's own (section 6)."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import pydoc
import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import FAKE_ARGS


@pytest.fixture
def module(fake: str) -> ModuleType:
    return import_module(fake)


def test_module_looks_like_a_module(module: ModuleType) -> None:
    assert module.__doc__ == "A plugin for tests."
    assert module.__version__ == "3.1"
    assert set(module.__all__) == {"add", "echo", "odd", "twice", "Counter", "Wrapped", "VERSION", "TABLE"}
    assert set(module.__all__) <= set(dir(module))
    assert module.VERSION == "1.0.0"
    assert module.TABLE == {"a": []}
    with pytest.raises(AttributeError, match=r"module 'plugin\.fake' has no attribute"):
        _ = module.nothing


def test_both_ways_to_the_module_and_to_the_client(module: ModuleType) -> None:
    root = import_module("plugin")
    assert root.fake is module
    assert plugin.fake is module
    assert root.load is plugin.load
    assert root.PluginError is plugin.PluginError
    assert set(plugin.__all__) <= set(dir(root))


def test_a_programs_own_module_called_plugin_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("plugin")
    monkeypatch.setitem(sys.modules, "plugin", own)
    plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS)
    assert sys.modules["plugin"] is own
    assert own.fake.add(1, 2) == 3
    plugin.unload("fake")
    assert not hasattr(own, "fake")


def test_functions_show_name_docstring_and_signature(module: ModuleType) -> None:
    assert (module.add.__name__, module.add.__module__) == ("add", "plugin.fake")
    assert module.add.__doc__ == "Return the sum."
    assert str(inspect.signature(module.add)) == "(a: int, b=2, *, exact=True) -> int"
    assert str(inspect.signature(module.echo)) == "(*args, **kwargs)"


def test_signature_that_python_could_not_have_is_left_out(module: ModuleType) -> None:
    assert str(inspect.signature(module.odd)) == "(*args, **kwargs)"


def test_classes_show_docstring_and_signatures(module: ModuleType) -> None:
    assert module.Counter.__doc__ == "Counts."
    assert str(inspect.signature(module.Counter)) == "(start=0)"
    assert str(inspect.signature(module.Counter(1).inc)) == "(by=1)"
    assert module.Counter.inc.__doc__ == "Add."
    assert module.Counter.value.__doc__ == "The count."


def test_help_shows_everything(module: ModuleType) -> None:
    shown = pydoc.plain(pydoc.render_doc(module))
    for text in (
        "A plugin for tests.",
        "add(a: int, b=2, *, exact=True) -> int",
        "class Counter",
        "inc(self, /, by=1)",
    ):
        assert text in shown


def test_functions_are_called_with_all_kinds_of_arguments(module: ModuleType) -> None:
    assert module.add(3, 4) == module.add(3, b=4) == module.add(a=3, b=4) == 7


def test_source_of_a_function_is_evaluated_instead_of_a_proxy(module: ModuleType) -> None:
    assert module.twice(4) == 8
    assert "call_function" in inspect.getsource(module.twice)


def test_source_names_the_plugin_as_it_names_itself() -> None:
    plugin.load("renamed", sys.executable, scriptling=True, args=FAKE_ARGS)
    assert sys.modules["plugin.renamed"].twice(4) == 8


def test_source_of_a_class_is_evaluated_and_sees_the_rest_of_the_library(module: ModuleType) -> None:
    assert module.Wrapped().sum == 42


def test_object_has_state_methods_and_properties(module: ModuleType) -> None:
    counter = module.Counter(3)
    assert counter.inc() == 4
    assert counter.inc(by=4) == 8
    counter.value = 2
    assert counter.value == 2
    assert counter.each(lambda number: number + 1) == [1, 2]
    assert plugin.call_method(counter, "inc", 5) == 7
    assert plugin.call_method(counter, "value") == 7


def test_property_without_setter_says_so(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="can't set attribute 'fixed': property is read-only"):
        module.Counter().fixed = 1


def test_attribute_that_the_class_does_not_have_is_an_error(module: ModuleType) -> None:
    counter = module.Counter()
    with pytest.raises(AttributeError):
        counter.valeu = 1
    with pytest.raises(AttributeError):
        _ = counter.valeu


def test_one_object_has_one_proxy(module: ModuleType) -> None:
    counter = module.Counter()
    assert counter.me() is counter
    assert plugin.call_function("fake", "is_same", counter, counter) is True


def test_object_made_by_a_function_is_of_its_class(module: ModuleType) -> None:
    made = plugin.call_function("fake", "make")
    assert type(made) is module.Counter
    assert made.inc() == 1


def test_released_object_is_destroyed_and_says_so(module: ModuleType) -> None:
    counter = module.Counter()
    plugin.release(counter)
    plugin.release(counter)
    assert len(plugin.call_function("fake", "destroyed", 1)) == 1
    for use in (counter.inc, lambda: counter.value, lambda: plugin.call_function("fake", "echo", counter)):
        with pytest.raises(plugin.PluginError, match="plugin object has been released"):
            use()
    assert "released" in repr(counter)


def test_object_is_a_context_manager(module: ModuleType) -> None:
    with module.Counter(1) as counter:
        assert counter.inc() == 2
    with pytest.raises(plugin.PluginError, match="plugin object has been released"):
        counter.inc()


def test_garbage_collection_destroys_the_object_once(module: ModuleType) -> None:
    counter: Any = module.Counter()
    others = [module.Counter() for _ in range(10)]
    del counter
    assert len(plugin.call_function("fake", "destroyed", 1)) == 1
    cycle: list[Any] = [others.pop()]
    cycle.append(cycle)
    del cycle, others
    gc.collect()
    assert len(plugin.call_function("fake", "destroyed", 11)) == 11


def test_garbage_collection_never_waits_for_a_plugin_that_is_dead(fake: str, module: ModuleType) -> None:
    counters = [module.Counter() for _ in range(3)]
    with pytest.raises(plugin.PluginCrashed):
        plugin.call_function(fake, "exit", 1)
    counters.clear()


def test_release_of_an_object_of_a_dead_plugin_is_no_error(fake: str, module: ModuleType) -> None:
    counter = module.Counter()
    with pytest.raises(plugin.PluginCrashed):
        plugin.call_function(fake, "exit", 1)
    plugin.release(counter)


def test_object_of_another_plugin_is_refused(module: ModuleType) -> None:
    second = plugin.load("second", sys.executable, scriptling=True, args=[*FAKE_ARGS, "second"])
    with pytest.raises(plugin.PluginError, match=r"an object of plugin 'fake' .* cannot be sent to plugin 'second'"):
        plugin.call_function(second, "echo", module.Counter())


def test_proxies_are_neither_copied_nor_pickled(module: ModuleType) -> None:
    counter = module.Counter()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="the object lives in a plugin"):
            attempt(counter)


def test_subclass_of_a_proxy_class(module: ModuleType) -> None:
    class Named(module.Counter):  # type: ignore[misc,name-defined]
        def __init__(self, name: str) -> None:
            super().__init__(5)
            self.name = name

    class Careless(module.Counter):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            pass

    assert (Named("n").inc(), Named("n").name) == (6, "n")
    with pytest.raises(plugin.PluginError, match=r"Careless was not constructed"):
        Careless().inc()


def test_only_plugin_objects_have_plugin_methods() -> None:
    with pytest.raises(TypeError, match="str is not a plugin object"):
        plugin.call_method("text", "upper")  # type: ignore[arg-type]


def test_many_threads_make_and_drop_objects(module: ModuleType) -> None:
    def work() -> None:
        for number in range(20):
            assert module.Counter(number).inc() == number + 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plugin.call_function("fake", "destroyed", 160)) == 160
