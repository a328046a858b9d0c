"""Tar shards in the layout of WebDataset, read as one stream.

An epoch is made in four steps: the order of the shards, the part of this rank and of this worker of
a DataLoader, their samples (`webdataset`), and a buffer from which the next sample is drawn.

Lives here: `TarShards`. It never decodes an image, and holds one sample besides the buffer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from tied_augment.arguments import check_unsigned
from tied_augment.endings import ENDINGS
from tied_augment.named import NamedSample
from tied_augment.ranks import Place
from tied_augment.remote import is_remote
from tied_augment.shard_cache import ShardCache
from tied_augment.webdataset import SampleReader

__all__ = ["TarShards"]

_logger = logging.getLogger("tied_augment.loader")


class TarShards(IterableDataset[NamedSample]):
    """``(bytes of the image file, target)`` from tar files, read from front to back.

    In a shard, the files of a sample follow each other. They share their path up to the first dot
    of the file's name, which begins the file's ending: ``a/0001.jpg``, ``a/0001.cls``.

    Each rank reads its own shards, and so does each worker of a DataLoader; a worker without a
    shard gives nothing. Without `buffer` the order is that of the shards. With `buffer` the order
    of the shards follows from (`seed`, epoch), and samples are shuffled as far as the buffer
    reaches.

    Args:
        shards: the path of a tar file, or a list of paths in the same order on all ranks; or URLs
            that ``fsspec`` can read, such as ``https://`` and ``s3://``. The files may be
            compressed with gzip, bzip2 or xz.
        samples: how many samples each rank gives in an epoch; its workers give equal parts. Ranks
            end an epoch together only if they give the same number. A rank whose shards have fewer
            samples reads them again. If they have more, the rest is never given if there is no
            `buffer`, or one shard only; a warning says so. None for all samples of the shards.
        buffer: the number of samples from which the next one is drawn; 0 for the shards' order.
        images: the endings of image files, by default of all formats that are read. A sample
            without one is left out, with a warning.
        target: the ending of the file with the target, an integer in digits; None for targets
            of -1.
        seed: the run's seed, 0 to 2**64 - 1.
        rank: this process's number; None to ask torch's process group at each iteration.
        world_size: how many processes share the shards; None to ask likewise, 1 for all shards.
        cache_dir: a folder of a local disk that keeps shards read from URLs, for the next epoch or
            run. All processes of a host may share it. None to keep nothing.
        cache_bytes: how many bytes that folder may hold; the shards used longest ago are deleted.

    Attributes:
        splits_by_rank: True, so that `TiedLoader` doesn't split the samples again. An iterable data
            set of your own that splits by rank says so by an attribute of this name.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: no shards, fewer shards than ranks, no sample in those of a rank, or an argument
            out of its range.
        OSError: `cache_dir` can't be written to.
        OSError, tarfile.TarError: when it is reached, a shard that can't be read, is not a regular
            file, or ends within a member. For one that ends between two members there is a warning.
    """

    splits_by_rank = True

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        samples: int | None = None,
        buffer: int = 0,
        images: str | Sequence[str] = ENDINGS,
        target: str | None = "cls",
        seed: int = 0,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.shards = _paths(shards)
        self.samples = None if samples is None else check_unsigned("samples", samples, 63, 1)
        self.buffer = check_unsigned("buffer", buffer, 32)
        self.images = frozenset(ending.lower() for ending in _endings("images", images))
        self.target = None if target is None else _endings("target", target)[0]
        self.seed = check_unsigned("seed", seed, 64)
        self._place = Place(rank, world_size)
        # Shared memory: set_epoch must reach workers that live on from epoch to epoch.
        self._epoch = torch.tensor(0, device="cpu")
        self._epoch.share_memory_()
        cache = _cache(self.shards, cache_dir, cache_bytes)
        self._reader = SampleReader(self.images, self.target, cache)
        self._warned_of_rest = False

    def __repr__(self) -> str:
        return f"TarShards({len(self.shards)} shards, samples={self.samples})"

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is not forked has no process group to ask.
        ranks = self._place.now()
        place = Place(ranks.rank, ranks.world_size) if ranks.world_size > 1 else self._place
        return vars(self) | {"_place": place}

    @property
    def rank(self) -> int:
        """This process's number, as given or as the process group says now."""
        return self._place.now().rank

    @property
    def world_size(self) -> int:
        """How many processes share the shards, as given or as the process group says now."""
        return self._place.now().world_size

    def __len__(self) -> int:
        """The number of samples of a rank's epoch.

        Raises:
            TypeError: `samples` was not given.
        """
        if self.samples is None:
            raise TypeError("the number of samples in the shards is not known: give samples=")
        return self.samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, 0 to 2**32 - 1. Call this before its iteration begins.

        Reaches DataLoader workers that are alive already (``persistent_workers``), too.
        """
        self._epoch.fill_(check_unsigned("epoch", epoch, 32))

    @property
    def epoch(self) -> int:
        """The epoch that `set_epoch` was given; 0 before that."""
        return int(self._epoch)

    def __iter__(self) -> Iterator[NamedSample]:
        rank, ranks = self.rank, self.world_size
        if len(self.shards) < ranks:
            raise ValueError(f"{len(self.shards)} shards can't be split among {ranks} ranks")
        # All ranks draw the same order of the shards, and each worker its own of the samples.
        key, count = [self.seed, self.epoch], len(self.shards)
        order = np.random.default_rng(key).permutation(count) if self.buffer else range(count)
        mine = [self.shards[place] for place in order[rank::ranks]]
        samples, worker = self.samples, get_worker_info()
        key += [1 + rank]
        if worker is not None and worker.num_workers > 1:
            # Each rank uses equally many workers, also if some ranks have a shard more.
            workers = min(worker.num_workers, count // ranks)
            mine = mine[worker.id :: workers] if worker.id < workers else []
            if samples is not None:
                samples = samples // workers + (worker.id < samples % workers)
            key += [1 + worker.id]
        if not mine:
            return iter(())
        # Limited before it is shuffled, so that a worker with just enough samples gives each once.
        return self._shuffled(self._read(mine, samples), np.random.default_rng(key))

    def _read(self, shards: Sequence[str], samples: int | None) -> Iterator[NamedSample]:
        """The samples of `shards`: each once, or over and over until there are `samples`."""
        given = 0
        while True:
            before = given
            for shard in shards:
                for sample in self._reader.samples(shard):
                    if given == samples:
                        if before == 0:
                            self._warn_of_rest(shards)
                        return
                    given += 1
                    yield sample
            if given == 0:
                raise ValueError(f"there are no samples in {', '.join(shards)}")
            if samples is None or given == samples:
                return

    def _warn_of_rest(self, shards: Sequence[str]) -> None:
        """Warn, once, if the epoch ends before its shards do and no epoch gives the rest."""
        if self._warned_of_rest or (self.buffer and len(shards) > 1):
            return
        self._warned_of_rest = True
        remedy = "use more shards" if self.buffer else "give buffer=, which changes their order"
        _logger.warning(
            "samples=%d ends every epoch before its shards end, at the same sample: those after it "
            "are never given. Raise samples, or %s",
            self.samples,
            remedy,
        )

    def _shuffled(
        self, samples: Iterator[NamedSample], rng: np.random.Generator
    ) -> Iterator[NamedSample]:
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


def _cache(shards: Sequence[str], folder: Any, limit: Any) -> ShardCache | None:
    if folder is None and limit is None:
        return None
    if folder is None or limit is None:
        raise ValueError("cache_dir and cache_bytes go together: give a folder, and its limit")
    if not any(map(is_remote, shards)):
        raise ValueError(
            "cache_dir keeps shards at URLs, and these are paths: for a network disk give "
            "'file:///mnt/...' in place of '/mnt/...'"
        )
    return ShardCache(folder, limit)


def _paths(shards: Any) -> list[str]:
    if isinstance(shards, (Set, Mapping)):
        raise TypeError(f"shards is a {type(shards).__name__}, which has no order: give a list")
    given = [shards] if isinstance(shards, (str, os.PathLike)) else shards
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise TypeError(f"shards must be paths of tar files, got {shards!r}")
    paths = list(given)
    if not paths:
        raise ValueError("shards must name at least one tar file")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"shards must be paths of tar files, got {path!r} among them")
        _refuse(os.fspath(path))
    return [os.fspath(path) for path in paths]


def _refuse(path: str) -> None:
    """Raise ValueError for a path that can't name a tar file. It need not exist yet."""
    if os.path.isdir(path):
        raise ValueError(f"shards must be tar files, {path!r} is a folder")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"shards must be tar files, {path!r} is not a regular file")
    # A URL may have a query.
    patterns = "*{" if is_remote(path) else "*?{"
    if set(patterns) & set(path) and not os.path.exists(path):
        raise ValueError(
            f"shards must be paths, patterns are not expanded: {path!r}; "
            "sorted(glob.glob(pattern)) gives them"
        )


def _endings(name: str, endings: Any) -> list[str]:
    given = [endings] if isinstance(endings, str) else endings
    if not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
        raise TypeError(f"{name} must be an ending such as 'jpg', got {endings!r}")
    bare = [ending.removeprefix(".") for ending in given]
    if not bare or not all(bare):
        raise ValueError(f"{name} must be an ending such as 'jpg', got {endings!r}")
    return bare
