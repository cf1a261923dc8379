"""Call from several threads at once: no visit gets lost. Run with: scriptling client.py"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("visits", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.visits

print(plugin.visits.visit("Ada"))
print(plugin.visits.visit("Ada"))

with ThreadPoolExecutor(4) as threads:
    list(threads.map(plugin.visits.visit, ["Grace", "Alan"] * 50))

print(plugin.visits.total())
print(plugin.visits.visitors())

plugin.unload("visits")
