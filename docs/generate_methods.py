"""Draw the sheets of docs/methods.md: photographs and the views that each preset makes of them.

    python docs/generate_methods.py

The photographs ship with scikit-image. Each row has the original with the crops drawn in, the large
views and the small ones. The files are in docs/methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from tied_augment import Views, presets

FOLDER = Path(__file__).with_name("methods")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
LARGE, SMALL, GAP = 112, 54, 4
# Distinguishable with colour blindness (Okabe and Ito): large views, small views.
COLORS = ("#d55e00", "#0072b2")

METHODS: dict[str, Callable[[], Views]] = {
    "simclr": lambda: presets.simclr(LARGE),
    "byol": lambda: presets.byol(LARGE),
    "moco_v2": lambda: presets.moco_v2(LARGE),
    "moco_v3": lambda: presets.moco_v3(LARGE),
    "dino": lambda: presets.dino(LARGE, SMALL),
    "swav": lambda: presets.swav(LARGE, SMALL),
    "vicreg": lambda: presets.vicreg(LARGE),
}


def original(photograph: Image.Image, crops: Sequence[tuple[tuple[int, ...], str]]) -> Image.Image:
    """The photograph, `LARGE` pixels high, with the crops drawn in."""
    scale = LARGE / photograph.height
    picture = photograph.resize((round(scale * photograph.width), LARGE), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for (x, y, w, h), color in crops:
        corners = (x, y, x + w, y + h)
        left, top, right, bottom = (round(scale * corner) for corner in corners)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=2)
    return picture


def row(views: Views, photograph: Image.Image, index: int) -> list[tuple[int, int, Image.Image]]:
    """The pictures of one row and their places in it: (left, top, picture)."""
    pixels = np.asarray(photograph)
    made, plans = views(pixels, index=index), views.plan(pixels.shape[:2], index=index)
    large = [size[0] == LARGE for size in views.sizes]
    crops = [(plan["crop"], COLORS[not big]) for plan, big in zip(plans, large, strict=True)]
    # All photographs have the width of the widest, so that the columns align.
    pictures = [(0, 0, original(photograph, crops))]
    left = 170 + GAP
    for view, big in zip(made, large, strict=True):
        if big:
            pictures.append((left, 0, Image.fromarray(view.transpose(1, 2, 0))))
            left += LARGE + GAP
    small = [view for view, big in zip(made, large, strict=True) if not big]
    for number, view in enumerate(small):
        place = left + number // 2 * (SMALL + GAP), number % 2 * (SMALL + GAP)
        pictures.append((*place, Image.fromarray(view.transpose(1, 2, 0))))
    return pictures


def sheet(views: Views) -> Image.Image:
    """One row per photograph."""
    photographs = [Image.fromarray(getattr(data, name)()[..., :3]) for name in PHOTOGRAPHS]
    rows = [row(views, photograph, index) for index, photograph in enumerate(photographs)]
    width = max(left + picture.width for pictures in rows for left, _, picture in pictures)
    whole = Image.new("RGB", (width, len(rows) * (LARGE + GAP) - GAP), "#ffffff")
    for number, pictures in enumerate(rows):
        for left, top, picture in pictures:
            whole.paste(picture, (left, number * (LARGE + GAP) + top))
    return whole


def main() -> None:
    """Write the sheets."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in METHODS.items():
        path = FOLDER / f"{name}.png"
        # 128 colours make the file a third as large.
        sheet(make()).quantize(128, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
