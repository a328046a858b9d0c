"""What a data set and its items must be, in the same words for `TiedDataset` and `TiedLoader`.

Lives here: `data_set`, which checks what is given for one and opens folders, and `split`, which
takes an item apart. It imports neither torch nor torchvision, only asks whether they are loaded; a
folder needs torchvision. It must never decode.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["data_set", "split"]

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "eval"}


def data_set(dataset: Any) -> Any:
    """`dataset`, or the ``ImageFolder`` of a folder that it names.

    Raises:
        TypeError: what is no data set, or one whose first item can be seen to be wrong.
        ValueError: a path that is no folder of class folders, or an empty list.
        FileNotFoundError: a path that does not exist.
        ImportError: a folder, and torchvision is missing.
    """
    if isinstance(dataset, (str, os.PathLike)):
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
    # torch's data sets may be iterators of themselves that begin anew.
    if isinstance(dataset, Iterator) and not hasattr(dataset, "__getitem__"):
        raise TypeError(
            "dataset must be map-style, or begin anew in each epoch, got a "
            f"{type(dataset).__name__}, which gives its samples once: give a list of it"
        )
    if isinstance(dataset, Sequence):
        if not dataset:
            raise ValueError(f"dataset is an empty {type(dataset).__name__}")
        split(dataset[0])
    return dataset


def split(item: Any) -> tuple[Any, tuple[Any, ...]]:
    """An item's image, and what follows it: target, ...

    Raises:
        TypeError: it is no tuple or list that begins with an image that views can be made of.
    """
    if not isinstance(item, (tuple, list)) or not item:
        raise TypeError(f"a tuple (image, target) expected, got {_shown(item)}")
    if _is_tensor(item[0]):
        raise TypeError(
            "expected the bytes of an image file, a path, a PIL image or a uint8 array (H, W, 3), "
            "got a torch tensor: remove the data set's own ToTensor, or use ArrayDataset for "
            "images in memory"
        )
    if isinstance(item[0], (tuple, list)) and item[0] and all(map(_is_tensor, item[0])):
        raise TypeError(
            "expected an image, got several tensors, as a TiedDataset gives two views: split or "
            "join data sets before TiedDataset, not after"
        )
    return item[0], tuple(item[1:])


def _shown(item: Any) -> str:
    if isinstance(item, Mapping):
        return f"{_keys(item)}: give a tuple of its values, the image first"
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
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _folder(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"dataset names {str(path)!r}, which does not exist")
    if not path.is_dir():
        remedy = ": give the folder, or a list of (path, target)"
        if ".tar" in path.suffixes:
            remedy = ": for a tar file use TarShards(path), or timm's ImageDataset(path)"
        raise ValueError(f"dataset must be an image folder, {str(path)!r} is a file{remedy}")
    classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    if not classes:
        raise ValueError(
            f"{str(path)!r} has no class folders: an image folder has one folder of images per "
            "class, such as cat/1.jpg; or give a list of (path, target)"
        )
    if {name.lower() for name in classes} <= _SPLITS:
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
