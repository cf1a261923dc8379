"""Load the calculator and use it. Run with: scriptling client.py, or python client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("calculator", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.calculator

print(plugin.calculator.VERSION)
print(plugin.calculator.add(3, 4))
print(plugin.calculator.multiply(3, 4))
