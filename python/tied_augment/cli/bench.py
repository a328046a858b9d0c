"""``tied-augment bench``: which loader, with how many threads, for your own folder of images."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tied_augment import TwoView, View, build_info
from tied_augment.cli.errors import CommandError, needs_extra

__all__ = ["add_parser", "run"]


class Measured(NamedTuple):
    """A loader's figures.

    Attributes:
        name: the loader, with its threads or worker processes.
        rate: source images per second, both views made.
        first: seconds to the first batch.
        advice: how to ask for it.
    """

    name: str
    rate: float
    first: float
    advice: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a folder of images through TiedLoader and timm's loader",
        description="Load view pairs of your own images through TiedLoader and through timm's "
        "loader, with several numbers of threads and workers, and say which to use. Without model: "
        "what is shown is the most that training can get.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DATA_DIR", help="an image folder, or tar files"
    )
    parser.add_argument("--aa", metavar="POLICY", help="timm's auto_augment string")
    parser.add_argument("--img-size", type=int, default=224, metavar="PIXELS", help="default: 224")
    parser.add_argument(
        "-b", "--batch-size", type=int, default=128, metavar="B", help="default: 128"
    )
    parser.add_argument("--interpolation", default="bicubic", help="default: bicubic")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="for each measurement (default: 10)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        metavar="N",
        help="threads and workers to try (default: 1 and the number of cores)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    with needs_extra("timm"):
        import timm  # noqa: F401
    cores = build_info()["threads"]
    counts = sorted(set(args.threads or (1, cores)))
    if min(counts) < 1 or args.batch_size < 1 or args.seconds <= 0:
        raise CommandError("--threads, --batch-size and --seconds must be above 0")
    view, samples = _prepared(args)
    print(f"{args.folder}: {samples} images; {cores} cores", flush=True)
    results = []
    for count in counts:
        for make in (_ours, _timms):
            name, loader, advice = make(args, view, count)
            try:
                rate, first = _measure(loader, args.batch_size, args.seconds)
            except Exception as error:
                # timm 1.0 under Pillow 13 fails at some policies: that must not hide our figures.
                if make is not _timms:
                    raise
                cause = str(error).strip().rsplit("\n", 1)[-1]
                print(f"  {name:<32} failed: {cause}", flush=True)
                continue
            results.append(Measured(name, rate, first, advice))
            print(f"  {name:<32} {rate:8.0f} img/s   first batch {first:6.2f} s", flush=True)
    print(_verdict(results))
    return 0


def _prepared(args: argparse.Namespace) -> tuple[View, int]:
    try:
        view = View.from_timm(
            input_size=args.img_size,
            auto_augment=args.aa,
            color_jitter=None,
            interpolation=args.interpolation,
        )
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
    samples = len(_dataset(args.folder))
    if samples < args.batch_size:
        raise CommandError(
            f"{args.folder} has {samples} images, less than one batch: use a smaller --batch-size"
        )
    return view, samples


def _dataset(folder: Path) -> Any:
    from timm.data.dataset import ImageDataset

    try:
        return ImageDataset(str(folder))
    except (AssertionError, OSError, RuntimeError) as error:
        raise CommandError(f"can't read {folder}: {error}") from error


def _ours(args: argparse.Namespace, view: View, count: int) -> tuple[str, Any, str]:
    from tied_augment.loader import TiedLoader

    loader = TiedLoader(
        _dataset(args.folder),
        TwoView(view),
        args.batch_size,
        shuffle=True,
        drop_last=True,
        threads=count,
        on_error="skip",
    )
    return f"TiedLoader, {count} thread(s)", loader, f"TiedLoader(..., threads={count})"


def _timms(args: argparse.Namespace, view: View, count: int) -> tuple[str, Any, str]:
    import torch
    from timm.data.loader import create_loader

    dataset = _dataset(args.folder)
    loader: Any = create_loader(
        dataset,
        args.img_size,
        args.batch_size,
        is_training=True,
        auto_augment=args.aa,
        color_jitter=None,  # type: ignore[arg-type]  # timm's own code passes None, too
        interpolation=view.interpolation,
        num_workers=count,
        device=torch.device("cpu"),
    )
    dataset.transform = _Twice(dataset.transform)
    name = f"timm's loader, {count} worker(s)"
    # Below timm's PrefetchLoader, whose normalisation belongs to the device.
    return name, loader.loader, f"timm's create_loader(..., num_workers={count})"


class _Twice:
    """Both views of an image, by timm's transform."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, image: Any) -> tuple[Any, Any]:
        return self.transform(image), self.transform(image)


def _measure(loader: Any, batch_size: int, seconds: float) -> tuple[float, float]:
    """Images per second after the first batch, and the seconds that that one took."""
    start = time.perf_counter()
    batches = _endless(loader)
    next(batches)
    first = time.perf_counter() - start
    begun = time.perf_counter()
    count = 0
    while (passed := time.perf_counter() - begun) < seconds or count == 0:
        next(batches)
        count += 1
    batches.close()
    return count * batch_size / passed, first


def _endless(loader: Any) -> Any:
    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    return batches()


def _verdict(results: list[Measured]) -> str:
    ordered = sorted(results, key=lambda result: result.rate)
    best = ordered[-1]
    # Fewer threads that are as fast leave the cores to others.
    good = next(result for result in results if result.rate >= 0.95 * best.rate)
    rivals = [r for r in ordered if r.advice.startswith("timm") != good.advice.startswith("timm")]
    times = f", {good.rate / rivals[-1].rate:.1f} times {rivals[-1].name}" if rivals else ""
    return f"\nUse {good.advice}: {good.rate:.0f} img/s{times}."
