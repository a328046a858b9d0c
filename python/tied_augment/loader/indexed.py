"""A map-style data set in a loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import BatchSampler

from tied_augment import _core
from tied_augment.loader import samplers
from tied_augment.loader.data import Data, within
from tied_augment.loader.feed import Feed, LocatedFeed, Submission
from tied_augment.loader.fetch import FetchedFeed
from tied_augment.loader.order import Order
from tied_augment.loader.pending import Pending
from tied_augment.loader.progress import Progress
from tied_augment.loader.share import Share
from tied_augment.loader.state import State
from tied_augment.located import Located, locate
from tied_augment.ranks import Place, Ranks, own_ranks
from tied_augment.sources import reader_of

__all__ = ["Indexed"]


class Indexed(Data):
    """The batches of a map-style data set, in the order of a sampler. `Data` has the arguments.

    Attributes:
        sampler: of indices: as it was given, or by default an `EpochSampler`.
        batch_sampler: as it was given, or over this rank's part of `sampler`.
    """

    def __init__(self, dataset: Any, order: Order, place: Place) -> None:
        super().__init__(dataset, order, place)
        self._located: Located | None = None
        self._catalog: _core.Catalog | None = None
        self.find()
        self.sampler, self.batch_sampler = order.sampler, order.batch_sampler
        if self.sampler is None and self.batch_sampler is None:
            self.sampler = samplers.EpochSampler(dataset, order.shuffle, order.seed)
        self._whole = self.sampler if self.batch_sampler is None else self.batch_sampler
        self.refuse_two_splits()
        self._share = self._make_share() if self.own_ranks() is None else None
        self._batches = self._whole if self._share is None else self._share
        if self.batch_sampler is None:
            self._batches = BatchSampler(self._batches, order.batch_size, order.drop_last)
            self.batch_sampler = self._batches
        else:
            self.sampler = getattr(self.batch_sampler, "sampler", None)

    def __getstate__(self) -> dict[str, Any]:
        # What was found of the data set stays in the process, and `find` finds it anew.
        return vars(self) | {"_located": None, "_catalog": None}

    def _make_share(self) -> Share:
        of_batches = self.batch_sampler is not None
        # A batch sampler that drops the samples left over drops the batches left over, too.
        owner = self.batch_sampler if of_batches else self.order
        drop_last = bool(getattr(owner, "drop_last", False))
        seed = self.order.seed
        return Share(self._whole, self.dataset, seed, drop_last, self.place.now, of_batches)

    def __len__(self) -> int:
        return len(self._batches)

    def find(self) -> None:
        """See `Data.find`.

        It is asked anew in each epoch, since data sets may be changed: a Subset's indices, a
        folder's samples or loader. A catalog of the same places is kept. It is the costly part,
        and knows whether an archive has been replaced since its places were read.
        """
        dataset = within(self.dataset)
        found = locate(dataset)
        reader_of(dataset)  # refuses what can't be read
        if isinstance(found, str):
            self.reason, self._located, self._catalog = found, None, None
            return
        if self._catalog is None or self._located is None or not found.has_places_of(self._located):
            self._catalog = found.catalog()
        self.reason, self._located = None, found

    def feed(self, submission: Submission, done: int, keep_first: bool) -> Feed:  # noqa: ARG002
        """See `Data.feed`: the sampler passes over what is done."""
        if self._located is not None and self._catalog is not None:
            return LocatedFeed(submission, self._located, self._catalog)
        dataset = within(self.dataset)
        return FetchedFeed(submission, reader_of(dataset), len(dataset))

    def own_ranks(self) -> Ranks | None:
        """See `Data.own_ranks`."""
        return own_ranks(self._whole)

    @property
    def orderer(self) -> object:
        """See `Data.orderer`."""
        return self.batch_sampler if self.sampler is None else self.sampler

    def random_state(self, epoch: int) -> dict[str, torch.Tensor]:
        """See `Data.random_state`."""
        nested = [self.sampler, self.batch_sampler]
        if self._share is None:
            return samplers.random_state(nested)
        return self._share.random_state(nested, epoch)

    def rank_of_order(self) -> int | None:
        """See `Data.rank_of_order`: samplers that split the data show their own part only."""
        own = self.own_ranks()
        return None if own is None else own.rank

    def begin(self, progress: Progress, views: int, state: State | None) -> Iterator[Pending]:
        """See `Data.begin`."""
        progress.world_size = self.ranks().world_size
        if self._share is not None:
            self._share.epoch = progress.epoch
            progress.of_batches = self._share.of_batches
        length = len(self.dataset)
        occurrences = samplers.Occurrences(length, views, self.sampler)
        if state is None:
            self.random = self.random_state(progress.epoch)
            return self._pending(iter(self._batches), length, occurrences)
        self.random = state.random
        progress.entries, progress.checksum = state.entries, state.checksum
        if self._share is not None:
            return self._pending(self._rest(self._share, state), length, occurrences)
        nested = [self.sampler, self.batch_sampler]
        begun = samplers.begin(self._batches, nested, self.random, progress.batches)
        pending = self._pending(begun, length, occurrences)
        done = list(islice(pending, progress.batches))
        progress.checksum = done[-1].checksum if done else 0
        if len(done) < progress.batches or self._differs(progress, state):
            raise RuntimeError(samplers.OTHER_ORDER)
        return pending

    def _rest(self, share: Share, state: State) -> Iterable[Any]:
        """The batches that `state` says are left."""
        samplers.restore_generators([self.sampler, self.batch_sampler], state.random)
        rest = share.rest(state)
        if share.of_batches:
            return rest
        return BatchSampler(rest, self.order.batch_size, self.order.drop_last)

    def _differs(self, progress: Progress, state: State) -> bool:
        # Each rank may get the state of another, as under Lightning. A sampler that splits the data
        # shows only its own rank's order, which can't be compared with another's then.
        if state.checksum_of is None:
            return True
        if state.checksum_of != self.rank_of_order():
            return False
        return progress.checksum != state.checksum

    def _pending(
        self, batches: Iterable[Any], length: int, occurrences: samplers.Occurrences
    ) -> Iterator[Pending]:
        checksum = 0
        for batch in batches:
            asked = samplers.batch_of(batch, length)
            if asked.checksum is None:
                checksum = samplers.checksum(asked.indices, checksum)
            else:
                checksum = asked.checksum
            first_views = occurrences.first_views(asked.indices, asked.before)
            yield Pending(asked.indices, first_views, asked.choice, checksum)
