"""Load an executable setup script by its path. Run with: scriptling client.py (scriptling has to be on PATH)"""

from pathlib import Path

import scriptling.plugin as plugin

plugin.load("shapes", str(Path(__file__).with_name("shapes.py")), scriptling=True)
import plugin.shapes

print(plugin.shapes.area(3, 4))
