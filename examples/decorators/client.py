"""Use what was registered with decorators. Run with: scriptling client.py"""

from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("shop", "scriptling", scriptling=True, args=["--json-rpc", setup])
import plugin.shop

print(plugin.shop.net(120))
print(plugin.shop.net(price=110, rate=0.1))
print(plugin.shop.sale(80, 25))
print(plugin.shop.double(21))

basket = plugin.shop.Basket()
basket.add(5)
print(basket.add(7))
