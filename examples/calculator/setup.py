"""A plugin of two functions and a constant. Serve it with: scriptling --json-rpc setup.py

Serving over stdin and stdout is for hosts; to see it work, run the client: scriptling client.py
"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("calculator", "1.0", "Basic arithmetic operations")
plugin_srv.register_function("add", "handlers.add")
plugin_srv.register_function("multiply", "handlers.multiply")
plugin_srv.register_constant("VERSION", "1.0.0")

runtime.start_server()
