"""Data sets whose items are dicts: `by_columns` makes tuples ``(image, target, ...)`` of them.

`huggingface` has those of the library `datasets`, `webdataset_stream` the pipelines of the library
`webdataset`, and `streams` all other iterable data sets. They are imported only for one of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tied_augment.dicts import Columns
from tied_augment.loaded import is_a

__all__ = ["by_columns"]


def by_columns(dataset: Any, columns: Sequence[str] | None) -> Any:
    """`dataset` with tuples as items, if it is of a known library or `columns` are given.

    Args:
        dataset: a data set whose items are dicts; any other if `columns` is None.
        columns: the names of the image's column, the target's, and any others. None for the only
            column of images and the only one of labels of a Hugging Face data set, and for the
            image and ``cls`` of a webdataset; other data sets are then returned as they are.

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
    if any(is_a(dataset, "webdataset", name) for name in _WEBDATASETS):
        from tied_augment.webdataset_stream import WebDatasetStream

        return WebDatasetStream(dataset, columns)
    if columns is None:
        return dataset
    if is_a(dataset, "torch.utils.data", "IterableDataset") or _iterates(dataset):
        from tied_augment.streams import ColumnStream

        return ColumnStream(dataset, columns)
    return Columns(dataset, columns)


_WEBDATASETS = ("DataPipeline", "RandomMix", "RoundRobin")


def _iterates(dataset: Any) -> bool:
    return isinstance(dataset, Iterable) and not hasattr(dataset, "__getitem__")


def _names(columns: Any) -> tuple[str, ...]:
    listed = isinstance(columns, Sequence) and not isinstance(columns, str)
    if not listed or not columns or not all(isinstance(column, str) for column in columns):
        raise TypeError(f"columns must be names such as ('image', 'label'), got {columns!r}")
    return tuple(columns)
