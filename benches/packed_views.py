"""Two views from packed images against two views from the JPEG files, on one thread.

Both take turns in one process, from memory. ``packed_views.py DIR``: a folder that
``benches/photos.py DIR`` has made, or any other with JPEG files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from tied_augment import TwoView, View
from tied_augment.packed import pack

ROUNDS = 11
POLICIES = {"crop, flip": None, "RandAugment": "rand-m9-mstd0.5-inc1"}


def size(files: list[bytes]) -> int:
    return sum(len(file) for file in files)


def main(folder: Path) -> None:
    jpegs = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:200]]
    start = time.perf_counter()
    images = [pack(jpeg) for jpeg in jpegs]
    seconds = time.perf_counter() - start
    print(f"{len(jpegs)} files, {size(images) / size(jpegs):.3f} of their size")
    print(f"packed at {size(jpegs) / seconds / 1e6:.1f} MB/s")
    for name, policy in POLICIES.items():
        two = TwoView(View(224, interpolation="bicubic", auto_augment=policy))
        ratios, times = compare(two, jpegs, images)
        jpeg, packed = (median(part) / len(jpegs) * 1e6 for part in times)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name}: {jpeg:.0f} us a sample from JPEG, {packed:.0f} us from packed images")
        print(f"  {median(ratios):.2f}x, the median of {ROUNDS} pairs ({spread})")


def compare(
    two: TwoView, jpegs: list[bytes], images: list[bytes]
) -> tuple[list[float], list[list[float]]]:
    """The ratio of each round, and the seconds of both sides."""
    indices = range(len(jpegs))
    out = two.batch(images, indices, threads=1)
    assert np.array_equal(out, two.batch(jpegs, indices, threads=1)), "other pixels"
    times: list[list[float]] = [[], []]
    for epoch in range(ROUNDS):
        for side in (0, 1) if epoch % 2 else (1, 0):
            start = time.perf_counter()
            two.batch((jpegs, images)[side], indices, epoch, threads=1, out=out)
            times[side].append(time.perf_counter() - start)
    return [jpeg / packed for jpeg, packed in zip(*times, strict=True)], times


if __name__ == "__main__":
    main(Path(sys.argv[1]))
