"""Calls run in several processes; what they share is in a store."""

import scriptling.runtime.kv as kv


def visit(name):
    """Count a visitor, and return a greeting."""
    kv.default.incr("total")
    kv.default.update(f"visitor:{name}", lambda visits: [*visits, len(visits) + 1], default=[])
    return f"{kv.default.get('greeting')}, {name} ({len(kv.default.get(f'visitor:{name}'))})"


def total():
    """Return how many visits there were."""
    return kv.default.get("total", 0)


def visitors():
    """Return who was there."""
    return [key.removeprefix("visitor:") for key in kv.default.keys("visitor:*")]
