"""A class that remembers: what __init__ sets is there in every later call of a method."""


class Template:
    """Puts a prefix in front of names."""

    def __init__(self, prefix):
        self._prefix = prefix
        self._rendered = 0

    def render(self, name):
        """Return the name with the prefix in front."""
        self._rendered += 1
        return self._prefix + name

    @property
    def rendered(self):
        """How many names were rendered."""
        return self._rendered

    @property
    def prefix(self):
        """What stands in front of names."""
        return self._prefix

    @prefix.setter
    def prefix(self, prefix):
        self._prefix = prefix
