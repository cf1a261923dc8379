"""Where calls run: the front-end, its workers, the object stores, the setup process, and what joins them.

``scriptling`` says what a call is; this package is the only place with processes and sockets. :mod:`workers.main` puts
it together.
"""
