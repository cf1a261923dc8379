"""The one process that hosts talk to: what they are told, and the children that it looks after.

=================== ================================================================================================
``frontend``        joins everything: one turn of the loop, whichever loop it is
``life``            opening, serving and ending, as every session is told of it; ``opening``, ``ending``: its phases
``session``         one host's conversation: events in, messages out
``service``         the plugin protocol's methods; ``plain_service``: those of a script's own
``owners``          who owns what is made
``declared``        what there is to serve, in words
``staff``           every child: births, frames, deaths; ``supervisor``: when one may be started again
``store_link``      the front-end's side of the object stores
``metrics``         what is counted; ``exposition``: as text for Prometheus
``signals``         signals as events of the loop
=================== ================================================================================================
"""
