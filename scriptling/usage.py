"""The text of ``--help``, made from the table of options."""

from __future__ import annotations

import textwrap

from scriptling.options import GROUPS, Option
from scriptling.terminal import BOLD, DIM, paint

_COLUMN = 30
_WIDTH = 100

_HEAD = """\
{usage}
  scriptling [flags] [script.py | -] [args...]
  scriptling [flags] -c CODE [args...]

Runs a script, or with --json-rpc serves the functions, constants and classes that it registers
to hosts of the Scriptling plugin protocol, or with --server whatever it registers, over HTTP.
Without a script, what is piped to stdin is run.
"""

_TAIL = """\
{examples}
  scriptling client.py                             run a script
  scriptling --json-rpc setup.py                   serve a plugin over stdin and stdout
  scriptling --json-rpc --workers 4 setup.py       the same, with four worker processes
  scriptling --server :8000 --json-rpc setup.py    the same over HTTP and WebSockets
  scriptling --plugin-dir ./plugins -c 'import plugin.hello; print(plugin.hello.greet("Ada"))'
  scriptling -i                                    type Python, with history and completion

{files}
  Command line over environment over .env in the current folder over config file over default.

{exits}
  0 done   1 the script raised   2 wrong usage   3 the setup script failed, or registered nothing
  4 cannot listen   130, 143 ended by a second SIGINT, SIGTERM   or what the script gave sys.exit()
"""


def help_text(coloured: bool) -> str:
    """Return the help, at most 100 columns wide."""
    parts = [_HEAD.format(usage=paint("Usage", BOLD, coloured))]
    for title, options in GROUPS.items():
        lines = [_entry(option, coloured) for option in options]
        if lines:
            parts.append("\n".join([paint(title, BOLD, coloured), *lines, ""]))
    titles = {"examples": "Examples", "files": "Precedence", "exits": "Exit status"}
    parts.append(_TAIL.format(**{key: paint(title, BOLD, coloured) for key, title in titles.items()}))
    return "\n".join(parts)


def _entry(option: Option, coloured: bool) -> str:
    """Return the lines of one option."""
    short = f"-{option.short}, " if option.short else "    "
    flag = f"  {short}{option.flag} {option.metavar}".rstrip()
    lines = textwrap.wrap(option.help, _WIDTH - _COLUMN)
    if option.environment:
        bracket = f"[{option.environment}]"
        together = f"{lines[-1]} {bracket}"
        shown = paint(bracket, DIM, coloured)
        if len(together) <= _WIDTH - _COLUMN:
            lines[-1] += f" {shown}"
        else:
            lines.append(shown)
    margin = "\n" + " " * _COLUMN
    gap = margin if len(flag) > _COLUMN - 2 else " " * (_COLUMN - len(flag))
    return flag + gap + margin.join(lines)
