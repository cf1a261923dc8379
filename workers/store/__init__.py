"""The object store's process: instances of registered classes, and the calls on them.

================== =================================================================================================
``object_store``   the process; ``crew``: its threads, one of which leads
``routing``        where each call goes; ``tasks``: what is to be done, is being done and has been done
``instances``      objects by id and owner, each with its mailbox
``leases``         objects that nobody uses any more; ``departures``: those whose owner has gone
``exposed``        what of a class hosts may call; ``finalisers``: ``__del__``, once
================== =================================================================================================
"""
