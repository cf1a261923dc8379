"""The handshake: what a host learns of a plugin, and how soon (protocol section 3)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import Serve, Server
from tests.wire.values import from_wire


def entry(server: Server, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (each for each in server.handshake()["schema"][kind] if each["name"] == name)
    return found


def test_handshake_tells_protocol_transport_library_and_capabilities(server: Server) -> None:
    result = server.handshake()
    assert set(result) == {"protocol", "transport", "library", "capabilities", "schema"}
    assert (result["protocol"], result["transport"]) == ("1.0", "json")
    assert result["library"] == {
        "name": "calculator",
        "version": "1.0",
        "description": "Basic arithmetic operations",
    }
    assert "remote_objects" in result["capabilities"]


@pytest.mark.parametrize("params", [None, {}, {"protocol": "1.0"}, {"capabilities": None}, {"protocol": "1.7"}])
def test_any_member_of_the_params_may_be_missing(server: Server, params: Any) -> None:
    assert server.result(server.request("scriptling.handshake", params))["protocol"] == "1.0"


def test_another_major_protocol_is_refused(server: Server) -> None:
    failure = server.failure(server.request("scriptling.handshake", {"protocol": "2.0"}))
    assert "2.0" in failure.message
    assert "1.0" in failure.message


def test_handshake_may_be_repeated(server: Server) -> None:
    assert server.handshake() == server.handshake()


def test_functions_have_descriptions_and_signatures(server: Server) -> None:
    described = entry(server, "functions", "kw")
    assert described["description"] == "Return both arguments."
    first, second = described["signature"]["parameters"]
    assert (first["name"], second["name"], second["default"]) == ("a", "b", "2")


def test_classes_tell_constructor_methods_and_properties(server: Server) -> None:
    counter = entry(server, "classes", "Counter")
    assert counter["description"] == "Counts."
    assert counter["constructor"]["name"] == "Counter"
    assert counter["constructor"]["signature"]["parameters"][0]["name"] == "start"
    names = [method["name"] for method in counter["methods"]]
    assert {"inc", "each"} <= set(names)
    assert not [name for name in names if name.startswith("_")]
    assert [(each["name"], each.get("settable", False)) for each in counter["properties"]] == [
        ("value", True),
        ("double", False),
    ]
    inc = next(method for method in counter["methods"] if method["name"] == "inc")
    assert inc["description"] == "Count on."
    assert [each["name"] for each in inc["signature"]["parameters"]] == ["by"]


def test_inherited_methods_are_among_the_methods_and_private_ones_are_not(server: Server) -> None:
    tally = entry(server, "classes", "Tally")
    names = {method["name"] for method in tally["methods"]}
    assert {"inc", "name", "both"} <= names
    assert not {"__init__", "__del__", "_hidden", "value", "double"} & names
    assert {each["name"] for each in tally["properties"]} == {"value", "double"}


def test_constants_are_values(server: Server) -> None:
    assert from_wire(entry(server, "constants", "TABLE")["value"]) == {"a": [1, 2.5, None, True], "b": {}, "c": []}


def test_everything_stands_in_the_order_of_its_registration(server: Server) -> None:
    schema = server.handshake()["schema"]
    assert [each["name"] for each in schema["functions"]][:6] == ["boom", "add", "kw", "nest", "apply", "echo"]
    assert [each["name"] for each in schema["classes"]] == ["Counter", "Tally", "Asks"]


def test_a_leading_plugin_is_dropped_from_the_name(serve: Serve) -> None:
    server = serve("", "import scriptling.runtime.plugin as plugin\nplugin.serve('plugin.widgets')")
    result = server.handshake()
    assert result["library"] == {"name": "widgets", "version": "", "description": ""}
    assert result["schema"] == {"functions": [], "classes": [], "constants": []}


SLOW_IMPORT = "import time\ntime.sleep(20)\ndef late(a, b=1):\n    '''Late.'''\n"


def test_handshake_does_not_wait_for_slow_imports_of_functions(serve: Serve) -> None:
    """Within 300 ms of the start on a machine that does nothing else; the bound here leaves room for other tests."""
    server = serve(SLOW_IMPORT, "", "--call-timeout", "0.5")
    (described,) = server.handshake()["schema"]["functions"]
    assert time.monotonic() - server.program.started < 3
    assert (described["description"], len(described["signature"]["parameters"])) == ("Late.", 2)


def test_handshake_may_be_sent_before_the_program_is_ready_and_calls_right_behind_it(serve: Serve) -> None:
    server = serve("def add(a, b): return a + b")
    shake = server.request("scriptling.handshake", {})
    calls = [server.begin("add", number, 1) for number in range(10)]
    assert [server.value(id) for id in calls] == list(range(1, 11))
    assert server.result(shake)["protocol"] == "1.0"


def test_handler_of_a_dotted_library(serve: Serve, tmp_path: Path) -> None:
    package = tmp_path / "app" / "api"
    package.mkdir(parents=True)
    (tmp_path / "app" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "things.py").write_text("from .near import name\ndef create(): return name\n")
    (package / "near.py").write_text("name = 'created'\n")
    setup = "import scriptling.runtime.plugin as p\np.serve('t')\np.register_function('make', 'app.api.things.create')"
    assert serve("", setup).call("make") == "created"


def test_libraries_are_found_in_libpath_after_the_script_s_own(serve: Serve, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "extra.py").write_text("import handlers\ndef extra(): return ['extra', handlers.which()]\n")
    (more / "handlers.py").write_text("def which(): return 'theirs'\n")
    setup = "import scriptling.runtime.plugin as p\np.serve('t')\np.register_function('extra', 'extra.extra')"
    assert serve("def which(): return 'own'", setup, "-L", str(more)).call("extra") == ["extra", "own"]
