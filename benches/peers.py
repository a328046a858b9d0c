"""Two views of each JPEG file of a folder: this package and other libraries, in one run.

    python benches/peers.py [DIR] [--work crop-flip RandAugment] [--threads 1 2] [--rounds 5]
        [--count 640] [--chart target/peers.png]

For a quick look: --rounds 1 --count 128.

The work is the same for all: file -> decode -> two independent views, each a random resized crop
to 224 x 224 (bicubic, scale 0.08 to 1) with a flip at 0.5, in the second work also RandAugment ->
uint8 planes -> a batch of 128 pairs. Without DIR the folder is made by photos.py.

With one thread all run in this process, on one core. With more, the others run in as many workers
of torch's DataLoader; this package runs there (TiedDataset) and on threads (TwoView.batch). DALI,
if installed, runs on as many threads of its own, on the CPU; its RandAugment needs a GPU, so it has
the first work only.

All take turns within a round, so that a drift of the machine's speed affects all alike; the workers
of all others are stopped meanwhile (turns.py). The first round is not counted: workers start in it,
and the files get into the system's cache. The tables have medians and ratios to timm. The chart
shows the same, once on a light background and once on a dark one (peers-dark.png).

Some of the work differs. Only timm's pixels and ours are Pillow's. albumentations uses OpenCV's
cubic, which does less because it does not antialias. RandAugment is `rand-m9-mstd0.5-inc1` for timm
and this package: each of 2 ops with probability 0.5, bicubic. torchvision's and albumentations'
always apply both ops, bilinear.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import itertools
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import photos
import torch
from dali import Dali
from numpy.typing import NDArray
from PIL import Image
from timm.data import transforms as timm_transforms
from timm.data.auto_augment import rand_augment_transform
from timm.data.loader import fast_collate
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import Compose, RandomHorizontalFlip, v2
from tqdm import tqdm
from turns import Turns

from tied_augment import TiedDataset, TwoView, View, build_info
from tied_augment.cli.baseline import Draws, posterizes_to_black
from tied_augment.cli.chart import DARK, draw

BATCH = 128
SIDE = 224
SCALE = (0.08, 1.0)
POLICY = "rand-m9-mstd0.5-inc1"
WORKS: dict[str, str | None] = {"crop-flip": None, "RandAugment": POLICY}
FOLDER = Path("target/photos")
COUNT = 640
TIMM = "timm, Pillow"
OURS = "tied-augment"
IN_DATALOADER = f"{OURS}, in a DataLoader"
ON_THREADS = f"{OURS}, on threads"

Batches = Iterator[object]
Item = tuple[Any, int]


class Files(Dataset[Item]):
    """A data set of paths; a subclass makes the views."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        return self.views(self.paths[index]), 0

    def views(self, path: str) -> Any:
        return path


class Timm(Files):
    """What timm's create_transform makes of the same arguments, applied twice."""

    def __init__(self, paths: list[str], policy: str | None) -> None:
        super().__init__(paths)
        crop = timm_transforms.RandomResizedCropAndInterpolation(
            SIDE, SCALE, interpolation="bicubic"
        )
        steps = [crop, RandomHorizontalFlip()]
        if policy is not None:
            given = {"img_mean": (124, 116, 104), "interpolation": Image.Resampling.BICUBIC}
            with posterizes_to_black():
                steps.append(rand_augment_transform(policy, given))
        self.twice = Draws(Compose([*steps, timm_transforms.ToNumpy()]), 2)

    def views(self, path: str) -> tuple[Any, Any]:
        return self.twice(Image.open(path).convert("RGB"))


class Torchvision(Files):
    """torchvision's v2 transforms on tensors."""

    def __init__(self, paths: list[str], policy: str | None) -> None:
        super().__init__(paths)
        mode = v2.InterpolationMode.BICUBIC
        crop = v2.RandomResizedCrop(SIDE, SCALE, interpolation=mode, antialias=True)
        steps = [crop, v2.RandomHorizontalFlip()]
        if policy is not None:
            steps.append(v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR))
        self.transform = v2.Compose(steps)

    def views(self, path: str) -> tuple[Any, Any]:
        image = decode_jpeg(read_file(path), ImageReadMode.RGB)
        return self.transform(image), self.transform(image)


class Albumentations(Files):
    """albumentations, on OpenCV."""

    def __init__(self, paths: list[str], policy: str | None) -> None:
        super().__init__(paths)
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
        import albumentations as A
        import cv2

        cv2.setNumThreads(0)
        crop = A.RandomResizedCrop((SIDE, SIDE), SCALE, interpolation=cv2.INTER_CUBIC)
        steps = [crop, A.HorizontalFlip()]
        if policy is not None:
            steps.append(A.SomeOf(rand_augment_ops(A), n=2, replace=False, p=1))
        self.transform = A.Compose(steps)

    def views(self, path: str) -> tuple[Any, Any]:
        import cv2

        image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
        pair = (self.transform(image=image)["image"] for _ in range(2))
        first, second = (torch.from_numpy(view.transpose(2, 0, 1)) for view in pair)
        return first, second


def rand_augment_ops(a: Any) -> list[Any]:
    """The counterparts of timm's ops in albumentations, at about the same magnitudes."""
    tone = (0.1, 1.9)
    still = (1.0, 1.0)
    given: dict[str, Any] = {"fill": (124, 116, 104), "p": 1}
    return [
        a.AutoContrast(p=1),
        a.Equalize(p=1),
        a.InvertImg(p=1),
        a.Rotate((-27, 27), **given),
        a.Posterize(num_bits=(1, 4), p=1),
        a.Solarize(threshold_range=(0.0, 0.2), p=1),
        a.ColorJitter(still, still, tone, (0, 0), p=1),
        a.ColorJitter(still, tone, still, (0, 0), p=1),
        a.ColorJitter(tone, still, still, (0, 0), p=1),
        a.Sharpen(alpha=(0.1, 0.9), p=1),
        a.Affine(shear={"x": (-15, 15), "y": (0, 0)}, **given),
        a.Affine(shear={"x": (0, 0), "y": (-15, 15)}, **given),
        a.Affine(translate_percent={"x": (-0.4, 0.4), "y": (0, 0)}, **given),
        a.Affine(translate_percent={"x": (0, 0), "y": (-0.4, 0.4)}, **given),
    ]


def in_dataloader(dataset: Dataset[Item], workers: int) -> Callable[[], Batches]:
    """Batches by torch's DataLoader; with one worker, by this process."""
    torch.set_num_threads(1)
    loader = DataLoader(
        dataset,
        BATCH,
        num_workers=workers if workers > 1 else 0,
        collate_fn=fast_collate,
        persistent_workers=workers > 1,
    )
    return lambda: iter(loader)


def on_threads(paths: list[str], two: TwoView, threads: int) -> Callable[[], Batches]:
    """Batches by the core's threads, into one buffer."""
    out = np.empty((2, BATCH, 3, SIDE, SIDE), np.uint8)

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            indices = range(start, start + len(part))
            whole = out if len(part) == BATCH else None
            yield two.batch(part, indices, threads=threads, out=whole)

    return batches


def contestants(
    paths: list[str], policy: str | None, threads: int
) -> dict[str, Callable[[], Batches]]:
    two = TwoView(View(SIDE, SCALE, interpolation="bicubic", auto_augment=policy))
    tied = TiedDataset(Files(paths), two)
    tied.set_epoch(0)
    found = {
        TIMM: in_dataloader(Timm(paths, policy), threads),
        "torchvision v2, tensors": in_dataloader(Torchvision(paths, policy), threads),
        IN_DATALOADER: in_dataloader(tied, threads),
        ON_THREADS: on_threads(paths, two, threads),
    }
    try:
        found["albumentations, OpenCV"] = in_dataloader(Albumentations(paths, policy), threads)
    except ImportError:
        print("albumentations is not installed and left out: pip install --group bench")
    if policy is None:
        found |= dali(paths, threads)
    return found


def dali(paths: list[str], threads: int) -> dict[str, Callable[[], Batches]]:
    if len(paths) % BATCH:
        print(f"DALI makes whole batches and is left out: give --count a multiple of {BATCH}")
        return {}
    try:
        pipeline = Dali(paths, threads, BATCH, SIDE, SCALE)
    except ImportError:
        print("DALI is not installed and left out: pip install nvidia-dali-cuda120")
        return {}
    return {"DALI, on the CPU": lambda: iter(pipeline)}


def rate(batches: Callable[[], Batches], images: int) -> float:
    """Source images per second over one pass."""
    start = time.perf_counter()
    for _ in batches():
        pass
    return images / (time.perf_counter() - start)


def compare(paths: list[str], policy: str | None, threads: int, rounds: int) -> dict[str, float]:
    """Median rates over `rounds` passes, after one that isn't counted."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    rivals = contestants(paths, policy, threads)
    rates: dict[str, list[float]] = {name: [] for name in rivals}
    turns = Turns()
    try:
        for number in tqdm(range(rounds + 1), f"{threads} thread(s)", leave=False):
            for name, batches in rivals.items():
                with turns.of(name, uses_our_threads=name == ON_THREADS):
                    measured = rate(batches, len(paths))
                if number:
                    rates[name].append(measured)
    finally:
        turns.end()
        os.sched_setaffinity(0, cores)
    print(f"In the turns of others, our threads ran {1000 * turns.ours:.1f} ms.\n")
    return {name: statistics.median(values) for name, values in rates.items()}


def table(results: dict[str, float], simd: str) -> str:
    base = results[TIMM]
    rows = [f"| {simd} | img/s | x timm |", "|---|---|---|"]
    for name, value in sorted(results.items(), key=lambda item: item[1]):
        rows.append(f"| {name} | {value:.0f} | {value / base:.2f} |")
    return "\n".join(rows)


def versions() -> str:
    """Of the packages that are compared, as far as they are installed."""
    found = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
    names = ["torch", "torchvision", "timm", "pillow"]
    names += ["albumentations", "opencv-python-headless", "nvidia-dali-cuda120"]
    return ", ".join(f"{name} {found[name]}" for name in names if name in found)


def machine(simd: str) -> str:
    """The processor's name, its cores, and the instruction set of this package's resize."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(models, platform.machine())
    return f"{model}, {os.cpu_count()} cores, {simd}; {platform.system()} {platform.machine()}"


def files_of(folder: Path, count: int | None) -> list[str]:
    """The paths of up to `count` files, which are made if there is no folder."""
    if not folder.exists() or (folder == FOLDER and len(list(folder.rglob("*.jpg"))) < COUNT):
        photos.make(folder, COUNT)
    return sorted(map(str, folder.rglob("*.jpg")))[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--work", choices=WORKS, nargs="+", default=list(WORKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, help="use this many files only")
    parser.add_argument(
        "--chart", type=Path, default=FOLDER.with_name("peers.png"), help="default: %(default)s"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="albumentations")
    # A chart that can't be written should not be noticed after all has been measured.
    arguments.chart.parent.mkdir(parents=True, exist_ok=True)
    dark = arguments.chart.with_stem(f"{arguments.chart.stem}-dark")
    for path in (arguments.chart, dark):
        path.touch()
    paths = files_of(arguments.folder, arguments.count)
    simd = str(build_info()["resize_simd"])
    print(f"{len(paths)} files; {machine(simd)}; {versions()}")
    print(f"tied-augment: {build_info()}")
    panels = {}
    for work, threads in itertools.product(arguments.work, arguments.threads):
        title = f"{work.replace('-', ' and ')}, {threads} {'core' if threads == 1 else 'cores'}"
        print(f"\n{title}, {arguments.rounds} rounds\n")
        panels[title] = compare(paths, WORKS[work], threads, arguments.rounds)
        print(table(panels[title], simd))
    caption = (
        f"{machine(simd)}. Medians of {arguments.rounds} rounds over {len(paths)} files; in "
        f"brackets the ratio to timm.\nPython {platform.python_version()}, {versions()}. "
        f"{datetime.date.today():%Y-%m-%d}. Only timm's pixels and ours are Pillow's."
    )
    title = "Two random 224 x 224 views of each JPEG file: source images per second"
    draw(arguments.chart, panels, TIMM, OURS, title, caption)
    draw(dark, panels, TIMM, OURS, title, caption, DARK)
    print(f"\nchart: {arguments.chart}, and {dark} for dark pages")


if __name__ == "__main__":
    main()
