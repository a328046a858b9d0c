"""Which part of the data this process takes, where several processes train together.

Entries (samples or batches) are split in groups of `world_size`: each rank takes its own entry of
each group. So all ranks make equally many steps, and the order is that of a single process.

Lives here: who this process is, which samplers and streams split by rank themselves, and the split
of everything else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any, TypeVar

import torch

from tied_augment.arguments import check_unsigned
from tied_augment.loaded import is_a

__all__ = ["Place", "Ranks", "forgotten_processes", "own_ranks"]

Entry = TypeVar("Entry")

# What samplers call the number of processes, and this process's: those of torch, timm and
# torchvision; of mmengine; of Accelerate.
_NAMES = (("num_replicas", "rank"), ("world_size", "rank"), ("num_processes", "process_index"))


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together.

    Attributes:
        rank: its number.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    def groups(
        self, entries: Iterable[Entry], drop_last: bool, done: Sequence[Entry] = ()
    ) -> Iterator[list[Entry]]:
        """Groups of `world_size` entries, one entry per rank.

        An incomplete last group is dropped, or filled from the first entries, as in torch's
        ``DistributedSampler``.

        Args:
            entries: what is split.
            drop_last: drop an incomplete last group.
            done: the first entries of an epoch that goes on with `entries`, `world_size` of them
                or all that there are.
        """
        iterator = iter(entries)
        first = list(done)
        while group := list(islice(iterator, self.world_size)):
            if len(first) < self.world_size:
                first = (first + group)[: self.world_size]
            if len(group) == self.world_size:
                yield group
            elif not drop_last:
                yield list(islice(chain(group, cycle(first)), self.world_size))

    def count(self, entries: int, drop_last: bool) -> int:
        """How many entries each rank gets."""
        return (entries if drop_last else entries + self.world_size - 1) // self.world_size


class Place:
    """The rank of this process: as given, or as torch's process group says.

    The process group is asked each time, since it may be made later.

    Args:
        rank: the number of this process; None to ask the process group.
        world_size: the number of processes; 1 needs no `rank`.

    Raises:
        TypeError, ValueError: a number that is wrong, or one without the other.
    """

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        self.given: Ranks | None = None
        if rank is None and world_size is None:
            return
        size = None if world_size is None else check_unsigned("world_size", world_size, 32, 1)
        if size is None or (rank is None and size > 1):
            raise ValueError("rank and world_size go together: give both, or neither")
        place = 0 if rank is None else check_unsigned("rank", rank, 32)
        if place >= size:
            raise ValueError(f"rank must be from 0 to world_size - 1 = {size - 1}, got {place}")
        self.given = Ranks(place, size)

    def now(self) -> Ranks:
        """This process among all, at this moment."""
        return self.given or _of_process_group()


def own_ranks(data: Any) -> Ranks | None:
    """The rank whose part a sampler or stream gives by itself; None if it gives everything.

    Samplers are known by the attributes in `_NAMES`, their own or those of a sampler within.
    Streams are known by their type, or by ``splits_by_rank``: then they ask the process group.
    """
    for size, place in _NAMES:
        several, mine = getattr(data, size, None), getattr(data, place, None)
        if isinstance(several, int) and isinstance(mine, int):
            return Ranks(mine, several)
    if getattr(data, "splits_by_rank", False) or is_a(data, "timm.data", "IterableImageDataset"):
        return _of_process_group()
    if is_a(data, "datasets", "IterableDataset"):
        return own_ranks(getattr(data, "_distributed", None))  # by split_dataset_by_node
    if is_a(data, "tied_augment.streams", "ColumnStream"):
        return data.own_ranks()  # type: ignore[no-any-return]
    within = [getattr(data, name, None) for name in ("batch_sampler", "sampler")]
    if is_a(data, "torch.utils.data", "ChainDataset"):
        within = list(data.datasets)
    found = (own_ranks(each) for each in within if each is not None)
    return next((ranks for ranks in found if ranks is not None), None)


def forgotten_processes() -> int | None:
    """How many processes torchrun has started, if there is no process group; else None.

    Source: the environment variable ``WORLD_SIZE``, which torchrun sets.
    """
    size = os.environ.get("WORLD_SIZE", "")
    alone = _of_process_group().world_size == 1
    return int(size) if alone and size.isdigit() and int(size) > 1 else None


def _of_process_group() -> Ranks:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks()
