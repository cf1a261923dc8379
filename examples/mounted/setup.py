"""A plugin that a web application carries with it; see app.py beside it."""

import scriptling.runtime.plugin as plugin

plugin.serve("tools", "1.0", "Tools of a web application")
plugin.register_function("shout", "handlers.shout")
