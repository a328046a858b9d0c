"""What a data set and its items must be, in the same words for `TiedDataset` and `TiedLoader`.

Lives here: `data_set`, which checks what is given for one and opens folders, and `item_of`, which
takes an item apart and names its index in every error. It never imports torch, and torchvision only
to open a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.columns import by_columns
from tied_augment.loaded import is_a
from tied_augment.named import NamedSample
from tied_augment.packed.dataset import PackedDataset
from tied_augment.packed.index import is_packed
from tied_augment.remote import refuse_remote
from tied_augment.splits import split_folders

__all__ = ["Item", "data_set", "item_of"]

_UINT8 = np.dtype(np.uint8)


def data_set(dataset: Any, columns: Sequence[str] | None = None) -> Any:
    """`dataset` with tuples as items, or the ``ImageFolder`` or `PackedDataset` of its path.

    Args:
        dataset: as the user gave it.
        columns: see `by_columns`.

    Raises:
        TypeError: not a data set, or a list whose first item is not ``(image, target, ...)``.
        ValueError: a path that is not a folder of class folders, or an empty list.
        FileNotFoundError: a path that does not exist.
        ImportError: a folder, and torchvision is missing.
    """
    if isinstance(dataset, (str, os.PathLike)):
        if columns is not None:
            raise ValueError("columns= has no meaning for a folder, which has images and classes")
        refuse_remote(dataset)
        return _folder(Path(dataset))
    if dataset is None or isinstance(dataset, (type, bytes, Set)):
        raise TypeError(
            f"dataset must be a data set or the path of an image folder, got {_kind(dataset)}"
        )
    if hasattr(dataset, "batch_sampler") and hasattr(dataset, "dataset"):
        kind = type(dataset).__name__
        raise TypeError(f"dataset must be a data set, got a {kind}: give its .dataset instead")
    if isinstance(dataset, Mapping):
        raise TypeError(f"dataset must be a data set, got {_keys(dataset)}: give one of its values")
    if isinstance(dataset, np.ndarray) or _is_tensor(dataset):
        raise TypeError(
            f"dataset must give (image, target), got a bare {type(dataset).__name__}: for images "
            "in memory use ArrayDataset(images, targets)"
        )
    # One of torch's iterable data sets may be its own iterator, and begin anew. It has a
    # `__getitem__`, that of torch's Dataset.
    if isinstance(dataset, Iterator) and not hasattr(dataset, "__getitem__"):
        raise TypeError(
            "dataset must be map-style, or begin anew in each epoch, got a "
            f"{type(dataset).__name__}, which gives its samples once: give a list of it"
        )
    if isinstance(dataset, Sequence):
        if not dataset:
            raise ValueError(f"dataset is an empty {type(dataset).__name__}")
        if columns is None:
            _parts(dataset[0])
    return by_columns(dataset, columns)


@dataclass(slots=True)
class Item:
    """What a data set gives for an index.

    Attributes:
        index: the index; in a stream, the number of the sample.
        image: as `Views` takes it, but never a PIL image: that has become an array.
        rest: what follows the image: target, ...
        error: why the image can't be read; None if nothing is known to be wrong.
        name: what errors call the sample; None if they know it by its index or its file.
    """

    index: int
    image: Any
    rest: tuple[Any, ...]
    error: OSError | None = None
    name: str | None = None


def item_of(index: int, given: Any) -> Item:
    """Take apart what a data set gave for `index`.

    A PIL image is read here. Its file may have been opened only, and an error in it is about this
    sample then.

    Raises:
        TypeError, ValueError: not a tuple or list that begins with an image.
        OSError: Pillow can't read the image.
    """
    name = given.name if isinstance(given, NamedSample) else None
    called = name or f"index {index}"
    try:
        parts = _parts(given)
        return Item(index, _image(parts[0]), tuple(parts[1:]), name=name)
    except TypeError as error:
        raise TypeError(f"{called}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from error
    except OSError as error:
        raise OSError(f"{called}: {error}") from error


def _parts(given: Any) -> Sequence[Any]:
    """The parts of an item, of which the first may be an image."""
    if not isinstance(given, (tuple, list)) or not given:
        raise TypeError(f"a tuple (image, target) expected, got {_shown(given)}")
    image = given[0]
    if _is_tensor(image):
        raise TypeError(
            "expected the bytes of an image file, a path, a PIL image or a uint8 array (H, W, 3), "
            "got a torch tensor: remove the data set's own ToTensor, or use ArrayDataset for "
            "images in memory"
        )
    if isinstance(image, (tuple, list)) and image and all(map(_is_tensor, image)):
        raise TypeError(
            "expected an image, got several tensors, as a TiedDataset gives views: split or "
            "join data sets before TiedDataset, not after"
        )
    return given


def _image(image: Any) -> Any:
    """`image` as the core takes it."""
    if isinstance(image, np.ndarray):
        right = _is_rgb(image)
    elif isinstance(image, str):
        right = image != ""
    else:
        right = isinstance(image, (bytes, bytearray, os.PathLike, _core.Located))
    if right:
        return image
    if hasattr(image, "convert") and hasattr(image, "size"):
        return np.ascontiguousarray(image.convert("RGB"))
    # All else is refused by the core, which says what to pass instead.
    return _core.decode(image, None)


def _is_rgb(array: NDArray[Any]) -> bool:
    return array.dtype == _UINT8 and array.ndim == 3 and array.shape[2] == 3 and array.size > 0


def _shown(item: Any) -> str:
    if isinstance(item, Mapping):
        return f"{_keys(item)}: name the keys, as columns=('image', 'label')"
    kind = type(item).__name__
    value = f" {item!r}" if isinstance(item, (str, os.PathLike)) else ""
    return f"{kind}{value}; for images without targets pair each with -1"


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: give an instance"
    if isinstance(value, Set):
        return f"a {type(value).__name__}, which has no order: give a list"
    return "None" if value is None else type(value).__name__


def _keys(values: Mapping[Any, Any]) -> str:
    keys = ", ".join(repr(key) for key in list(values)[:4])
    return f"a dict of {keys}" if keys else "an empty dict"


def _is_tensor(value: object) -> bool:
    return is_a(value, "torch", "Tensor")


def _folder(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"dataset names {str(path)!r}, which does not exist")
    if not path.is_dir():
        remedy = ": give the folder, or a list of (path, target)"
        if ".tar" in path.suffixes:
            remedy = ": for a tar file use TarShards(path), or timm's ImageDataset(path)"
        raise ValueError(f"dataset must be an image folder, {str(path)!r} is a file{remedy}")
    if is_packed(path):
        return PackedDataset(path)
    classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    if not classes:
        raise ValueError(
            f"{str(path)!r} has no class folders: an image folder has one folder of images per "
            "class, such as cat/1.jpg; or give a list of (path, target)"
        )
    if split_folders(path):
        raise ValueError(
            f"{str(path)!r} has the folders {', '.join(classes)}, which look like splits, not "
            "like classes: give one of them, or an ImageFolder if they are classes"
        )
    try:
        from torchvision.datasets import ImageFolder
    except ImportError as error:
        raise ImportError(
            "a folder is read as torchvision's ImageFolder, which needs torchvision: pip install "
            "torchvision, or give a list of (path, target)"
        ) from error
    return ImageFolder(path)
