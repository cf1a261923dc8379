"""Pass a function to the plugin; what it raises comes back through the plugin. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("transform", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.transform

print(plugin.transform.apply(lambda x: x * 2, [1, 2, 3]))


def careful(x):
    if x > 2:
        raise ValueError(f"{x} is too large")
    return x


try:
    plugin.transform.apply(careful, [1, 2, 3])
except plugin.PluginCallError as error:
    print("error:", error)
