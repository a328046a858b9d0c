"""The loader for validation against timm's own: both make the same uint8 batches, in one run.

    python benches/evaluation.py [DIR] [--threads 1 2] [--rounds 5]

The work is that of timm's ``create_loader(is_training=False)`` below its ``PrefetchLoader``: file
-> decode -> resize -> central crop -> a batch of 128. With one thread timm's loader runs in this
process, on one core; with more, in as many workers, which live from round to round. This package
always runs on threads. The two take turns within a round, and the first round is not counted; the
workers of timm's loader are stopped while this package runs (turns.py). Before that, one pass of
both is compared, byte for byte. Without DIR the folder is made by photos.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import timm.data.loader
import torch
from peers import FOLDER, files_of, machine, rate, versions
from timm.data.dataset import ImageDataset
from turns import Turns

from tied_augment import TiedLoader, build_info
from tied_augment.timm import create_loader

BATCH = 128
# The options of well-known models: ResNet's, ConvNeXt's and ViT's, and the two other modes.
WORKS: dict[str, dict[str, Any]] = {
    "224, crop_pct 0.875, bilinear": {
        "input_size": 224,
        "crop_pct": 0.875,
        "interpolation": "bilinear",
    },
    "224, crop_pct 0.875": {"input_size": 224, "crop_pct": 0.875},
    "288, crop_pct 1.0": {"input_size": 288, "crop_pct": 1.0},
    "224, squash": {"input_size": 224, "crop_pct": 1.0, "crop_mode": "squash"},
    "224, border": {"input_size": 224, "crop_pct": 1.0, "crop_mode": "border"},
}


def loaders(folder: Path, options: dict[str, Any], threads: int) -> dict[str, Any]:
    """Both loaders, of uint8 batches."""
    given: dict[str, Any] = {"interpolation": "bicubic", "batch_size": BATCH} | options
    given["device"] = torch.device("cpu")
    dataset: Any = ImageDataset(str(folder))
    ours = create_loader(dataset, num_workers=threads, **given)
    assert isinstance(ours.loader, TiedLoader)
    workers = 0 if threads == 1 else threads
    timms = timm.data.loader.create_loader(dataset, num_workers=workers, **given)
    return {"timm": timms.loader, "tied-augment": ours.loader}


def compare(folder: Path, options: dict[str, Any], threads: int, rounds: int) -> list[float]:
    """Median rates of timm and of this package, after one pass that isn't counted."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    torch.set_num_threads(threads)  # more of them than cores would wait for each other
    rivals = loaders(folder, options, threads)
    images = len(rivals["timm"].dataset)
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    turns = Turns()
    try:
        with turns.of("timm", uses_our_threads=True):
            pairs = zip(*rivals.values(), strict=True)
            assert all(torch.equal(theirs[0], ours[0]) for theirs, ours in pairs)
        for _ in range(rounds):
            for name, loader in rivals.items():
                with turns.of(name, uses_our_threads=name != "timm"):
                    rates[name].append(rate(partial(iter, loader), images))
    finally:
        turns.end()
        os.sched_setaffinity(0, cores)
    return [statistics.median(values) for values in rates.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count = len(files_of(arguments.folder, None))
    print(f"{count} files; {machine(str(build_info()['resize_simd']))}; {versions()}")
    print("\n| images per second | cores | timm | tied-augment | ratio |\n|---|---|---|---|---|")
    for work, options in WORKS.items():
        for threads in arguments.threads:
            timms, ours = compare(arguments.folder, options, threads, arguments.rounds)
            print(f"| {work} | {threads} | {timms:.0f} | {ours:.0f} | {ours / timms:.2f} |")


if __name__ == "__main__":
    main()
