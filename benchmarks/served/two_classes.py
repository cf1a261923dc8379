import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin

plugin.serve("bench", "1.0", "Objects of two classes")
plugin.register_class("work.Counter")
plugin.register_class("work.Other")

runtime.start_server()
