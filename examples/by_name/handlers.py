"""Ordinary functions; their docstrings and signatures are what callers get to see."""

import ctypes


def weather(city, unit="celsius"):
    """Tell the temperature in a city."""
    return f"21 degrees {unit} in {city}"


def search(text):
    """Find a text, if it takes for ever."""
    while True:
        pass


def convert(file):
    """Convert a file by a C library with a fault in it."""
    return ctypes.string_at(0)
