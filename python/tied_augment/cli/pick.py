"""The choice of a few images from a folder, by the names of its files; none is decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby, zip_longest
from pathlib import Path
from typing import TypeVar

from tied_augment.cli.errors import CommandError, said
from tied_augment.endings import ENDINGS
from tied_augment.packed.dataset import PackedDataset
from tied_augment.packed.index import is_packed, packed_splits

__all__ = ["PICKED", "Picked", "pick", "refuse_splits", "spread"]

Item = TypeVar("Item")

PICKED = 4
_SUFFIXES = tuple(f".{ending}" for ending in sorted(ENDINGS))


@dataclass(frozen=True, order=True)
class Picked:
    """An image that was picked.

    Attributes:
        path: its file; in a packed data set, the one that was packed, below the data set's folder.
        content: its bytes if they are not those of a file.
    """

    path: Path
    content: bytes | None = None


def pick(folder: Path, count: int = PICKED) -> tuple[list[Picked], int]:
    """Choose at most `count` images from `folder` and its subfolders, or from a packed data set.

    They are the same every time, from as many class folders as possible and evenly spread.

    Returns:
        The chosen files, sorted, and the total number of images.

    Raises:
        CommandError: there are no images, or a folder can't be read.
    """
    if is_packed(folder):
        return _pick_packed(folder, count)
    refuse_splits(folder)
    files = sorted(_images(folder), key=lambda file: (file.parent, file.name))
    if not files:
        raise CommandError(
            f"{folder} has no images: none of its files ends in {', '.join(_SUFFIXES)}"
        )
    classes = [list(members) for _, members in groupby(files, key=lambda file: file.parent)]
    return sorted(map(Picked, _of_classes(classes, count))), len(files)


def refuse_splits(folder: Path) -> None:
    """Refuse a folder of several packed data sets.

    Raises:
        CommandError: it is one, or can't be read.
    """
    try:
        splits = packed_splits(folder)
    except OSError as error:
        raise CommandError(f"can't read {folder}: {error.strerror}") from error
    if splits:
        names = ", ".join(split.name for split in splits)
        raise CommandError(f"{folder} has packed data sets ({names}): give one, {splits[0]}")


def _pick_packed(folder: Path, count: int) -> tuple[list[Picked], int]:
    try:
        dataset = PackedDataset(folder)
        order = sorted(range(len(dataset)), key=lambda index: dataset.targets[index])
        classes = [list(members) for _, members in groupby(order, key=dataset.targets.__getitem__)]
        chosen = sorted(_of_classes(classes, count))
        return [Picked(folder / dataset.names[index], dataset[index][0]) for index in chosen], len(
            dataset
        )
    except (OSError, ValueError) as error:
        raise CommandError(said(error)) from error


def _of_classes(classes: Sequence[Sequence[Item]], count: int) -> list[Item]:
    """At most `count` members, of as many classes as possible."""
    candidates = [spread(members, count) for members in spread(classes, count)]
    turns = chain.from_iterable(zip_longest(*candidates))
    return [item for item in turns if item is not None][:count]


def _images(folder: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise CommandError(f"can't read {error.filename}: {error.strerror}") from error

    # Links are followed, as in timm and torchvision.
    walk = os.walk(folder, onerror=fail, followlinks=True)
    found = (Path(root, name) for root, _, names in walk for name in names)
    return [path for path in found if path.suffix.lower() in _SUFFIXES]


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spread."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
