import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin

plugin.serve("bench", "1.0", "What is called while a server is measured")
plugin.register_function("add", "handlers.add")
plugin.register_function("echo", "handlers.echo")
plugin.register_function("fib", "work.fib")
plugin.register_function("pause", "work.pause")
plugin.register_function("repeat", "work.repeat")
for operation in ("get", "set", "incr", "update", "set_durable", "get_among_many"):
    plugin.register_function(f"kv_{operation}", f"stores.kv_{operation}")
plugin.register_class("work.Counter")

runtime.start_server()
