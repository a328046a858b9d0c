"""``tied-augment unpack``: give back the files of a packed data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from tied_augment.cli.checks import add_threads, check_all
from tied_augment.packed.unpacking import unpack_samples

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "unpack",
        help="give back the files of a packed data set",
        usage="tied-augment unpack [-h] PACKED OUT [options]",
        description="Write the files that were packed, byte for byte, in their folders. The "
        "SHA-256 of each is compared with the index. If the command is interrupted, run it again: "
        "it goes on.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="PACKED", help="what tied-augment pack has written"
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="the folder to write; it may have what an interrupted run has left, and else must be "
        "empty",
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Unpack."""
    return check_all(
        args,
        lambda packed: unpack_samples(
            packed, args.out / packed.folder.relative_to(args.folder.absolute()), args.threads
        ),
        f"written to {args.out}",
    )
