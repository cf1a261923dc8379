r"""A web application with a plugin in it. Run with: uvicorn app:app

    curl http://127.0.0.1:8000/
    curl -H 'Content-Type: application/json' http://127.0.0.1:8000/tools/json-rpc \
        -d '{"jsonrpc":"2.0","id":1,"method":"function.call","params":{"name":"shout","args":[{"type":"string","value":"hello"}]}}'
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import scriptling.asgi

tools = scriptling.asgi.application(Path(__file__).with_name("setup.py"), workers=2)


async def home(request):
    return PlainTextResponse("the tools are at /tools/json-rpc\n")


app = Starlette(routes=[Route("/", home), Mount("/tools", tools)], lifespan=tools.lifespan)
