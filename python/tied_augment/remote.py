"""A file at a URL, read from front to back: `open_remote`.

The library `fsspec` knows the protocols. A few threads read blocks ahead, each with one request for
a range of bytes. A block whose request fails is asked for again, with growing pauses, so a lost
connection costs one block and not the file.
"""

from __future__ import annotations

import io
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["is_remote", "open_remote"]

_logger = logging.getLogger("tied_augment.loader")

Result = TypeVar("Result")

_BLOCK = 4 << 20
_THREADS = 4
_ATTEMPTS = 6
# In seconds; each pause is twice the one before.
_FIRST_PAUSE = 0.5


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def open_remote(url: str) -> io.BufferedReader:
    """Open the file at a URL of any protocol that fsspec knows, for reading in order.

    Raises:
        ImportError: fsspec is missing, or what it needs for the protocol.
        FileNotFoundError, PermissionError: as fsspec raises them.
        OSError: the file can't be read, also after several attempts; with the URL. Reading raises
            it, too.
    """
    return io.BufferedReader(_RemoteFile(url), _BLOCK)


class _RemoteFile(io.RawIOBase):
    """The blocks of a file, in order."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._asked: SimpleQueue[tuple[int, Future[bytes]] | None] = SimpleQueue()
        self._blocks: deque[Future[bytes]] = deque()
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ImportError(f"{url} is read by fsspec: pip install fsspec") from error
        self._system, self._path = url_to_fs(url)
        self._size = self._insist("its size", self._find_size)
        self._next = 0
        self._block = memoryview(b"")
        for number in range(min(_THREADS, -(-self._size // _BLOCK))):
            self._ask()
            # Daemons, since a server that never answers must not hold up the interpreter's exit.
            threading.Thread(
                target=self._read_blocks, name=f"tied-remote-{number}", daemon=True
            ).start()

    def readable(self) -> bool:
        """Whether the file is open for reading: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes, of which there may be fewer than fit; 0 at the end."""
        if not self._block:
            if not self._blocks:
                return 0
            self._block = memoryview(self._blocks.popleft().result())
            self._ask()
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        """End the threads, each after the request that it is at."""
        if not self.closed:
            self._stop.set()
            for _ in range(_THREADS):
                self._asked.put(None)
        super().close()

    def _ask(self) -> None:
        if self._next < self._size:
            block: Future[bytes] = Future()
            self._asked.put((self._next, block))
            self._blocks.append(block)
            self._next += _BLOCK

    def _read_blocks(self) -> None:
        while (asked := self._asked.get()) is not None and not self._stop.is_set():
            start, block = asked
            try:
                block.set_result(self._insist(f"byte {start}", partial(self._read, start)))
            except BaseException as error:  # raised where the block is waited for
                block.set_exception(error)

    def _find_size(self) -> int:
        size = self._system.info(self._path)["size"]
        if size is None:
            raise _FinalError("the server doesn't say how long it is")
        return int(size)

    def _read(self, start: int) -> bytes:
        end = min(start + _BLOCK, self._size)
        content: bytes = self._system.cat_file(self._path, start=start, end=end)
        if len(content) > end - start:
            raise _FinalError("the server doesn't give ranges of bytes")
        if len(content) < end - start:
            raise OSError(f"{len(content)} of {end - start} bytes came")
        return content

    def _insist(self, what: str, call: Callable[[], Result]) -> Result:
        """The result of a call that may fail several times."""
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except Exception as error:
                cause = _cause(error)
                final = _is_final(cause)
                if final and isinstance(error, _FSSPECS):
                    raise
                if final or attempt == _ATTEMPTS:
                    kind = type(cause).__name__
                    raise OSError(f"{self._url}: can't read {what}: {kind}: {cause}") from error
                _logger.info("%s: %s is read again, since %r", self._url, what, cause)
            if self._stop.wait(pause):
                break
            pause *= 2
        raise OSError(f"{self._url} was closed")


class _FinalError(OSError):
    """What another attempt would not change."""


# What fsspec raises where another attempt would not help.
_FSSPECS = (FileNotFoundError, PermissionError, ImportError)


def _cause(error: Exception) -> BaseException:
    """What went wrong. fsspec calls a file not found if asking for its size fails in any way."""
    unclear = isinstance(error, FileNotFoundError) and error.__cause__ is not None
    return error.__cause__ or error if unclear else error


def _is_final(cause: BaseException) -> bool:
    # Errors of aiohttp have a status. 408 is a timeout, 429 says 'later'.
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(cause, (*_FSSPECS, _FinalError))
