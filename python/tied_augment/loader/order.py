"""Which samples make the batches of an epoch, in this process, and the epoch itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, Sampler

from tied_augment.loader import samplers
from tied_augment.loader.fetch import Pending
from tied_augment.loader.iteration import Progress
from tied_augment.ranks import Place, Ranks, own_ranks

__all__ = ["Order"]

# Entries that a sampler is asked for while its random state is in place.
_AT_ONCE = 4096


class Order:
    """The batches of a map-style data set.

    Args:
        length: the number of samples.
        sampler: of indices.
        batch_sampler: of batches, in the place of `sampler`; None for batches of `batch_size`.
        batch_size: the number of samples.
        drop_last: leave out what does not fill a batch, or does not suffice for all ranks.
        seed: the run's seed.
        place: where this process stands.

    Attributes:
        sampler: of indices, as it was given.
        batch_sampler: as it was given, or over this rank's part of `sampler`.
        random: all that they drew from when the latest epoch began.
    """

    def __init__(
        self,
        length: int,
        sampler: Any,
        batch_sampler: Any,
        batch_size: int,
        drop_last: bool,
        seed: int,
        place: Place,
    ) -> None:
        self.random: dict[str, torch.Tensor] = {}
        self._length = length
        self._whole = sampler if batch_sampler is None else batch_sampler
        self._share: _Share | None = None
        part = self._whole
        if self.own() is None:
            # A batch sampler that drops what is left of samples drops what is left of batches.
            drops = drop_last if batch_sampler is None else getattr(part, "drop_last", False)
            of_batches = batch_sampler is not None
            part = self._share = _Share(part, length, seed, bool(drops), place.now, of_batches)
        if batch_sampler is None:
            self.sampler = sampler
            self.batch_sampler = self._batches = BatchSampler(part, batch_size, drop_last)
        else:
            self.sampler = getattr(batch_sampler, "sampler", None)
            self.batch_sampler = batch_sampler
            self._batches = part

    def __len__(self) -> int:
        return len(self._batches)

    def own(self) -> Ranks | None:
        """The ranks that the samplers split for by themselves; None if they give everything."""
        return own_ranks(self._whole)

    def random_state(self) -> dict[str, torch.Tensor]:
        """All that the samplers draw from, as it is now."""
        return samplers.random_state([self.sampler, self.batch_sampler])

    def begin(
        self, progress: Progress, views: int, state: dict[str, Any] | None
    ) -> Iterator[Pending]:
        """The batches of an epoch from `progress` on.

        Args:
            progress: the epoch, and how many batches of it are done; its checksum is computed.
            views: how many views a sample has, at most.
            state: the loader's, if the epoch has begun before.

        Raises:
            RuntimeError: the batches that are done are others than they were.
        """
        if self._share is not None:
            self._share.epoch = progress.epoch
        nested = [self.sampler, self.batch_sampler]
        if state is None:
            self.random = samplers.random_state(nested)
            begun = iter(self._batches)
        else:
            self.random = state["random"]
            begun = samplers.begin(self._batches, nested, self.random, progress.batches)
        pending = self._pending(begun, samplers.Occurrences(self._length, views, self.sampler))
        done = list(islice(pending, progress.batches))
        progress.order = done[-1].order if done else 0
        if state is not None and (len(done) != progress.batches or self._differs(progress, state)):
            raise RuntimeError(
                "the sampler does not give the batches that it gave before the state was "
                "saved: it must be the same one, over the same data set, and draw its order "
                "from its epoch or from torch's random state"
            )
        return pending

    def splitting_rank(self) -> int | None:
        """The rank that the samplers split for by themselves: only its order is known."""
        own = self.own()
        return None if own is None else own.rank

    def _differs(self, progress: Progress, state: dict[str, Any]) -> bool:
        # Every rank may get the state of one, as under Lightning, but not every rank's order.
        if state["order_of_rank"] != self.splitting_rank():
            return False
        return bool(progress.order != state["order"])

    def _pending(
        self, batches: Iterable[Any], occurrences: samplers.Occurrences
    ) -> Iterator[Pending]:
        order = 0
        for batch in batches:
            asked = samplers.batch_of(batch, self._length)
            known = asked.order
            order = samplers.fingerprint(asked.indices, order) if known is None else known
            first_views = occurrences.first_views(asked.indices, asked.before)
            yield Pending(asked.indices, first_views, asked.choice, order)


class _Share(Sampler[Any]):
    """This rank's part of what a sampler gives; all of it in a single process.

    Among several processes the sampler draws from torch's random state as (`seed`, epoch) sets it,
    so that all have the same order.
    """

    def __init__(
        self,
        whole: Any,
        length: int,
        seed: int,
        drop_last: bool,
        ranks: Callable[[], Ranks],
        of_batches: bool,
    ) -> None:
        self.whole = whole
        self.epoch = 0
        self._length = length
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
        occurrences = samplers.Occurrences(self._length, 1, None)
        order = 0

        def drawn(entry: Any) -> Any:
            if isinstance(entry, tuple):
                return drawn(entry[0]), *entry[1:]
            index = samplers.Drawn(samplers.index_of(entry, self._length))
            index.before = occurrences.count(index)
            return index

        for group in groups:
            if self._of_batches:
                numbered: list[Any] = [[drawn(entry) for entry in batch] for batch in group]
                indices = [entry for batch in numbered for entry in batch]
            else:
                numbered = indices = [drawn(entry) for entry in group]
            indices = [entry[0] if isinstance(entry, tuple) else entry for entry in indices]
            order = samplers.fingerprint(np.asarray(indices, np.uint64), order)
            for index in indices:
                index.order = order
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
