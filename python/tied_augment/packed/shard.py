"""Writes one shard and its index, so that no half of one is ever taken for a whole one.

A file gets its name when all of it is on the disk, and the index comes after the tar file. So a
shard is whole if its index is there.
"""

from __future__ import annotations

import json
import os
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tied_augment.endings import ENDINGS
from tied_augment.packed.index import FORMAT, RELEASE, VERSION, Shard, shard_name

__all__ = ["Entry", "ShardWriter", "remove_parts", "write_json"]

_PART = ".part"
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Entry:
    """A sample as it is stored.

    Attributes:
        name: the path of its file in what is packed.
        label: its target; -1 if there is none.
        content: its bytes in the shard.
        size: the bytes of the file.
        sha256: of the file.
        unchanged: why the file is stored as it is; None if it is packed.
        broken: why the image can't be decoded; None if it can be.
    """

    name: str
    label: int
    content: bytes
    size: int
    sha256: str
    unchanged: str | None = None
    broken: str | None = None


class ShardWriter:
    """Writes a shard. As a context manager, it removes what is not finished.

    Args:
        folder: where to.
        number: of the shard.
        first: the number of its first sample in the set.
    """

    def __init__(self, folder: Path, number: int, first: int) -> None:
        self.shard = Shard(shard_name(number), first=first)
        self._path = folder / self.shard.name
        self._file = open(_part(self._path), "wb")  # noqa: SIM115  (closed by __exit__)
        self.bytes = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()  # fails again if the disk is full
        except OSError:
            if error is None:
                raise
        finally:
            with suppress(FileNotFoundError):
                os.unlink(_part(self._path))

    def add(self, entry: Entry) -> None:
        """Write a sample.

        Raises:
            OSError: it can't be written.
        """
        shard = self.shard
        position = len(shard.names)
        key = f"{shard.first + position:08}"
        # Readers of WebDataset's layout go by the ending; ours go by the content.
        ending = "jpg" if entry.unchanged is None else entry.name.rpartition(".")[2].lower()
        offset = self._member(f"{key}.{ending if ending in ENDINGS else 'file'}", entry.content)
        self._member(f"{key}.cls", str(entry.label).encode())
        shard.names.append(entry.name)
        shard.labels.append(entry.label)
        shard.offsets.append(offset)
        shard.lengths.append(len(entry.content))
        shard.packed.append(int(entry.unchanged is None))
        shard.sha256.append(entry.sha256)
        shard.sizes += entry.size
        if entry.unchanged is not None:
            shard.unchanged[str(position)] = entry.unchanged
        if entry.broken is not None:
            shard.broken[str(position)] = entry.broken

    def _member(self, name: str, content: bytes) -> int:
        """Write a member of the archive. Returns where its content begins."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        # No times and no owners: the same source gives the same shards.
        header = info.tobuf(tarfile.USTAR_FORMAT)
        padding = bytes(-len(content) % _BLOCK)
        for part in (header, content, padding):
            self._file.write(part)
        start = self.bytes + len(header)
        self.bytes = start + len(content) + len(padding)
        return start

    def finish(self) -> None:
        """Give the shard and its index their names.

        Raises:
            OSError: they can't be written.
        """
        self._file.write(bytes(2 * _BLOCK))
        self._file.flush()
        os.fsync(self._file.fileno())
        shard = self.shard
        shard.bytes = self.bytes + 2 * _BLOCK
        os.replace(_part(self._path), self._path)
        index = {
            "format": FORMAT,
            "version": VERSION,
            "release": RELEASE,
            "shard": shard.name,
            "bytes": shard.bytes,
            "original_bytes": shard.sizes,
            "first": shard.first,
            "unchanged": shard.unchanged,
            "broken": shard.broken,
            "names": shard.names,
            "labels": shard.labels,
            "offsets": shard.offsets,
            "lengths": shard.lengths,
            "packed": shard.packed,
            "sha256": shard.sha256,
        }
        write_json(self._path.with_suffix(".json"), index)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is there as a whole or not at all, even if the machine stops.

    Raises:
        OSError: it can't be written.
    """
    part = _part(path)
    try:
        with open(part, "w", encoding="ascii") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    # The new names are on the disk, too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_parts(folder: Path, number: int) -> None:
    """Remove what an interrupted run has left of shard `number` and of unfinished files.

    Raises:
        OSError: it can't be removed.
    """
    with suppress(FileNotFoundError):
        os.unlink(folder / shard_name(number))
    for part in folder.glob(f"*{_PART}"):
        os.unlink(part)


def _part(path: Path) -> Path:
    return path.with_name(path.name + _PART)
