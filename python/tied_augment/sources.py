"""What a data set gives before any pixel is decoded: paths and bytes where it can.

Lives here: `reader_of`, which knows the data sets of timm and torchvision that open files
themselves and goes around their Pillow decoding. It imports neither library, only asks whether
they are loaded. It must never decode, and never go around code that a user has written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["reader_of"]

Reader = Callable[[int], "tuple[Any, ...]"]


def reader_of(dataset: Any) -> Reader:
    """Find the cheapest way to read `dataset`: index to ``(sample, target, ...)``.

    The samples of torchvision's ``ImageFolder`` and of timm's ``ImageDataset`` over folders come as
    paths, those of timm's other readers as bytes, those of ``Subset`` as those of what it selects
    from. Any other data set, also a subclass of these with a ``__getitem__`` or ``loader`` of its
    own, is asked for its items as they are.

    Raises:
        TypeError: `dataset` has no ``__getitem__`` and ``__len__``, or is iterable-style.
        ValueError: `dataset` has a transform of its own, which the views replace.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"the data set must be map-style, with __getitem__ and __len__, got "
            f"{type(dataset).__name__}"
        )
    if _keeps(dataset, "torch.utils.data", "Subset", "__getitem__"):
        read = reader_of(dataset.dataset)
        return lambda index: read(dataset.indices[index])
    if _keeps(dataset, "torchvision.datasets", "ImageFolder", "__getitem__"):
        loader = sys.modules["torchvision.datasets.folder"].default_loader
        if dataset.loader is loader:
            _refuse_transform(dataset)
            return _folder_reader(dataset)
    if _keeps(dataset, "timm.data", "ImageDataset", "__getitem__"):
        _refuse_transform(dataset)
        return _timm_reader(dataset)
    return dataset.__getitem__  # type: ignore[no-any-return]


def _keeps(dataset: Any, module: str, name: str, method: str) -> bool:
    """Whether `dataset` is a ``module.name`` whose `method` no subclass has replaced."""
    base = getattr(sys.modules.get(module), name, None)
    return (
        base is not None
        and isinstance(dataset, base)
        and getattr(type(dataset), method) is getattr(base, method)
    )


def _refuse_transform(dataset: Any) -> None:
    if dataset.transform is not None:
        raise ValueError(
            "the data set's own transform would be passed by, since the views take its place: make "
            f"the {type(dataset).__name__} without transform"
        )


def _folder_reader(dataset: Any) -> Reader:
    def read(index: int) -> tuple[Any, ...]:
        path, target = dataset.samples[index]
        change = dataset.target_transform
        return path, target if change is None else change(target)

    return read


def _timm_reader(dataset: Any) -> Reader:
    reader = dataset.reader
    folders = _keeps(
        reader, "timm.data.readers.reader_image_folder", "ReaderImageFolder", "__getitem__"
    )

    def read(index: int) -> tuple[Any, ...]:
        if folders:
            sample, target, *features = reader.samples[index]
        else:
            file, target, *features = reader[index]
            with file:
                sample = file.read()
        if target is None:
            target = -1
        elif dataset.target_transform is not None:
            target = dataset.target_transform(target)
        return sample, target, *(features if dataset.additional_features else ())

    return read
