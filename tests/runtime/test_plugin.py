"""``scriptling.runtime`` and ``scriptling.runtime.plugin`` as setup scripts use them."""

import datetime
import importlib
import math
import pickle
import sys
import threading
from typing import Any

import pytest

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin
from scriptling.builtins import install_builtins, yield_now
from scriptling.protocol.values import ValueDecoder
from scriptling.registry import Declaration, RegistrationError, Registry
from tests.runtime.conftest import FakeServer


def script(text: str) -> dict[str, Any]:
    """Run this as a setup script."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(text, namespace)
    return namespace


def declared(server: FakeServer) -> Declaration:
    return server.registry.freeze()


def test_specification_s_calculator(server: FakeServer) -> None:
    script(
        """
import scriptling.runtime.plugin as plugin_srv
import scriptling.runtime as runtime

plugin_srv.serve("calculator", "1.0", "Basic arithmetic operations")
plugin_srv.register_function("add", "handlers.add")
plugin_srv.register_function("multiply", "handlers.multiply")
plugin_srv.register_constant("VERSION", "1.0.0")
plugin_srv.register_class("pkg.handlers.Template")
runtime.start_server()
"""
    )
    declaration = declared(server)
    assert (declaration.library, declaration.version) == ("calculator", "1.0")
    assert declaration.description == "Basic arithmetic operations"
    assert [(f.name, f.handler.reference, f.timeout) for f in declaration.functions] == [
        ("add", "handlers.add", None),
        ("multiply", "handlers.multiply", None),
    ]
    assert [(c.name, c.handler.reference) for c in declaration.classes] == [("Template", "pkg.handlers.Template")]
    assert [(c.name, ValueDecoder().decode(c.value)) for c in declaration.constants] == [("VERSION", "1.0.0")]
    assert server.events == [("start", True)]


def test_prefix_of_the_name_is_dropped(server: FakeServer) -> None:
    plugin.serve("plugin.widgets")
    assert declared(server).library == "widgets"


@pytest.mark.parametrize("name", ["", "plugin.", None, 3])
def test_serve_needs_a_name(server: FakeServer, name: Any) -> None:
    with pytest.raises(RegistrationError, match="name"):
        plugin.serve(name)


def test_life_of_the_server(server: FakeServer) -> None:
    assert not runtime.server_running()
    runtime.start_server(wait=False)
    assert runtime.server_running()
    yield_now()
    assert server.events == [("start", False), "pause"]


def test_without_a_server_everything_returns_at_once() -> None:
    assert runtime.server_running() is False
    runtime.start_server()
    plugin.serve("x")
    plugin.register_function("f", "handlers.f")
    plugin.register_function("g", threading.Lock().acquire)
    plugin.register_class("handlers.C")
    plugin.register_constant("N", 1)
    yield_now()


def test_yield_now_is_a_builtin() -> None:
    install_builtins()
    assert script("here = yield_now")["here"] is yield_now


def test_libraries_are_reached_both_ways() -> None:
    vars(runtime).pop("plugin", None)
    assert runtime.plugin is importlib.import_module("scriptling.runtime.plugin")
    assert "plugin" in dir(runtime)
    with pytest.raises(AttributeError, match="no attribute 'plugins'"):
        runtime.plugins  # noqa: B018


def test_late_registrations_are_ignored_with_one_warning_each(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.start_server(wait=False)
    plugin.serve("late")
    plugin.register_function("f", "handlers.f")
    plugin.register_function(print)
    plugin.register_constant("N", 1)
    plugin.register_class("handlers.C")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 5
    for line, what in zip(lines, ("serve('late')", "'f'", "'print'", "'N'", "'C'"), strict=True):
        assert what in line
        assert "after the server had started" in line
    assert declared(server) == Declaration()


# Functions by value


def test_decorators_bare_and_called(server: FakeServer) -> None:
    names = script(
        '''
from scriptling.runtime import plugin

@plugin.register_function
def bare(a, b=2):
    """Bare."""
    return a + b

@plugin.register_function("renamed")
def called(a):
    return a

@plugin.register_function(timeout=1.5)
def timed():
    pass

@plugin.register_function()
def empty():
    pass

@plugin.register_class
class Thing:
    pass

@plugin.register_class()
class Other:
    pass
'''
    )
    declaration = declared(server)
    functions = {function.name: function for function in declaration.functions}
    assert [*functions] == ["bare", "renamed", "timed", "empty"]
    assert names["bare"](1) == 3, "a decorated function can still be called"
    assert pickle.loads(functions["bare"].handler.pickled)(1) == 3
    schema = functions["bare"].schema
    assert schema is not None
    assert (schema.name, schema.description) == ("bare", "Bare.")
    assert schema.signature is not None
    assert [parameter.name for parameter in schema.signature.parameters] == ["a", "b"]
    assert functions["timed"].timeout == 1.5
    assert [declared.name for declared in declaration.classes] == ["Thing", "Other"]
    assert isinstance(names["Thing"], type)


def test_functions_and_lambdas(server: FakeServer) -> None:
    names = script(
        """
from scriptling.runtime import plugin
factor = 3
plugin.register_function("triple", lambda x: x * factor)
def helper(x): return x + factor
def f(x): return helper(x)
plugin.register_function("f", f, timeout=2)
"""
    )
    triple, f = declared(server).functions
    names["factor"] = 100
    assert pickle.loads(triple.handler.pickled)(2) == 6
    assert pickle.loads(f.handler.pickled)(2) == 5
    assert f.timeout == 2


def test_function_of_a_module_goes_by_reference(server: FakeServer) -> None:
    plugin.register_function("root", math.sqrt)
    plugin.register_function("freeze", Registry.freeze)
    root, freeze = declared(server).functions
    assert (root.handler.reference, root.handler.pickled) == ("math.sqrt", b"")
    assert freeze.handler.pickled


def test_lambda_needs_a_name(server: FakeServer) -> None:
    with pytest.raises(RegistrationError, match="name of its own"):
        plugin.register_function(lambda x: x)


def test_function_that_cannot_travel_is_an_error_there(server: FakeServer) -> None:
    lock = threading.Lock()
    with pytest.raises(RegistrationError, match=r"register_function\('locked'\).*lock"):
        plugin.register_function("locked", lambda: lock)


@pytest.mark.parametrize("handler", [5, b"handlers.f", ["handlers.f"]])
def test_handler_of_the_wrong_kind(server: FakeServer, handler: Any) -> None:
    with pytest.raises(RegistrationError, match=r"register_function\('f'\): the handler must be"):
        plugin.register_function("f", handler)
    with pytest.raises(RegistrationError, match=r"library\.ClassName"):
        plugin.register_class(handler)


@pytest.mark.parametrize("name", [5, "", b"f"])
def test_name_of_the_wrong_kind(server: FakeServer, name: Any) -> None:
    with pytest.raises(RegistrationError, match="name must be"):
        plugin.register_function(name, "handlers.f")
    with pytest.raises(RegistrationError, match="name must be"):
        plugin.register_constant(name, 1)


@pytest.mark.parametrize("reference", ["add", "", "handlers.", ".add", "a b.c", "handlers:add"])
def test_malformed_reference(server: FakeServer, reference: str) -> None:
    with pytest.raises(RegistrationError, match=r"library\.function"):
        plugin.register_function("add", reference)
    with pytest.raises(RegistrationError, match=r"library\.function"):
        plugin.register_class(reference)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "3"])
def test_timeout_must_be_a_number_of_seconds(server: FakeServer, timeout: Any) -> None:
    with pytest.raises(RegistrationError, match=r"register_function\('f'\): timeout"):
        plugin.register_function("f", "handlers.f", timeout=timeout)


# Constants


@pytest.mark.parametrize("value", [None, True, 5, 2.5, "text", [1, [2]], {"a": {"b": []}}, (1, 2)])
def test_constants_that_can_be_sent(server: FakeServer, value: Any) -> None:
    plugin.register_constant("C", value)
    (constant,) = declared(server).constants
    assert ValueDecoder().decode(constant.value) == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (datetime.datetime(2024, 1, 1), "datetime.datetime"),
        ({"when": [datetime.date(2024, 1, 1)]}, r"C\['when'\]\[0\]"),
        ({1: 2}, "string keys"),
        (math.nan, "C"),
        (2**64, "C"),
        ("\ud800", "C"),
        ({1, 2}, "set"),
        (print, "C"),
    ],
)
def test_constant_that_cannot_be_sent_is_named(server: FakeServer, value: Any, place: str) -> None:
    with pytest.raises(RegistrationError, match=rf"register_constant\('C'\): .*{place}"):
        plugin.register_constant("C", value)
    assert declared(server).constants == ()


def test_constant_is_a_copy(server: FakeServer) -> None:
    value = [1]
    plugin.register_constant("C", value)
    value.append(2)
    assert ValueDecoder().decode(declared(server).constants[0].value) == [1]


def test_importing_the_runtime_is_cheap() -> None:
    import subprocess  # noqa: PLC0415

    text = "import sys, scriptling.runtime.plugin, scriptling.builtins; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=30).stdout
    slow = {"cloudpickle", "zmq", "asyncio", "logging", "http", "scriptling.schema", "scriptling.evaluator"}
    assert not slow & {*loaded.split()}
