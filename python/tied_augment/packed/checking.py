"""Gives back or verifies the files of a packed data set, on all cores.

Both unpack every image and compare the SHA-256 of the result with the index. Nothing is decoded to
pixels: these follow from the file.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tied_augment.packed.images import unpack
from tied_augment.packed.index import PackedSet, Shard, check_names, read_shard

__all__ = ["Checked", "unpack_samples", "verify_samples"]


@dataclass(frozen=True)
class Checked:
    """A sample that was checked, or a whole shard that can't be read.

    Attributes:
        samples: how many samples this is about.
        stored: their bytes in the shard.
        bytes: those of their files.
        error: what is wrong, with the shard and the sample; None if all is well.
    """

    samples: int
    stored: int
    bytes: int
    error: str | None


# What is done with a file: its name and its content.
_Take = Callable[[str, bytes], None]


def verify_samples(packed: PackedSet, threads: int) -> Iterator[Checked]:
    """Check every sample of a data set."""
    return _checked(packed, threads, lambda _name, _content: None)


def unpack_samples(packed: PackedSet, out: Path, threads: int) -> Iterator[Checked]:
    """Write the files that were packed.

    Args:
        packed: the data set.
        out: where to; a folder that is empty or does not exist.
        threads: how many samples are unpacked at a time.

    Raises:
        ValueError: `out` is not empty, or two samples have the same file.
        OSError: a file can't be written.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: give a folder that is, or that does not exist")
    for name in [*packed.empty, ""]:
        os.makedirs(out / name, exist_ok=True)

    def write(name: str, content: bytes) -> None:
        path = out / name
        os.makedirs(path.parent, exist_ok=True)
        # Not over another file, whatever the system takes for the same name.
        with open(path, "xb") as file:
            file.write(content)

    names: list[str] = []
    for shard in _shards(packed):
        if isinstance(shard, Shard):
            names += shard.names
    check_names(names)
    return _checked(packed, threads, write)


def _shards(packed: PackedSet) -> Iterator[Shard | Checked]:
    first = 0
    for name, samples in zip(packed.shards, packed.samples, strict=True):
        try:
            yield read_shard(packed.folder, name, packed.classes, first, samples)
        except (OSError, ValueError) as error:
            yield Checked(samples, 0, 0, str(error))
        first += samples


def _checked(packed: PackedSet, threads: int, take: _Take) -> Iterator[Checked]:
    pool = ThreadPoolExecutor(threads, "tied-check")
    waiting: deque[Future[Checked]] = deque()
    try:
        for shard in _shards(packed):
            if isinstance(shard, Checked):
                yield shard
                continue
            for position in range(len(shard.names)):
                waiting.append(pool.submit(_check, packed.folder, shard, position, take))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check(folder: Path, shard: Shard, position: int, take: _Take) -> Checked:
    name, length = shard.names[position], shard.lengths[position]
    size, error = 0, None
    try:
        content = _original(folder / shard.name, shard, position)
    except (OSError, ValueError) as cause:
        error = f"{folder / shard.name}, {name}: {cause}"
    else:
        take(name, content)
        size = len(content)
    return Checked(1, length, size, error)


def _original(path: Path, shard: Shard, position: int) -> bytes:
    """The file of a sample. Raises ValueError or OSError if it is not the one that was packed."""
    with open(path, "rb") as file:
        file.seek(shard.offsets[position])
        stored = file.read(shard.lengths[position])
    content = unpack(stored) if shard.packed[position] else stored
    if hashlib.sha256(content).hexdigest() != shard.sha256[position]:
        raise ValueError("its SHA-256 is not that of the index")
    return content
