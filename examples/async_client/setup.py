"""A plugin for a client with an event loop. See it work with: python client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("words", "1.0")
plugin_srv.register_function("shout", "handlers.shout")
plugin_srv.register_function("translate", "handlers.translate")
plugin_srv.register_function("wait", "handlers.wait")
plugin_srv.register_class("handlers.Counter")

runtime.start_server()
