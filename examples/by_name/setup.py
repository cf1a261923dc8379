"""Functions for callers who choose by name, and not always wisely. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("abilities", "1.0", "What somebody else may ask for")
plugin_srv.register_function("weather", "handlers.weather")
plugin_srv.register_function("search", "handlers.search", timeout=1)
plugin_srv.register_function("convert", "handlers.convert")

runtime.start_server()
