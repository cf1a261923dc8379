import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin

plugin.serve("bench", "1.0", "Objects of one class")
plugin.register_class("work.Counter")

runtime.start_server()
