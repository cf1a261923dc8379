from pathlib import Path

import scriptling.runtime as runtime
import scriptling.runtime.http as http

http.middleware("handlers.check")
http.get("/hello/{name}", "handlers.hello")
http.post("/words", "handlers.count")
http.static("/", Path(__file__).with_name("public"))
http.websocket("/shout", "handlers.shout")


@http.not_found
def missing(request):
    return {"missing": request.path}


runtime.start_server()
