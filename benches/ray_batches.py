"""Source images per second through Ray Data, beside TiedLoader: ``python ray_batches.py FOLDER``.

All on this machine, with as many tasks as cores. The files are in Ray's object store before the
clock starts. The first batches of a pass are not counted.
"""

from __future__ import annotations

import argparse
import os
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Read when Ray is imported: no report of the usage, no token in the home folder.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_TOKEN"] = uuid.uuid4().hex

import ray
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader, TwoView, View
from tied_augment.ray import Augment, TorchBatches

COUNT, BATCH, WARM_UP = 2000, 64, 3


def rate(batches: Iterable[Any]) -> float:
    """Images per second after the first batches."""
    images, began = 0, 0.0
    for number, (views, _) in enumerate(batches, 1):
        if number > WARM_UP:
            images += views.shape[1]
        elif number == WARM_UP:
            began = time.perf_counter()
    return images / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="one folder of images per class")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = [path for path, _ in ImageFolder(arguments.folder).samples]
    chosen = [paths[number % len(paths)] for number in range(COUNT)]
    cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=cores, object_store_memory=1500 << 20, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [
        {"bytes": Path(path).read_bytes(), "index": number, "label": 0}
        for number, path in enumerate(chosen)
    ]
    files = ray.data.from_items(rows, override_num_blocks=8 * cores).materialize()
    views = TwoView(View(224, interpolation="bicubic"))
    augment = Augment(views, epoch=0)
    forms: dict[str, Iterable[Any]] = {
        "TiedLoader": TiedLoader([(path, 0) for path in chosen], views, BATCH, threads=cores),
        "map_batches(Augment)": TorchBatches(files.map_batches(augment, batch_size=BATCH), BATCH),
        "TorchBatches(augment=)": TorchBatches(files, BATCH, augment=augment),
    }
    rates: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(arguments.rounds):
        for form, batches in forms.items():
            rates[form].append(rate(batches))
    for form, found in rates.items():
        print(f"{form}: {sorted(found)[len(found) // 2]:,.0f} images/s on {cores} cores")


if __name__ == "__main__":
    main()
