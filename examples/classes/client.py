"""Make an object in the plugin, call it, read and write its properties. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("formatter", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.formatter

t = plugin.formatter.Template("Hello, ")
print(t.render("world"))

t.prefix = "Goodbye, "
print(t.render("world"))
print(t.rendered)
