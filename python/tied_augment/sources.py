"""What a data set gives before any pixel is decoded: paths and bytes where it can.

Lives here: `reader_of` and `locate`, which know the data sets of timm and torchvision that open
files themselves and go around their Pillow decoding, and `ArrayDataset` for images in memory. It
imports neither library, only asks whether they are loaded. It must never decode, and never go
around code that a user has written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core

__all__ = ["ArrayDataset", "Located", "locate", "reader_of"]

Reader = Callable[[int], "tuple[Any, ...]"]


class ArrayDataset:
    """Images in memory, all of one size: CIFAR, say. A map-style data set that copies nothing.

    Args:
        images: ``(N, height, width, 3)`` uint8, C-contiguous; a memory-mapped array will do. Don't
            write it while a loader reads it.
        targets: N targets, of any kind.

    Raises:
        TypeError: `images` is no such array.
        ValueError: another number of targets than of images.
    """

    def __init__(self, images: NDArray[np.uint8], targets: Sequence[Any]) -> None:
        right = isinstance(images, np.ndarray) and images.dtype == np.uint8
        if not right or images.ndim != 4 or images.shape[3] != 3:
            kind = getattr(images, "dtype", type(images).__name__)
            shape = getattr(images, "shape", None)
            raise TypeError(f"images must be (N, H, W, 3) uint8, got shape {shape} of {kind}")
        if not images.flags.c_contiguous:
            raise TypeError("images must be C-contiguous: pass np.ascontiguousarray(images)")
        if len(targets) != len(images):
            raise ValueError(f"{len(images)} images but {len(targets)} targets")
        self.images = images
        self.targets = targets

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Any]:
        return self.images[index], self.targets[index]


@dataclass(frozen=True)
class Located:
    """Where the images of a data set lie, so that they can be read without Python.

    One of these: a path for every sample; or a row (archive, first byte, bytes) of `members` for
    every sample; or all pixels.

    Attributes:
        rest: index to what follows the image in an item: target, ...
        paths: of image files, or of archives if there are `members`.
        members: ``(N, 3)`` uint64.
        pixels: ``(N, height, width, 3)`` uint8.
    """

    rest: Reader
    paths: Sequence[str] = ()
    members: NDArray[np.uint64] | None = None
    pixels: NDArray[np.uint8] | None = None

    def catalog(self) -> _core.Catalog:
        """Hand the places to the core."""
        if self.pixels is not None:
            return _core.Catalog.pixels(np.asarray(self.pixels))
        if self.members is not None:
            return _core.Catalog.members(list(self.paths), self.members)
        return _core.Catalog.files(list(self.paths))


def locate(dataset: Any) -> Located | None:
    """Find where the images of `dataset` lie; None if only its own code can get at them.

    Known are torchvision's ``ImageFolder`` and ``CIFAR10``/``CIFAR100``, timm's ``ImageDataset``
    over folders and uncompressed tar files, `ArrayDataset`, and a ``Subset`` of all but images in
    memory.

    Raises:
        ValueError: `dataset` has a transform of its own, which the views replace.
    """
    if isinstance(dataset, ArrayDataset) and type(dataset).__getitem__ is ArrayDataset.__getitem__:
        targets = dataset.targets
        return Located(lambda index: (targets[index],), pixels=dataset.images)
    if _keeps(dataset, "torch.utils.data", "Subset", "__getitem__"):
        whole = locate(dataset.dataset)
        return None if whole is None else _selected(whole, dataset.indices)
    if _keeps(dataset, "torchvision.datasets", "CIFAR10", "__getitem__"):
        _refuse_transform(dataset)
        images = np.ascontiguousarray(dataset.data)
        return Located(_torchvision_rest(dataset, dataset.targets), pixels=images)
    if _plain_folder(dataset):
        _refuse_transform(dataset)
        targets = [target for _, target in dataset.samples]
        paths = [path for path, _ in dataset.samples]
        return Located(_torchvision_rest(dataset, targets), paths)
    if _keeps(dataset, "timm.data", "ImageDataset", "__getitem__"):
        _refuse_transform(dataset)
        _refuse_mode(dataset)
        return _timm_located(dataset)
    return None


def _selected(whole: Located, indices: Sequence[int]) -> Located | None:
    if whole.pixels is not None:
        return None  # a selection of the pixels would be a copy
    chosen = list(indices)
    rest = whole.rest
    picked = replace(whole, rest=lambda index: rest(chosen[index]))
    if whole.members is not None:
        return replace(picked, members=whole.members[np.asarray(chosen, np.int64)])
    return replace(picked, paths=[whole.paths[index] for index in chosen])


def _torchvision_rest(dataset: Any, targets: Sequence[Any]) -> Reader:
    def rest(index: int) -> tuple[Any, ...]:
        change = dataset.target_transform
        return (targets[index] if change is None else change(targets[index]),)

    return rest


def _timm_located(dataset: Any) -> Located | None:
    reader = dataset.reader
    samples = reader.samples if hasattr(reader, "samples") else ()

    if _keeps(reader, "timm.data.readers.reader_image_folder", "ReaderImageFolder", "__getitem__"):
        paths = [sample[0] for sample in samples]
        return Located(_timm_rest(dataset, [sample[1:] for sample in samples]), paths)
    if _keeps(reader, "timm.data.readers.reader_image_tar", "ReaderImageTar", "__getitem__"):
        places = [(reader.root, info, None) for info, _ in samples]
        targets = [(target,) for _, target in samples]
    elif _keeps(reader, "timm.data.readers.reader_image_in_tar", "ReaderImageInTar", "__getitem__"):
        root = reader.root
        places = [
            (os.path.join(root, archive) if archive else root, info, inner)
            for info, archive, inner in samples
        ]
        targets = [(target,) for target in reader.targets]
    else:
        return None
    numbers: dict[str, int] = {}
    members = np.empty((len(places), 3), np.uint64)
    for row, (archive, info, inner) in zip(members, places, strict=True):
        if info.issparse():
            return None
        start = info.offset_data + (inner.offset_data if inner is not None else 0)
        row[:] = numbers.setdefault(archive, len(numbers)), start, info.size
    if not all(map(_plain_tar, numbers)):
        return None
    return Located(_timm_rest(dataset, targets), list(numbers), members)


def _timm_rest(dataset: Any, targets: Sequence[Sequence[Any]]) -> Reader:
    return lambda index: _timm_targets(dataset, *targets[index])


def _timm_targets(dataset: Any, target: Any, *features: Any) -> tuple[Any, ...]:
    if target is None:
        target = -1
    elif dataset.target_transform is not None:
        target = dataset.target_transform(target)
    # Not in timm before 1.0.20.
    return target, *(features if getattr(dataset, "additional_features", None) else ())


def _plain_tar(path: str) -> bool:
    """Whether an archive's offsets are the file's: not so in compressed ones."""
    with open(path, "rb") as file:
        file.seek(257)
        return file.read(5) == b"ustar"


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
    if _plain_folder(dataset):
        _refuse_transform(dataset)
        return _folder_reader(dataset)
    if _keeps(dataset, "timm.data", "ImageDataset", "__getitem__"):
        _refuse_transform(dataset)
        _refuse_mode(dataset)
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


def _plain_folder(dataset: Any) -> bool:
    """Whether it is an ImageFolder that opens its files in torchvision's own way."""
    if not _keeps(dataset, "torchvision.datasets", "ImageFolder", "__getitem__"):
        return False
    loader = sys.modules["torchvision.datasets.folder"].default_loader
    return dataset.loader is loader


def _refuse_transform(dataset: Any) -> None:
    if dataset.transform is not None:
        raise ValueError(
            "the data set's own transform would be passed by, since the views take its place: make "
            f"the {type(dataset).__name__} without transform"
        )


def _refuse_mode(dataset: Any) -> None:
    if dataset.input_img_mode not in ("RGB", None):
        raise ValueError(f"views are made of RGB, not of input_img_mode={dataset.input_img_mode!r}")


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
        return sample, *_timm_targets(dataset, target, *features)

    return read
