"""Loaders end to end, in one run: this package's, timm's and those of other libraries.

    python benches/loader.py [DIR] [--threads 1 2] [--rounds 5] [--aa rand-m9-mstd0.5-inc1]

The work is that of peers.py: file -> decode -> two views, each a random resized crop to 224 x 224
(bicubic) with a flip -> a (2 * 128, 3, 224, 224) uint8 tensor. With --aa timm and this package also
apply that policy, and the other libraries what peers.py describes.

All run on as many cores as there are threads. timm's loader is its own `create_loader` over its own
data set; the other libraries run in torch's DataLoader. Both run with as many workers as cores and
with one more, and the better result counts. DALI, if installed, is its own pipeline on the CPU,
with as many threads as cores. Loaders take turns, so that a drift of the machine's speed affects
all alike; workers and threads are idle during the turns of the others. The table has medians, their
ratio to timm and the time to the first batch.

Last comes the conversion of bytes to normalised floats, on one thread, against torch's.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import photos
import torch
from dali import Dali
from timm.data.auto_augment import rand_augment_transform
from timm.data.dataset import ImageDataset
from timm.data.loader import fast_collate
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from tied_augment import ArrayDataset, TiedLoader, TwoView, View, build_info
from tied_augment.cli.baseline import timms_loader

# An epoch is the folder this many times, so that the start of an epoch hardly counts.
REPEATS = 4

Result = tuple[float, float]


def timms(folder: Path, workers: int, aa: str | None) -> Any:
    dataset = ImageDataset(str(folder))
    dataset.reader.samples = dataset.reader.samples * REPEATS
    return timms_loader(
        dataset,
        peers.SIDE,
        peers.BATCH,
        auto_augment=aa,
        interpolation="bicubic",
        workers=workers,
    )


def in_dataloader(dataset: Dataset[Any], workers: int) -> Any:
    return DataLoader(
        dataset,
        peers.BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=fast_collate,
        persistent_workers=True,
    )


def ours(folder: Path, threads: int, aa: str | None, output: str = "uint8") -> TiedLoader:
    view = View(peers.SIDE, peers.SCALE, interpolation="bicubic", auto_augment=aa)
    dataset = ImageFolder(folder)
    dataset.samples = dataset.samples * REPEATS
    return TiedLoader(
        dataset,
        TwoView(view),
        peers.BATCH,
        shuffle=True,
        drop_last=True,
        threads=threads,
        output=output,
    )


def contestants(folder: Path, paths: list[str], cores: int, aa: str | None) -> dict[str, Any]:
    def each(name: str, make: Callable[[int], Any]) -> dict[str, Any]:
        return {f"{name}, {n} workers": make(n) for n in (cores, cores + 1)}

    found = each("timm's create_loader", lambda n: timms(folder, n, aa))
    found |= each("torchvision v2", lambda n: in_dataloader(peers.Torchvision(paths, aa), n))
    try:
        found |= each("albumentations", lambda n: in_dataloader(peers.Albumentations(paths, aa), n))
    except ImportError:
        print("albumentations is not installed and left out: pip install --group bench")
    try:
        if aa is None:
            dali = Dali(paths, cores, peers.BATCH, peers.SIDE, peers.SCALE)
            found[f"DALI on the CPU, {cores} threads"] = dali
    except ImportError:
        print("DALI is not installed and left out: pip install nvidia-dali-cuda120")
    for output in ("uint8", "float32"):
        found[f"TiedLoader, {cores} threads, {output}"] = ours(folder, cores, aa, output)
    return found


def first_batch(loader: Any) -> float:
    """Seconds to the first batch of a fresh iteration."""
    start = time.perf_counter()
    iteration = iter(loader)
    next(iteration)
    seconds = time.perf_counter() - start
    for _ in iteration:
        pass  # workers would still make the batches they were asked for
    return seconds


def compare(loaders: dict[str, Any], rounds: int) -> dict[str, Result]:
    """Median rate over epochs and time to the first batch, by name."""
    first = {name: first_batch(loader) for name, loader in loaders.items()}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in tqdm(range(rounds), leave=False):
        for name, loader in loaders.items():
            start = time.perf_counter()
            batches = sum(1 for _ in loader)
            rates[name].append(batches * peers.BATCH / (time.perf_counter() - start))
    return {name: (statistics.median(rates[name]), first[name]) for name in loaders}


def table(results: dict[str, Result]) -> str:
    base = max(rate for name, (rate, _) in results.items() if name.startswith("timm"))
    rows = ["| | img/s | x timm's best | first batch, ms |", "|---|---|---|---|"]
    for name, (rate, first) in sorted(results.items(), key=lambda item: item[1]):
        rows.append(f"| {name} | {rate:.0f} | {rate / base:.2f} | {1000 * first:.0f} |")
    return "\n".join(rows)


def normalise() -> str:
    """Bytes to normalised float32: a pass over 256 views, in ms, by torch and by the loader.

    The loader writes into memory that it has used before. torch does so only if told to, so it is
    timed both ways: half of the time of a new tensor is the system's, for its pages.
    """
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (128, 224, 224, 3), np.uint8)
    pixels = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8)
    mean, std = torch.rand(2, 1, 3, 1, 1)
    used = torch.zeros(pixels.shape)

    def passes(output: str, channels_last: bool = False) -> Callable[[], object]:
        loader = TiedLoader(
            ArrayDataset(images, [0] * len(images)),
            TwoView(View(224, crop="squash", hflip=0.0)),
            128,
            threads=1,
            prefetch=1,
            output=output,
            channels_last=channels_last,
        )
        return lambda: [None for _ in loader]

    work: dict[str, Callable[[], object]] = {
        "uint8": passes("uint8"),
        "float32": passes("float32"),
        "float32, channels_last": passes("float32", True),
        "float16": passes("float16"),
        "torch": lambda: pixels.to(torch.float32).sub_(mean).div_(std),
        "torch, used memory": lambda: used.copy_(pixels).sub_(mean).div_(std),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(20):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    least = {name: min(each) for name, each in times.items()}
    torchs = least["torch"], least["torch, used memory"]
    rows = [
        "256 views of bytes to normalised numbers; for TiedLoader: the time in addition to uint8",
        f"torch, float32: {torchs[0]:.1f} ms; into memory used before: {torchs[1]:.1f} ms",
    ]
    for name in ("float32", "float32, channels_last", "float16"):
        more = least[name] - least["uint8"]
        ratios = " and ".join(f"{each / more:.1f}x" for each in torchs)
        beside = "" if name == "float16" else f" ({ratios} as fast as torch)"
        rows.append(f"TiedLoader, {name}: {more:.1f} ms{beside}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("target/photos"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--aa", help="timm's config string of a policy")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="albumentations")
    warnings.filterwarnings("ignore", "This DataLoader will create")  # one more than cores
    if not arguments.folder.exists():
        photos.make(arguments.folder, 600)
    paths = sorted(map(str, arguments.folder.rglob("*.jpg"))) * REPEATS
    print(
        f"epochs of {len(paths)} files; {os.cpu_count()} cores of {platform.machine()}; "
        f"{build_info()}"
    )
    if arguments.aa:
        rand_augment_transform(arguments.aa, {})  # refuses what timm doesn't know
    cores = os.sched_getaffinity(0)
    for threads in arguments.threads:
        os.sched_setaffinity(0, sorted(cores)[:threads])
        loaders = contestants(arguments.folder, paths, threads, arguments.aa)
        print(f"\n{threads} core(s), {arguments.rounds} rounds\n")
        print(table(compare(loaders, arguments.rounds)))
        del loaders
    os.sched_setaffinity(0, cores)
    print(f"\n{normalise()}")


if __name__ == "__main__":
    main()
