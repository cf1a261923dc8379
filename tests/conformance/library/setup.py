"""Serves the common library."""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin

plugin.serve("calculator", "1.0", "Basic arithmetic operations")
for name in ("boom", "add", "kw", "nest", "apply"):
    plugin.register_function(name, f"handlers.{name}")
plugin.register_class("handlers.Counter")
plugin.register_constant("VERSION", "1.0.0")
plugin.register_constant("TABLE", {"a": [1, 2.5, None, True], "b": {}, "c": []})

for name in ("echo", "pause", "evaluate", "described", "first_of", "caught", "through", "make", "make_many"):
    plugin.register_function(name, f"handlers.{name}")
for name in ("make_unregistered", "use", "use_nested", "same"):
    plugin.register_function(name, f"handlers.{name}")
plugin.register_class("handlers.Tally")
plugin.register_class("handlers.Asks")

runtime.start_server()
