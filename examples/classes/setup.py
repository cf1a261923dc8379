"""A plugin with a class, whose instances live in the server. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("formatter", "1.0")
plugin_srv.register_class("handlers.Template")

runtime.start_server()
