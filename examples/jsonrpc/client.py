"""Call plain JSON-RPC methods; any other JSON-RPC 2.0 client can, too. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("numbers", "scriptling", args=["--json-rpc", setup])

print(plugin.call_function("numbers", "add", a=3, b=4))
print(plugin.call_function("numbers", "mean", 1, 2, 6))
try:
    plugin.call_function("numbers", "mean")
except plugin.PluginCallError as error:
    print(error.code, error)
