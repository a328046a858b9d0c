"""Writes the first files of each fuzz target's corpus: `python fuzz/seeds.py`.

The fuzzer changes these files and keeps what reaches new code.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tied_augment.packed import pack

CORPUS = Path(__file__).parent / "corpus"
SIZES = [(1, 1), (17, 9), (40, 33), (64, 48)]


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    """Noise over smooth shapes, so that there are codes of every length."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-20, 21, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).convert(mode)


def jpegs() -> Iterator[bytes]:
    """Files of all samplings and codings that Pillow writes."""
    kinds: list[dict[str, bool | int]] = [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"quality": 10},
        {"quality": 100},
        {"optimize": True},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"restart_marker_rows": 1, "optimize": True},
    ]
    for size in SIZES:
        for mode in ("RGB", "L", "CMYK"):
            for kind in kinds:
                file = io.BytesIO()
                picture(mode, size).save(file, "JPEG", **kind)
                yield file.getvalue()


def main() -> None:
    """Writes the files of all targets."""
    files = list(jpegs())
    for target, seeds in {"jpeg": files, "packed": files + [pack(file) for file in files]}.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds):
            (folder / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
