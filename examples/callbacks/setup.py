"""A plugin that calls functions of its host. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("transform", "1.0")
plugin_srv.register_function("apply", "handlers.apply")

runtime.start_server()
