"""Accepted calls on their way to workers and back; what is here is the front-end's, or shared with a worker.

============ =======================================================================================================
``tickets``  one accepted call, and who is owed its answer
``dispatch`` which call runs where: the queue and the ledgers; ``lanes``: one worker as they see it
``pool``     the lanes joined with processes: sending, taking back, time-outs, deaths
``claims``   the pipe by which a call is begun at most once
``journal``  memory that keeps a worker's replies when it dies
============ =======================================================================================================
"""
