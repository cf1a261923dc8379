"""A plugin that works beside its calls. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("library", "1.0", "Counts words in the background")
plugin_srv.register_function("longest", "handlers.longest")
plugin_srv.register_function("count", "handlers.count")
plugin_srv.register_function("counted", "handlers.counted")
plugin_srv.register_function("evaluate", "handlers.evaluate")

runtime.start_server()
