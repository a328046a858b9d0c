"""``tied-augment demo``: view pairs, the speed of the loader, and a small training, on this CPU.

Lives here: the command. `photos` and `digits` make the images, `loaders` compares loaders,
`training` has the loop, `measure` what is measured in it, and `report` the pictures and the table.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tied_augment.cli.errors import CommandError, needs_extra, writing
from tied_augment.cli.options import MOST_THREADS, check_range

if TYPE_CHECKING:
    from tied_augment.cli.demo.measure import Row

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "demo",
        help="show view pairs, measure the loader, and train a small model four ways",
        description="Draw view pairs of a few photographs, measure TiedLoader and timm's loader on "
        "them, and train a small timm model on a few handwritten digits in four ways: with one "
        "view, with two views, and with two views of unlabelled digits as well, untied and tied. "
        "Nothing is downloaded.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tied-augment-demo"),
        metavar="DIR",
        help="folder for the images, pictures and results (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="largest number of trainings of each way (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        metavar="S",
        help="time for the training: no further seed is begun that would take longer, but one "
        "always is (default: %(default)g)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=100,
        metavar="N",
        help="passes over the labelled images (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="CPU threads for training (default: 1, which is fastest for so small a model)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw, measure, train and report."""
    started = time.perf_counter()
    with needs_extra("demo"):
        from tied_augment.cli.demo.photos import write_photos, write_sheet
    check_range(args, "seeds", 1)
    check_range(args, "epochs", 1)
    check_range(args, "threads", 1, MOST_THREADS)
    if not 0 < args.seconds < math.inf:
        raise CommandError(f"--seconds must be a finite number above 0, got {args.seconds}")

    views, chart = args.out / "views.png", args.out / "speed.png"
    with writing(args.out):
        photos = write_photos(args.out / "photos")
        write_sheet(photos, views)
    print(f"1. View pairs of {len(photos)} photographs: {views}", flush=True)
    with needs_extra("demo"):
        import torch

        from tied_augment.cli.demo import loaders, report
    print("2. TiedLoader and timm's loader, RandAugment ...", flush=True)
    with writing(args.out):
        print(f"   {loaders.compare(args.out / 'photos', chart)}: {chart}", flush=True)
    torch.set_num_threads(args.threads)
    rows: list[Row] = []
    try:
        _train(args, rows)
    finally:
        # Also of an interrupted training.
        if rows:
            with writing(args.out):
                report.write_plot(rows, args.out / "curves.png")
            print(f"\n{report.table(rows)}\n")
    passed = time.perf_counter() - started
    print(f"{passed:.0f} s. Written to {args.out}: views.png, speed.png, curves.png, results.csv.")
    return 0


def _train(args: argparse.Namespace, rows: list[Row]) -> None:
    """Train every way with each seed, and add a seed's rows to `rows` when all ways have it.

    Every row is in results.csv as soon as it is measured.
    """
    from tqdm import tqdm

    from tied_augment.cli.demo.digits import write_digits
    from tied_augment.cli.demo.report import Results
    from tied_augment.cli.demo.training import BATCH, MODEL, SIMILARITY, WAYS, train

    data = args.out / "digits"
    with writing(args.out):
        counts = write_digits(data)
    results = Results(args.out / "results.csv")
    steps = args.epochs * (counts["train"] // BATCH)
    print(
        f"3. Training {MODEL} on digits: {counts['train']} labelled, {counts['unlabelled']} "
        f"unlabelled, {counts['val']} for val; {steps} steps; tied by "
        f"{WAYS[-1].tied_weight:g} x {SIMILARITY}.",
        flush=True,
    )
    begun = time.perf_counter()
    # Without a terminal there is no bar, only the line that each run prints.
    with tqdm(total=args.seeds * len(WAYS) * steps, unit="step", disable=None) as bar:
        for seed in range(args.seeds):
            passed = time.perf_counter() - begun
            if seed and passed * (seed + 1) / seed > args.seconds:
                tqdm.write(f"{seed} of {args.seeds} seeds fit into --seconds {args.seconds:g}")
                break
            done = []
            for way in WAYS:
                bar.set_description(f"seed {seed}, {way.name}")
                done += train(way, seed, data, args.epochs, args.threads, bar.update, results.add)
                tqdm.write(f"   seed {seed}  {way.name:26}{done[-1].val_accuracy:5.1f}% on val")
            rows += done
