"""Sell twice in each of two lives of the plugin, and see that the second knows of the first."""

import tempfile
import time
from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
with tempfile.TemporaryDirectory() as folder:
    kept = str(Path(folder, "sales.json"))
    for sales in (2, 4):
        plugin.load("periodic", "scriptling", scriptling=True, args=["--json-rpc", setup, kept])
        import plugin.periodic

        for price in (10, 5):
            plugin.periodic.sell(price)
        while plugin.periodic.report()["sales"] < sales:
            time.sleep(0.01)
        print(plugin.periodic.report())
        plugin.unload("periodic")
