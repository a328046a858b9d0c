"""The demo's photographs: parts of those that ship with scikit-image and scikit-learn.

Torch is not needed here, so that there is a picture before it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

from tied_augment import TwoView, View, decode

__all__ = ["POLICY", "SIZE", "VIEW", "photographs", "write_photos", "write_sheet"]

SIZE, POLICY = 224, "rand-m9-mstd0.5-inc1"
VIEW = View(SIZE, auto_augment=POLICY, interpolation="bicubic")
_SIDES = ((500, 375), (375, 500), (500, 333), (400, 400))
_PER_PHOTO = 16
_QUALITY = 90


def photographs() -> dict[str, Image.Image]:
    """The photographs by name. Nothing is downloaded."""
    arrays = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    china, flower = load_sample_images().images
    named = arrays | {"china": china, "flower": flower}
    return {name: Image.fromarray(array[..., :3]) for name, array in named.items()}


def write_photos(folder: Path) -> list[Path]:
    """Write an ImageFolder with a class per photograph, the same files each time.

    A file shows a part of its photograph, about 500 pixels wide, as ImageNet's files are.
    """
    files = []
    for name, photo in photographs().items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(_PER_PHOTO):
            files.append(folder / name / f"{number:02}.jpg")
            _part(photo, number).save(files[-1], quality=_QUALITY)
    return files


def write_sheet(files: Sequence[Path], path: Path) -> None:
    """Draw a pair of views of the first file of each class, of epoch 0 with seed 0."""
    from tied_augment.sheet import contact_sheet, headline, make_row

    first = {file.parent: index for index, file in reversed(list(enumerate(files)))}
    views = TwoView(VIEW)
    rows = [
        make_row(views, decode(files[index]), [folder.name, files[index].name], index, 0, 0)
        for folder, index in sorted(first.items())
    ]
    title = f"{headline(views, 0, range(1))}. Photographs of scikit-image and scikit-learn"
    contact_sheet(rows, title, columns=2).save(path)


def _part(photo: Image.Image, number: int) -> Image.Image:
    width, height = _SIDES[number % len(_SIDES)]
    scale = (1 - 0.4 * number / _PER_PHOTO) * min(photo.width / width, photo.height / height)
    w, h = width * scale, height * scale
    # From corner to corner, in steps of their own across and down.
    x = (photo.width - w) * (number * 5 % _PER_PHOTO) / (_PER_PHOTO - 1)
    y = (photo.height - h) * (number * 3 % _PER_PHOTO) / (_PER_PHOTO - 1)
    box = (x, y, x + w, y + h)
    return photo.resize((width, height), Image.Resampling.LANCZOS, box)
