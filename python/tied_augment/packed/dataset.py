"""`PackedDataset`: a data set that ``tied-augment pack`` has made."""

from __future__ import annotations

import operator
import os
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.packed.images import unpack
from tied_augment.packed.index import read_set, read_shards

__all__ = ["PackedDataset"]


class PackedDataset:
    """A map-style data set of packed images, in shards.

    An item is ``(bytes, target)``: a packed image, or an image file that was stored as it was.
    `TwoView`, `View` and `decode` take these bytes. `TiedLoader` and `TiedDataset` read the shards
    without Python. The samples have the order that they had in the image folder, and so the same
    views for the same seed and epoch.

    The shards must not change while they are read. A copy in another process, forked or pickled,
    reads them anew.

    Args:
        root: the folder that ``tied-augment pack`` has written; of several splits, one of them.

    Attributes:
        root: the absolute path.
        classes: the classes' names, sorted, in the order of their targets; empty if the targets
            were given as numbers.
        class_to_idx: the target of each class.
        targets: of each sample; -1 if it has none.
        names: of each sample, the path of its file in what was packed.

    Raises:
        FileNotFoundError: there is no packed data set, it is not complete, or a file of it is
            missing.
        ValueError: an index is broken or has another version, or a shard is not the one that its
            index is about. What is wrong within an image is found when it is read.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        packed = read_set(root)
        self.root = str(packed.folder)
        self.classes = packed.classes
        self.class_to_idx = {name: label for label, name in enumerate(packed.classes)}
        self.targets: list[int] = []
        self.names: list[str] = []
        self._archives = [str(packed.folder / name) for name in packed.shards]
        members, packed_ones = [], []
        for number, shard in enumerate(read_shards(packed)):
            self.targets += shard.labels
            self.names += shard.names
            packed_ones.append(np.array(shard.packed, np.bool_))
            places = shard.places()
            members.append(np.insert(places, 0, np.uint64(number), axis=1))
        self._members = np.concatenate(members)
        self._packed = np.concatenate(packed_ones)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        """Read a sample.

        Raises:
            IndexError: there is no such sample.
            OSError: the shard can't be read, or has changed.
        """
        number = self._index(index)
        return self._catalog.sample(number).read(), self.targets[number]

    def __repr__(self) -> str:
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"PackedDataset({self.root!r}: {len(self)} samples{classes})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.root,)

    def original(self, index: int) -> bytes:
        """Give back the file that was packed, byte for byte.

        Raises:
            IndexError: there is no such sample.
            OSError: the shard can't be read, or has changed.
            DecodeError: the packed image is broken.
        """
        number = self._index(index)
        content = self._catalog.sample(number).read()
        if not self._packed[number]:
            return content
        try:
            return unpack(content)
        except _core.DecodeError as error:
            shard = self._archives[int(self._members[number, 0])]
            raise _core.DecodeError(f"{shard}, {self.names[number]}: {error}") from error

    def located(self, index: int) -> tuple[_core.Located, int]:
        """The item at `index` as `TiedDataset` takes it: the core reads the image later."""
        number = self._index(index)
        return self._catalog.sample(number), self.targets[number]

    def places(self) -> tuple[list[str], NDArray[np.uint64], list[str]]:
        """Where the samples lie.

        Returns:
            The shards' paths; ``(N, 3)``, a shard's number, the first byte and the number of bytes
            of each sample; the samples' names for messages.
        """
        return self._archives, self._members, _readable(self.names)

    @cached_property
    def _catalog(self) -> _core.Catalog:
        return _core.Catalog.members(*self.places())

    def _index(self, index: int) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} of a data set of {len(self)} samples")
        return number % len(self)


def _readable(names: list[str]) -> list[str]:
    """Names without the lone surrogates that stand for bytes that are not UTF-8."""
    if all(map(str.isascii, names)):
        return names
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]
