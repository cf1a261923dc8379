"""Handlers leave what they know in kv, where the setup script finds it."""

import scriptling.runtime.kv as kv


def sell(price):
    """Note a sale, and return its number."""
    number = kv.default.incr("number")
    kv.default.set(f"sale:{number}", price)
    return number


def report():
    """Return how many sales there were, and their sum, as of a moment ago."""
    return {"sales": kv.default.get("sales", 0), "total": kv.default.get("total", 0)}
