"""``tied-augment plain``: convert a checkpoint of a ``--split-bn`` run for the plain model."""

from __future__ import annotations

import argparse
from pathlib import Path

from tied_augment.cli.errors import CommandError, needs_extra

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "plain",
        help="convert a checkpoint of a --split-bn run for the plain model",
        description="Write a copy of a checkpoint of a --split-bn run without the BatchNorms of "
        "view 2, so that it loads into the plain model. To resume the run, use the original.",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="the file that train.py wrote"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Convert the checkpoint."""
    with needs_extra("timm"):
        from tied_augment.timm import plain_checkpoint
    try:
        left_out = plain_checkpoint(args.checkpoint, args.out)
    except OSError as error:
        raise CommandError(f"{error.filename or args.out}: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandError(str(error)) from error
    print(f"{args.out} has the plain model's keys: {left_out} of view 2 are left out")
    return 0
