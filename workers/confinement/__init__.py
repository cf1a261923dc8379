"""Keeping user code of a server within bounds that the kernel holds: files, system calls, the network.

What is allowed is decided by :mod:`~workers.confinement.paths` and :mod:`~workers.confinement.filters`, which touch
nothing; :mod:`~workers.confinement.kernel` is the only place that asks the kernel, and
:mod:`~workers.confinement.process` says when.
"""
