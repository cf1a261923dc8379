"""What runs in the processes that the nursery starts, but for the object stores' own (:mod:`workers.store`).

================== =================================================================================================
``roles``          what a new child does, by its role
``worker``         takes calls, runs them, sends what comes of them; ``plain_calls``: of a script's own methods
``setup``          the setup script's process; ``task``: that of one background task
``asking``         how a running call asks the front-end; ``remote_objects``: objects of the store that it was given
``outcomes``       from what a handler did to the text of an answer; ``host_log``: its log records
``fitness``        memory and threads that user code may leave behind
================== =================================================================================================
"""
