"""Call plugins of two servers over WebSockets. Run with: scriptling client.py URL URL

The servers have to run already, see setup.py; without arguments they are looked for on this machine.
"""

import sys

import scriptling.plugin as plugin

first, second = sys.argv[1:] or ["ws://127.0.0.1:8001/json-rpc", "ws://127.0.0.1:8002/json-rpc"]
plugin.load("first", first, scriptling=True)
plugin.load("second", second, scriptling=True)
import plugin.first
import plugin.second

# The server calls back into this program,
print(plugin.first.apply(lambda text: text + "!", ["here", "there"]))
# and through it the other server.
print(plugin.first.apply(plugin.second.reverse, ["abc", "xyz"]))
