"""A plugin whose setup script stays alive beside the server, and cleans up. See it work with: scriptling client.py"""

import sys

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("stateful", "1.0")
plugin_srv.register_function("greet", "handlers.greet")
plugin_srv.register_constant("VERSION", "1.0.0")

runtime.start_server(wait=False)
while runtime.server_running():
    yield_now()  # a Scriptling builtin: waits a moment and costs nothing

# stdout carries the protocol, so words for people go to stderr.
print("stateful: cleaned up", file=sys.stderr)
