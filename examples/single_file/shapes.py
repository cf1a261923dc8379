#!/usr/bin/env -S scriptling --json-rpc
"""A whole plugin in one executable file: hosts load the file itself, also from a --plugin-dir.

See it work with: scriptling client.py, or: scriptling --plugin-dir . -c 'import plugin.shapes; print(plugin.shapes.area(3, 4))'
"""

import scriptling.runtime.plugin as plugin_srv

plugin_srv.serve("shapes", "1.0", "Plane geometry")


@plugin_srv.register_function
def area(width, height):
    """Return the area of a rectangle."""
    return width * height
