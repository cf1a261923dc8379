"""``scriptling.runtime.http``: routes, files and WebSockets of scripts, on the server's port.

=============== ====================================================================================================
``entry``       where requests wait until it is known what there is
``application`` finds the route, or the file, and has its handlers run
``exchange``    one request: its body and its answer
``pool``        the way into the pool of workers
``upgrades``    WebSockets that begin and end; ``sockets``: what their handlers ask for
``calls``       the worker's side; ``frames``: requests and responses between the two
=============== ====================================================================================================
"""
