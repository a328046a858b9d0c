"""Sizes of packed images of photographs that the codebooks were not trained on.

    python benches/packed_sizes.py ROOT

ROOT is as for ``benches/codebook.py``. The photographs that it holds out are scaled to 500 pixels
and saved by Pillow; the last lines are about the files as they are. Sizes are the total of the
packed images over that of the files.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from codebook import HELD_OUT, wallpaper
from PIL import Image

from tied_augment.packed import pack

QUALITIES = (30, 50, 75, 85, 90, 95, 98, 100)
WIDTH = 500


def saved(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def ratio(files: list[bytes]) -> float:
    return sum(len(pack(file)) for file in files) / sum(map(len, files))


def main(root: Path) -> None:
    sources = [wallpaper(root / name) for name in HELD_OUT]
    images = [
        image.resize((WIDTH, image.height * WIDTH // image.width), Image.Resampling.LANCZOS)
        for image in sources
    ]
    print(f"{len(images)} photographs; quality: 4:2:0, 4:4:4, 4:2:0 with optimised tables, gray")
    for quality in QUALITIES:
        colour: list[dict[str, object]] = [
            {"subsampling": 2},
            {"subsampling": 0},
            {"subsampling": 2, "optimize": True},
        ]
        ratios = [
            ratio([saved(image, quality=quality, **options) for image in images])
            for options in colour
        ]
        ratios.append(ratio([saved(image.convert("L"), quality=quality) for image in images]))
        print(quality, *(f"{number:.3f}" for number in ratios))
    files = [(root / name).read_bytes() for name in HELD_OUT]
    print(f"as they are: {ratio(files):.3f}")
    for name, file in zip(HELD_OUT, files, strict=True):
        print(f"  {ratio([file]):.3f} {Path(name).name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
