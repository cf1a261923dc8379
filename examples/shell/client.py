"""Load a plugin that is a shell script. Run with: scriptling client.py (jq has to be on PATH)"""

from pathlib import Path

import scriptling.plugin as plugin

plugin.load("shell", str(Path(__file__).with_name("plugin.sh")), scriptling=True)
import plugin.shell

print(plugin.shell.greet("Ada"))
print(plugin.shell.shout("quietly"))
