"""Call twice and leave; the plugin's clean-up then says so on stderr. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("stateful", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.stateful

print(plugin.stateful.VERSION)
print(plugin.stateful.greet("Ada"))
print(plugin.stateful.greet("Grace"))

plugin.unload("stateful")
