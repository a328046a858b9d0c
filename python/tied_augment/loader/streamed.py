"""An iterable data set in a loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tied_augment.loader.data import Data
from tied_augment.loader.feed import Feed, Submission
from tied_augment.loader.fetch import StreamFeed, StreamPart
from tied_augment.loader.order import Order
from tied_augment.loader.pending import Pending
from tied_augment.loader.progress import Progress
from tied_augment.loader.state import State
from tied_augment.ranks import Place, Ranks, own_ranks

__all__ = ["Streamed"]


class Streamed(Data):
    """The batches of an iterable data set, in its own order. `Data` has the arguments."""

    reason = "an iterable data set"

    def __init__(self, dataset: Any, order: Order, place: Place) -> None:
        super().__init__(dataset, order, place)
        self.find()
        self.refuse_two_splits()

    def __len__(self) -> int:
        samples = len(self.dataset)
        if self.own_ranks() is None:
            samples = self.place.now().count(samples, self.order.drop_last)
        size = self.order.batch_size
        return (samples if self.order.drop_last else samples + size - 1) // size

    def find(self) -> None:
        """See `Data.find`: only Python can read a stream."""
        if not isinstance(self.dataset, Iterable):
            kind = type(self.dataset).__name__
            raise TypeError(f"dataset must be a map-style or iterable data set, got {kind}")

    def begin(self, progress: Progress, views: int, state: State | None) -> Iterator[Pending]:  # noqa: ARG002
        """See `Data.begin`: the stream says when it ends."""
        progress.world_size = self.ranks().world_size
        progress.entries = 0 if state is None else state.entries
        return iter(Pending, None)

    def feed(self, submission: Submission, done: int, keep_first: bool) -> Feed:
        """See `Data.feed`."""
        ranks = self.ranks()
        part = StreamPart(
            self.dataset,
            batch_size=self.order.batch_size,
            drop_last=self.order.drop_last,
            done=done,
            ranks=ranks,
            is_split=self.own_ranks() is not None,
            keep_first=keep_first and ranks.world_size > 1,
        )
        return StreamFeed(submission, part)

    def own_ranks(self) -> Ranks | None:
        """See `Data.own_ranks`."""
        return own_ranks(self.dataset)

    @property
    def orderer(self) -> object:
        """See `Data.orderer`."""
        return self.dataset
