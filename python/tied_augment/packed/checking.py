"""Verifies the files of a packed data set, on all cores.

Every image is unpacked and the SHA-256 of the result compared with the index. Nothing is decoded to
pixels: these follow from the file.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tied_augment.packed.images import unpack
from tied_augment.packed.index import PackedSet, Shard, read_shard

__all__ = [
    "BrokenSampleError",
    "Checked",
    "check_samples",
    "original",
    "shard_indices",
    "verify_samples",
]


class BrokenSampleError(Exception):
    """A sample that is not as it was packed."""


@dataclass(frozen=True)
class Checked:
    """A sample that was checked, or a whole shard that can't be read.

    Attributes:
        samples: how many samples this is about.
        stored: their bytes in the shard.
        bytes: those of their files, if they were unpacked.
        error: what is wrong, with the shard and the sample; None if all is well.
        kept: whether the file was there before and is kept.
    """

    samples: int
    stored: int
    bytes: int
    error: str | None = None
    kept: bool = False


def verify_samples(packed: PackedSet, threads: int) -> Iterator[Checked]:
    """Check every sample of a data set."""

    def verify(shard: Shard, position: int) -> Checked:
        content = original(packed.folder / shard.name, shard, position)
        return Checked(1, shard.lengths[position], len(content))

    return check_samples(packed, threads, verify)


def shard_indices(packed: PackedSet) -> Iterator[Shard | Checked]:
    """The indices of the shards of a data set, or what is wrong with them."""
    first = 0
    for name, samples in zip(packed.shards, packed.samples, strict=True):
        try:
            yield read_shard(packed.folder, name, packed.classes, first, samples)
        except (OSError, ValueError) as error:
            yield Checked(samples, 0, 0, str(error))
        first += samples


def check_samples(
    packed: PackedSet, threads: int, check: Callable[[Shard, int], Checked]
) -> Iterator[Checked]:
    """Check every sample with threads, in order.

    Args:
        packed: the data set.
        threads: how many samples are checked at a time.
        check: checks one, given by its shard and its position there. If it raises a
            `BrokenSampleError`, that is noted and the others go on.
    """
    pool = ThreadPoolExecutor(threads, "tied-check")
    waiting: deque[Future[Checked]] = deque()

    def guarded(shard: Shard, position: int) -> Checked:
        try:
            return check(shard, position)
        except BrokenSampleError as cause:
            name = f"{packed.folder / shard.name}, {shard.names[position]}"
            return Checked(1, shard.lengths[position], 0, f"{name}: {cause}")

    try:
        for shard in shard_indices(packed):
            if isinstance(shard, Checked):
                yield shard
                continue
            for position in range(len(shard.names)):
                waiting.append(pool.submit(guarded, shard, position))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def original(path: Path, shard: Shard, position: int) -> bytes:
    """The file of a sample.

    Args:
        path: of the shard.
        shard: its index.
        position: of the sample.

    Raises:
        BrokenSampleError: it can't be read, or is not the one that was packed.
    """
    try:
        with open(path, "rb") as file:
            file.seek(shard.offsets[position])
            stored = file.read(shard.lengths[position])
        content = unpack(stored) if shard.packed[position] else stored
    except (OSError, ValueError) as error:
        raise BrokenSampleError(str(error)) from error
    if hashlib.sha256(content).hexdigest() != shard.sha256[position]:
        raise BrokenSampleError("its SHA-256 is not that of the index")
    return content
