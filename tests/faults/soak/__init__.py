"""The soak: two servers under all faults at once, for as long as one likes (``make soak``).

``stories`` says what is called, ``ledger`` what is owed, ``talks`` and ``posts`` drive the two kinds of transport,
``troubles`` does the harm, ``samples`` looks at the processes, ``verdicts`` judges, ``servers`` and ``run`` hold it all
together.
"""
