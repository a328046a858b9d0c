"""Packed data sets as timm's own: `create_dataset`, and the reader that it gives timm's data set.

For timm a packed data set is an ``ImageDataset`` as that of the image folder that was packed: the
same samples, order and targets, a ``class_map``, ``filename()``. timm's own loader gets the image
files as they were before packing; the native loader reads the packed images.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Mapping
from typing import Any

from timm.data import dataset_factory
from timm.data.dataset import ImageDataset
from timm.data.readers.class_map import load_class_map
from timm.data.readers.img_extensions import get_img_extensions
from timm.data.readers.reader import Reader
from timm.utils.misc import natural_key

from tied_augment.packed.dataset import PackedDataset
from tied_augment.packed.index import is_packed

__all__ = ["PackedReader", "create_dataset", "packed_dataset"]

# Arguments of timm's `create_dataset` for data sets that are not folders.
_OF_OTHERS = {
    "is_training",
    "download",
    "batch_size",
    "num_samples",
    "seed",
    "repeats",
    "trust_remote_code",
}


def create_dataset(
    name: str, root: str | None = None, split: str = "validation", **options: Any
) -> Any:
    """``timm.data.create_dataset``, which also takes the folder of a packed data set.

    Args:
        name: of timm's data set; empty for a folder.
        root: the folder, or one with folders of splits.
        split: of the data set.
        options: all other arguments of timm's function.

    Raises:
        FileNotFoundError, ValueError: as `PackedDataset`.
    """
    found = packed_dataset(name, root, split, **options)
    if found is not None:
        return found
    return dataset_factory.create_dataset(name, root=root, split=split, **options)


def packed_dataset(
    name: str,
    root: str | None = None,
    split: str = "validation",
    search_split: bool = True,
    class_map: Any = None,
    **options: Any,
) -> ImageDataset | None:
    """The data set of a packed folder, as timm's own, by the arguments of `create_dataset`.

    Returns:
        None if they do not lead to a packed folder.

    Raises:
        FileNotFoundError, ValueError: as `PackedDataset`.
    """
    if "/" in name or root is None or not os.path.isdir(root):
        return None
    if search_split:
        root = dataset_factory._search_split(root, split)
    if not is_packed(root):
        return None
    known = inspect.signature(ImageDataset).parameters
    given = {key: value for key, value in options.items() if value is not None}
    of_set = {key: value for key, value in given.items() if key in known}
    of_reader = {key: given[key] for key in given.keys() - known - _OF_OTHERS}
    return ImageDataset(root, reader=PackedReader(root, class_map, **of_reader), **of_set)


class PackedReader(Reader):
    """Reads a packed data set, as timm's ``ReaderImageFolder`` reads an image folder.

    Classes are the folders of the images, in timm's order. If the targets were given as numbers,
    they are these, in the order of packing.

    Args:
        root: the packed folder.
        class_map: as in timm: a dict, or a file.
        input_key: as in timm: the endings of the files to take.

    Attributes:
        dataset: the packed data set.
        samples: index in `dataset` and target of each sample.
        class_to_idx: the target of each class.
    """

    def __init__(
        self, root: str, class_map: str | Mapping[str, int] | None = None, input_key: str = ""
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dataset = dataset = PackedDataset(root)
        self.class_to_idx: dict[str, int] = {}
        if not dataset.classes:
            if class_map:
                raise ValueError(f"{root} has numbers as targets, which a class_map can't change")
            self.samples = list(enumerate(dataset.targets))
            return
        types = set(input_key.split(";")) if input_key else get_img_extensions(as_set=True)
        found = [
            (index, os.path.basename(os.path.dirname(name)))
            for index, name in enumerate(dataset.names)
            if os.path.splitext(name)[1].lower() in types
        ]
        if class_map:
            self.class_to_idx = load_class_map(class_map, root)
        else:
            folders = sorted({folder for _, folder in found}, key=natural_key)
            self.class_to_idx = {name: label for label, name in enumerate(folders)}
        found = [entry for entry in found if entry[1] in self.class_to_idx]
        found.sort(key=lambda entry: natural_key(dataset.names[entry[0]]))
        self.samples = [(index, self.class_to_idx[folder]) for index, folder in found]
        if not self.samples:
            raise ValueError(f"{root} has no images that end in {', '.join(sorted(types))}")

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        """The image file as it was before packing, and the target."""
        number, target = self.samples[index]
        return io.BytesIO(self.dataset.original(number)), target

    def __len__(self) -> int:
        return len(self.samples)

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        name = self.dataset.names[self.samples[index][0]]
        if basename:
            return os.path.basename(name)
        return os.path.join(self.dataset.root, name) if absolute else name
