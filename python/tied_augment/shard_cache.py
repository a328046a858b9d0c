"""Whole shards of remote storage, kept in a folder of a local disk: `ShardCache`.

Any number of processes may share the folder. They need no lock:

* A shard is copied to a file of its writer's own, which is renamed once every byte is on the disk.
  So a file with a shard's name is whole, also if a writer was killed.
* A writer makes its file as long as the shard will be before it counts what the folder holds. So
  the files of all writers together stay below the limit.
* A file that is deleted while another process reads it stays readable until that closes it.

A cache never stops a run: if it can't be written to, shards are read without it, with a warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from tied_augment.arguments import check_unsigned

__all__ = ["Copy", "ShardCache"]

_logger = logging.getLogger("tied_augment.loader")

_WHOLE, _PART = ".shard", ".part"
# A part that nobody has written to for so long, in seconds, is of a process that was killed.
_ABANDONED = 3600.0
# What tells one version of a file from the next, by the names of fsspec's file systems.
_VERSION = (
    "ETag",
    "etag",
    "Content-MD5",
    "md5Hash",
    "VersionId",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
)


class ShardCache:
    """The shards that were read last, up to a number of bytes.

    Args:
        folder: of this machine; it is made if there is none.
        limit: the bytes that the folder may hold. The shards that were not used for longest are
            deleted to make room.

    Raises:
        TypeError: `folder` is not a path, or `limit` not an integer.
        ValueError: `limit` is 0 or negative.
        OSError: the folder can't be made or written to.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"cache_dir must be the path of a folder, got {folder!r}")
        self._folder = os.path.abspath(folder)
        self._limit = check_unsigned("cache_bytes", limit, 63, 1)
        self._warned: set[str] = set()
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise OSError(f"cache_dir {self._folder} can't be made: {error}") from error
        if not os.access(self._folder, os.W_OK):
            raise PermissionError(f"cache_dir {self._folder} can't be written to")

    def find(self, url: str, info: Mapping[str, Any]) -> BinaryIO | None:
        """Open the copy of a shard; None if there is none of this version.

        Args:
            url: of the shard.
            info: what fsspec says of it, with its ``size``.
        """
        path = self._path(url, info)
        try:
            file = open(path, "rb")  # noqa: SIM115  (the caller closes it)
        except OSError:
            return None
        if os.fstat(file.fileno()).st_size != info["size"]:
            file.close()
            return None
        with suppress(OSError):
            os.utime(path)  # it was used now
        return file

    def begin(self, url: str, info: Mapping[str, Any]) -> Copy | None:
        """Begin to keep a shard; None if there is no room for it. `find` has the arguments."""
        size = int(info["size"])
        path = self._path(url, info)
        part = f"{path}.{uuid.uuid4().hex}{_PART}"
        if size > self._limit:
            self._warn(f"{url} is not kept: it has {size:,} bytes, cache_bytes={self._limit:,}")
            return None
        try:
            file = open(part, "xb")  # noqa: SIM115  (`Copy` closes it)
        except OSError as error:
            self.warn_of(error)
            return None
        copy = Copy(self, file, part, path, size)
        try:
            file.truncate(size)
            if self._make_room():
                return copy
        except OSError as error:
            self.warn_of(error)
        copy.close()
        return None

    def warn_of(self, error: OSError) -> None:
        """Say, once for each reason, that a shard is not kept."""
        self._warn(
            f"cache_dir {self._folder} can't be written to: {error.strerror or error}; shards are "
            "read without it"
        )

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            _logger.warning("%s", message)

    def _path(self, url: str, info: Mapping[str, Any]) -> str:
        version = [url, info["size"], *(info.get(name) for name in _VERSION)]
        digest = hashlib.sha256("\0".join(map(str, version)).encode("utf-8", "surrogateescape"))
        return os.path.join(self._folder, digest.hexdigest()[:40] + _WHOLE)

    def _make_room(self) -> bool:
        """Delete what was not used for longest; whether all that is left is below the limit."""
        held = 0
        whole = []
        for entry, stat in self._entries():
            if entry.name.endswith(_PART) and time.time() - stat.st_mtime > _ABANDONED:
                _remove(entry.path)
                continue
            held += stat.st_size
            if entry.name.endswith(_WHOLE):
                whole.append((stat.st_mtime_ns, stat.st_size, entry.path))
        for _, size, path in sorted(whole):
            if held <= self._limit:
                break
            _remove(path)
            held -= size
        return held <= self._limit

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((_WHOLE, _PART)):
                    with suppress(FileNotFoundError):  # another process has deleted it
                        yield entry, entry.stat()


class Copy:
    """A shard on its way into a cache.

    Args:
        cache: what it is for.
        file: where the bytes go.
        part: its path.
        path: what it is called once it is whole.
        size: the bytes of the shard.
    """

    def __init__(self, cache: ShardCache, file: BinaryIO, part: str, path: str, size: int) -> None:
        self._cache = cache
        self._file = file
        self._part = part
        self._path = path
        self._left = size

    def write(self, content: bytes) -> None:
        """Take the shard's next bytes."""
        if self._file.closed:
            return
        try:
            self._file.write(content)
            self._left -= len(content)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Keep the shard if all its bytes came; otherwise forget it."""
        if self._file.closed:
            return
        try:
            if self._left == 0:
                self._file.flush()
                # Otherwise a power failure may leave a file of the right length, but of zeros.
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._part, self._path)
                return
        except FileNotFoundError:  # another process took the part for abandoned
            return
        except OSError as error:
            self._give_up(error)
            return
        self._give_up()

    def _give_up(self, error: OSError | None = None) -> None:
        # What is still in the file's buffer can't be written either if the disk is full.
        with suppress(OSError):
            self._file.close()
        _remove(self._part)
        if error is not None:
            self._cache.warn_of(error)


def _remove(path: str) -> None:
    with suppress(OSError):  # another process was quicker, or on Windows still reads it
        os.remove(path)
