"""Two views from a packed folder, from the image folder that was packed, and by timm.

    python benches/packed_folder.py DIR [--threads 1 2] [--rounds 5] [--aa POLICY] [--cold] [--ffcv]

DIR is a folder of class folders, such as ``benches/photos.py DIR`` makes. It is packed first, with
``tied-augment pack``, into a folder beside it. The work is that of loader.py: file -> decode -> two
views, each a random resized crop to 224 x 224 (bicubic) with a flip -> a (2 * 128, 3, 224, 224)
uint8 tensor, in a new order in each epoch. All loaders take turns on as many cores as there are
threads. Before that the batches of both folders are compared: they must be equal.

With --ffcv, FFCV's files of the same images have rows, too (ffcv_loader.py). It has no policies.

With --cold the system forgets the files before each epoch, so that they are read from the disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ffcv_loader
import loader as loaders
import peers
import torch
from torch.utils.data import ConcatDataset
from torchvision.datasets import ImageFolder
from tqdm import tqdm
from turns import Turns

from tied_augment import PackedDataset, TiedLoader, TwoView, View, build_info
from tied_augment.cli import main as command

OURS = ("image folder", "packed folder")


def packed(folder: Path) -> Path:
    """The packed folder, which is made if it isn't there."""
    out = folder.with_name(f"{folder.name}-packed")
    if command(["pack", str(folder), str(out)]):
        sys.exit(1)
    return out


def tied(dataset: Any, threads: int, aa: str | None) -> TiedLoader:
    view = View(peers.SIDE, peers.SCALE, interpolation="bicubic", auto_augment=aa)
    return TiedLoader(
        dataset, TwoView(view), peers.BATCH, shuffle=True, drop_last=True, threads=threads
    )


def check(folder: Path, shards: Path, aa: str | None) -> None:
    """Compare an epoch of both."""
    pairs = zip(tied(folder, 2, aa), tied(shards, 2, aa), strict=True)
    assert all(torch.equal(one, other) for (one, _), (other, _) in pairs), "other pixels"


def contestants(
    folder: Path, shards: Path, threads: int, aa: str | None, repeats: int
) -> dict[str, Any]:
    sets = dict(zip(OURS, (ImageFolder(folder), PackedDataset(shards)), strict=True))
    found: dict[str, Any] = {
        f"TiedLoader, {name}": tied(ConcatDataset([each] * repeats), threads, aa)
        for name, each in sets.items()
    }
    loaders.REPEATS = 1  # timm takes far longer
    found["timm's create_loader, image folder"] = loaders.timms(folder, threads, aa)
    return found


def ffcvs(folder: Path, threads: int) -> dict[str, Any]:
    found = {}
    for mode in ffcv_loader.MODES:
        path = ffcv_loader.write(folder, mode)
        found[f"FFCV, {mode}"] = ffcv_loader.loader(path, threads)
    return found


def forget(*folders: Path) -> None:
    """Let the system forget the files' content, so that the disk has to be read."""
    os.sync()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                file = os.open(path, os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)


def measure(found: dict[str, Any], folders: list[Path], rounds: int, cold: bool) -> dict[str, Any]:
    """Rates of each loader, in images per second; the first round is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in found}
    turns = Turns()
    try:
        for number in tqdm(range(rounds + 1), leave=False):
            for name, each in found.items():
                if cold:
                    forget(*folders)
                with turns.of(name, uses_our_threads=name.startswith("TiedLoader")):
                    start = time.perf_counter()
                    batches = sum(1 for _ in each)
                    rate = batches * peers.BATCH / (time.perf_counter() - start)
                if number:
                    rates[name].append(rate)
    finally:
        turns.end()
    return rates


def table(rates: dict[str, list[float]]) -> str:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    base = medians["timm's create_loader, image folder"]
    rows = ["| | img/s (least to most) | x timm |", "|---|---|---|"]
    for name, rate in sorted(medians.items(), key=lambda item: item[1]):
        spread = f"{min(rates[name]):.0f} to {max(rates[name]):.0f}"
        rows.append(f"| {name} | {rate:.0f} ({spread}) | {rate / base:.2f} |")
    ours = [medians[f"TiedLoader, {name}"] for name in OURS]
    return "\n".join([*rows, "", f"packed against image folder: {ours[1] / ours[0]:.2f}x"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=peers.FOLDER)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--aa", help="a policy, such as rand-m9-mstd0.5-inc1")
    parser.add_argument("--cold", action="store_true", help="read the files from the disk")
    parser.add_argument("--ffcv", action="store_true", help="measure FFCV, if it is installed")
    arguments = parser.parse_args()
    folder, aa = arguments.folder, arguments.aa
    if arguments.ffcv and (aa or arguments.cold):
        parser.error("--ffcv goes with neither --aa nor --cold")
    count = len(peers.files_of(folder, None))
    shards = packed(folder)
    check(folder, shards, aa)
    print(f"{count} files; {peers.machine(build_info()['resize_simd'])}; {peers.versions()}")
    disk = ["findmnt", "-no", "SOURCE,FSTYPE", "--target", str(folder)]
    print(subprocess.run(disk, capture_output=True, text=True, check=False).stdout.strip())
    cores = os.sched_getaffinity(0)
    for threads in arguments.threads:
        os.sched_setaffinity(0, sorted(cores)[:threads])
        # An epoch is the folder several times, so that its start hardly counts.
        repeats = 1 if arguments.cold else loaders.REPEATS
        found = contestants(folder, shards, threads, aa, repeats)
        if arguments.ffcv:
            found |= ffcvs(folder, threads)
        rates = measure(found, [folder, shards], arguments.rounds, arguments.cold)
        os.sched_setaffinity(0, cores)
        work = f"crop, flip, {aa}" if aa else "crop, flip"
        print(f"\n{work}, {threads} thread(s), {'cold' if arguments.cold else 'warm'}\n")
        print(table(rates))


if __name__ == "__main__":
    main()
