"""``tied-augment preview``: a contact sheet of the views of your images, with their plans."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tied_augment import Views, decode
from tied_augment.cli.errors import CommandError, needs_extra, writing
from tied_augment.cli.options import check_range
from tied_augment.cli.pick import PICKED, Picked, pick
from tied_augment.cli.views import add_view_options, declared_views, in_options

if TYPE_CHECKING:
    from tied_augment.sheet import SheetRow

__all__ = ["add_parser", "run"]


# Few programs open a larger picture.
_MOST_PICTURES = 300


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "preview",
        help="draw views of your images, with their plans",
        usage="tied-augment preview [-h] IMAGE [IMAGE ...] [options]",
        description="Write a contact sheet: each image with the crops of its views drawn in, the "
        "views, and the plan of each view. Images have the indices 0, 1, ... in the order of the "
        "sheet, not those of a data set; the views are those of epochs 0, 1, ...",
    )
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help=f"image files; of a folder or a packed data set, {PICKED} images are picked",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("preview.png"),
        metavar="FILE",
        help="the file to write (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=int, default=2, metavar="N", help="epochs to show (default: 2)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the run's seed (default: 0)"
    )
    add_view_options(parser)


def run(args: argparse.Namespace) -> int:
    """Write the sheet."""
    with needs_extra("plots"):
        from PIL import Image

        from tied_augment.sheet import contact_sheet, headline
    check_range(args, "epochs", 1)
    check_range(args, "seed", 0, (1 << 64) - 1)
    if Image.registered_extensions().get(args.out.suffix.lower()) not in Image.SAVE:
        raise CommandError(f"--out {args.out}: Pillow writes no files with this ending; use .png")
    views = declared_views(args)
    files, remarks = _files(args.images)
    pictures = len(files) * args.epochs * (1 + args.views)
    if pictures > _MOST_PICTURES:
        raise CommandError(
            f"{len(files)} images with --epochs {args.epochs} and --views {args.views} are "
            f"{pictures} pictures, of which a sheet holds {_MOST_PICTURES}: give fewer images, or "
            "smaller numbers"
        )
    rows = [
        row
        for index, file in enumerate(files)
        for row in _rows(views, file.path, _pixels(file), index, args)
    ]
    # Two epochs of a pair side by side are as wide as a screen.
    columns = 2 if args.epochs % 2 == 0 and args.views <= 2 else 1
    title = headline(views, args.seed, range(args.epochs))
    with writing(args.out):
        contact_sheet(rows, title, columns).save(args.out)
    for remark in remarks:
        print(remark)
    made = len(rows) * args.views
    images = f"{len(files)} image{'s' * (len(files) > 1)}"
    print(f"{made} view{'s' * (made > 1)} of {images} written to {args.out}")
    return 0


def _files(paths: Sequence[Path]) -> tuple[list[Picked], list[str]]:
    """The files, with some images of each folder in its place, and a remark per folder."""
    files: list[Picked] = []
    remarks = []
    for path in paths:
        if os.path.isdir(path):  # Path.is_dir raises for some names
            picked, count = pick(path)
            files += picked
            remarks.append(f"{path}: {len(picked)} of {count} images")
        else:
            files.append(Picked(path))
    return files, remarks


def _pixels(file: Picked) -> NDArray[np.uint8]:
    try:
        return decode(file.path if file.content is None else file.content)
    except FileNotFoundError as error:
        raise CommandError(f"there is no file or folder {file.path}") from error
    except OSError as error:  # its message has the path
        place = "" if file.content is None else f"{file.path}: "
        raise CommandError(f"{place}{error}") from error


def _rows(
    views: Views, path: Path, pixels: NDArray[np.uint8], index: int, args: argparse.Namespace
) -> list[SheetRow]:
    from tied_augment.sheet import make_row

    height, width = pixels.shape[:2]
    caption = [path.name, f"{width} x {height} pixels"]
    said = [[*caption, f"epoch {epoch}, seed {args.seed}"] for epoch in range(args.epochs)]
    try:
        with in_options(args):
            return [
                make_row(views, pixels, lines, index, epoch, args.seed)
                for epoch, lines in enumerate(said)
            ]
    except CommandError as error:
        raise CommandError(f"{path}: {error}") from error
