"""A plugin on a port. Serve it twice, on two machines or ports: scriptling --server :8001 --json-rpc setup.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("text", "1.0")
plugin_srv.register_function("apply", "handlers.apply")
plugin_srv.register_function("reverse", "handlers.reverse")

runtime.start_server()
