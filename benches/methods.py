"""The views of self-supervised methods on one core: this package and lightly, in one run.

    python benches/methods.py [DIR] [--rounds 5] [--count 128]

The work is the same for both: JPEG file -> decode -> all views of a method -> normalised float32 ->
batches of 32. lightly's transforms run in torch's DataLoader, this package in TiedLoader. Both have
one core, without worker processes. They take turns; the first round is not counted. The settings
are lightly's defaults at 224 and 96 pixels, so `simclr` is resized bilinear. The pixels are equal
for the same draws (tests/python/test_presets.py). Without DIR the folder is made by photos.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from lightly.transforms.dino_transform import DINOTransform
from lightly.transforms.simclr_transform import SimCLRTransform
from peers import COUNT, FOLDER, files_of, machine
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader, Views, build_info, presets

BATCH = 32
METHODS: dict[str, tuple[Views, Callable[[], Any]]] = {
    "SimCLR, 2 views": (presets.simclr(interpolation="bilinear"), SimCLRTransform),
    "DINO, 2 + 6 views": (presets.dino(local_views=6), DINOTransform),
}


def rate(loader: Iterable[Any], images: int) -> float:
    """Source images per second over one pass."""
    start = time.perf_counter()
    for _ in loader:
        pass
    return images / (time.perf_counter() - start)


def compare(folder: Path, count: int, method: str, rounds: int) -> tuple[float, float]:
    """The median rates of lightly and of this package."""
    views, theirs = METHODS[method]
    # Evenly from all classes.
    length = len(ImageFolder(folder))
    chosen = [i * length // count for i in range(count)]
    loaders: list[Iterable[Any]] = [
        DataLoader(Subset(ImageFolder(folder, theirs()), chosen), BATCH),
        TiedLoader(Subset(ImageFolder(folder), chosen), views, BATCH, threads=1, output="float32"),
    ]
    rates: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for loader, found in zip(loaders, rates, strict=True):
            measured = rate(loader, count)
            if number:
                found.append(measured)
    lightly, ours = map(statistics.median, rates)
    return lightly, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=128, help="files (default: %(default)s)")
    arguments = parser.parse_args()
    files_of(arguments.folder, COUNT)
    torch.set_num_threads(1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    names = ("lightly", "torch", "torchvision", "pillow")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(f"{machine(str(build_info()['resize_simd']))}; {versions}")
    print(f"tied-augment: {build_info()}")
    print(f"{arguments.count} files, {arguments.rounds} rounds, one core\n")
    print("| method | lightly, img/s | tied-augment, img/s | ratio |\n|---|---|---|---|")
    for method in METHODS:
        lightly, ours = compare(arguments.folder, arguments.count, method, arguments.rounds)
        print(f"| {method} | {lightly:.1f} | {ours:.1f} | {ours / lightly:.1f} |", flush=True)


if __name__ == "__main__":
    main()
