"""This rank's part of what a sampler gives, where the sampler doesn't split by rank itself.

Every rank iterates the whole sampler and takes its own entry of each group of `world_size` entries.
So all ranks must draw the same order: the sampler draws from torch's random state as (seed, epoch)
sets it. Each rank sees what all have drawn. So it can tell how often an index came before on any
rank, and can check the whole order when it resumes (`samplers.Drawn`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from tied_augment.loader import samplers
from tied_augment.ranks import Ranks

__all__ = ["Share"]

# Entries that a sampler is asked for while its random state is in place.
_AT_ONCE = 4096


class Share(Sampler[Any]):
    """This rank's part of a sampler; all of it in a single process.

    Args:
        whole: the sampler, of indices or of batches.
        dataset: what the indices are of.
        seed: the run's seed.
        drop_last: leave out an incomplete last group instead of filling it.
        ranks: who this process is, asked at each iteration.
        of_batches: whether the entries of `whole` are batches.

    Attributes:
        epoch: the epoch of the next iteration.
    """

    def __init__(
        self,
        whole: Any,
        dataset: Sized,
        seed: int,
        drop_last: bool,
        ranks: Callable[[], Ranks],
        of_batches: bool,
    ) -> None:
        self.whole = whole
        self.epoch = 0
        self._dataset = dataset
        self._seed = seed
        self._drop_last = drop_last
        self._ranks = ranks
        self._of_batches = of_batches

    def __len__(self) -> int:
        return self._ranks().count(len(self.whole), self._drop_last)

    def __iter__(self) -> Iterator[Any]:
        ranks = self._ranks()
        if ranks.world_size == 1:
            return iter(self.whole)
        entries = _seeded(self.whole, (self._seed, self.epoch))
        groups = ranks.groups(entries, self._drop_last)
        return (group[ranks.rank] for group in self._drawn(groups))

    def _drawn(self, groups: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """The same groups, of `samplers.Drawn`."""
        length = len(self._dataset)
        occurrences = samplers.Occurrences(length, 1, None)
        checksum = 0
        indices: list[samplers.Drawn] = []

        def drawn(entry: Any) -> Any:
            if isinstance(entry, tuple):  # an index and a choice of timm's scheduled sampler
                return drawn(entry[0]), *entry[1:]
            index = samplers.Drawn(samplers.index_of(entry, length))
            index.before = occurrences.count(index)
            indices.append(index)
            return index

        for group in groups:
            indices.clear()
            if self._of_batches:
                numbered: list[Any] = [[drawn(entry) for entry in batch] for batch in group]
            else:
                numbered = [drawn(entry) for entry in group]
            checksum = samplers.checksum(np.asarray(indices, np.uint64), checksum)
            for index in indices:
                index.checksum = checksum
            yield numbered


def _seeded(entries: Iterable[Any], key: Sequence[int]) -> Iterator[Any]:
    """The entries of a sampler that draws from torch's random state, as if seeded by `key`.

    The state itself is left as it is.
    """
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    state = torch.Generator("cpu").manual_seed(seed).get_state()
    iterator: Iterator[Any] | None = None
    drawn: list[Any] | None = None
    while drawn is None or drawn:
        # torch's samplers draw on the default device, of which only the CPU's state is set here.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.set_rng_state(state)
            # Some draw when they are made, some at their first entry, some at each.
            iterator = iter(entries) if iterator is None else iterator
            drawn = list(islice(iterator, _AT_ONCE))
            state = torch.get_rng_state()
        yield from drawn
