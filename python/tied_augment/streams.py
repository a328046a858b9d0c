"""Iterable data sets whose items are dicts, as tuples. See `columns`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import IterableDataset

from tied_augment.dicts import in_columns
from tied_augment.ranks import Ranks, own_ranks

__all__ = ["ColumnStream"]


class ColumnStream(IterableDataset[tuple[Any, ...]]):
    """An iterable data set of dicts as one of tuples.

    Args:
        dataset: of dicts.
        columns: the keys of a tuple's values, the image's first.
    """

    def __init__(self, dataset: Any, columns: Sequence[str]) -> None:
        self.dataset = dataset
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return f"{type(self.dataset).__name__}, columns={self.columns!r}"

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The values of the columns.

        Raises:
            TypeError: an item is not a dict.
            ValueError: it lacks a column.
        """
        return (in_columns(item, self.columns) for item in self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Call the data set's ``set_epoch``, if it has one."""
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def own_ranks(self) -> Ranks | None:
        """The ranks that the data set splits itself for; None if it gives everything."""
        return own_ranks(self.dataset)
