"""Functions that know nothing of where their callers are."""


def apply(function, items):
    """Return the results of a function for each item."""
    return [function(item) for item in items]


def reverse(text):
    """Return a text backwards."""
    return text[::-1]
