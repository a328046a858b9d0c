"""How to read a data set's items without decoding images.

The data sets of torchvision and timm decode with Pillow when they are indexed. `reader_of` knows
them, and reads the path or the bytes of the image instead. A subclass that has replaced one of
their methods is asked for its items like any other data set, so that no user's code is bypassed.

Lives here: `reader_of`, and `ArrayDataset` for images in memory. torchvision and timm are not
imported; if they are not loaded, the data set is not theirs.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment.loaded import is_a

__all__ = [
    "ArrayDataset",
    "Reader",
    "joined",
    "keeps",
    "plain_folder",
    "reader_of",
    "refuse_mode",
    "refuse_transform",
    "timm_targets",
]

Reader = Callable[[int], "tuple[Any, ...]"]


class ArrayDataset:
    """A map-style data set of images in memory, all of one size, such as CIFAR. Copies nothing.

    Args:
        images: ``(N, height, width, 3)`` uint8, C-contiguous; it may be memory-mapped. Don't write
            to it while a loader reads it.
        targets: N targets, of any kind.

    Raises:
        TypeError: `images` is not such an array.
        ValueError: the numbers of images and targets differ.
    """

    def __init__(self, images: NDArray[np.uint8], targets: Sequence[Any]) -> None:
        right = isinstance(images, np.ndarray) and images.dtype == np.uint8
        if not right or images.ndim != 4 or images.shape[3] != 3:
            raise TypeError(f"images must be an (N, H, W, 3) uint8 array, got {_array(images)}")
        if not images.flags.c_contiguous:
            raise TypeError("images must be C-contiguous: pass np.ascontiguousarray(images)")
        if not hasattr(targets, "__len__") or not hasattr(targets, "__getitem__"):
            raise TypeError(f"targets must be a sequence, one per image, got {targets!r}")
        if len(targets) != len(images):
            raise ValueError(f"{len(images)} images but {len(targets)} targets")
        self.images = images
        self.targets = targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Any]:
        return self.images[index], self.targets[index]


def _array(images: object) -> str:
    """What was given in place of an array of images, and how to make it one."""
    if not hasattr(images, "shape") or not hasattr(images, "dtype"):
        return type(images).__name__
    shape, kind = tuple(images.shape), images.dtype
    given = f"{type(images).__name__} of shape {shape} and {kind}"
    if not isinstance(images, np.ndarray):
        return f"{given}: pass .numpy() of it"
    if images.dtype != np.uint8:
        return f"{given}: pass the bytes, 0 to 255, before any normalisation"
    if len(shape) == 4 and shape[1] == 3:
        remedy = "np.ascontiguousarray(images.transpose(0, 2, 3, 1))"
        return f"{given}: pass {remedy}"
    if len(shape) == 3 or shape[-1:] == (1,):
        return f"{given}: repeat gray images' channel three times"
    return given


def joined(reads: Sequence[Reader], ends: Sequence[int]) -> Reader:
    """One reader of several parts in a row, as in torch's ``ConcatDataset``.

    Args:
        reads: the parts' readers.
        ends: of each part, one past its last index in the whole.
    """

    def read(index: int) -> tuple[Any, ...]:
        if index < 0:
            index += ends[-1]
        part = bisect_right(ends, index)
        return reads[part](index - (ends[part - 1] if part else 0))

    return read


def reader_of(dataset: Any) -> Reader:
    """Find the cheapest way to read `dataset`: from index to ``(image, target, ...)``.

    torchvision's ``ImageFolder`` and timm's ``ImageDataset`` over folders give paths, a
    `PackedDataset` places in its shards, timm's other readers bytes, a ``Subset`` or
    ``ConcatDataset`` what its parts give. Any other data set is asked for its items. So is a
    subclass of these with a ``__getitem__`` or ``loader`` of its own.

    Raises:
        TypeError: `dataset` has no ``__getitem__`` and ``__len__``, is iterable-style, or has a
            `TiedDataset` in it.
        ValueError: `dataset` has a transform of its own, which the views replace.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"the data set must be map-style, with __getitem__ and __len__, got "
            f"{type(dataset).__name__}"
        )
    if keeps(dataset, "tied_augment.dataset", "TiedDataset", "__getitem__"):
        raise TypeError(
            "the data set has a TiedDataset in it, which gives pairs of views and not images: "
            "split or join data sets before TiedDataset, not after"
        )
    if keeps(dataset, "torch.utils.data", "Subset", "__getitem__"):
        read = reader_of(dataset.dataset)
        return lambda index: read(dataset.indices[index])
    if keeps(dataset, "torch.utils.data", "ConcatDataset", "__getitem__"):
        reads = [reader_of(part) for part in dataset.datasets]
        return joined(reads, dataset.cumulative_sizes)
    if keeps(dataset, "tied_augment.packed.dataset", "PackedDataset", "__getitem__"):
        return dataset.located  # type: ignore[no-any-return]
    if plain_folder(dataset):
        refuse_transform(dataset)
        return _folder_reader(dataset)
    if keeps(dataset, "timm.data", "ImageDataset", "__getitem__"):
        refuse_transform(dataset)
        refuse_mode(dataset)
        return _timm_reader(dataset)
    return dataset.__getitem__  # type: ignore[no-any-return]


def keeps(dataset: Any, module: str, name: str, method: str) -> bool:
    """Whether `dataset` is a ``module.name`` whose `method` no subclass has replaced."""
    if not is_a(dataset, module, name):
        return False
    base = getattr(sys.modules[module], name)
    return getattr(type(dataset), method) is getattr(base, method)


def plain_folder(dataset: Any) -> bool:
    """Whether it is an ImageFolder that opens its files in torchvision's own way."""
    if not keeps(dataset, "torchvision.datasets", "ImageFolder", "__getitem__"):
        return False
    loader = sys.modules["torchvision.datasets.folder"].default_loader
    return dataset.loader is loader


def refuse_transform(dataset: Any) -> None:
    """Raise ValueError if a data set has a transform, which would not be applied."""
    if dataset.transform is not None:
        raise ValueError(
            "the data set's own transform would be bypassed, since the views take its place: "
            f"remove it, that is make the {type(dataset).__name__} without transform"
        )


def refuse_mode(dataset: Any) -> None:
    """Raise ValueError if timm's data set would give images of another mode than RGB."""
    if dataset.input_img_mode not in ("RGB", None):
        raise ValueError(f"views are made of RGB, not of input_img_mode={dataset.input_img_mode!r}")


def timm_targets(dataset: Any, target: Any, *features: Any) -> tuple[Any, ...]:
    """What follows the image in an item of timm's data set, from what follows it in its reader."""
    if target is None:
        target = -1
    elif dataset.target_transform is not None:
        target = dataset.target_transform(target)
    # Not in timm before 1.0.20.
    return target, *(features if getattr(dataset, "additional_features", None) else ())


def _folder_reader(dataset: Any) -> Reader:
    def read(index: int) -> tuple[Any, ...]:
        path, target = dataset.samples[index]
        change = dataset.target_transform
        return path, target if change is None else change(target)

    return read


def _timm_reader(dataset: Any) -> Reader:
    reader = dataset.reader
    folders = keeps(
        reader, "timm.data.readers.reader_image_folder", "ReaderImageFolder", "__getitem__"
    )
    packed = keeps(reader, "tied_augment.timm.packed", "PackedReader", "__getitem__")

    def read(index: int) -> tuple[Any, ...]:
        if folders:
            sample, target, *features = reader.samples[index]
        elif packed:
            number, target, *features = reader.samples[index]
            sample, _ = reader.dataset.located(number)
        else:
            file, target, *features = reader[index]
            with file:
                sample = file.read()
        return sample, *timm_targets(dataset, target, *features)

    return read
