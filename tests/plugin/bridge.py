"""A WebSocket server that starts a program for each connection, and passes lines of the one as messages of the other.

Prints its port; ends at the end of its input. A path of ``/refuse/STATUS`` is answered with that status instead of a
WebSocket, ``/close/CODE`` closes the WebSocket as soon as there is a message, and ``/silent`` reads and says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

_MOST = 1 << 27


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    """Answer some paths at once, and everybody without the password to ``/secret``."""
    _, _, status = request.path.partition("?")[0].partition("/refuse/")
    if status:
        response = connection.respond(HTTPStatus(int(status)), f"no: {request.headers.get('Authorization')}")
        response.headers["Retry-After"] = "7"
        return response
    if request.path == "/secret" and request.headers.get("Authorization") != "Bearer open-sesame":
        return connection.respond(HTTPStatus.UNAUTHORIZED, "")
    return None


async def talk(connection: ServerConnection) -> None:
    """Serve one connection."""
    assert connection.request is not None
    _, _, code = connection.request.path.partition("/close/")
    with contextlib.suppress(ConnectionClosed):
        if code:
            await connection.recv()
            await connection.close(int(code), "enough")
        elif connection.request.path == "/silent":
            async for _ in connection:
                pass
        else:
            await bridge(connection)


async def bridge(connection: ServerConnection) -> None:
    """Start the program, and let it and the client talk until one of them ends."""
    process = await asyncio.create_subprocess_exec(*sys.argv[2:], stdin=PIPE, stdout=PIPE, limit=_MOST)
    assert process.stdin is not None
    forward = asyncio.create_task(from_program(process, connection))
    try:
        async for message in connection:
            process.stdin.write(message.encode() if isinstance(message, str) else message)
            process.stdin.write(b"\n")
            await process.stdin.drain()
    except (ConnectionClosed, ConnectionError):
        pass
    finally:
        process.stdin.close()
        await forward
        await process.wait()


async def from_program(process: Process, connection: ServerConnection) -> None:
    """Pass what the program writes on."""
    assert process.stdout is not None
    with contextlib.suppress(ConnectionClosed):
        async for line in process.stdout:
            await connection.send(line.removesuffix(b"\n"), text=True)
        await connection.close(1011, "the program has ended")


async def main(certificate: str) -> None:
    """Serve until the end of the input."""
    context = None
    if certificate != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    async with serve(talk, "127.0.0.1", 0, ssl=context, process_request=refuse, max_size=_MOST) as server:
        sys.stdout.write(f"{next(iter(server.sockets)).getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
