"""Tar shards in the layout of WebDataset, read as streams.

Lives here: `TarShards`. May import torch. It must never decode an image, and never hold more than a
sample and its shuffle buffer.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

__all__ = ["TarShards"]

_logger = logging.getLogger("tied_augment.loader")

Sample = tuple[bytes, Any]


class TarShards(IterableDataset[Sample]):
    """``(bytes of the image file, target)`` from tar files, read from front to back.

    In a shard, the files of a sample follow each other and share their path up to the first dot of
    the file's name: ``a/0001.jpg``, ``a/0001.cls``. Every rank reads shards of its own. With
    `buffer` the order follows from (`seed`, epoch): that of the shards, and that of the samples as
    far as the buffer reaches.

    Args:
        shards: paths of the tar files, in the same order on all ranks; gzip and the like will do.
        samples: how many samples each rank gives in an epoch. The ranks need one number if they are
            to end an epoch together; who runs out of shards begins anew. None for all samples of
            the rank's shards, whatever their number.
        buffer: samples from among which the next one is drawn; 0 for the shards' own order.
        images: endings of image files, without dot.
        target: the ending of the file with the target, an integer in digits; None for no targets,
            which are -1 then.
        seed: the run's seed.

    Raises:
        ValueError: no shards, fewer shards than ranks, or no sample in those of a rank.
        OSError, tarfile.TarError: a shard that can't be read, or ends within a member, when it is
            reached. One that ends between two is warned of, by the logger `tied_augment.loader`.
    """

    def __init__(
        self,
        shards: Sequence[str | os.PathLike[str]],
        samples: int | None = None,
        buffer: int = 0,
        images: Sequence[str] = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"),
        target: str | None = "cls",
        seed: int = 0,
    ) -> None:
        if not shards:
            raise ValueError("shards must name at least one tar file")
        if buffer < 0 or (samples is not None and samples < 1):
            raise ValueError("buffer must be at least 0, and samples at least 1")
        self.shards = [os.fspath(shard) for shard in shards]
        self.samples = samples
        self.buffer = buffer
        self.images = frozenset(images)
        self.target = target
        self.seed = seed
        self.epoch = 0
        self._cut: set[str] = set()

    def __len__(self) -> int:
        """The number of samples of a rank's epoch.

        Raises:
            TypeError: `samples` was not given.
        """
        if self.samples is None:
            raise TypeError("the number of samples in the shards is not known: give samples=")
        return self.samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes, before its iteration begins."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Sample]:
        rank, ranks = _rank()
        if len(self.shards) < ranks:
            raise ValueError(f"{len(self.shards)} shards can't be split among {ranks} ranks")
        # All ranks draw the same order of the shards, and each its own of the samples.
        shards = np.random.default_rng([self.seed, self.epoch])
        within = np.random.default_rng([self.seed, self.epoch, 1 + rank])
        number = len(self.shards)
        order = shards.permutation(number) if self.buffer else np.arange(number)
        mine = [self.shards[place] for place in order[rank::ranks]]
        # Cut before it is shuffled: whoever has just enough samples gives each once.
        return self._shuffled(islice(self._read(mine), self.samples), within)

    def _read(self, shards: Sequence[str]) -> Iterator[Sample]:
        while True:
            count = 0
            for shard in shards:
                for sample in self._samples(shard):
                    count += 1
                    yield sample
            if count == 0:
                raise ValueError(f"there are no samples in {', '.join(shards)}")
            if self.samples is None:
                return

    def _samples(self, shard: str) -> Iterator[Sample]:
        try:
            with tarfile.open(shard, "r|*") as archive:
                yield from self._grouped(archive, shard)
        except tarfile.ReadError as error:
            raise tarfile.ReadError(f"{shard}: {error}") from error

    def _grouped(self, archive: tarfile.TarFile, shard: str) -> Iterator[Sample]:
        image: bytes | None = None
        key, target = "", ""
        for member in archive:
            if not member.isfile():
                continue
            folder, name = os.path.split(member.name)
            stem, _, ending = name.partition(".")
            if os.path.join(folder, stem) != key:
                if image is not None:
                    yield image, self._number(target, key, shard)
                key, image, target = os.path.join(folder, stem), None, ""
            file = archive.extractfile(member)
            assert file is not None
            if ending.lower() in self.images:
                image = file.read()
            elif ending == self.target:
                target = file.read().decode()
        self._warn_if_cut(archive, shard)
        if image is not None:
            yield image, self._number(target, key, shard)

    def _warn_if_cut(self, archive: tarfile.TarFile, shard: str) -> None:
        """Say so, once, if an archive that has been read to its end lacks the block of zeros there.

        No error, since a missing one is none for GNU tar.
        """
        assert archive.fileobj is not None
        # A whole block has been read after the last member if there is one.
        if shard in self._cut or archive.fileobj.tell() - archive.offset >= tarfile.BLOCKSIZE:
            return
        self._cut.add(shard)
        _logger.warning(
            "%s lacks the zeros at a tar file's end: if its writer or a copy was interrupted, "
            "samples are missing, and it must be made again",
            shard,
        )

    def _number(self, target: str, key: str, shard: str) -> int:
        if self.target is None:
            return -1
        try:
            return int(target)
        except ValueError:
            what = f"{target!r} in" if target else "no"
            raise ValueError(f"{shard}: {what} {key}.{self.target} for the target") from None

    def _shuffled(self, samples: Iterator[Sample], rng: np.random.Generator) -> Iterator[Sample]:
        if not self.buffer:
            yield from samples
            return
        held = list(islice(samples, self.buffer))
        for sample in samples:
            place = int(rng.integers(len(held)))
            drawn, held[place] = held[place], sample
            yield drawn
        for place in rng.permutation(len(held)):
            yield held[place]


def _rank() -> tuple[int, int]:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
