"""``tied-augment pack``: pack a data set into shards."""

from __future__ import annotations

import argparse
import errno
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tied_augment import build_info
from tied_augment.cli.errors import CommandError, needs_extra, said
from tied_augment.cli.options import MOST_THREADS, Typed, check_range
from tied_augment.packed.packing import Summary, pack_data_set
from tied_augment.splits import split_folders

__all__ = ["add_parser", "run"]

# So many names are printed, of files that need a look.
_NAMED = 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "pack",
        help="pack a data set, for faster decoding",
        usage="tied-augment pack [-h] SRC [SRC ...] DST [options]",
        description="Pack the JPEG files of a data set into tar shards of images that are quicker "
        "to decode, with the same pixels. All other files are stored as they are. Each packed file "
        "is unpacked and compared. If the command is interrupted, run it again: it goes on.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="SRC",
        help="a folder of class folders, or of train and val folders with these; tar files; a text "
        "file with a path per line, and after a tab a target; or image files",
    )
    parser.add_argument("out", type=Path, metavar="DST", help="the folder to write")
    parser.add_argument(
        "--shard-size",
        type=int,
        default=256,
        metavar="MB",
        help="size of a shard, in 10**6 bytes (default: %(default)s)",
    )
    parser.add_argument(
        *("--threads", "-j"),
        action=Typed,
        type=int,
        metavar="N",
        help="files that are packed at a time (default: the number of cores)",
    )


def run(args: argparse.Namespace) -> int:
    """Pack, and print what was done."""
    check_range(args, "shard_size", 1, 1_000_000)
    if args.threads is None:
        args.threads = build_info()["threads"]
    check_range(args, "threads", 1, MOST_THREADS)
    for sources, out in _parts(args.sources, args.out):
        begun = time.perf_counter()
        summary = _pack(sources, out, args)
        _show(summary, out, time.perf_counter() - begun)
    return 0


def _parts(sources: Sequence[Path], out: Path) -> list[tuple[list[Path], Path]]:
    """What to pack, and where to: each split by itself."""
    if len(sources) == 1 and sources[0].is_dir():
        # It would be a part of the data set when packing goes on.
        if out.resolve().is_relative_to(sources[0].resolve()):
            raise CommandError(f"{out} is within {sources[0]}: pack into a folder elsewhere")
        try:
            splits = split_folders(sources[0])
        except OSError as error:
            raise CommandError(f"can't read {sources[0]}: {error.strerror}") from error
        if splits:
            return [([split], out / split.name) for split in splits]
    return [(list(sources), out)]


def _pack(sources: list[Path], out: Path, args: argparse.Namespace) -> Summary:
    with needs_extra("pack"):
        from tqdm import tqdm

    with ExitStack() as stack:

        def progress(total: int, done: int) -> Callable[[int], object]:
            # Without a terminal there is no bar.
            bar = stack.enter_context(
                tqdm(
                    desc=out.name,
                    total=total,
                    initial=done,
                    unit="B",
                    unit_scale=True,
                    disable=None,
                )
            )
            update: Callable[[int], object] = bar.update
            return update

        try:
            return pack_data_set(sources, out, args.shard_size * 10**6, args.threads, progress)
        except ValueError as error:
            raise CommandError(said(error)) from error
        except OSError as error:
            if error.errno in _FULL:
                raise CommandError(
                    f"no space left for {out}: make room and run the same command again, which "
                    "goes on with what is left"
                ) from error
            raise CommandError(said(error)) from error


def _show(summary: Summary, out: Path, seconds: float) -> None:
    ratio = summary.after / max(summary.before, 1)
    print(
        f"{_count(summary.files, 'file')} in {_count(summary.shards, 'shard')} in {out}: "
        f"{_mb(summary.before)} are {_mb(summary.after)} now ({ratio:.3f} times)"
    )
    if summary.packed_now:
        rate = summary.packed_now / max(seconds, 1e-9) / 1e6
        print(f"packed and checked {_mb(summary.packed_now)} in {seconds:.0f} s, {rate:.1f} MB/s")
    else:
        print("nothing was left to pack")
    if summary.left_out:
        print(f"left out, not images by their names: {_count(summary.left_out, 'file')}")
    for cause, count in sorted(summary.unchanged.items(), key=lambda item: -item[1]):
        print(f"stored unchanged: {_count(count, 'file')} ({cause})")
    if summary.broken:
        broken = _count(len(summary.broken), "image")
        print(f"{broken} can't be decoded, neither before packing nor after:")
        for name, cause in list(summary.broken.items())[:_NAMED]:
            print(f"  {said(name)}: {cause}")
        if len(summary.broken) > _NAMED:
            print(f"  and {len(summary.broken) - _NAMED} more, in 'broken' of the shards' indices")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
