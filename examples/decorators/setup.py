"""A plugin registered with decorators: what the setup script itself defines. See it work with: scriptling client.py"""

import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv
from handlers import discount

plugin_srv.serve("shop", "1.0", "Prices")


@plugin_srv.register_function
def net(price, rate=0.2):
    """Return a price without its tax."""
    return round(price / (1 + rate), 2)


@plugin_srv.register_function("sale")
def sale_price(price, percent):
    """Return a price after a discount."""
    return discount(price, percent)


plugin_srv.register_function("double", lambda price: 2 * price)


@plugin_srv.register_class
class Basket:
    """Adds up prices."""

    def __init__(self):
        self.prices = []

    def add(self, price):
        """Put in one price and return the sum so far."""
        self.prices.append(price)
        return sum(self.prices)


runtime.start_server()
