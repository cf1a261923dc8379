"""A function passed by the host arrives as a function; calling it runs it over there."""


def apply(fn, items):
    """Return the results of a function for each item."""
    return [fn(x) for x in items]
