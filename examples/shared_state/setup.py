"""A plugin whose calls share a store. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.kv as kv
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("visits", "1.0", "Counts visitors, in whichever process it is asked")
plugin_srv.register_function("visit", "handlers.visit")
plugin_srv.register_function("total", "handlers.total")
plugin_srv.register_function("visitors", "handlers.visitors")

kv.default.set("greeting", "Hello")
runtime.start_server()
