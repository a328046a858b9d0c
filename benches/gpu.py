"""Images per second of training steps on a GPU, by where the images come from.

    python benches/gpu.py [FOLDER] [--models resnet18 resnet50 vit_small_patch16_224]
        [--seconds 7] [--batch-size 128] [--workers N] [--limit S] [--out gpu-results]

A step is the whole of it: two views of each image, 224 x 224 pixels, random resized crop and flip;
forward and backward of the model in bfloat16 and channels_last; `TiedLoss`; SGD. It is fed by

- batches that are on the device already, always the same: the most that the model can do;
- timm's `create_loader` in worker processes, whose transform is drawn twice;
- `TiedLoader` from the same JPEG files, in threads;
- `TiedLoader` from these files packed (``tied-augment pack``).

All loaders write to page-locked memory, and timm's ``PrefetchLoader`` copies and normalises. Each
row runs for --seconds after its first steps. If the GPU's memory is too small for a batch, half a
batch is tried, for all later rows of the model, too. Rows that would begin after --limit seconds
are left out. Without FOLDER the files are made by photos.py.

The results are written as they come: training.json and training.md in --out, training.png at the
end. ``--device cpu --smoke`` runs everything on tiny models, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import photos
import timm
import torch
from timm.data.dataset import ImageDataset
from timm.data.loader import PrefetchLoader
from torch.utils.data import ConcatDataset

from tied_augment import PackedDataset, TiedLoader, TiedLoss, TiedModel
from tied_augment.cli import main as command
from tied_augment.cli.baseline import timms_loader
from tied_augment.timm import create_loader

MODELS = ("resnet18", "resnet50", "vit_small_patch16_224")
CEILING = "tensor on the device"
TIMMS = "timm's loader"
OURS = "TiedLoader"
PACKED = f"{OURS}, packed"
FEEDS = (CEILING, TIMMS, f"{OURS}, JPEG", PACKED)
# An epoch is the folder this many times: it outlasts the row.
REPEATS = 1000

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        model: its name in timm.
        feed: one of `FEEDS`.
        batch_size: source images per step; the model gets two views of each.
        rate: source images per second.
        waited: share of the time in which the training loop waited for a batch.
        utilisation: share of the time in which the GPU ran any kernel, by NVML; None if unknown.
        busy: share of their time that the loader's threads worked; None for other feeds.
        steps: that were measured.
    """

    model: str
    feed: str
    batch_size: int
    rate: float
    waited: float
    utilisation: float | None
    busy: float | None
    steps: int


class Utilisation:
    """Samples the GPU's utilisation in the block."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._over = threading.Event()
        self._samples: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Utilisation:
        if self._device.type == "cuda":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        # NVML may not be installed, or not be allowed: the column then stays empty.
        with suppress(Exception):
            while not self._over.wait(0.25):
                self._samples.append(torch.cuda.utilization(self._device))

    @property
    def share(self) -> float | None:
        """The mean, 0 to 1."""
        samples = self._samples
        return sum(samples) / len(samples) / 100 if samples else None


@dataclass(frozen=True)
class Work:
    """What the rows share.

    Attributes:
        first_steps: before the measurement, in which libraries choose their kernels.
        seconds: of a measurement.
    """

    folder: Path
    shards: Path
    size: int
    workers: int
    first_steps: int
    seconds: float
    device: torch.device

    def loader(self, feed: str, batch_size: int) -> Any:
        """The loader of a feed; None for the ceiling, which has none."""
        if feed == CEILING:
            return None
        pin = self.device.type == "cuda"
        if feed == TIMMS:
            inner = timms_loader(
                repeated(self.folder),
                self.size,
                batch_size,
                auto_augment=None,
                interpolation="bicubic",
                workers=self.workers,
                pin_memory=pin,
            )
            return PrefetchLoader(inner, device=self.device)
        dataset: Any = repeated(self.folder)
        if feed == PACKED:
            packed_set: Any = PackedDataset(self.shards)
            dataset = ConcatDataset(REPEATS * [packed_set])
        return create_loader(
            dataset,
            self.size,
            batch_size,
            is_training=True,
            color_jitter=None,
            interpolation="bicubic",
            num_workers=self.workers,
            pin_memory=pin,
            device=self.device,
        )

    def same(self, batch_size: int) -> Batches:
        """One batch again and again."""
        images = torch.randn(2 * batch_size, 3, self.size, self.size, device=self.device)
        targets = (torch.arange(batch_size, device=self.device) % photos.CLASSES).repeat(2)
        while True:
            yield images, targets


def repeated(folder: Path) -> ImageDataset:
    dataset = ImageDataset(str(folder))
    dataset.reader.samples = dataset.reader.samples * REPEATS
    return dataset


def trainer(name: str, work: Work) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """A model with all that a step needs."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=photos.CLASSES)
    model.to(device=work.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tied, criterion = TiedModel(model), TiedLoss()
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.01, momentum=0.9)

    def step(images: torch.Tensor, targets: torch.Tensor) -> None:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(work.device.type, torch.bfloat16):
            logits, features = tied(images)
            loss = criterion(logits, features, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def finish(device: torch.device) -> None:
    """Wait for the steps that are under way."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(name: str, feed: str, batch_size: int, work: Work) -> Row:
    """Train on the batches of a feed for the seconds of a row."""
    step = trainer(name, work)
    loader = work.loader(feed, batch_size)
    batches: Batches = work.same(batch_size) if loader is None else iter(loader)
    for _ in range(work.first_steps):
        step(*next(batches))
    finish(work.device)
    steps, waited = 0, 0.0
    with Utilisation(work.device) as utilisation:
        begun = time.perf_counter()
        while steps == 0 or time.perf_counter() - begun < work.seconds:
            asked = time.perf_counter()
            images, targets = next(batches)
            waited += time.perf_counter() - asked
            step(images, targets)
            steps += 1
        finish(work.device)
        seconds = time.perf_counter() - begun
    inner: Any = getattr(loader, "loader", None)
    busy = inner.stats()["busy"] if isinstance(inner, TiedLoader) else None
    rate = steps * batch_size / seconds
    return Row(name, feed, batch_size, rate, waited / seconds, utilisation.share, busy, steps)


def fitting(name: str, feed: str, batch_size: int, work: Work) -> Row:
    """`measure`, with half a batch as often as the GPU's memory does not suffice."""
    while True:
        try:
            return measure(name, feed, batch_size, work)
        except torch.cuda.OutOfMemoryError:
            if batch_size < 4:
                raise
        # After the exception is gone, which holds the memory.
        torch.cuda.empty_cache()
        batch_size //= 2


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def table(rows: list[Row]) -> str:
    lines = [
        "| model | batch | fed by | img/s | of the ceiling | waited | GPU busy | threads busy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    most = {row.model: row.rate for row in rows if row.feed == CEILING}
    for row in rows:
        share = percent(row.rate / most[row.model]) if row.model in most else "-"
        figures = f"{row.rate:.0f} | {share} | {percent(row.waited)}"
        busy = f"{percent(row.utilisation)} | {percent(row.busy)}"
        lines.append(f"| {row.model} | {row.batch_size} | {row.feed} | {figures} | {busy} |")
    return "\n".join(lines)


def chart(rows: list[Row], path: Path, caption: str) -> None:
    """Draw the models that timm's loader has fed, with whose rate the others are compared."""
    from tied_augment.cli.chart import draw

    panels: dict[str, Mapping[str, float]] = {}
    for model in dict.fromkeys(row.model for row in rows):
        rates = {row.feed: row.rate for row in rows if row.model == model}
        if TIMMS in rates:
            panels[model] = rates
    if panels:
        draw(path, panels, TIMMS, OURS, "Training steps, images per second", caption)


def write(rows: list[Row], out: Path) -> None:
    """The table and the figures, as far as they are there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "training.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))
    (out / "training.md").write_text(table(rows) + "\n")


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    return f"{name}, {os.cpu_count()} CPU cores; {versions}"


def packed(folder: Path) -> Path:
    """The packed folder, which is made if it isn't there."""
    out = folder.with_name(f"{folder.name}-packed")
    if command(["pack", str(folder), str(out)]):
        raise SystemExit(1)
    return out


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=float, default=math.inf)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true", help="tiny models, few images")
    arguments = parser.parse_args(argv)
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU: --device cpu --smoke runs everything on tiny models")
    tiny = arguments.smoke
    arguments.models = arguments.models or (["test_resnet", "test_vit"] if tiny else MODELS)
    arguments.batch_size = arguments.batch_size or (2 if tiny else 128)
    arguments.first_steps = 1 if tiny else 5
    if tiny:
        arguments.seconds = min(arguments.seconds, 0.3)
    if arguments.folder is None:
        arguments.folder = Path("target") / ("photos-smoke" if tiny else "photos")
        photos.make(arguments.folder, 24 if tiny else 600)
    return arguments


def main(argv: list[str] | None = None) -> None:
    begun = time.perf_counter()
    arguments = arguments_of(argv)
    device = torch.device(arguments.device)
    torch.backends.cudnn.benchmark = True
    size = 160 if arguments.smoke else 224
    folder = arguments.folder
    work = Work(
        folder,
        packed(folder),
        size,
        arguments.workers,
        arguments.first_steps,
        arguments.seconds,
        device,
    )
    about = machine(device)
    print(f"{about}; {arguments.workers} threads or workers", flush=True)
    rows: list[Row] = []
    for name in arguments.models:
        batch_size = arguments.batch_size
        for feed in FEEDS:
            if time.perf_counter() - begun > arguments.limit:
                print(f"left out for want of time: {name}, {feed}", flush=True)
                continue
            try:
                row = fitting(name, feed, batch_size, work)
            except Exception as error:
                # The other rows are worth having on a machine that one sees once.
                print(f"failed: {name}, {feed}: {error!r}", flush=True)
                continue
            batch_size = row.batch_size
            rows.append(row)
            write(rows, arguments.out)
            print(f"{name}, {feed}: {row.rate:.0f} img/s", flush=True)
    print(f"\n{table(rows)}")
    try:
        chart(rows, arguments.out / "training.png", f"{about}; bfloat16, channels_last, two views")
    except ModuleNotFoundError as error:
        print(f"no chart: {error.name} is not installed")
    if not rows:
        raise SystemExit("no row was measured")


if __name__ == "__main__":
    main()
