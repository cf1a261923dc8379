"""One LMDB environment in one process: opened when it is first used, and again after whatever closed it.

* The map is read-only: pages are written with ``pwrite``, so that a full disk is an error where a writable map would be
  a SIGBUS. Of the lock file, which LMDB does map for writing, all blocks are reserved before.
* A map that is too small is doubled by whoever notices; other processes follow at their next transaction. Who opens a
  store takes over the size that its file names: one of less than the data would be made exactly as large as the data
  is, and be outgrown by the next write of another, every time it is opened.
* Writers take LMDB's lock, which the kernel takes from the dead. Inside a process they queue for a lock of ours first,
  so that the map is never exchanged under a transaction; reads have a lock of their own and never wait for a writer.
* A durable commit flushes the pages under LMDB's lock and the head, which makes them count, after it: whoever waits for
  that flush has it done for everybody who has committed meanwhile. The order keeps the file whole whenever power fails.
* LMDB must not be open twice in a process, nor across a fork: :mod:`scriptling.stores.registry` sees to both.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from scriptling.stores import openings
from scriptling.stores.errors import StoreError, StoreFullError
from scriptling.stores.patience import HOLDER, NEVER_HELD, WriteLock, process_of

T = TypeVar("T")

FIRST_MAP = 64 * 1024 * 1024  # bytes; address space, of which only what is used takes memory
_MOST_MAP = 1 << 40
_READERS = 1000  # transactions that may read at once, in all processes
_LOCK_FILE = 64 * (_READERS + 24)  # bytes: 64 for each reader, and the head
_TRIES = 50
_LOOKS = 100  # at a lock that is held, before the first pause
_RESERVE = 256 * 1024  # bytes kept for deleting when the disk is full, because that takes new pages at first
_NO_SPACE = (os.strerror(errno.EIO), os.strerror(errno.EFBIG))  # LMDB's word for a write that stopped in the middle


class Environment:
    """A file of keys and values in a folder of its own.

    :param locate: returns the folder; called when it is opened, and made if it is not there
    :param durable: an acknowledged write is on the disk; otherwise it survives the end of processes only
    :param first_map: bytes of the map before it first grows; 1 MiB at least
    :param shares: whether the folders beside it are stores too, and on the same disk: they have one reserve together
    """

    def __init__(
        self, locate: Callable[[], Path], durable: bool, first_map: int = FIRST_MAP, shares: bool = False
    ) -> None:
        self._locate = locate
        self._durable = durable
        self._shares = shares
        self._first_map = first_map
        self._opened: lmdb.Environment | None = None
        self._begin: Callable[..., Any] = self._open_and_begin
        self._writing = threading.RLock()
        self._reading = threading.RLock()
        self._current: Any = None
        self._lock: WriteLock | None = None
        self._lock_word = NEVER_HELD

    def get(self, key: bytes) -> bytes | None:
        """Return what is stored under a key, or None."""
        try:
            with self._reading:
                found: bytes | None = self._begin().get(key)
                return found
        except lmdb.Error:
            return self.read(lambda txn: _found(txn, key))

    def read(self, action: Callable[[Any], T]) -> T:
        """Return what an action makes of one consistent state; it must be quick, because other threads wait.

        :param action: is given an LMDB transaction; may be called again
        """
        for _ in range(_TRIES):
            try:
                with self._reading:
                    return action(self._begin())
            except lmdb.Error as error:
                with self._writing, self._reading:
                    self._recover(error)
        raise StoreError(f"{self} cannot be read: it is being enlarged again and again; try again")

    def free(self, action: Callable[[Any], T]) -> T:
        """Do an action like :meth:`write`, one that makes room: a full disk does not keep it from being done."""
        try:
            return self.write(action)
        except StoreFullError:
            reserve = self._reserve_file
            reserve.unlink(missing_ok=True)
            try:
                return self.write(action)
            finally:
                with suppress(OSError):
                    _reserve(reserve, _RESERVE)

    @property
    def _reserve_file(self) -> Path:
        folder = self._locate()
        return (folder.parent if self._shares else folder) / "reserve"

    def write(self, action: Callable[[Any], T]) -> T:
        """Do an action that either happens as a whole or, if it raises, not at all.

        :param action: is given an LMDB transaction; may be called again; must not block, because all writers wait
        :raises StoreFullError: no room for it
        """
        with self._writing:
            if self._current is not None:
                return action(self._current)  # a finaliser or signal handler in the middle of a write
            result = self._commit(action)
        if self._durable:
            self._flush()
        return result

    def _commit(self, action: Callable[[Any], T]) -> T:
        for _ in range(_TRIES):
            try:
                if self._lock_word[0]:
                    self._wait_for_others()
                with self._begin(write=True) as self._current:
                    return action(self._current)
            except lmdb.Error as error:
                self._current = None
                with self._reading:
                    self._recover(error)
            finally:
                self._current = None
        raise StoreError(f"{self} cannot be written: it is being enlarged again and again; try again")

    def _wait_for_others(self) -> None:
        assert self._opened is not None
        assert self._lock is not None
        for _ in range(_LOOKS):  # a write takes microseconds, to sleep takes more
            if not self._lock_word[0] & HOLDER:
                return
        while holder := self._lock_word[0] & HOLDER:
            if thread := self._lock.wait(holder, self._opened.info()["last_txnid"]):
                raise StoreError(
                    f"{self} cannot be written: process {process_of(thread)} has begun to write and does not go on; "
                    "let it continue, or end it"
                )

    def _flush(self) -> None:
        """Have the disk hold what was committed, by this process or by others: writers share flushes."""
        opened = self._opened
        try:
            if opened is not None:
                opened.sync(True)
                return
        except lmdb.Error:  # another thread has closed it
            pass
        try:
            _flush_file(self._locate() / "data.mdb")
        except OSError as error:
            raise StoreError(f"{self} was written, but its disk fails: {error.strerror}") from None

    def clear(self) -> None:
        """Delete everything."""
        self.free(self._empty)

    def _empty(self, txn: Any) -> None:
        assert self._opened is not None
        txn.drop(self._opened.open_db(txn=txn), delete=False)

    def close(self) -> None:
        """Give everything back; the next use opens it again."""
        with self._writing, self._reading:
            self._close()

    def before_fork(self) -> None:
        """Close it, and let no thread open it until :meth:`after_fork`."""
        self._writing.acquire()
        self._reading.acquire()
        self._close()

    def after_fork(self) -> None:
        """Let threads go on, in the parent and in the child."""
        self._reading.release()
        self._writing.release()

    def _close(self) -> None:
        self._begin = self._open_and_begin
        if self._opened is not None:
            self._opened.close()
            self._opened = None
            openings.closed(self)
        if self._lock is not None:
            self._lock_word = NEVER_HELD
            self._lock.close()
            self._lock = None

    def close_if_idle(self) -> bool:
        """Close it unless a thread uses it, without waiting; return whether that was done."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            if self._current is not None or not self._reading.acquire(blocking=False):
                return False
            self._close()
            self._reading.release()
            return True
        finally:
            self._writing.release()

    def _open_and_begin(self, **options: Any) -> Any:
        with self._reading:
            if self._opened is None:
                self._opened = self._open()
                self._begin = self._opened.begin
                openings.opened(self)
        if options:  # to write
            self._wait_for_others()
        return self._begin(**options)

    def _open(self) -> lmdb.Environment:
        folder = self._locate()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _reserve(folder / "lock.mdb", _LOCK_FILE)  # LMDB writes to it through a map
            with suppress(OSError):  # a full disk may hold what is to be read
                _reserve(self._reserve_file, _RESERVE)
            return self._open_beside(WriteLock(folder / "lock.mdb"), folder)
        except lmdb.MapResizedError:  # others have doubled and outgrown it this very moment: the next try follows them
            raise
        except (OSError, lmdb.Error) as error:
            raise _failed_to_open(folder, error) from None

    def _open_beside(self, lock: WriteLock, folder: Path) -> lmdb.Environment:
        try:
            opened = self._open_in(folder)
        except BaseException:
            lock.close()
            raise
        self._lock, self._lock_word = lock, lock.word()
        return opened

    def _open_in(self, folder: Path) -> lmdb.Environment:
        opened = lmdb.open(
            str(folder),
            map_size=0,  # what the file says
            max_readers=_READERS,
            max_spare_txns=1,
            mode=0o600,
            sync=self._durable,
            metasync=False,
        )
        if opened.info()["map_size"] < self._first_map:
            opened.set_mapsize(self._first_map)
        opened.reader_check()  # slots of those who were killed
        return opened

    def _recover(self, error: lmdb.Error) -> None:
        """Mend what can be mended, so that the transaction may be tried again.

        :raises StoreError: what cannot
        """
        opened = self._opened
        if opened is None:  # another thread has closed it
            return
        if isinstance(error, (lmdb.MapFullError, lmdb.MapResizedError)):
            self._grow(opened)
        elif isinstance(error, lmdb.ReadersFullError) and opened.reader_check():
            return
        elif isinstance(error, (lmdb.PanicError, lmdb.BadRslotError)):
            self._close()
        else:
            failure = self._failure(error)
            if not isinstance(failure, StoreFullError):
                self._close()
            raise failure

    def _grow(self, opened: lmdb.Environment) -> None:
        opened.reader_check()  # a killed reader keeps pages from being used again
        size = opened.info()["map_size"]
        try:
            opened.set_mapsize(0)  # another process may have enlarged it
            if opened.info()["map_size"] >= 2 * size:
                return  # with less there would be room for what is there, and none once others have written more
            if size >= _MOST_MAP:
                raise StoreFullError(f"{self} has reached {size} bytes, which is the most; delete something")
            opened.set_mapsize(2 * size)
        except (lmdb.Error, OSError, MemoryError):
            self._close()
            raise StoreFullError(f"{self} cannot grow beyond {size} bytes: no address space is left") from None

    def _failure(self, error: lmdb.Error) -> StoreError:
        if isinstance(error, lmdb.DiskError) or str(error).endswith(_NO_SPACE):
            return StoreFullError(f"{self} cannot be written: no space is left on its disk; nothing was changed")
        if isinstance(error, lmdb.ReadersFullError):
            return StoreError(f"{self} is being read by {_READERS} threads, which is the most; try again")
        return StoreError(f"{self} failed: {error}")

    def __str__(self) -> str:
        return f"the store in {self._locate()}"


def _found(txn: Any, key: bytes) -> bytes | None:
    found: bytes | None = txn.get(key)
    return found


def _flush_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _reserve(file: Path, size: int) -> None:
    """Give a file its blocks on the disk, so that no write to them can fail."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _failed_to_open(folder: Path, error: Exception) -> StoreError:
    full = isinstance(error, lmdb.DiskError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    reason = error.strerror if isinstance(error, OSError) else error
    kind = StoreFullError if full else StoreError
    return kind(f"cannot open the store in {folder}: {reason}; give a folder that this process may write to")
