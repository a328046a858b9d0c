"""Two views from packed images against two views from the JPEG files, on one thread.

    python benches/packed_views.py DIR

Both take turns in one process, from memory. DIR is a folder that ``benches/photos.py DIR`` has
made, or any other with JPEG files. The last lines are about the same images, made progressive.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from tied_augment import TwoView, View
from tied_augment.packed import pack

ROUNDS = 11
POLICIES = {"crop, flip": None, "RandAugment": "rand-m9-mstd0.5-inc1"}


def progressive(jpeg: bytes) -> bytes:
    """The same coefficients in a progressive file."""
    out = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(out, "JPEG", quality="keep", progressive=True)
    return out.getvalue()


def main(folder: Path) -> None:
    jpegs = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:200]]
    images = packed(jpegs)
    for name, policy in POLICIES.items():
        compare(
            name, TwoView(View(224, interpolation="bicubic", auto_augment=policy)), jpegs, images
        )
    print("progressive")
    jpegs = [progressive(jpeg) for jpeg in jpegs[:50]]
    compare("crop, flip", TwoView(View(224, interpolation="bicubic")), jpegs, packed(jpegs))


def packed(jpegs: list[bytes]) -> list[bytes]:
    start = time.perf_counter()
    images = [pack(jpeg) for jpeg in jpegs]
    seconds = time.perf_counter() - start
    size, before = (sum(len(file) for file in files) for files in (images, jpegs))
    print(f"{len(jpegs)} files, packed at {before / seconds / 1e6:.1f} MB/s", end=", ")
    print(f"{size / before:.3f} of their size")
    return images


def compare(name: str, two: TwoView, jpegs: list[bytes], images: list[bytes]) -> None:
    indices = range(len(jpegs))
    out = two.batch(images, indices, threads=1)
    assert np.array_equal(out, two.batch(jpegs, indices, threads=1)), "other pixels"
    times: tuple[list[float], list[float]] = ([], [])
    for epoch in range(ROUNDS):
        for side in (0, 1) if epoch % 2 else (1, 0):
            start = time.perf_counter()
            two.batch((jpegs, images)[side], indices, epoch, threads=1, out=out)
            times[side].append((time.perf_counter() - start) / len(jpegs) * 1e6)
    ratios = [jpeg / packed for jpeg, packed in zip(*times, strict=True)]
    print(f"{name}: {median(times[0]):.0f} us a sample from JPEG, {median(times[1]):.0f} packed")
    print(f"  {median(ratios):.2f}x, the median of {ROUNDS} pairs", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
