"""What ``tied-augment unpack`` and ``tied-augment verify`` share: a run over all samples."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tied_augment import build_info
from tied_augment.cli.errors import CommandError, needs_extra, said
from tied_augment.cli.options import MOST_THREADS, Typed, check_range
from tied_augment.packed.checking import Checked
from tied_augment.packed.index import PackedSet, is_packed, packed_splits, read_set

__all__ = ["add_threads", "check_all"]


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of threads."""
    parser.add_argument(
        *("--threads", "-j"),
        action=Typed,
        type=int,
        metavar="N",
        help="files that are unpacked at a time (default: the number of cores)",
    )


def check_all(
    args: argparse.Namespace, check: Callable[[PackedSet], Iterator[Checked]], done: str
) -> int:
    """Check all samples, print what is wrong, and return the exit code.

    Args:
        args: with ``folder`` and ``threads``.
        check: checks one data set.
        done: what sound files are then, for the last line.
    """
    with needs_extra("pack"):
        from tqdm import tqdm
    if args.threads is None:
        args.threads = build_info()["threads"]
    check_range(args, "threads", 1, MOST_THREADS)
    begun = time.perf_counter()
    sound = wrong = kept = size = 0
    try:
        sets = _packed_sets(args.folder)
        total = sum(sum(packed.samples) for packed in sets)
        with tqdm(total=total, unit="file", disable=None) as bar:
            for packed in sets:
                for checked in check(packed):
                    bar.update(checked.samples)
                    size += checked.bytes
                    kept += checked.kept
                    if checked.error is None:
                        sound += checked.samples
                    else:
                        wrong += checked.samples
                        tqdm.write(f"broken: {said(checked.error)}", file=sys.stderr)
    except (OSError, ValueError) as error:
        raise CommandError(said(error)) from error
    seconds = max(time.perf_counter() - begun, 1e-9)
    rate = f"{size / 1e6:,.1f} MB in {seconds:.0f} s, {size / seconds / 1e6:.1f} MB/s"
    print(f"{sound - kept} files {done}: {rate}")
    if kept:
        print(f"{kept} files were there already")
    if wrong:
        raise CommandError(
            f"{wrong} of {total} files of {args.folder} are broken: copy the shards that are named "
            "above anew, or pack the data set anew"
        )
    return 0


def _packed_sets(folder: Path) -> list[PackedSet]:
    """The data set in a folder, or those of its splits."""
    folder = folder.absolute()
    if folder.is_dir() and not is_packed(folder):
        splits = packed_splits(folder)
        if splits:
            return [read_set(split) for split in splits]
    return [read_set(folder)]
