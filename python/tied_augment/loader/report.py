"""What `TiedLoader` says about itself: figures, and who reads which part of the data."""

from __future__ import annotations

import logging
import time
from typing import Literal, TypedDict

from tied_augment.loader.progress import Progress
from tied_augment.ranks import Place, Ranks, forgotten_processes

__all__ = ["Announcement", "Stats", "part", "reading", "stats"]

_logger = logging.getLogger("tied_augment.loader")


class Stats(TypedDict):
    """What `TiedLoader.stats` gives.

    Attributes:
        images: samples delivered in this epoch.
        images_per_second: since it began.
        data_seconds: what the consumer waited for batches.
        consumer_seconds: what the consumer did with them.
        threads: the number of threads that make batches.
        busy: the fraction of their time that they worked.
        ready: batches that were finished when the last one was asked for.
        prefetch: the number of batches that are made ahead.
        skipped: samples skipped since the loader was made.
        reading: ``'native'`` if the threads read the samples by themselves, ``'python'`` if one
            Python thread does.
    """

    images: int
    images_per_second: float
    data_seconds: float
    consumer_seconds: float
    threads: int
    busy: float
    ready: int
    prefetch: int
    skipped: int
    reading: Literal["native", "python"]


def stats(progress: Progress, *, threads: int, prefetch: int, skipped: int, native: bool) -> Stats:
    """The figures of an iteration so far.

    Args:
        progress: the iteration's.
        threads: see `Stats`, like all that follows.
        prefetch: likewise.
        skipped: likewise.
        native: whether the threads read the samples by themselves.
    """
    seconds = max((progress.ended or time.perf_counter()) - progress.began, 1e-9)
    return Stats(
        images=progress.images,
        images_per_second=progress.images / seconds,
        data_seconds=progress.waited,
        consumer_seconds=progress.consumed,
        threads=threads,
        busy=min(progress.busy / (seconds * threads), 1.0),
        ready=progress.ready,
        prefetch=prefetch,
        skipped=skipped,
        reading="native" if native else "python",
    )


def part(ranks: Ranks, split_by: str | None, stream: bool) -> str:
    """Which part of the data this process takes.

    Args:
        ranks: this process among all.
        split_by: what splits the data by itself; None if it is the loader.
        stream: whether the data set is iterable.
    """
    size = ranks.world_size
    if split_by is not None:
        return f"rank {ranks.rank} of {size}, split by {split_by}"
    if size == 1:
        return "rank 0 of 1: all samples"
    words = f"rank {ranks.rank} of {size}: 1 of every {size} samples"
    if stream:
        words += " of a stream that must have the same order on all ranks, so don't shuffle it"
    return words


def reading(reason: str | None) -> str:
    """Who reads: the threads, or Python for a `reason`."""
    return "read natively" if reason is None else f"read by one Python thread: {reason}"


class Announcement:
    """Log lines at a loader's first iteration."""

    def __init__(self) -> None:
        self._made = False

    def make(self, sentence: str, batches: int, place: Place, own: Ranks | None) -> None:
        """Log once what is loaded, and warn of processes that don't know of each other.

        Args:
            sentence: what is loaded.
            batches: how many in an epoch; -1 if that is not known.
            place: where this process stands.
            own: the ranks that the data is split for already; None if the loader splits it.
        """
        if self._made:
            return
        self._made = True
        _logger.info("TiedLoader: %s", sentence)
        if batches == 0:
            _logger.warning(
                "an epoch has no batch: the data set or sampler is empty, or drop_last leaves "
                "out an incomplete batch"
            )
        alone = place.given is None and (own is None or own.world_size == 1)
        processes = forgotten_processes() if alone else None
        if processes is not None:
            _logger.warning(
                "WORLD_SIZE is %d, but there is no process group: every process loads the whole "
                "data set. Call torch.distributed.init_process_group() before iterating, or give "
                "TiedLoader rank= and world_size=; world_size=1 if it is meant",
                processes,
            )
        found = place.now().world_size
        if own is not None and place.given is None and found > 1 and own.world_size != found:
            _logger.warning(
                "the sampler or stream splits the data for %d processes, but there are %d",
                own.world_size,
                found,
            )
