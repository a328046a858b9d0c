"""The pipelines of the library `webdataset`: their samples as ``(image, target, ...)``.

The library lists and opens the shards, splits them by rank and worker, and shuffles. Here the files
of a sample become the values of columns. Imported only when there is such a pipeline; see
`columns`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from webdataset.autodecode import decoders
from webdataset.filters import detshuffle
from webdataset.shardlists import ResampledShards, split_by_node
from webdataset.utils import pytorch_worker_info

from tied_augment.endings import ENDINGS
from tied_augment.loaded import is_a
from tied_augment.named import NamedSample
from tied_augment.ranks import Ranks, own_ranks
from tied_augment.streams import ColumnStream

__all__ = ["WebDatasetStream"]

# Files of these endings may run code when they are read. `.decode()` reads them.
_UNSAFE = {"pkl", "pickle", "pyd", "pth"}


class WebDatasetStream(ColumnStream):
    """A ``webdataset.DataPipeline``, such as ``WebDataset``, as tuples.

    Samples are dicts, undecoded or decoded, or the tuples that ``to_tuple`` makes. The image of an
    undecoded sample is the bytes of its file; other files are read as ``decode()`` reads them, by
    their endings.

    Args:
        dataset: the pipeline.
        columns: what to take of a sample that is a dict, the image first: an ending such as
            ``'jpg'``, alternatives ``'jpg;png'``, a field ``'json.label'`` of a JSON file, or
            ``'__key__'``. None for the only image, and ``'cls'``.
    """

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        super().__init__(dataset, columns or ())

    def __len__(self) -> int:
        # `with_length` says what it is told, `with_epoch` what will come.
        repeats = getattr(self.dataset, "repetitions", 1) == sys.maxsize
        if repeats and not hasattr(self.dataset, "__len__") and self.dataset.nsamples > 0:
            return int(self.dataset.nsamples)
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The samples as tuples.

        Raises:
            TypeError: a sample of another form, or an image that is decoded to floats or tensors.
            ValueError: a sample lacks a column, or a file is not what its ending says.
        """
        return map(self._tuple, self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Let the library's deterministic shuffles follow from their seed and `epoch`."""
        super().set_epoch(epoch)
        for stage in _stages(self.dataset):
            if isinstance(stage, (detshuffle, ResampledShards)):
                stage.epoch = epoch - 1  # they count when they begin

    def own_ranks(self) -> Ranks | None:
        """See `ColumnStream.own_ranks`: ``split_by_node`` and drawn shards are a rank's own."""
        for stage in _stages(self.dataset):
            function = stage.func if isinstance(stage, partial) else stage
            if function is split_by_node or isinstance(stage, ResampledShards):
                return Ranks(*pytorch_worker_info()[:2])
        return own_ranks(self.dataset)

    def _tuple(self, sample: Any) -> tuple[Any, ...]:
        if isinstance(sample, Mapping):
            return _named(sample, self.columns or (_only_image(sample), "cls"))
        if self.columns:
            raise TypeError(
                f"columns= needs samples that are dicts, got {type(sample).__name__}: leave out "
                "columns=, or .to_tuple()"
            )
        if not isinstance(sample, (tuple, list)) or not sample:
            raise TypeError(f"the pipeline gives {type(sample).__name__}, not samples")
        _refuse_decoded(sample[0], "the pipeline's first value")
        if len(sample) > 1 and isinstance(sample[1], bytes):
            raise TypeError(
                f"the pipeline gives the target as a file's bytes, {sample[1][:20]!r}: leave out "
                ".to_tuple(), and name what to take as columns=('jpg;png', 'cls'); or put "
                ".decode() before it"
            )
        return tuple(sample)


def _stages(pipeline: Any) -> Iterator[Any]:
    """All stages of a pipeline, and of those within it."""
    for stage in getattr(pipeline, "pipeline", getattr(pipeline, "datasets", ())):
        yield stage
        # A WebLoader begins with a DataLoader.
        yield from _stages(getattr(stage, "dataset", stage))


def _named(sample: Mapping[str, Any], columns: Sequence[str]) -> NamedSample:
    place = _place(sample)
    ending, image = _found(sample, columns[0], place)
    name = f"{place}.{ending}"
    _refuse_decoded(image, name)
    return NamedSample((image, *(_value(sample, each, place) for each in columns[1:])), name)


def _place(sample: Mapping[str, Any]) -> str:
    """The shard and the key of a sample."""
    return f"{sample.get('__url__', 'a sample')}, {sample.get('__key__', 'without a key')}"


def _only_image(sample: Mapping[str, Any]) -> str:
    images = [ending for ending in sample if ending.rpartition(".")[2].lower() in ENDINGS]
    if len(images) == 1:
        return images[0]
    found = "several images" if images else "no image"
    raise ValueError(
        f"{_place(sample)} has {found} among {_files(sample)}: name what to take, as "
        "columns=('jpg;png', 'cls')"
    )


def _files(sample: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in sample if not name.startswith("__"))


def _found(sample: Mapping[str, Any], column: str, place: str) -> tuple[str, Any]:
    """The first of a column's alternatives that a sample has, and its value."""
    for name in column.split(";"):
        if name in sample:
            return name, sample[name]
    raise ValueError(
        f"{place} has no {column!r} among {_files(sample)}: name what to take as columns=, or "
        f"leave such samples out, by .select(lambda sample: {column.split(';')[0]!r} in sample)"
    )


def _value(sample: Mapping[str, Any], column: str, place: str) -> Any:
    """The value of a column; of a JSON file perhaps a field of it."""
    before, json, fields = column.partition("json.")
    file = before + json.removesuffix(".")
    if not fields or column in sample or file not in sample:
        name, content = _found(sample, column, place)
        return _read(name, content, place)
    value = _read(file, sample[file], place)
    for field in fields.split("."):
        if not isinstance(value, Mapping) or field not in value:
            raise ValueError(f"{place}.{file} has no field {fields!r}")
        value = value[field]
    return value


def _read(name: str, content: Any, place: str) -> Any:
    """What a file means by its ending; `content` itself if it is decoded or unknown."""
    ending = name.rpartition(".")[2]
    if not isinstance(content, bytes) or ending not in decoders or ending in _UNSAFE:
        return content
    try:
        return decoders[ending](content)
    except ValueError as error:
        raise ValueError(f"{place}.{name} is {content[:40]!r}: {error}") from error


def _refuse_decoded(image: Any, name: str) -> None:
    """Raise TypeError for batches, and for images in floats or tensors."""
    if isinstance(image, (list, tuple, Mapping)) or getattr(image, "ndim", 3) == 4:
        raise TypeError(
            f"{name} is a {type(image).__name__} of several: leave out .batched(), since "
            "TiedLoader makes the batches"
        )
    kind = str(getattr(image, "dtype", "uint8"))
    if kind != "uint8" or is_a(image, "torch", "Tensor"):
        raise TypeError(
            f"{name} is decoded to a {type(image).__name__} of {kind}: leave the image to "
            "TiedLoader, with .decode() or without it, or give .decode('pil')"
        )
