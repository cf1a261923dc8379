"""What a worker has done, in memory that outlives it.

ZeroMQ sends from a thread of its own, so an answer "sent" by a process that dies a moment later may never leave it.
Therefore a worker writes every reply into a piece of memory shared with the front-end before it claims the next call,
and sends frames cut from that memory. When the worker dies, or holds done answers back because the next call takes
long, the front-end reads them here. Each reply is counted, so that one which arrives both ways is used once.

The memory also says which call is running and since when, which is what deadlines are measured by.

User code in the worker can write anything into it, at any time. So its size is sealed, what is read is checked against
what the front-end knows itself, and nothing in it is an index or a size before that.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import msgspec

from workers import frames

SIZE = 256 * 1024  # bytes; replies that do not fit are sent alone
_HEAD = 64

# Words of the header. The worker writes all but _ACKNOWLEDGED.
_RUNNING = 0  # seq of the running call; 0 while there is none
_SINCE = 1  # CLOCK_MONOTONIC, ns, when it was begun
_BASE = 2  # index of the first reply in the memory, among all of this worker
_FILLED = 3  # replies in the memory << 32 | where they end: one word, so that no death can come between the two
_RECEIVED = 5  # answers to questions that may park the worker; what is not counted here did not arrive
_ACKNOWLEDGED = 4  # replies that the front-end has, counted from the worker's start


def create() -> int:
    """Return the descriptor of a new, empty journal.

    Nobody can change its size any more: to read memory whose end was cut off is a SIGBUS.
    """
    fd = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


class _Journal:
    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, SIZE)
        self._view = memoryview(self._memory)
        self._words = self._view[:_HEAD].cast("Q")

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._view.release()
        self._memory.close()


class Writer(_Journal):
    """The worker's side."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._position = _HEAD
        self._unsent_from = _HEAD
        self._unsent = 0
        self._total = 0

    def begin(self, seq: int, now: int) -> None:
        """Note that a call is running since ``now`` (ns)."""
        self._words[_SINCE] = now
        self._words[_RUNNING] = seq

    def end(self) -> None:
        """Note that no call is running."""
        self._words[_RUNNING] = 0

    def add(self, encoded: bytes) -> bool:
        """Write one encoded reply; False if there is no room for it now."""
        end = self._position + len(encoded)
        if end > SIZE:
            if self._unsent or not self.acknowledged:
                return False
            self._rewind()
            end = _HEAD + len(encoded)
            if end > SIZE:
                return False
        self._view[self._position : end] = encoded
        self._position = end
        self._words[_FILLED] = (((self._words[_FILLED] >> 32) + 1) << 32) | end
        self._total += 1
        self._unsent += 1
        return True

    def _rewind(self) -> None:
        self._words[_FILLED] = _HEAD
        self._words[_BASE] = self._total
        self._position = self._unsent_from = _HEAD

    def note_received(self) -> None:
        """Count an answer that has arrived in this process."""
        self._words[_RECEIVED] += 1

    @property
    def acknowledged(self) -> bool:
        """Whether the front-end has every reply of this worker."""
        return self._words[_ACKNOWLEDGED] >= self._total

    @property
    def unsent(self) -> int:
        """How many replies are written and not yet in a frame."""
        return self._unsent

    def frame(self) -> bytes:
        """Return a frame of all that is unsent, and count it as sent."""
        encoded = bytes(self._view[self._unsent_from : self._position])
        frame = frames.replies_frame(self._total - self._unsent, self._unsent, encoded)
        self._unsent_from = self._position
        self._unsent = 0
        return frame

    def frame_alone(self, encoded: bytes) -> bytes:
        """Return a frame for one reply that never fits; everything before it must be in a frame already."""
        self._rewind()
        self._total += 1
        self._words[_BASE] = self._total
        return frames.replies_frame(self._total - 1, 1, encoded)


class Reader(_Journal):
    """The front-end's side."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._received = 0

    def accept(self, first: int, replies: list[frames.Reply]) -> list[frames.Reply]:
        """Count replies that came in a frame, and return those that are new.

        :raises ValueError: some before them have not come, which cannot be: frames keep their order
        """
        if not 0 <= first <= self._received:
            raise ValueError(f"replies from the {first}th on, after {self._received}")
        new = replies[self._received - first :] if first < self._received else replies
        self._received = max(self._received, first + len(replies))
        self._words[_ACKNOWLEDGED] = self._received
        return new

    def unsent(self) -> list[frames.Reply]:
        """Return the replies that were written and have not come in a frame; each is returned once."""
        base, filled = self._words[_BASE], self._words[_FILLED]
        count, end = filled >> 32, filled & 0xFFFFFFFF
        if not base <= self._received < base + count or self._words[_BASE] != base:  # the last: rewound meanwhile
            return []  # without a count there may still be a reply on its way that never was in the memory
        try:
            replies = frames.decode_reply_list(frames.join_replies(count, bytes(self._view[_HEAD:end])))
        except msgspec.DecodeError:  # written to while we read: the frame that follows has them all
            return []
        return self.accept(base, replies)

    def received(self) -> int:
        """Return how many answers have arrived in the worker."""
        return self._words[_RECEIVED]

    def running(self) -> tuple[int, int]:
        """Return the seq of the running call (0: none) and the ns of CLOCK_MONOTONIC at which it began."""
        return self._words[_RUNNING], self._words[_SINCE]
