"""Functions and classes of the setup script itself travel to the workers as they are when the server starts."""

from __future__ import annotations

from tests.wire.server import Serve

HEAD = "import scriptling.runtime.plugin as plugin\nplugin.serve('t')\n"


def test_function_may_call_itself_and_what_is_defined_below(serve: Serve) -> None:
    server = serve(
        "",
        HEAD + "@plugin.register_function\n"
        "def count(n):\n"
        "    return STEP + count(n - 1) if n else start()\n"
        "def start():\n"
        "    return 100\n"
        "STEP = 2\n",
    )
    assert server.call("count", 3) == 106


def test_two_lambdas_are_two_functions(serve: Serve) -> None:
    setup = "plugin.register_function('one', lambda: 1)\nplugin.register_function('two', lambda: 2)\n"
    server = serve("", HEAD + setup)
    assert (server.call("one"), server.call("two")) == (1, 2)


def test_class_may_make_instances_of_itself(serve: Serve) -> None:
    server = serve(
        "",
        HEAD + "@plugin.register_class\n"
        "class Node:\n"
        "    def __init__(self, depth=0):\n"
        "        self.depth = depth\n"
        "    def child(self):\n"
        "        return Node(self.depth + 1)\n"
        "    def level(self):\n"
        "        return self.depth\n",
    )
    child = server.method(server.new("Node"), "child")
    assert server.method(child, "level") == 1
