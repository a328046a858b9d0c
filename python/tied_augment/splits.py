"""Folders that are parts of a data set, such as train and val, and not classes."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["split_folders"]

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "eval"}


def split_folders(folder: Path) -> list[Path]:
    """The sub-folders of a folder if all have names of splits; else none.

    Raises:
        OSError: the folder can't be read.
    """
    folders = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())
    return folders if {each.name.lower() for each in folders} <= _SPLITS else []
