"""The data sets of Hugging Face `datasets`: their images as the bytes of files, undecoded.

`HuggingFace.places` finds these bytes in Arrow's memory, so that the core reads them without Python
and without a copy. Imported only when there is such a data set; see `columns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tied_augment.streams import ColumnStream

__all__ = ["Buffers", "HuggingFace", "HuggingFaceStream"]

# Of each sample (buffer, first byte, number of bytes), and the buffers.
Buffers = tuple[NDArray[np.uint64], list[NDArray[np.uint8]]]


class HuggingFace:
    """A ``datasets.Dataset`` as tuples, with the bytes or the path of the image's file."""

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        self.dataset, self.columns = _undecoded(dataset, columns)
        rest = list(self.columns[1:])
        self._rest = self.dataset.select_columns(rest) if rest else None
        self._numbers = [_numbers(self.dataset, column) for column in rest]

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return f"{type(self.dataset).__name__}, columns={self.columns!r}"

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        try:
            return _image(self.dataset[index][self.columns[0]]), *self.rest(index)
        except OSError as error:
            raise OSError(f"index {index}: {error}") from None

    def rest(self, index: int) -> tuple[Any, ...]:
        """What follows the image in an item."""
        if self._rest is None:
            return ()
        if any(numbers is None for numbers in self._numbers):
            row = self._rest[index]
            return tuple(row[column] for column in self.columns[1:])
        return tuple(numbers[index].item() for numbers in self._numbers if numbers is not None)

    def places(self) -> Buffers | list[str] | str:
        """Where the core finds the images: in memory, or in files; else why it can't."""
        rows = self._rows()
        column = self.dataset.data.column(self.columns[0])
        if not pa.types.is_struct(column.type):
            return f"column {self.columns[0]!r} is of type {column.type}"
        if column.null_count:
            return f"column {self.columns[0]!r} lacks images"
        held = [chunk.field("bytes") for chunk in column.chunks]
        nulls = sum(chunk.null_count for chunk in held)
        if nulls == len(column):
            paths = [path for chunk in column.chunks for path in chunk.field("path").to_pylist()]
            chosen = paths if rows is None else [paths[row] for row in rows.tolist()]
            return "a sample has neither bytes nor a path" if None in chosen else chosen
        if nulls:
            return f"column {self.columns[0]!r} has both bytes and paths"
        members, buffers = _members(held)
        return (members if rows is None else members[rows]), buffers

    def _rows(self) -> NDArray[np.uint64] | None:
        """The rows of Arrow's table, if `shuffle`, `select` or `sort` have chosen them."""
        chosen = self.dataset._indices
        return None if chosen is None else chosen.column(0).to_numpy()


class HuggingFaceStream(ColumnStream):
    """A ``datasets.IterableDataset`` as tuples, with the bytes or the path of the image's file."""

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        super().__init__(*_undecoded(dataset, columns))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """See `ColumnStream.__iter__`."""
        image, *rest = self.columns
        for item in self.dataset:
            yield _image(item[image]), *(item[column] for column in rest)


def _members(chunks: Sequence[Any]) -> Buffers:
    """Where the values of an Arrow column of binary lie. None of them is null."""
    rows, buffers = [], []
    for number, chunk in enumerate(chunks):
        if len(chunk) == 0:
            buffers.append(np.empty(0, np.uint8))
            continue
        _, ends, data = chunk.buffers()
        wide = chunk.type == "large_binary"
        bounds = np.frombuffer(ends, np.int64 if wide else np.int32, offset=0)
        bounds = bounds[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.uint64)
        row = np.empty((len(chunk), 3), np.uint64)
        row[:, 0] = number
        row[:, 1] = bounds[:-1]
        row[:, 2] = np.diff(bounds)
        rows.append(row)
        # A read-only view, which keeps Arrow's memory alive.
        buffers.append(np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8))
    return (np.concatenate(rows) if rows else np.empty((0, 3), np.uint64)), buffers


def _numbers(dataset: Any, column: str) -> NDArray[Any] | None:
    """The values of a column of numbers without nulls, in the data set's order; else None."""
    values = dataset.data.column(column)
    kind = values.type
    if values.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    array: NDArray[Any] = values.to_numpy()
    return array if dataset._indices is None else array[dataset._indices.column(0).to_numpy()]


def _undecoded(dataset: Any, columns: Sequence[str] | None) -> tuple[Any, tuple[str, ...]]:
    """The data set with the bytes of files instead of images, and the columns to take."""
    kind = type(dataset).__name__
    if getattr(dataset, "format", None) and dataset.format["type"] is not None:
        remedy = "with_format(None)" if dataset.format["type"] != "custom" else "reset_format()"
        raise ValueError(
            f"the data set's format {dataset.format['type']!r} or its transform would be bypassed, "
            f"since the views take its place: give dataset.{remedy}"
        )
    features = dataset.features
    if features is None:
        raise ValueError(
            f"this {kind} does not know its columns: give dataset.cast(features), or a data set "
            "that has not been mapped"
        )
    chosen = _found(features) if columns is None else tuple(columns)
    missing = [column for column in chosen if column not in features]
    if missing:
        known = ", ".join(map(repr, features))
        raise ValueError(f"the data set has no column {missing[0]!r}: it has {known}")
    image = features[chosen[0]]
    if type(image).__name__ != "Image":
        raise ValueError(
            f"column {chosen[0]!r} has no images but {type(image).__name__}: name the image's "
            "column first, columns=('image', 'label'), or cast it to datasets.Image()"
        )
    if image.mode not in (None, "RGB"):
        raise ValueError(f"views are made of RGB, not of Image(mode={image.mode!r})")
    return dataset.cast_column(chosen[0], type(image)(decode=False)), chosen


def _found(features: Mapping[str, Any]) -> tuple[str, ...]:
    """The only column of images and the only one of labels."""
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    labels = labels or [name for name in ("label", "labels", "target") if name in features]
    if len(images) != 1 or len(labels) != 1:
        known = ", ".join(f"{name!r} ({kind})" for name, kind in kinds.items())
        raise ValueError(
            f"name the columns of image and target, as columns=('image', 'label'), of {known}"
        )
    return images[0], labels[0]


def _image(value: Any) -> Any:
    """The bytes or the path of an undecoded image.

    Raises:
        OSError: it has neither.
    """
    image = value and (value["bytes"] if value["bytes"] is not None else value["path"])
    if image is None:
        raise OSError("the image is missing: it has neither bytes nor a path")
    return image
