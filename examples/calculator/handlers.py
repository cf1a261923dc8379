"""The functions of the calculator: plain Python, each call in a fresh namespace."""


def add(a, b):
    """Return the sum of two numbers."""
    return a + b


def multiply(a, b):
    """Return the product of two numbers."""
    return a * b
