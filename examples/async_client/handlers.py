"""Functions and a class, written as for any other client: only the client has an event loop."""

import time


def shout(word):
    """Return a word in capitals."""
    return word.upper()


def translate(look_up, words):
    """Return the words that a function of the client finds for others."""
    return [look_up(word) for word in words]


def wait(seconds):
    """Take long."""
    time.sleep(seconds)


class Counter:
    """Counts."""

    def __init__(self, count=0):
        self._count = count

    @property
    def count(self):
        """How far it has counted."""
        return self._count

    def increment(self):
        """Count one further."""
        self._count += 1
