"""The choice of a few images from a folder, by the names of its files; none is opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain, groupby, zip_longest
from pathlib import Path
from typing import TypeVar

from tied_augment.cli.errors import CommandError
from tied_augment.endings import ENDINGS

__all__ = ["PICKED", "pick"]

Item = TypeVar("Item")

PICKED = 4
_SUFFIXES = tuple(f".{ending}" for ending in sorted(ENDINGS))


def pick(folder: Path) -> tuple[list[Path], int]:
    """Choose at most `PICKED` images from `folder` and its subfolders.

    They are the same every time, from as many class folders as possible and evenly spread.

    Returns:
        The chosen files, sorted, and the total number of images.

    Raises:
        CommandError: there are no images, or a folder can't be read.
    """
    files = sorted(_images(folder), key=lambda file: (file.parent, file.name))
    if not files:
        raise CommandError(
            f"{folder} has no images: none of its files ends in {', '.join(_SUFFIXES)}"
        )
    classes = [list(members) for _, members in groupby(files, key=lambda file: file.parent)]
    candidates = [_spread(members, PICKED) for members in _spread(classes, PICKED)]
    turns = chain.from_iterable(zip_longest(*candidates))
    return sorted([file for file in turns if file is not None][:PICKED]), len(files)


def _images(folder: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise CommandError(f"can't read {error.filename}: {error.strerror}") from error

    # Links are followed, as in timm and torchvision.
    walk = os.walk(folder, onerror=fail, followlinks=True)
    found = (Path(root, name) for root, _, names in walk for name in names)
    return [path for path in found if path.suffix.lower() in _SUFFIXES]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]
