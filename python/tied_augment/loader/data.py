"""What a loader loads: which samples make this process's batches, and who reads them.

`TiedLoader` asks a `Data`. `indexed` has the one for map-style data sets, `streamed` the one for
iterable data sets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset

from tied_augment.dataset import TiedDataset
from tied_augment.loader import report
from tied_augment.loader.feed import Feed, Submission
from tied_augment.loader.order import Order
from tied_augment.loader.pending import Pending
from tied_augment.loader.progress import Progress
from tied_augment.loader.state import State
from tied_augment.ranks import Place, Ranks

__all__ = ["Data", "is_stream", "within"]


def within(dataset: Any) -> Any:
    """The data set whose items are read: of a `TiedDataset` the one that it wraps."""
    return dataset.dataset if isinstance(dataset, TiedDataset) else dataset


def is_stream(dataset: Any) -> bool:
    """Whether a data set is iterated, rather than asked for its items by index."""
    return isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")


class Data(ABC):
    """The data of a loader, as this process takes part in it.

    Args:
        dataset: as the user has it.
        order: which samples make a batch.
        place: where this process stands.

    Raises:
        TypeError, ValueError: as `find`.
        ValueError: the data is split for other ranks than those of `place`.

    Attributes:
        sampler: of indices; None if there is none.
        batch_sampler: of batches; None if there is none.
        reason: why only Python can read the samples; None if the core reads them by itself. As
            `find` found it last.
        random: all that the samplers drew from when the latest epoch began.
    """

    sampler: Any = None
    batch_sampler: Any = None
    reason: str | None = None

    def __init__(self, dataset: Any, order: Order, place: Place) -> None:
        self.dataset = dataset
        self.order = order
        self.place = place
        self.random: dict[str, torch.Tensor] = {}

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches in an epoch, in this process."""

    @abstractmethod
    def find(self) -> None:
        """Find out anew who reads the samples, and from where.

        Raises:
            TypeError, ValueError: the data set can't be read, or has a transform of its own.
        """

    @abstractmethod
    def begin(self, progress: Progress, views: int, state: State | None) -> Iterator[Pending]:
        """The batches of an epoch from `progress` on.

        Args:
            progress: the epoch, and how many batches of it are done. The rest of it is set here.
            views: how many views a sample has, at most.
            state: the loader's, if the epoch has begun before.

        Raises:
            RuntimeError: the batches that are done are others than they were.
        """

    @abstractmethod
    def feed(self, submission: Submission, done: int, keep_first: bool) -> Feed:
        """What gets the samples to the core.

        Args:
            submission: what the core must know.
            done: how many entries of the epoch's order are done (`State.entries`).
            keep_first: see `StreamPart.keep_first`.
        """

    @abstractmethod
    def own_ranks(self) -> Ranks | None:
        """The ranks that the data is split for already; None if the loader splits it."""

    @property
    @abstractmethod
    def orderer(self) -> object:
        """What the order of the samples follows from."""

    def ranks(self) -> Ranks:
        """This process among those that share the data."""
        return self.own_ranks() or self.place.now()

    def split_by(self) -> str | None:
        """The type that splits the data by itself; None if the loader splits it."""
        return type(self.orderer).__name__ if self.own_ranks() else None

    def random_state(self, epoch: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """All that the samplers will draw from in an epoch that begins now."""
        return {}

    def rank_of_order(self) -> int | None:
        """The only rank whose order is known here; None if that of all is."""
        return None

    def refuse_two_splits(self) -> None:
        """Raise ValueError if the data is split for other ranks than the loader was given."""
        own, given = self.own_ranks(), self.place.given
        if own is not None and given is not None and given.world_size > 1 and own != given:
            raise ValueError(
                f"{type(self.orderer).__name__} splits the data by itself, as rank {own.rank} of "
                f"{own.world_size}: give rank and world_size to it, or leave its splitting to "
                "TiedLoader"
            )

    def summary(self) -> str:
        """Which part of the data this process takes, and who reads it."""
        part = report.part(self.ranks(), self.split_by(), self.order.stream)
        return f"{part}; {report.reading(self.reason)}"
