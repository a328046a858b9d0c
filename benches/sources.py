"""`TiedLoader` over the same images from each kind of local source, on one core, in one run.

    python benches/sources.py [DIR] [--rounds 5] [--work DIR]

DIR is a folder of class folders; without it benches/photos.py makes one. Its files are written as
they are into tar files, Arrow files and a packed data set (in --work, or a temporary folder). The
work is two random resized crops to 224 x 224 with flips. Sources take turns, and what is read is in
the page cache, so the figures are about the cost of Python and of the formats, not of disks.

Map-style sources are shuffled; streams come in their order. The last column is the CPU time of the
one Python thread that reads what the core can't read by itself.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import photos
import torch
import webdataset
from timm.data.dataset import ImageDataset
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from torchvision.datasets import ImageFolder

from tied_augment import TarShards, TiedLoader, TwoView, View, build_info
from tied_augment.cli import main as command
from tied_augment.loader.data import is_stream
from tied_augment.packed import PackedDataset

SHARDS = 4
BATCH = 50


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write(folder: Path, work: Path) -> None:
    """The images of `folder` in all other forms, unless they are in `work` already."""
    if (work / "done").exists():
        return
    samples = ImageFolder(folder).samples
    for form in ("classes", "shards"):
        (work / form).mkdir(parents=True)
        for shard in range(SHARDS):
            with tarfile.open(work / form / f"{shard}.tar", "w") as tar:
                for number, (path, target) in list(enumerate(samples))[shard::SHARDS]:
                    content = Path(path).read_bytes()
                    if form == "classes":
                        add(tar, f"class{target}/{number:06}.jpg", content)
                    else:
                        add(tar, f"{number:06}.jpg", content)
                        add(tar, f"{number:06}.cls", str(target).encode())
    columns = {
        "image": [{"bytes": Path(path).read_bytes(), "path": None} for path, _ in samples],
        "label": [target for _, target in samples],
    }
    names = ImageFolder(folder).classes
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    arrow = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    arrow.save_to_disk(work / "arrow", num_shards=SHARDS)
    if command(["pack", str(folder), str(work / "packed")]) != 0:
        raise SystemExit("packing failed")
    (work / "done").touch()


def sources(folder: Path, work: Path) -> dict[str, Callable[[], Any]]:
    shards = sorted(map(str, (work / "shards").iterdir()))
    classes = str(work / "classes")
    return {
        "folder": lambda: ImageFolder(folder),
        "timm's ReaderImageInTar": lambda: ImageDataset(classes, reader=ReaderImageInTar(classes)),
        "TarShards": lambda: TarShards(shards),
        "webdataset pipeline": lambda: webdataset.WebDataset(shards, shardshuffle=False),
        "Hugging Face Dataset": lambda: datasets.load_from_disk(work / "arrow"),
        "Hugging Face stream": lambda: datasets.load_from_disk(work / "arrow").to_iterable_dataset(
            num_shards=SHARDS
        ),
        "PackedDataset (its own code)": lambda: PackedDataset(work / "packed"),
    }


def loader_of(dataset: Any) -> TiedLoader:
    stream = is_stream(dataset)
    views = TwoView(View(224, interpolation="bicubic"))
    return TiedLoader(dataset, views, BATCH, shuffle=not stream, threads=1)


def epoch(loader: TiedLoader) -> tuple[float, float, int]:
    """Seconds of an epoch, those that the Python thread computed, and the number of images."""
    begin, images, python = time.perf_counter(), 0, 0.0
    for _, targets in loader:
        images += len(targets)
        fetching = [thread for thread in threading.enumerate() if thread.name == "tied-fetch"]
        # The thread ends with the epoch.
        python = max([python, *map(_seconds, fetching)])
    return time.perf_counter() - begin, python, images


def _seconds(thread: threading.Thread) -> float:
    try:
        text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(text.split()[0]) / 1e9


def measure(loaders: dict[str, TiedLoader], rounds: int) -> None:
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    costs: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(rounds + 1):
        for name, loader in loaders.items():
            seconds, python, images = epoch(loader)
            if turn > 0:  # the first fills the caches
                speeds[name].append(images / seconds)
                costs[name].append(python / images * 1e6)
    print(f"{'source':<30}{'images/s':>10}{'of folder':>11}{'spread':>9}{'Python, us':>12}")
    pairs = {
        name: [mine / whole for mine, whole in zip(each, speeds["folder"], strict=True)]
        for name, each in speeds.items()
    }
    for name, each in speeds.items():
        ratios = sorted(pairs[name])
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        print(
            f"{name:<30}{statistics.median(each):>10.0f}{statistics.median(ratios):>11.3f}"
            f"{spread:>11}{statistics.median(costs[name]):>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary, "work")
        folder = arguments.folder
        if folder is None:
            folder = Path(temporary, "photos")
            photos.make(folder, 600)
        write(folder, work)
        packages = (torch, datasets, webdataset)
        versions = ", ".join(f"{package.__name__} {package.__version__}" for package in packages)
        print(f"{platform.machine()}, {build_info()['resize_simd']}, {versions}")
        measure(
            {name: loader_of(make()) for name, make in sources(folder, work).items()},
            arguments.rounds,
        )


if __name__ == "__main__":
    main()
