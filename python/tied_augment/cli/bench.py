"""``tied-augment bench``: which loader, with how many threads, for your own folder of images."""

from __future__ import annotations

import argparse
import math
import tarfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from tied_augment import View, Views, build_info
from tied_augment.cli.errors import CommandError, needs_extra, said
from tied_augment.cli.options import MOST_THREADS, Typed, among_others, check_range, typed
from tied_augment.cli.pick import refuse_splits
from tied_augment.cli.views import MOST_VIEWS, add_view_option, add_views_option, in_options

__all__ = ["add_parser", "measure", "run"]


class Measured(NamedTuple):
    """What was measured of one loader.

    Attributes:
        ours: whether it is `TiedLoader`, not timm's.
        name: the loader, with its threads or worker processes.
        rate: source images per second, all views made of each.
        first: seconds to the first batch.
        call: the call that makes this loader.
    """

    ours: bool
    name: str
    rate: float
    first: float
    call: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure TiedLoader and timm's loader on your images",
        usage="tied-augment bench [-h] DATA_DIR [options]",
        description="Load views of your own images through TiedLoader and through timm's "
        "loader, with several numbers of threads and workers, and say which to use. No model is "
        "run: the rates are an upper bound for training.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DATA_DIR",
        help="an image folder, a tar file of images, or a packed data set",
    )
    add_views_option(parser)
    add_view_option(parser, "auto_augment")
    add_view_option(parser, "size")
    add_view_option(parser, "interpolation", default="bicubic")
    parser.add_argument(
        *("-b", "--batch-size"),
        action=Typed,
        type=int,
        default=128,
        metavar="B",
        help="images per batch, with all their views (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="duration of each measurement, in seconds (default: %(default)s)",
    )
    parser.add_argument(
        *("--threads", "-j", "--workers"),
        action=Typed,
        type=among_others(int),
        nargs="+",
        metavar="N",
        help="numbers of threads and of workers to try (default: 1 and the number of cores)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    with needs_extra("timm"):
        import timm  # noqa: F401
    cores = build_info()["threads"]
    args.threads = sorted(set(args.threads or (1, cores)))
    check_range(args, "threads", 1, MOST_THREADS)
    check_range(args, "batch_size", 1)
    check_range(args, "views", 1, MOST_VIEWS)
    if not 0 < args.seconds < math.inf:
        raise CommandError(f"--seconds must be a finite number above 0, got {args.seconds}")
    view = _view(args)
    _check_images(args, len(_dataset(args.folder)))
    results = []
    for count in args.threads:
        results.append(_measure_ours(args, view, count))
        timms = _measure_timms(args, view, count)
        if timms is not None:
            results.append(timms)
    print(_verdict(results))
    return 0


def _view(args: argparse.Namespace) -> View:
    with in_options(args):
        return View.from_timm(
            input_size=args.view_size,
            auto_augment=args.view_auto_augment,
            color_jitter=None,
            interpolation=args.view_interpolation,
        )


def _check_images(args: argparse.Namespace, count: int) -> None:
    """Print the number of images, if they fill a batch."""
    if count < args.batch_size:
        raise CommandError(
            f"{args.folder} has {count} images, fewer than one batch of {args.batch_size}: give "
            f"{typed(args, 'batch_size')} {count} or less"
        )
    cores, views = build_info()["threads"], f"{args.views} view{'s' * (args.views > 1)} of each"
    print(f"{args.folder}: {count} images, {views}; {cores} cores", flush=True)


def _dataset(folder: Path) -> Any:
    from timm.data.dataset import ImageDataset
    from timm.data.readers import get_img_extensions

    from tied_augment.timm.packed import packed_dataset

    if not folder.exists():
        raise CommandError(f"there is no {folder}: give a folder of images, or a tar file of them")
    if folder.is_dir():
        refuse_splits(folder)
    try:
        packed = packed_dataset("", str(folder), search_split=False)
    except (OSError, ValueError) as error:
        raise CommandError(said(error)) from error
    if packed is not None:
        return packed
    try:
        return ImageDataset(str(folder))
    except (OSError, tarfile.TarError) as error:
        raise CommandError(f"can't read {folder}: {error}") from error
    except (AssertionError, RuntimeError, ValueError) as error:  # timm, if there are no images
        raise CommandError(
            f"{folder} has no images that timm's reader finds: in a folder or in a tar file, with "
            f"names that end in {', '.join(get_img_extensions())}"
        ) from error


def _measure_ours(args: argparse.Namespace, view: View, count: int) -> Measured:
    from tied_augment.loader import TiedLoader

    loader = TiedLoader(
        _dataset(args.folder),
        Views(*args.views * [view]),
        args.batch_size,
        shuffle=True,
        drop_last=True,
        threads=count,
        on_error="skip",
    )
    try:
        rate, first = measure(loader, args.batch_size, args.seconds)
    except (OSError, RuntimeError) as error:
        # A RuntimeError after too many unreadable images has the last one's error as its cause.
        unreadable = isinstance(error.__cause__ or error, OSError)
        problem = f"can't read the images of {args.folder}" if unreadable else "TiedLoader failed"
        raise CommandError(f"{problem}: {error}") from error
    result = Measured(
        True, f"TiedLoader, {count} thread(s)", rate, first, f"TiedLoader(..., threads={count})"
    )
    reading = loader.stats().get("reading")
    _show(result, f"   reading: {reading}" if reading else "")
    return result


def _measure_timms(args: argparse.Namespace, view: View, count: int) -> Measured | None:
    from tied_augment.cli.baseline import timms_loader

    name = f"timm's loader, {count} worker(s)"
    try:
        loader = timms_loader(
            _dataset(args.folder),
            args.view_size,
            args.batch_size,
            auto_augment=args.view_auto_augment,
            interpolation=view.interpolation,
            workers=count,
            num_views=args.views,
        )
        rate, first = measure(loader, args.batch_size, args.seconds)
    except Exception as error:
        # Whatever fails in timm must not hide our figures. It has no torchvision policies.
        cause = (str(error).strip() or repr(error)).rsplit("\n", 1)[-1]
        print(f"  {name:<32} failed: {cause}", flush=True)
        return None
    result = Measured(False, name, rate, first, f"timm's create_loader(..., num_workers={count})")
    _show(result)
    return result


def _show(result: Measured, note: str = "") -> None:
    rate, first = f"{result.rate:8.0f} img/s", f"first batch {result.first:6.2f} s"
    print(f"  {result.name:<32} {rate}   {first}{note}", flush=True)


def measure(loader: Any, batch_size: int, seconds: float) -> tuple[float, float]:
    """Images per second after the first batch, and the seconds to the first batch."""
    start = time.perf_counter()
    batches = _endless(loader)
    next(batches)
    begun = time.perf_counter()
    count = 0
    while (passed := time.perf_counter() - begun) < seconds or count == 0:
        next(batches)
        count += 1
    batches.close()
    return count * batch_size / passed, begun - start


def _endless(loader: Any) -> Generator[Any]:
    while True:
        yield from loader


def _verdict(results: list[Measured]) -> str:
    fastest = max(result.rate for result in results)
    # The fewest threads that are about as fast leave the most cores to others.
    best = next(result for result in results if result.rate >= 0.95 * fastest)
    rivals = [result for result in results if result.ours != best.ours]
    rival = max(rivals, key=lambda result: result.rate, default=None)
    ratio = f", {best.rate / rival.rate:.1f} times {rival.name}" if rival is not None else ""
    return f"\nUse {best.call}: {best.rate:.0f} img/s{ratio}."
