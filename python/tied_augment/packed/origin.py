"""The samples of what is to be packed: of a folder of class folders, tar files, or a list of files.

Nothing is decoded here. Samples of a folder are those of torchvision's ``ImageFolder``, in its
order, so that sample n is the same one before and after packing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tied_augment.packed.index import INDEX, are_within, check_names, is_packed

__all__ = ["Origin", "Sample", "origin_of"]

# Those of torchvision's ImageFolder, without which samples would have other numbers.
_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_LISTS = (".txt", ".tsv", ".lst")


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that is to be packed.

    Attributes:
        name: the path of its file in the data set, with ``/``.
        label: its target; -1 if there is none.
        path: the file that it is in.
        start: its first byte there.
        size: its number of bytes.
    """

    name: str
    label: int
    path: str
    start: int
    size: int

    def read(self) -> bytes:
        """Read the sample's file.

        Raises:
            OSError: it can't be read, or has become shorter.
        """
        with open(self.path, "rb") as file:
            file.seek(self.start)
            content = file.read(self.size)
        if len(content) != self.size:
            raise OSError(f"{self.path} has become shorter since it was listed")
        return content


@dataclass
class Origin:
    """What is to be packed.

    Attributes:
        samples: in their order.
        classes: the classes' names, in the order of their labels; empty if labels are numbers.
        empty: class folders without a sample.
        left_out: how many files are not images, by their names.
    """

    samples: list[Sample]
    classes: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    left_out: int = 0

    def digest(self) -> str:
        """Changes with any sample's name, label or size, and with the classes."""
        digest = hashlib.sha256()
        for part in [*self.classes, "", *self.empty]:
            digest.update(repr(part).encode())
        for sample in self.samples:
            digest.update(repr((sample.name, sample.label, sample.size)).encode())
        return digest.hexdigest()


def origin_of(paths: Sequence[Path]) -> Origin:
    """Find the samples.

    Args:
        paths: a folder of class folders; tar files; a text file with a path per line, and after a
            tab a target; or image files.

    Raises:
        ValueError: there are no samples, or they can't be told from `paths`.
        OSError: a file or folder can't be read.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}")
    if any(path.is_dir() for path in paths):
        if len(paths) > 1:
            raise ValueError("a folder is packed by itself: give one folder, or files")
        origin = _folder(paths[0])
    elif all(".tar" in path.suffixes for path in paths):
        origin = _archives(paths)
    elif len(paths) == 1 and paths[0].suffix.lower() in _LISTS:
        origin = _listed(paths[0])
    else:
        origin = _files(paths)
    if not origin.samples:
        raise ValueError(f"{paths[0]} has no images: none ends in {', '.join(_ENDINGS)}")
    names = (sample.name for sample in origin.samples)
    bad = next((name for name in names if not are_within([name])), None)
    if bad is not None:
        raise ValueError(f"{paths[0]}: the name {bad!r} is not that of a file within a folder")
    check_names(sample.name for sample in origin.samples)
    return origin


def _folder(folder: Path) -> Origin:
    if is_packed(folder):
        raise ValueError(f"{folder} is a packed data set already: it has {INDEX}")
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not classes:
        raise ValueError(
            f"{folder} has no class folders, such as cat/1.jpg: for images without classes, give a "
            "text file with a path per line, or the files themselves"
        )
    origin = Origin([], classes)
    for label, name in enumerate(classes):
        before = len(origin.samples)
        # As torchvision walks, links included.
        for root, _, files in sorted(os.walk(folder / name, onerror=_raise, followlinks=True)):
            within = os.path.relpath(root, folder).replace(os.sep, "/")
            for file in sorted(files):
                if not file.lower().endswith(_ENDINGS):
                    origin.left_out += 1
                    continue
                path = os.path.join(root, file)
                origin.samples.append(Sample(f"{within}/{file}", label, path, 0, _size(path)))
        if len(origin.samples) == before:
            origin.empty.append(name)
    return origin


def _raise(error: OSError) -> None:
    raise error


def _size(path: str) -> int:
    found = os.stat(path)
    # Opening a FIFO would wait for a writer.
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a regular file: remove it from the data set")
    return found.st_size


def _files(paths: Sequence[Path]) -> Origin:
    for path in paths:
        if not path.name.lower().endswith((*_ENDINGS, ".gif")):
            raise ValueError(
                f"{path} is not an image by its name: give a folder of class folders, tar files, a "
                f"list ({', '.join(_LISTS)}) with a path per line, or image files"
            )
    return _named([str(path) for path in paths], Path(), [-1] * len(paths))


def _listed(path: Path) -> Origin:
    """A file with a path per line, relative to its folder, and maybe a tab and a target."""
    paths, labels = [], []
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        file, tab, target = line.rstrip("\r").partition("\t")
        if not (path.parent / file).exists():
            raise ValueError(
                f"{path}, line {number}: there is no file {file!r}; a line is a path, and after a "
                "tab its target, a whole number"
            )
        try:
            label = int(target) if tab else -1
        except ValueError:
            label = -2
        if not -1 <= label < 1 << 63:
            raise ValueError(f"{path}, line {number}: {target!r} is not a target from 0 up")
        paths.append(file)
        labels.append(label)
    if len({label < 0 for label in labels}) > 1:
        raise ValueError(f"{path}: some lines have a target and some have none")
    return _named(paths, path.parent, labels)


def _named(paths: Sequence[str], base: Path, labels: Sequence[int]) -> Origin:
    """Files with their paths as names; below the folder that they share, if they are elsewhere."""
    names = [os.path.normpath(path) for path in paths]
    if any(name.startswith("..") or os.path.isabs(name) for name in names):
        whole = [os.path.abspath(base / path) for path in paths]
        shared = os.path.commonpath([os.path.dirname(path) for path in whole])
        names = [os.path.relpath(path, shared) for path in whole]
    files = [str(base / path) for path in paths]
    entries = zip(names, labels, files, strict=True)
    return Origin(
        [Sample(name.replace(os.sep, "/"), label, at, 0, _size(at)) for name, label, at in entries]
    )


def _archives(paths: Sequence[Path]) -> Origin:
    """Members of tar files. Several archives are told apart by their names.

    A label is that of WebDataset's ``.cls`` file. Without these, the class is the folder of the
    member, or the archive if there is none, as in ImageNet's archives.
    """
    members: list[tuple[str, str, tarfile.TarInfo]] = []
    targets: dict[str, int] = {}
    left_out = 0
    for path in paths:
        before = f"{path.name.partition('.tar')[0]}/" if len(paths) > 1 else ""
        for info, content in _members(path):
            name = before + os.path.normpath(info.name).replace(os.sep, "/")
            if content is not None:
                try:
                    targets[_key(name)] = int(content)
                except ValueError:
                    raise ValueError(
                        f"{path}, {info.name}: {content[:40]!r} is no target"
                    ) from None
            elif name.lower().endswith(_ENDINGS):
                members.append((name, str(path), info))
            else:
                left_out += 1
    if targets:
        missing = [name for name, _, _ in members if _key(name) not in targets]
        if missing or min(targets.values()) < -1 or max(targets.values()) >= 1 << 63:
            what = f"{missing[0]} has no .cls" if missing else "a target is out of range"
            raise ValueError(f"{paths[0]}: {what}")
        labels, classes = [targets[_key(name)] for name, _, _ in members], []
    else:
        folders = [os.path.dirname(name).rpartition("/")[2] for name, _, _ in members]
        if "" in folders:
            raise ValueError(f"{paths[0]} has images in no folder and without .cls files")
        classes = sorted(set(folders))
        labels = list(map({name: n for n, name in enumerate(classes)}.__getitem__, folders))
    samples = [
        Sample(name, label, path, info.offset_data, info.size)
        for (name, path, info), label in zip(members, labels, strict=True)
    ]
    return Origin(samples, classes, left_out=left_out)


def _members(path: Path) -> list[tuple[tarfile.TarInfo, bytes | None]]:
    """The files in an archive, with the content of ``.cls`` files."""
    found = []
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                if info.issparse():
                    raise ValueError(f"{path}, {info.name}: sparse members are not read")
                if info.isfile():
                    file = archive.extractfile(info) if info.name.endswith(".cls") else None
                    found.append((info, None if file is None else file.read(100)))
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is not a sound, uncompressed tar file ({error}): decompress it first"
        ) from error
    return found


def _key(name: str) -> str:
    """What the files of a sample share in WebDataset's layout."""
    folder, file = os.path.split(name)
    return os.path.join(folder, file.partition(".")[0])
