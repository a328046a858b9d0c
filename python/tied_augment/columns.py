"""Data sets whose items are dicts: `by_columns` makes tuples ``(image, target, ...)`` of them.

`huggingface` has those of the library `datasets`. It is imported only for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tied_augment.loaded import is_a

__all__ = ["Columns", "by_columns"]


def by_columns(dataset: Any, columns: Sequence[str] | None) -> Any:
    """`dataset` with tuples as items, if it is one of Hugging Face's or `columns` are given.

    Args:
        dataset: a data set whose items are dicts; any other if `columns` is None.
        columns: the names of the image's column, the target's, and any others. None for the only
            column of images and the only one of labels of a Hugging Face data set; other data sets
            are then returned as they are.

    Raises:
        TypeError: `columns` is not a list of names.
        ValueError: a column that isn't there or has no images, columns that must be named, or a
            Hugging Face data set with a format or transform.
    """
    if columns is not None:
        columns = _names(columns)
    if is_a(dataset, "datasets", "Dataset"):
        from tied_augment.huggingface import HuggingFace

        return HuggingFace(dataset, columns)
    if is_a(dataset, "datasets", "IterableDataset"):
        from tied_augment.huggingface import HuggingFaceStream

        return HuggingFaceStream(dataset, columns)
    return dataset if columns is None else Columns(dataset, columns)


class Columns:
    """A map-style data set of dicts as one of tuples.

    Args:
        dataset: of dicts.
        columns: the keys of a tuple's values, the image's first.
    """

    def __init__(self, dataset: Any, columns: Sequence[str]) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(
                "columns= needs a map-style data set of dicts or one of Hugging Face's, got "
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
        item = self.dataset[index]
        if not isinstance(item, Mapping):
            raise TypeError(
                f"columns= needs items that are dicts, got {type(item).__name__}: leave it out"
            )
        missing = [column for column in self.columns if column not in item]
        if missing:
            raise ValueError(f"no column {missing[0]!r} among {', '.join(map(repr, item))}")
        return tuple(item[column] for column in self.columns)


def _names(columns: Any) -> tuple[str, ...]:
    listed = isinstance(columns, Sequence) and not isinstance(columns, str)
    if not listed or not columns or not all(isinstance(column, str) for column in columns):
        raise TypeError(f"columns must be names such as ('image', 'label'), got {columns!r}")
    return tuple(columns)
