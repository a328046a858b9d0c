"""``tied-augment bench``: which loader, with how many threads, for your own folder of images."""

from __future__ import annotations

import argparse
import math
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tied_augment import TwoView, View, build_info
from tied_augment.cli.errors import CommandError, needs_extra
from tied_augment.cli.options import MOST_THREADS, Typed, among_others, check_range, typed
from tied_augment.cli.views import add_view_option, in_options

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
        usage="tied-augment bench [-h] DATA_DIR [options]",
        description="Load view pairs of your own images through TiedLoader and through timm's "
        "loader, with several numbers of threads and workers, and say which to use. Without model: "
        "what is shown is the most that training can get.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DATA_DIR", help="an image folder, or a tar file"
    )
    add_view_option(parser, "auto_augment")
    add_view_option(parser, "size")
    add_view_option(parser, "interpolation", default="bicubic")
    parser.add_argument(
        *("-b", "--batch-size"),
        action=Typed,
        type=int,
        default=128,
        metavar="B",
        help="view pairs in a batch (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="for each measurement (default: %(default)s)"
    )
    parser.add_argument(
        *("--threads", "-j", "--workers"),
        action=Typed,
        type=among_others(int),
        nargs="+",
        metavar="N",
        help="threads and workers to try (default: 1 and the number of cores)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    with needs_extra("timm"):
        import timm  # noqa: F401
    cores = build_info()["threads"]
    args.threads = sorted(set(args.threads or (1, cores)))
    check_range(args, "threads", 1, MOST_THREADS)
    check_range(args, "batch_size", 1)
    if not 0 < args.seconds < math.inf:
        raise CommandError(f"--seconds must be a finite number above 0, got {args.seconds}")
    view, samples = _prepared(args)
    print(f"{args.folder}: {samples} images; {cores} cores", flush=True)
    results = []
    for count in args.threads:
        for measure in (_measure_ours, _measure_timms):
            result = measure(args, view, count)
            results += [result] if result else []
    print(_verdict(results))
    return 0


def _measure_ours(args: argparse.Namespace, view: View, count: int) -> Measured:
    loader = _ours(args, view, count)
    try:
        rate, first = _measure(loader, args.batch_size, args.seconds)
    except (OSError, RuntimeError) as error:  # after many that were skipped
        raise CommandError(f"can't read the images of {args.folder}: {error}") from error
    reading = loader.stats().get("reading")
    result = Measured(
        f"TiedLoader, {count} thread(s)", rate, first, f"TiedLoader(..., threads={count})"
    )
    _show(result, f"   reading: {reading}" if reading else "")
    return result


def _measure_timms(args: argparse.Namespace, view: View, count: int) -> Measured | None:
    name = f"timm's loader, {count} worker(s)"
    try:
        rate, first = _measure(_timms(args, view, count), args.batch_size, args.seconds)
    except Exception as error:
        # It has no torchvision policies, and timm 1.0 under Pillow 13 fails at some of its own:
        # that must not hide our figures.
        cause = (str(error).strip() or repr(error)).rsplit("\n", 1)[-1]
        print(f"  {name:<32} failed: {cause}", flush=True)
        return None
    result = Measured(name, rate, first, f"timm's create_loader(..., num_workers={count})")
    _show(result)
    return result


def _show(result: Measured, note: str = "") -> None:
    rate, first = f"{result.rate:8.0f} img/s", f"first batch {result.first:6.2f} s"
    print(f"  {result.name:<32} {rate}   {first}{note}", flush=True)


def _prepared(args: argparse.Namespace) -> tuple[View, int]:
    with in_options(args):
        view = View.from_timm(
            input_size=args.view_size,
            auto_augment=args.view_auto_augment,
            color_jitter=None,
            interpolation=args.view_interpolation,
        )
    samples = len(_dataset(args.folder))
    if samples < args.batch_size:
        option = typed(args, "batch_size")
        raise CommandError(
            f"{args.folder} has {samples} images, fewer than one batch of {args.batch_size}: give "
            f"{option} {samples} or less"
        )
    return view, samples


def _dataset(folder: Path) -> Any:
    from timm.data.dataset import ImageDataset
    from timm.data.readers import get_img_extensions

    if not folder.exists():
        raise CommandError(f"there is no {folder}: give a folder of images, or a tar file of them")
    try:
        return ImageDataset(str(folder))
    except (OSError, tarfile.TarError) as error:
        raise CommandError(f"can't read {folder}: {error}") from error
    except (AssertionError, RuntimeError, ValueError) as error:  # what timm says of no images
        raise CommandError(
            f"{folder} has no images that timm's reader finds: in a folder or in a tar file, with "
            f"names that end in {', '.join(get_img_extensions())}"
        ) from error


def _ours(args: argparse.Namespace, view: View, count: int) -> Any:
    from tied_augment.loader import TiedLoader

    return TiedLoader(
        _dataset(args.folder),
        TwoView(view),
        args.batch_size,
        shuffle=True,
        drop_last=True,
        threads=count,
        on_error="skip",
    )


def _timms(args: argparse.Namespace, view: View, count: int) -> Any:
    import torch
    from timm.data.loader import create_loader

    dataset = _dataset(args.folder)
    loader: Any = create_loader(
        dataset,
        args.view_size,
        args.batch_size,
        is_training=True,
        auto_augment=args.view_auto_augment,
        color_jitter=None,  # type: ignore[arg-type]  # timm's own code passes None, too
        interpolation=view.interpolation,
        num_workers=count,
        device=torch.device("cpu"),
    )
    dataset.transform = _Twice(dataset.transform)
    # Below timm's PrefetchLoader, whose normalisation belongs to the device.
    return loader.loader


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
