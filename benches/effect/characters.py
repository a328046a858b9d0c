"""Characters of Debian's fonts: pictures of A-Z, a-z and 2-9, a few hundred families apart.

The packages of packages.txt are downloaded with ``apt-get download`` and unpacked, not installed,
into a folder. A family is used if it has all characters and they can be told apart and read. Of
families whose names begin with the same word only the first is used, and none that is nearly a copy
of another: then no test family has a sister among the training families.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["CAPITALS", "SMALL", "load"]

SIDE = 40
# Without 0, 1, O's and I's rivals: the classes to learn, and those of the pretraining.
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789"
SMALL = "abcdefghijklmnopqrstuvwxyz"
_INNER, _POINTS = 30, 64
# Mean absolute difference of two families' pictures, of 255, below which they are copies.
_COPY = 6.0
_PACKAGES = Path(__file__).with_name("packages.txt")


def load(folder: Path) -> NDArray[np.uint8]:
    """All families: ``(F, 60, 40, 40)`` uint8, black on white, of `CAPITALS` and then `SMALL`.

    The order is that of the hash of the family's name, so it is arbitrary but fixed. The array is
    kept in `folder`.

    Raises:
        subprocess.CalledProcessError: a package could not be downloaded or unpacked.
    """
    kept = folder / "characters.npy"
    if not kept.exists():
        _download(folder)
        named = _families(sorted((folder / "fonts").rglob("*.[ot]tf")))
        ordered = np.stack([named[name] for name in sorted(named, key=_digest)])
        np.save(kept, _without_copies(ordered[_readable(ordered)]))
    loaded: NDArray[np.uint8] = np.load(kept)
    return loaded


def _download(folder: Path) -> None:
    """Unpack the fonts of all packages into ``folder/fonts``; what is there already is kept."""
    debs, fonts = folder / "debs", folder / "fonts"
    debs.mkdir(parents=True, exist_ok=True)
    names = _PACKAGES.read_text().split()
    missing = [name for name in names if not list(debs.glob(f"{name}_*.deb"))]
    if missing:
        subprocess.run(["apt-get", "-qq", "download", *missing], cwd=debs, check=True)
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(fonts)], check=True)


def _families(files: list[Path]) -> dict[str, NDArray[np.uint8]]:
    """The pictures of each usable family, by the first word of its name."""
    found: dict[str, NDArray[np.uint8]] = {}
    for file in files:
        if file.is_symlink():
            continue
        try:
            font = ImageFont.truetype(str(file), _POINTS)
            family, style = font.getname()
            word = (family or "").split(" ")[0].lower()
            plain = style in ("Regular", "Book", "Roman", "Medium", "Normal", "Light")
            if not word or not plain or word in found:
                continue
            pictures = np.stack([_picture(font, each) for each in CAPITALS + SMALL])
        except (OSError, ValueError):  # not a font for FreeType, or a glyph without ink
            continue
        # Also a sign for a missing character, which is the same for all that are missing.
        if len(np.unique(pictures[: len(CAPITALS)], axis=0)) == len(CAPITALS):
            found[word] = pictures
    return found


def _picture(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """The character in the middle, its longer side `_INNER` pixels."""
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character))
    if right <= left or bottom <= top or max(right - left, bottom - top) > 8 * _POINTS:
        raise ValueError("no ink")
    glyph = Image.new("L", (right - left, bottom - top), 255)
    ImageDraw.Draw(glyph).text((-left, -top), character, 0, font)
    scale = _INNER / max(glyph.size)
    width, height = (max(1, round(side * scale)) for side in glyph.size)
    canvas = Image.new("L", (SIDE, SIDE), 255)
    place = (SIDE - width) // 2, (SIDE - height) // 2
    canvas.paste(glyph.resize((width, height), Image.Resampling.BOX), place)
    return np.asarray(canvas)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _readable(families: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which have Latin letters: more than the digits look most like their mean.

    Others have Greek or Tamil in the places of the letters.
    """
    classes = len(CAPITALS)
    ink = families[:, :classes].reshape(len(families), classes, -1).astype(np.float32)
    means = ink.mean(0)
    nearest = [np.square(means[None] - family[:, None]).sum(2).argmin(1) for family in ink]
    right: NDArray[np.bool_] = (np.stack(nearest) == np.arange(classes)).mean(1) > 0.25
    return right


def _without_copies(families: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Those that differ from all before them."""
    kept: list[NDArray[np.uint8]] = []
    for family in families:
        apart = (np.abs(family.astype(np.int16) - other).mean() for other in kept)
        if all(difference >= _COPY for difference in apart):
            kept.append(family)
    return np.stack(kept)
