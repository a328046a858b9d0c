"""Items that are dicts, as tuples: of map-style data sets here, of iterable ones in `streams`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Columns", "in_columns"]


class Columns:
    """A map-style data set of dicts as one of tuples.

    Args:
        dataset: of dicts.
        columns: the keys of a tuple's values, the image's first.
    """

    def __init__(self, dataset: Any, columns: Sequence[str]) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(
                "columns= needs a map-style or iterable data set of dicts, got "
                f"{type(dataset).__name__}"
            )
        self.dataset = dataset
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return f"{type(self.dataset).__name__}, columns={self.columns!r}"

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The values of the columns.

        Raises:
            TypeError: the item is not a dict.
            ValueError: it lacks a column.
        """
        return in_columns(self.dataset[index], self.columns)


def in_columns(item: Any, columns: Sequence[str]) -> tuple[Any, ...]:
    """The values of an item's `columns`.

    Raises:
        TypeError: the item is not a dict.
        ValueError: it lacks a column.
    """
    if not isinstance(item, Mapping):
        raise TypeError(
            f"columns= needs items that are dicts, got {type(item).__name__}: leave it out"
        )
    missing = [column for column in columns if column not in item]
    if missing:
        raise ValueError(f"no column {missing[0]!r} among {', '.join(map(repr, item))}")
    return tuple(item[column] for column in columns)
