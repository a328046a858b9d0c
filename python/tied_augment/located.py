"""Where the images of a data set lie, so that the core can read them without Python.

`locate` knows the data sets of torch, torchvision, timm and Hugging Face: image files, members of
uncompressed tar archives, arrays and files in memory. Of any other data set it says why only Python
can read it. As in `sources`, a subclass that has replaced a method is not known, and no library is
imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from tarfile import TarInfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.loaded import is_a
from tied_augment.sources import (
    ArrayDataset,
    Reader,
    joined,
    keeps,
    plain_folder,
    refuse_mode,
    refuse_transform,
    timm_targets,
)

__all__ = ["Located", "locate"]


@dataclass(frozen=True)
class Located:
    """Where the images of a data set lie.

    Each sample has a path, or a row (archive, first byte, number of bytes) of `members`; or all are
    in `pixels`. With `buffers` the rows are (buffer, first byte, number of bytes).

    Attributes:
        rest: from an index to what follows the image in its item: target, ...
        paths: of the image files, or of the archives if there are `members`.
        members: ``(N, 3)`` uint64.
        names: what errors call the members; None to call all, or one, by their places.
        pixels: ``(N, height, width, 3)`` uint8.
        buffers: one-dimensional uint8, with the files' bytes.
    """

    rest: Reader
    paths: Sequence[str] = ()
    members: NDArray[np.uint64] | None = None
    pixels: NDArray[np.uint8] | None = None
    buffers: Sequence[NDArray[np.uint8]] | None = None
    names: Sequence[str | None] | None = None

    def has_places_of(self, other: Located) -> bool:
        """Whether the files or members are those of `other`. False in memory."""
        if any(each.pixels is not None or each.buffers is not None for each in (self, other)):
            return False
        if self.members is None or other.members is None:
            return self.members is other.members and self.paths == other.paths
        return self.paths == other.paths and np.array_equal(self.members, other.members)

    def catalog(self) -> _core.Catalog:
        """Hand the places to the core."""
        if self.pixels is not None:
            return _core.Catalog.pixels(np.asarray(self.pixels))
        if self.buffers is not None and self.members is not None:
            return _core.Catalog.buffers(list(self.buffers), self.members)
        if self.members is not None:
            return _core.Catalog.members(list(self.paths), self.members, self.names)
        return _core.Catalog.files(list(self.paths))


def locate(dataset: Any) -> Located | str:
    """Find where the images of `dataset` lie; the reason if only Python can read them.

    Known are lists of ``(path, target, ...)``, torchvision's ``ImageFolder``, ``CIFAR10`` and
    ``CIFAR100``, timm's ``ImageDataset`` over folders, uncompressed tar files, packed data sets and
    ``hfds/``, Hugging Face's ``Dataset``, `ArrayDataset` and `PackedDataset`. A ``Subset`` is known
    too, and a ``ConcatDataset`` whose parts are all files or all members of archives; but not those
    of images in memory.

    Later changes of the data set's lists don't change what has been found.

    Raises:
        ValueError: `dataset` has a transform of its own, which the views replace.
    """
    if isinstance(dataset, ArrayDataset) and type(dataset).__getitem__ is ArrayDataset.__getitem__:
        targets = dataset.targets
        return Located(lambda index: (targets[index],), pixels=dataset.images)
    if is_a(dataset, "tied_augment.huggingface", "HuggingFace"):
        return _huggingface(dataset)
    if keeps(dataset, "tied_augment.packed.dataset", "PackedDataset", "__getitem__"):
        return _packed(dataset)
    if keeps(dataset, "torch.utils.data", "Subset", "__getitem__"):
        whole = locate(dataset.dataset)
        return whole if isinstance(whole, str) else _selected(whole, dataset.indices)
    if keeps(dataset, "torch.utils.data", "ConcatDataset", "__getitem__"):
        parts = [locate(part) for part in dataset.datasets]
        return _concatenated(parts, dataset.cumulative_sizes)
    if keeps(dataset, "torchvision.datasets", "CIFAR10", "__getitem__"):
        refuse_transform(dataset)
        images = np.ascontiguousarray(dataset.data)
        return Located(_torchvision_rest(dataset, dataset.targets), pixels=images)
    if plain_folder(dataset):
        refuse_transform(dataset)
        targets = [target for _, target in dataset.samples]
        paths = [path for path, _ in dataset.samples]
        return Located(_torchvision_rest(dataset, targets), paths)
    if keeps(dataset, "timm.data", "ImageDataset", "__getitem__"):
        refuse_transform(dataset)
        refuse_mode(dataset)
        return _timm_located(dataset)
    if type(dataset) in (list, tuple):
        return _listed(dataset)
    kind = type(dataset).__name__
    if any(is_a(dataset, *known) for known in _KNOWN):
        return f"this {kind} has a __getitem__ or a loader of its own"
    return f"only Python can read the images of this {kind}"


_KNOWN = (
    ("tied_augment.sources", "ArrayDataset"),
    ("tied_augment.packed.dataset", "PackedDataset"),
    ("torch.utils.data", "Subset"),
    ("torch.utils.data", "ConcatDataset"),
    ("torchvision.datasets", "CIFAR10"),
    ("torchvision.datasets", "ImageFolder"),
    ("timm.data", "ImageDataset"),
)


def _huggingface(dataset: Any) -> Located | str:
    places = dataset.places()
    if isinstance(places, str):
        return places
    if isinstance(places, list):
        return Located(dataset.rest, places)
    members, buffers = places
    return Located(dataset.rest, members=members, buffers=buffers)


def _packed(dataset: Any) -> Located:
    paths, members, names = dataset.places()
    targets = dataset.targets
    return Located(lambda index: (targets[index],), paths, members, names=names)


def _listed(items: Sequence[Any]) -> Located | str:
    # Few types occur. Checking each of a million items by itself would take half a second.
    if _all_of(set(map(type, items)), (tuple, list)) and all(items):
        images = list(map(itemgetter(0), items))
        kinds = set(map(type, images))
        if _all_of(kinds, (str, os.PathLike)):
            held = list(items)
            paths = images if kinds <= {str} else list(map(os.fspath, images))
            return Located(lambda index: tuple(held[index][1:]), paths)
    return f"this {type(items).__name__} has images that are not paths"


def _all_of(kinds: Iterable[type], wanted: tuple[type, ...]) -> bool:
    return all(issubclass(kind, wanted) for kind in kinds)


def _concatenated(parts: Sequence[Located | str], ends: Sequence[int]) -> Located | str:
    located = [part for part in parts if isinstance(part, Located)]
    if len(located) < len(parts):
        return next(part for part in parts if isinstance(part, str))
    if any(part.pixels is not None or part.buffers is not None for part in located):
        return "a ConcatDataset of images in memory is joined by Python"
    rest = joined([part.rest for part in located], ends)
    paths = [path for part in located for path in part.paths]
    members = [part.members for part in located if part.members is not None]
    if not members:
        return Located(rest, paths)
    if len(members) < len(located):
        return "this ConcatDataset has both image files and members of archives"
    before = np.cumsum([0, *(len(part.paths) for part in located[:-1])])
    moved = [rows.copy() for rows in members]
    for rows, archives in zip(moved, before, strict=True):
        rows[:, 0] += np.uint64(archives)
    names: list[str | None] = []
    for part, rows in zip(located, moved, strict=True):
        names += [None] * len(rows) if part.names is None else part.names
    return Located(rest, paths, np.concatenate(moved), names=names)


def _selected(whole: Located, indices: Sequence[int]) -> Located | str:
    if whole.pixels is not None:
        return "a Subset of images in memory would be a copy of them"
    chosen = list(indices)
    rest = whole.rest
    picked = replace(whole, rest=lambda index: rest(chosen[index]))
    if whole.members is not None:
        members = whole.members[np.asarray(chosen, np.int64)]
        names = whole.names and [whole.names[index] for index in chosen]
        return replace(picked, members=members, names=names)
    return replace(picked, paths=[whole.paths[index] for index in chosen])


def _torchvision_rest(dataset: Any, targets: Sequence[Any]) -> Reader:
    def rest(index: int) -> tuple[Any, ...]:
        change = dataset.target_transform
        return (targets[index] if change is None else change(targets[index]),)

    return rest


def _timm_located(dataset: Any) -> Located | str:
    reader = dataset.reader
    if keeps(reader, "timm.data.readers.reader_image_folder", "ReaderImageFolder", "__getitem__"):
        files = list(reader.samples)
        paths = [file[0] for file in files]
        return Located(lambda index: timm_targets(dataset, *files[index][1:]), paths)
    if keeps(reader, "tied_augment.timm.packed", "PackedReader", "__getitem__"):
        targets = [target for _, target in reader.samples]
        whole = _packed(reader.dataset)
        chosen = _selected(whole, [index for index, _ in reader.samples])
        assert isinstance(chosen, Located)
        return replace(chosen, rest=lambda index: timm_targets(dataset, targets[index]))
    if keeps(reader, "timm.data.readers.reader_hfds", "ReaderHfds", "__getitem__"):
        return _timm_huggingface(dataset)
    if keeps(reader, "timm.data.readers.reader_image_tar", "ReaderImageTar", "__getitem__"):
        infos = [info for info, _ in reader.samples]
        targets = [target for _, target in reader.samples]
        archives, offsets = [reader.root] * len(infos), [0] * len(infos)
    elif keeps(reader, "timm.data.readers.reader_image_in_tar", "ReaderImageInTar", "__getitem__"):
        infos = [info for info, _, _ in reader.samples]
        targets = list(reader.targets)
        names = {name for _, name, _ in reader.samples}
        path_of = {name: os.path.join(reader.root, name) if name else reader.root for name in names}
        archives = [path_of[name] for _, name, _ in reader.samples]
        # Of an archive within an archive.
        offsets = [0 if inner is None else inner.offset_data for _, _, inner in reader.samples]
    else:
        return f"timm's {type(reader).__name__} opens the files itself"
    return _members(lambda index: timm_targets(dataset, targets[index]), archives, offsets, infos)


def _timm_huggingface(dataset: Any) -> Located | str:
    from tied_augment.huggingface import HuggingFace

    reader = dataset.reader
    # Older timms read the target within `__getitem__`.
    target_of = getattr(reader, "_get_target", None)
    if target_of is None:
        return "this timm's ReaderHfds reads the target with the image"
    found = _huggingface(HuggingFace(reader.dataset, (reader.image_key,)))
    if isinstance(found, str):
        return found
    rows = reader.dataset.remove_columns(reader.image_key)
    features = reader.additional_features or ()

    def rest(index: int) -> tuple[Any, ...]:
        row = rows[index]
        return timm_targets(dataset, target_of(row), *(row[name] for name in features))

    return replace(found, rest=rest)


def _members(
    rest: Reader, archives: Sequence[str], offsets: Sequence[int], infos: Sequence[TarInfo]
) -> Located | str:
    """Where members of archives lie; the reason if an offset is not that of the image's bytes.

    Args:
        rest: index to what follows the image.
        archives: of each member, the path.
        offsets: of each member, where the archive that its TarInfo is about begins in the file.
        infos: of each member.
    """
    sparse = next((n for n, info in enumerate(infos) if info.issparse()), None)
    if sparse is not None:
        return f"{archives[sparse]} has sparse members"
    numbers = {archive: number for number, archive in enumerate(dict.fromkeys(archives))}
    compressed = next((archive for archive in numbers if not _plain_tar(archive)), None)
    if compressed is not None:
        return f"{compressed} is compressed, or not a tar file of POSIX"
    rows = np.empty((len(infos), 3), np.uint64)
    rows[:, 0] = [numbers[archive] for archive in archives]
    rows[:, 1] = [info.offset_data for info in infos]
    rows[:, 1] += np.array(offsets, np.uint64)
    rows[:, 2] = [info.size for info in infos]
    return Located(rest, list(numbers), rows)


def _plain_tar(path: str) -> bool:
    """Whether offsets in an archive are offsets in its file: not so if it is compressed."""
    with open(path, "rb") as file:
        file.seek(257)
        return file.read(5) == b"ustar"
