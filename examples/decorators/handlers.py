"""An ordinary module that the setup script imports."""


def discount(price, percent):
    """Return a price less some percent."""
    return round(price * (100 - percent) / 100, 2)
