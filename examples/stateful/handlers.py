"""Handlers share no memory: each call starts afresh."""

greeted = []


def greet(name):
    """Return a greeting, and how many were greeted in this call: always one."""
    greeted.append(name)
    return f"Hello, {name} ({len(greeted)})"
