"""Which part of the data this process takes, where several train together.

Lives here: who this process is, which samplers and streams are split by rank already, and the split
of everything else. May import torch. Draws nothing and reads nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any, TypeVar

import torch

from tied_augment.arguments import check_unsigned

__all__ = ["Place", "Ranks", "forgotten_processes", "own_ranks"]

Entry = TypeVar("Entry")

# What samplers call the number of processes, and their own: those of torch, timm and torchvision;
# of mmengine; of Accelerate.
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

    def groups(self, entries: Iterable[Entry], drop_last: bool) -> Iterator[list[Entry]]:
        """Groups of `world_size` entries, one entry per rank.

        An incomplete last group is dropped, or filled from the first entries, as in torch's
        ``DistributedSampler``.
        """
        iterator = iter(entries)
        first: list[Entry] = []
        while group := list(islice(iterator, self.world_size)):
            first = first or group
            if len(group) == self.world_size:
                yield group
            elif not drop_last:
                yield list(islice(chain(group, cycle(first)), self.world_size))

    def part(self, entries: Iterable[Entry], drop_last: bool) -> Iterator[Entry]:
        """This rank's entry of each group."""
        return (group[self.rank] for group in self.groups(entries, drop_last))

    def count(self, entries: int, drop_last: bool) -> int:
        """How many of so many entries each rank gets."""
        return (entries if drop_last else entries + self.world_size - 1) // self.world_size


class Place:
    """Where this process stands: as given, or as torch's process group says.

    The group may be made later than this, so it is asked each time.

    Args:
        rank: the number of this process; None to ask the process group.
        world_size: the number of processes; 1 needs no `rank`.

    Raises:
        TypeError, ValueError: numbers that are none, or one without the other.
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
        """What holds at this moment."""
        return self.given or _of_process_group()


def own_ranks(data: Any) -> Ranks | None:
    """For which process a sampler or stream gives its part already; None if it gives everything.

    Known by the attributes of `_NAMES`, also of a sampler within; by ``splits_by_rank``, which is
    true where the process group is asked at each iteration; and by their types.
    """
    for size, place in _NAMES:
        several, mine = getattr(data, size, None), getattr(data, place, None)
        if isinstance(several, int) and isinstance(mine, int):
            return Ranks(mine, several)
    if getattr(data, "splits_by_rank", False) or _is(data, "timm.data", "IterableImageDataset"):
        return _of_process_group()
    if _is(data, "datasets", "IterableDataset"):
        return own_ranks(getattr(data, "_distributed", None))  # by split_dataset_by_node
    within = [getattr(data, name, None) for name in ("batch_sampler", "sampler")]
    if _is(data, "torch.utils.data", "ChainDataset"):
        within = list(data.datasets)
    found = (own_ranks(each) for each in within if each is not None)
    return next((ranks for ranks in found if ranks is not None), None)


def forgotten_processes() -> int | None:
    """How many processes a launcher has started without a process group; None if all is well.

    Source: ``WORLD_SIZE``, which torchrun sets.
    """
    size = os.environ.get("WORLD_SIZE", "")
    alone = _of_process_group().world_size == 1
    return int(size) if alone and size.isdigit() and int(size) > 1 else None


def _of_process_group() -> Ranks:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks()


def _is(data: object, module: str, name: str) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return base is not None and isinstance(data, base)
