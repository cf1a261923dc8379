"""Serving on a port: the loop, the transport, ``/json-rpc`` by POST and WebSocket, and who may use it.

======================= ============================================================================================
``server``              the server on a port; ``mounted``: in somebody else's; ``front_end``: what both share
``async_reactor``       the front-end's loop in asyncio
``protocol``            uvicorn's HTTP protocol with bounds; ``websocket_protocol``: that of WebSockets
``asgi``                which path is whose; ``replies``: what is answered
``calls``               ``POST /json-rpc``; ``websocket_host``: hosts over WebSocket
``access``              tokens, origins and names; ``tls``: certificates; ``listening``: the socket
``state_pages``         ``/health`` and ``/metrics``
======================= ============================================================================================
"""
