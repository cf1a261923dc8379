"""Python values as wire Values and back (protocol section 5).

| Python | wire |
| --- | --- |
| None, bool, int, float, str | ``null``, ``bool``, ``int``, ``float``, ``string`` |
| list, tuple | ``list`` |
| dict with text as keys | ``dict`` |
| an instance that lives in a plugin | ``remote``, made and understood by a hook of the caller |
| a function that lives in the host | ``callback``, likewise |

Subclasses (``IntEnum``, ``OrderedDict``, a named tuple) go as what they derive from. Anything else is an error that
names its place.
"""

from scriptling.protocol.decoding import ValueDecoder
from scriptling.protocol.encoding import ValueEncoder
from scriptling.protocol.nodes import DEFAULT_MAX_DEPTH, RemoteRef, Undecodable, Unsendable

__all__ = ["DEFAULT_MAX_DEPTH", "RemoteRef", "Undecodable", "Unsendable", "ValueDecoder", "ValueEncoder"]
