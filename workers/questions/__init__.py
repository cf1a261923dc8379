"""What running calls, and scripts, ask the front-end: callbacks, methods of objects, what calls share, tasks.

================== =================================================================================================
``relay``          every open question, and the table of those who answer
``responders``     the host and the object stores as those who answer
``sync_responder`` queues and wait groups
``task_link``      background tasks and their processes; ``background``: the ledger of them
================== =================================================================================================
"""
