"""A file at a URL, read from front to back: `open_remote`.

The library `fsspec` knows the protocols. A few threads read blocks ahead, each with one request for
a range of bytes. A block whose request fails is asked for again, with growing pauses, so a lost
connection costs one block and not the file. A `ShardCache` keeps files that were read to their end.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

from tied_augment.shard_cache import Copy, ShardCache

__all__ = ["is_remote", "open_remote", "refuse_remote"]

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


def refuse_remote(folder: str | os.PathLike[str]) -> None:
    """Raise ValueError for a URL in place of a folder, whose files are read by offset."""
    if is_remote(os.fspath(folder)):
        raise ValueError(
            f"{os.fspath(folder)} is a URL, and folders are read from local paths: copy it, or "
            "give TarShards the URLs of tar files, which may be those of a packed folder"
        )


def open_remote(url: str, cache: ShardCache | None = None) -> io.BufferedIOBase | BinaryIO:
    """Open the file at a URL of any protocol that fsspec knows, for reading in order.

    Args:
        url: of the file.
        cache: where the file is kept if it is read to its end, and looked for first.

    Raises:
        ImportError: fsspec is missing, or what it needs for the protocol.
        FileNotFoundError, PermissionError: as fsspec raises them.
        OSError: the file can't be read, also after several attempts; with the URL. Reading raises
            it, too.
    """
    source = _Source(url)
    info = source.info()
    held = None if cache is None else cache.find(url, info)
    if held is not None:
        return held
    copy = None if cache is None else cache.begin(url, info)
    return io.BufferedReader(_RemoteFile(source, int(info["size"]), copy), _BLOCK)


class _Source:
    """A file at a URL, of which a request may fail several times.

    Attributes:
        url: as it was given.
        stop: set once nobody wants the file any more.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.stop = threading.Event()
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ImportError(f"{url} is read by fsspec: pip install fsspec") from error
        self._system, self._path = url_to_fs(url)

    def info(self) -> Mapping[str, Any]:
        """What fsspec says of the file; ``size`` is known."""
        return self._insist("its size", self._info)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`."""
        return self._insist(f"byte {start}", partial(self._read, start, end))

    def _info(self) -> Mapping[str, Any]:
        info: Mapping[str, Any] = self._system.info(self._path)
        if info["size"] is None:
            raise _FinalError("the server doesn't say how long it is")
        return info

    def _read(self, start: int, end: int) -> bytes:
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
                    if self.url in str(error):
                        raise
                    raise _with_url(self.url, error) from error
                if final or attempt == _ATTEMPTS:
                    kind = type(cause).__name__
                    raise OSError(f"{self.url}: can't read {what}: {kind}: {cause}") from error
                _logger.info("%s: %s is read again, since %r", self.url, what, cause)
            if self.stop.wait(pause):
                break
            pause *= 2
        raise OSError(f"{self.url} was closed")


class _RemoteFile(io.RawIOBase):
    """The blocks of a file, in order.

    Args:
        source: the file.
        size: its bytes.
        copy: what takes the bytes, too.
    """

    def __init__(self, source: _Source, size: int, copy: Copy | None) -> None:
        self._source = source
        self._size = size
        self._copy = copy
        self._asked: SimpleQueue[tuple[int, Future[bytes]] | None] = SimpleQueue()
        self._blocks: deque[Future[bytes]] = deque()
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
            content = self._blocks.popleft().result()
            if self._copy is not None:
                self._copy.write(content)
            self._block = memoryview(content)
            self._ask()
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        """End the threads, each after the request that it is at."""
        if not self.closed:
            self._source.stop.set()
            for _ in range(_THREADS):
                self._asked.put(None)
            if self._copy is not None:
                self._copy.close()
        super().close()

    def _ask(self) -> None:
        if self._next < self._size:
            block: Future[bytes] = Future()
            self._asked.put((self._next, block))
            self._blocks.append(block)
            self._next += _BLOCK

    def _read_blocks(self) -> None:
        while (asked := self._asked.get()) is not None and not self._source.stop.is_set():
            start, block = asked
            try:
                block.set_result(self._source.read(start, min(start + _BLOCK, self._size)))
            except BaseException as error:  # raised where the block is waited for
                block.set_exception(error)


class _FinalError(OSError):
    """What another attempt would not change."""


# What fsspec raises where another attempt would not help.
_FSSPECS = (FileNotFoundError, PermissionError, ImportError)


def _with_url(url: str, error: Exception) -> Exception:
    """The same error of `_FSSPECS` with the URL, since some say no more than 'Forbidden'."""
    kind = next(kind for kind in _FSSPECS if isinstance(error, kind))
    return kind(f"{url}: {error}")


def _cause(error: Exception) -> BaseException:
    """What went wrong. fsspec calls a file not found if asking for its size fails in any way."""
    unclear = isinstance(error, FileNotFoundError) and error.__cause__ is not None
    return error.__cause__ or error if unclear else error


def _is_final(cause: BaseException) -> bool:
    # 408 is a timeout, 429 says 'later'.
    status = _status(cause)
    if status is not None:
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(cause, (*_FSSPECS, _FinalError))


def _status(cause: BaseException) -> int | None:
    """The status of HTTP that an error is about."""
    status = getattr(cause, "status", None)  # aiohttp's
    response = getattr(cause, "response", None)  # botocore's
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None
