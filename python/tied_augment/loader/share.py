"""This rank's part of what a sampler gives, where the sampler doesn't split by rank itself.

Every rank iterates the whole sampler and takes its own entry of each group of `world_size` entries.
So all ranks must draw the same order: the sampler draws from torch's random state as (seed, epoch)
sets it. Each rank sees what all have drawn. So it can tell how often an index came before on any
rank, and can check the whole order when it resumes (`samplers.Drawn`).

The order does not depend on `world_size`. So an epoch can go on with another one: each rank passes
over the entries that all have done, and takes its own of each group of those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from tied_augment.loader import samplers
from tied_augment.loader.state import State
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
        of_batches: as given.
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
        self.of_batches = of_batches

    def __len__(self) -> int:
        return self._ranks().count(len(self.whole), self._drop_last)

    def __iter__(self) -> Iterator[Any]:
        ranks = self._ranks()
        if ranks.world_size == 1:
            return iter(self.whole)
        entries = _drawn_from(self.whole, samplers.seeded(self._seed, self.epoch))
        numbers = _Numbers(len(self._dataset), self.of_batches)
        groups = ranks.groups(entries, self._drop_last)
        return (numbers.of(group)[ranks.rank] for group in groups)

    def random_state(self, nested: Iterable[Any], epoch: int) -> dict[str, torch.Tensor]:
        """All that the `nested` samplers will draw from in an epoch that begins now."""
        state = samplers.random_state(list(nested))
        if self._ranks().world_size > 1:
            state["global"] = samplers.seeded(self._seed, epoch)
        return state

    def rest(self, state: State) -> Iterator[Any]:
        """This rank's part of what `state` says is left of an epoch.

        Raises:
            RuntimeError: the entries that are done are others than they were.
        """
        ranks = self._ranks()
        entries = _drawn_from(self.whole, state.random["global"])
        numbers = _Numbers(len(self._dataset), self.of_batches)
        first: list[Any] = []
        left = state.entries
        while done := list(islice(entries, min(left, _AT_ONCE))):
            first = (first + done)[: max(ranks.world_size, state.world_size)]
            numbers.of(done)
            left -= len(done)
        if left:  # the end was reached, where an incomplete last group was filled
            numbers.of(list(islice(cycle(first[: state.world_size]), left % state.world_size)))
        if state.checksum_of is not None or numbers.checksum != state.checksum:
            raise RuntimeError(samplers.OTHER_ORDER)
        groups = ranks.groups(entries, self._drop_last, first[: ranks.world_size])
        return (numbers.of(group)[ranks.rank] for group in groups)


class _Numbers:
    """Makes indices to `samplers.Drawn`, in the order of the epoch.

    Args:
        length: of the data set.
        of_batches: whether entries are batches of indices.

    Attributes:
        checksum: over all indices so far.
    """

    def __init__(self, length: int, of_batches: bool) -> None:
        self.checksum = 0
        self._length = length
        self._of_batches = of_batches
        self._occurrences = samplers.Occurrences(length, 1, None)
        self._indices: list[samplers.Drawn] = []

    def of(self, entries: list[Any]) -> list[Any]:
        """The next entries, numbered. They have one checksum, over what came until their last."""
        self._indices.clear()
        if self._of_batches:
            numbered: list[Any] = [[self._drawn(entry) for entry in batch] for batch in entries]
        else:
            numbered = [self._drawn(entry) for entry in entries]
        indices = np.asarray(self._indices, np.uint64)
        self.checksum = samplers.checksum(indices, self.checksum)
        for index in self._indices:
            index.checksum = self.checksum
        return numbered

    def _drawn(self, entry: Any) -> Any:
        if isinstance(entry, tuple):  # an index and a choice of timm's scheduled sampler
            return self._drawn(entry[0]), *entry[1:]
        index = samplers.Drawn(samplers.index_of(entry, self._length))
        index.before = self._occurrences.count(index)
        self._indices.append(index)
        return index


def _drawn_from(entries: Iterable[Any], state: torch.Tensor) -> Iterator[Any]:
    """The entries of a sampler that draws from torch's random state, as if that were `state`.

    The state itself is left as it is.
    """
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
