"""Let the plugin work beside its calls, and in a sandbox. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("library", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.library

print(plugin.library.longest(["to be", "or not to be", "that is"]))

plugin.library.count(["one two three"])
print(plugin.library.counted())

print(plugin.library.evaluate("result = sum(range(10))"))
print(plugin.library.evaluate("1 / 0"))
