import scriptling.runtime as runtime
import scriptling.runtime.jsonrpc as rpc

rpc.method("add", "handlers.add")
rpc.method("mean", "handlers.mean")
rpc.notification("note", "handlers.note")

runtime.start_server()
