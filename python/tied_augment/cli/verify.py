"""``tied-augment verify``: check every sample of a packed data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from tied_augment.cli.checks import add_threads, check_all
from tied_augment.packed.checking import verify_samples

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "verify",
        help="check every sample of a packed data set",
        usage="tied-augment verify [-h] PACKED [options]",
        description="Unpack every image of a packed data set and compare its SHA-256 with the "
        "index. What is wrong is printed, with shard and sample; the exit code is 1 then.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="PACKED", help="what tied-augment pack has written"
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Verify."""
    return check_all(args, lambda packed: verify_samples(packed, args.threads), "as packed")
