"""The functions of the tools."""


def shout(text):
    """Return a text in capitals."""
    return text.upper() + "!"
