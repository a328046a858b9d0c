"""``tied-augment preview``: look at what two views make of your images, plan by plan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tied_augment import TwoView, decode
from tied_augment.cli.errors import CommandError, needs_extra, writing
from tied_augment.cli.views import add_view_options, two_view

if TYPE_CHECKING:
    from tied_augment.cli.sheet import Pair

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "preview",
        help="draw view pairs of images, with their plans",
        description="Write a contact sheet: every image with the crops of both views drawn in, "
        "the views, and how each was made. Pair n is what training with this seed sees in epoch n "
        "if the images are the data set's first, in this order.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("preview.png"),
        metavar="FILE",
        help="the sheet (default: preview.png)",
    )
    parser.add_argument(
        "--pairs", type=int, default=2, metavar="N", help="pairs of each image (default: 2)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the run's seed (default: 0)")
    add_view_options(parser)


def run(args: argparse.Namespace) -> int:
    """Write the sheet."""
    with needs_extra("plots"):
        from PIL import Image

        from tied_augment.cli.sheet import contact_sheet
    if args.pairs < 1:
        raise CommandError(f"--pairs must be at least 1, got {args.pairs}")
    if args.seed < 0:
        raise CommandError(f"--seed must be at least 0, got {args.seed}")
    if args.out.suffix.lower() not in Image.registered_extensions():
        raise CommandError(f"--out {args.out}: no image format has this ending; use .png")
    two = two_view(args)
    pairs = [
        pair
        for index, path in enumerate(args.images)
        for pair in _pairs(two, path, _pixels(path), index, args)
    ]
    with writing(args.out):
        contact_sheet(pairs, "View pairs", columns=2 - args.pairs % 2).save(args.out)
    print(f"{len(pairs)} view pair{'s' * (len(pairs) > 1)} written to {args.out}")
    return 0


def _pixels(path: Path) -> NDArray[np.uint8]:
    try:
        return decode(path)
    except OSError as error:  # its text names the path
        raise CommandError(str(error)) from error


def _pairs(
    two: TwoView, path: Path, pixels: NDArray[np.uint8], index: int, args: argparse.Namespace
) -> list[Pair]:
    from tied_augment.cli.sheet import make_pair

    height, width = pixels.shape[:2]
    caption = [path.name, f"{width} x {height} pixels"]
    try:
        return [
            make_pair(
                two, pixels, [*caption, f"pair {epoch}, seed {args.seed}"], index, epoch, args.seed
            )
            for epoch in range(args.pairs)
        ]
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
