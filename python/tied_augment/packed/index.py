"""A packed data set on disk: a folder of tar shards, each with an index beside it.

    packed.json         what the whole set is; written last, so a folder without it is not complete
    shard-00000.tar     the samples, in the layout of WebDataset: 00000000.jpg, 00000000.cls, ...
    shard-00000.json    the samples' names, labels, places and SHA-256

``docs/packed-format.md`` describes every field. An index may come from anyone: all that it says is
checked here, before anything relies on it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.remote import refuse_remote
from tied_augment.splits import split_folders

__all__ = [
    "BEGUN",
    "FORMAT",
    "INDEX",
    "RELEASE",
    "VERSION",
    "PackedSet",
    "Shard",
    "are_within",
    "check_names",
    "is_packed",
    "packed_splits",
    "read_set",
    "read_shard",
    "read_shards",
    "shard_name",
]

# The index of a whole set, and what stands in its place until all is packed.
INDEX = "packed.json"
BEGUN = "packing.json"
FORMAT = "tied-augment packed data set"
# Of the indices. Those of other versions are refused.
VERSION = 1
# Written for information.
RELEASE = _core.build_info()["version"]

_BLOCK = 512
_HEX = re.compile(r"[0-9a-f]*")
# A part of a path that is none, in paths that are joined by zeros.
_NO_PART = re.compile(r"(?:^|[/\0])\.{0,2}(?:[/\0]|$)")
_COLUMNS = ("names", "labels", "offsets", "lengths", "packed", "sha256")


@dataclass
class Shard:
    """The samples of one shard, in its order.

    Attributes:
        name: of the tar file.
        bytes: its length.
        first: the number of its first sample in the set.
        names: of each sample, the path of its file in what was packed, with ``/``.
        labels: its target; -1 if there is none.
        offsets: its first byte in the tar file.
        lengths: its number of bytes there.
        packed: 1, or 0 if the file is stored as it was.
        sha256: of the file that was packed, in hexadecimal digits.
        sizes: the bytes of all those files.
        unchanged: by position in the shard, why a file is stored as it was.
        broken: by position, why an image can't be decoded.
    """

    name: str
    bytes: int = 0
    first: int = 0
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)
    sha256: list[str] = field(default_factory=list)
    sizes: int = 0
    unchanged: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def places(self) -> NDArray[np.uint64]:
        """``(N, 2)``: the first byte and the number of bytes of each sample."""
        return np.array([self.offsets, self.lengths], np.uint64).T


@dataclass(frozen=True)
class PackedSet:
    """What `INDEX` says.

    Attributes:
        folder: where the set lies.
        classes: the classes' names, in the order of their labels; empty if labels are numbers
            that were given.
        empty: class folders without a sample.
        shards: the tar files' names, in order.
        samples: of each shard, how many.
    """

    folder: Path
    classes: list[str]
    empty: list[str]
    shards: list[str]
    samples: list[int]


def is_packed(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a packed data set, or becomes one when packing goes on."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in (INDEX, BEGUN))


def packed_splits(folder: Path) -> list[Path]:
    """The packed data sets in a folder of splits, such as train and val.

    Raises:
        OSError: the folder can't be read.
    """
    return [split for split in split_folders(folder) if is_packed(split)]


def shard_name(number: int) -> str:
    """The name of shard `number`."""
    return f"shard-{number:05}.tar"


def read_set(folder: str | os.PathLike[str]) -> PackedSet:
    """Read and check `INDEX`.

    Raises:
        FileNotFoundError: there is no packed data set, or it is not complete.
        ValueError: the index is broken, or has another version of the format, or `folder` is a
            URL.
    """
    refuse_remote(folder)
    folder = Path(folder).absolute()
    path = folder / INDEX
    if not path.is_file():
        if (folder / BEGUN).is_file():
            raise FileNotFoundError(
                f"{folder} is not complete: run the tied-augment pack that began it again"
            )
        raise FileNotFoundError(f"{folder} is not a packed data set: it has no {INDEX}")
    content = _read(path)
    _check_version(path, content)
    classes, empty = _list(path, content, "classes", str), _list(path, content, "empty", str)
    if len(set(classes)) < len(classes) or not set(empty) <= set(classes):
        raise _broken(path, "classes must be names, each once, with those of empty among them")
    _check_names(path, empty)
    shards = _list(path, content, "shards", dict)
    names = [shard.get("name") for shard in shards]
    if names != [shard_name(number) for number in range(len(names))]:
        raise _broken(path, f"shards must be {shard_name(0)}, {shard_name(1)}, ...")
    samples = [shard.get("samples") for shard in shards]
    if set(map(type, samples)) != {int} or min(samples) < 1:
        raise _broken(path, "shards must have numbers of samples, above 0")
    return PackedSet(folder, classes, empty, names, samples)


def read_shards(packed: PackedSet) -> Iterator[Shard]:
    """Read and check the indices of all shards of a data set.

    Raises:
        FileNotFoundError, ValueError: as `read_shard`.
    """
    first = 0
    for name, samples in zip(packed.shards, packed.samples, strict=True):
        yield read_shard(packed.folder, name, packed.classes, first, samples)
        first += samples


def read_shard(
    folder: Path, name: str, classes: Sequence[str], first: int, samples: int | None = None
) -> Shard:
    """Read and check the index of a shard, and whether it is about the tar file beside it.

    Args:
        folder: where both lie.
        name: of the tar file.
        classes: the names of the set's classes.
        first: the number of the shard's first sample in the set.
        samples: how many samples it must have; None if that is not known.

    Raises:
        FileNotFoundError: the index or the tar file is missing.
        ValueError: the index is broken, of another shard, or the tar file has another length.
    """
    path = folder / Path(name).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: copy it anew, or pack the data set anew")
    content = _read(path)
    _check_version(path, content)
    if content.get("shard") != name or content.get("first") != first:
        raise _broken(path, f"it is the index of another shard than {name} with sample {first}")
    shard = Shard(name, first=first)
    count = len(_list(path, content, "names", str))
    if count != samples and (samples is not None or not count):
        raise _broken(path, f"it has {count} samples, not {samples} as {INDEX} says")
    samples = count
    shard.bytes, shard.sizes = content.get("bytes", 0), content.get("original_bytes", 0)
    if {type(shard.bytes), type(shard.sizes)} != {int}:
        raise _broken(path, "bytes and original_bytes must be numbers")
    for column, kind in zip(_COLUMNS, (str, int, int, int, int, str), strict=True):
        values = _list(path, content, column, kind)
        if len(values) != samples:
            raise _broken(path, f"{column} must have one entry for each of {samples} samples")
        setattr(shard, column, values)
    positions = set(map(str, range(samples)))
    for column in ("unchanged", "broken"):
        texts = content.get(column)
        if not isinstance(texts, dict) or not set(map(type, texts.values())) <= {str}:
            raise _broken(path, f"{column} must have texts by position")
        if not set(texts) <= positions:
            raise _broken(path, f"{column} must have positions from 0 to {samples - 1}")
        setattr(shard, column, texts)
    _check_samples(path, shard, len(classes))
    _check_archive(folder / name, shard)
    return shard


def _check_samples(path: Path, shard: Shard, classes: int) -> None:
    _check_names(path, shard.names)
    high = classes if classes else 1 << 63
    if min(shard.labels) < -1 or max(shard.labels) >= high:
        raise _broken(path, f"labels must be from -1 to {high - 1}")
    if not set(shard.packed) <= {0, 1}:
        raise _broken(path, "packed must be 0 or 1")
    if set(map(len, shard.sha256)) != {64} or not _HEX.fullmatch("".join(shard.sha256)):
        raise _broken(path, "sha256 must have 64 hexadecimal digits each")
    most = 1 << 62
    places = [shard.offsets, shard.lengths]
    if min(map(min, places)) < 0 or max(*map(max, places), shard.bytes) > most:
        raise _broken(path, f"offsets and lengths must be from 0 to {most}")
    offsets, lengths = np.array(places, np.int64)
    ends = offsets + lengths
    # A header of the archive precedes each sample.
    gaps = np.diff(offsets, prepend=0) - np.append(0, lengths[:-1])
    wrong = np.flatnonzero((gaps < _BLOCK) | (ends > shard.bytes))
    if len(wrong):
        offset, length = offsets[wrong[0]], lengths[wrong[0]]
        raise _broken(path, f"a sample at byte {offset} with {length} bytes is misplaced")


def _check_archive(path: Path, shard: Shard) -> None:
    """Compare a tar file with its index: its length, and its first and its last header."""
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length != shard.bytes:
                what = "truncated" if length < shard.bytes else "another file"
                raise ValueError(
                    f"{path} is {what}: it has {length} bytes, its index says {shard.bytes}; copy "
                    "it anew, or pack the data set anew"
                )
            last = len(shard.names) - 1
            for position in {0, last}:
                file.seek(shard.offsets[position] - _BLOCK)
                header = file.read(_BLOCK)
                wanted = f"{shard.first + position:08}.".encode(), shard.lengths[position]
                if (header[: len(wanted[0])], _size(header)) != wanted:
                    raise ValueError(
                        f"{path} is another shard than its index is about: copy both anew, or pack "
                        "the data set anew"
                    )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing: copy it anew, or pack the data set anew"
        ) from error


def _size(header: bytes) -> int:
    """The size of a member, from its header; -1 if that is no header."""
    digits = header[124:136].rstrip(b"\0 ")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else -1


def are_within(names: Sequence[str]) -> bool:
    """Whether all names are those of files below a folder: not absolute, and without ``..``."""
    joined = "\0".join(names)
    return joined.count("\0") == len(names) - 1 and not _NO_PART.search(joined)


def check_names(names: Iterable[str]) -> None:
    """Refuse names of which one occurs twice, or is a folder of another.

    Raises:
        ValueError: such a name.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"there are two samples {name!r}")
        seen.add(name)
    folders = {os.path.dirname(name) for name in seen} - {""}
    while folders:
        both = folders & seen
        if both:
            raise ValueError(f"{min(both)!r} is both a sample and a folder")
        folders = {os.path.dirname(folder) for folder in folders} - {""}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"it is not JSON: {str(error)[:100]}") from error
    if not isinstance(content, dict):
        raise _broken(path, "it must be an object")
    return content


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} is not an index of a packed data set")
    version, release = content.get("version", 0), content.get("release")
    if type(version) is not int or version < 0:
        raise _broken(path, "version must be a number")
    if version == 0:
        raise ValueError(
            f"{path} has version 0 of the format, which only the release that packed it reads: "
            f"unpack it with that one (tied-augment {release}), and pack it anew"
        )
    if version > VERSION:
        raise ValueError(
            f"{path} has version {version} of the format, this release reads {VERSION}: upgrade "
            f"tied-augment (it was packed by {release})"
        )


def _list(path: Path, content: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """A list of `kind`; True and False are not numbers."""
    values = content.get(name)
    if not isinstance(values, list) or not set(map(type, values)) <= {kind}:
        raise _broken(path, f"{name} must be a list of {kind.__name__}")
    return values


def _check_names(path: Path, names: Sequence[str]) -> None:
    if names and not are_within(names):
        bad = next(name for name in names if not are_within([name]))
        raise _broken(path, f"the name {bad[:200]!r} is not that of a file within a folder")


def _broken(path: Path, cause: str) -> ValueError:
    return ValueError(f"{path} is broken: {cause}; copy it anew, or pack the data set anew")
