"""uvicorn with an application that reads a request and answers the same to each: what HTTP costs without any work.

Started by itself, with the port as its argument.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

BODY = b'{"jsonrpc":"2.0","id":1,"result":{"type":"int","value":7}}'


async def _application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main(port: int) -> None:
    """Serve until a signal ends it."""
    uvicorn: Any = importlib.import_module("uvicorn")
    uvicorn.run(_application, port=port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(int(sys.argv[1]))
