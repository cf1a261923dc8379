import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin

plugin.serve("bench", "1.0", "What is called while a server is measured")
plugin.register_function("add", "handlers.add")
plugin.register_function("echo", "handlers.echo")
plugin.register_function("fib", "work.fib")
plugin.register_function("pause", "work.pause")
plugin.register_function("repeat", "work.repeat")
plugin.register_function("kv_set", "stores.kv_set")
plugin.register_function("kv_get", "stores.kv_get")
plugin.register_class("work.Counter")

runtime.start_server()
