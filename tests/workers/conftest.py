"""Properties are searched without deadlines, which a busy machine breaks, and leave nothing on the disk."""

from hypothesis import settings

from tests.wire.fixtures import gate

__all__ = ["gate"]

settings.register_profile("shared machine", deadline=None, database=None)
settings.load_profile("shared machine")
