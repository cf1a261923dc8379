"""Offer functions by name to somebody who sends names and arguments as JSON, a language model for instance.

Whatever is asked for, this program lives on, and so does the plugin. Run with: scriptling client.py
"""

import json
from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
plugin.load("abilities", "scriptling", scriptling=True, args=["--json-rpc", setup])

for function in plugin.describe("abilities")["functions"]:
    names = [parameter["name"] for parameter in function["signature"]["parameters"]]
    print(f"{function['name']}({', '.join(names)}): {function['description']}")

for asked in (
    '{"name": "weather", "arguments": {"city": "Oslo"}}',
    '{"name": "weather", "arguments": {"town": "Oslo"}}',
    '{"name": "wether", "arguments": {}}',
    '{"name": "search", "arguments": {"text": "needle"}}',
    '{"name": "convert", "arguments": {"file": "photo.png"}}',
    '{"name": "weather", "arguments": {"city": "Rome", "unit": "kelvin"}}',
):
    call = json.loads(asked)
    try:
        print(plugin.call_function("abilities", call["name"], **call["arguments"]))
    except plugin.PluginError as error:
        print(f"{type(error).__name__}: {error}")
