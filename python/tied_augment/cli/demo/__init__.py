"""``tied-augment demo``: train a small model four ways on this machine's CPU and compare them.

Lives here: the command. `digits` makes the images, `training` has the loop, `measure` what is
measured in it, and `report` the table, the plot and the sheet of views.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tied_augment.cli.errors import needs_extra, writing
from tied_augment.cli.options import MOST_THREADS, check_range

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "demo",
        help="train a small model four ways and write pictures",
        description="Train a small timm model on a few handwritten digits (no download) in four "
        "ways: with one view, with two views, and with two views of unlabelled digits as well, "
        "untied and tied. All ways make equally many steps.",
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
        help="number of runs of each way (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=100,
        metavar="N",
        help="passes over the labelled images (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of CPU threads (default: one per core)"
    )


def run(args: argparse.Namespace) -> int:
    """Make the images, train, and report."""
    with needs_extra("demo"):
        import torch
        from tqdm import tqdm

        from tied_augment.cli.demo import report
        from tied_augment.cli.demo.digits import write_digits
        from tied_augment.cli.demo.training import BATCH, MODEL, SIMILARITY, WAYS, train
    check_range(args, "seeds", 1)
    check_range(args, "epochs", 1)
    if args.threads is not None:
        check_range(args, "threads", 1, MOST_THREADS)
        torch.set_num_threads(args.threads)
    threads = torch.get_num_threads()

    started = time.perf_counter()
    data = args.out / "digits"
    with writing(args.out):
        counts = write_digits(data)
    steps = args.epochs * (counts["train"] // BATCH)
    print(
        f"Digits: {counts['train']} labelled, {counts['unlabelled']} unlabelled, {counts['val']} "
        f"for val. {MODEL}, {steps} steps; tied by {WAYS[-1].tied_weight:g} x {SIMILARITY}. "
        f"{args.seeds} seeds, {threads} threads."
    )
    rows = []
    # Without a terminal there is no bar, only the line that each run prints.
    with tqdm(total=args.seeds * len(WAYS) * steps, unit="step", disable=None) as bar:
        for seed in range(args.seeds):
            for way in WAYS:
                bar.set_description(f"seed {seed}, {way.name}")
                rows += train(way, seed, data, args.epochs, threads, bar.update)
                tqdm.write(f"seed {seed}  {way.name:26}{rows[-1].val_accuracy:5.1f}% on val")
    with writing(args.out):
        report.write_csv(rows, args.out / "results.csv")
        report.write_plot(rows, args.out / "curves.png")
        report.write_sheet(data, args.out / "views.png")
    print(f"\n{report.table(rows)}\n")
    print(
        f"{time.perf_counter() - started:.0f} s. Written to {args.out}: views.png (view pairs), "
        "curves.png, results.csv, digits (the images)."
    )
    return 0
