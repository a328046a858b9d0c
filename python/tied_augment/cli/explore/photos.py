"""The images that the page offers: files, images of a packed data set, uploads, photographs.

Lives here: `Photo`, which knows how it is written in Python, and `Opened`, one that was decoded.
Pillow is needed by `opened` only.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tied_augment import PackedDataset, decode
from tied_augment.cli.errors import CommandError, said
from tied_augment.cli.pick import pick, spread
from tied_augment.packed.index import is_packed

__all__ = ["MOST_PHOTOS", "Opened", "Photo", "built_in", "of_paths", "opened", "uploaded"]

# A menu with more names is slow to open.
MOST_PHOTOS = 200
_LONGEST = 1200  # of the original on the page, in pixels
_BUILT_IN = ("coffee", "chelsea", "astronaut", "rocket")


@dataclass(frozen=True)
class Photo:
    """An image that can be chosen.

    Attributes:
        name: as the page shows it.
        source: its file, the bytes of one, or its pixels ``(H, W, 3)``.
        expression: the image in Python, for the code to copy.
        imports: the import that `expression` needs, if any.
    """

    name: str
    source: Path | bytes | NDArray[np.uint8]
    expression: str
    imports: str = ""


@dataclass(frozen=True)
class Opened:
    """A photo that was read and decoded.

    Attributes:
        photo: which.
        sample: what the views are made from: a file's bytes, or pixels.
        pixels: ``(H, W, 3)`` uint8.
        jpeg: a JPEG file of it for the page.
    """

    photo: Photo
    sample: bytes | NDArray[np.uint8]
    pixels: NDArray[np.uint8]
    jpeg: bytes


def of_paths(paths: Sequence[Path]) -> list[Photo]:
    """The images of files, folders and packed data sets, at most `MOST_PHOTOS` of a folder.

    Raises:
        CommandError: a folder without images, or a path that does not exist.
    """
    photos: list[Photo] = []
    for path in paths:
        if not os.path.exists(path):  # Path.exists raises for some names
            raise CommandError(f"there is no file or folder {said(path)}")
        if not path.is_dir():
            photos.append(_of_file(path, path.name))
        elif is_packed(path):
            photos += _of_packed(path)
        else:
            found, _ = pick(path, MOST_PHOTOS)
            photos += [_of_file(one.path, str(one.path.relative_to(path))) for one in found]
    return photos


def built_in() -> list[Photo]:
    """Photographs that ship with scikit-image; none if that is not installed."""
    try:
        from skimage import data
    except ModuleNotFoundError:
        return []
    return [
        Photo(
            f"{name} (scikit-image)",
            np.ascontiguousarray(getattr(data, name)()),
            f"data.{name}()",
            "from skimage import data",
        )
        for name in _BUILT_IN
    ]


def uploaded(name: str, content: bytes) -> Photo:
    """A file that the browser sent, of which only the name is known."""
    return Photo(name, content, _literal(name))


def opened(photo: Photo) -> Opened:
    """Read and decode a photo.

    Raises:
        OSError: the file can't be read, or is not an image; the message names it.
    """
    from PIL import Image

    source = photo.source
    try:
        sample = source.read_bytes() if isinstance(source, Path) else source
        pixels = decode(sample)
    except OSError as error:
        text = error.strerror or said(error)
        raise OSError(f"{photo.name}: {text}") from error
    image = Image.fromarray(pixels)
    image.thumbnail((_LONGEST, _LONGEST))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return Opened(photo, sample, pixels, file.getvalue())


def _of_file(path: Path, name: str) -> Photo:
    return Photo(said(name), path, _literal(str(path)))


def _literal(path: str) -> str:
    """A path in Python, also if it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return ascii(path)
    return json.dumps(path, ensure_ascii=False)


def _of_packed(folder: Path) -> list[Photo]:
    try:
        dataset = PackedDataset(folder)
        where = _literal(str(folder))
        return [
            Photo(
                dataset.names[index],
                dataset[index][0],
                f"PackedDataset({where})[{index}][0]",
                "from tied_augment import PackedDataset",
            )
            for index in spread(range(len(dataset)), MOST_PHOTOS)
        ]
    except (OSError, ValueError) as error:
        raise CommandError(said(error)) from error
