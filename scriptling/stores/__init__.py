"""Stores of keys and values that every process of a server, or of a script, reads and writes at once.

Each store is an LMDB environment: a file that processes map into their memory and change under a lock which the kernel
takes back from whoever dies. Nobody is asked, so that an operation costs microseconds, and no death is in the way.
:mod:`scriptling.runtime.kv` is what scripts see of it.

=============== ====================================================================================================
``places``      which folder a store lives in; the private one of memory stores
``registry``    one :class:`Store` for each store and process, whoever asks for it; forks
``store``       the operations: keys, values, expiry, atomic updates
``turns``       who may update a key next, when many want to
``environment`` one LMDB environment: transactions, growth, full disks, recovery
``openings``    how many environments are open at once
``records``     keys and values as bytes
``values``      which Python values may be stored, and how
=============== ====================================================================================================
"""
