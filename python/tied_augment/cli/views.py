"""The options that declare the views on the command line: one for each field of `View`, and more.

An option is one entry of `_OPTIONS`. Its name and default are the field's. Where timm's train.py
has another name for the option, that works as well.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from tied_augment import View, Views
from tied_augment.cli.errors import CommandError
from tied_augment.cli.options import Typed, among_others, check_range, typed
from tied_augment.timm.views import TIMMS_NAMES

__all__ = [
    "MOST_VIEWS",
    "add_view_option",
    "add_view_options",
    "add_views_option",
    "declared_views",
    "in_options",
]

# The most that `Views` takes.
MOST_VIEWS = 2**16 - 1

_RANGE: dict[str, Any] = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
_CHANCE: dict[str, Any] = {"type": float, "metavar": "P"}
_COUNT: dict[str, Any] = {"type": int, "metavar": "N"}
_CHANNELS: dict[str, Any] = {"type": float, "nargs": 3, "metavar": ("R", "G", "B")}


def _kernel(text: str) -> int | None:
    """The width of a blur's kernel; None for Pillow's blur."""
    if text != "pillow" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of pixels nor 'pillow'")
    return None if text == "pillow" else int(text)


_OPTIONS: dict[str, dict[str, Any]] = {
    "size": {"type": int, "metavar": "PIXELS", "help": "side of the square views, in pixels"},
    "scale": _RANGE
    | {"help": "bounds of the crop's area as a fraction of the image's (default: 0.08 1)"},
    "ratio": _RANGE | {"help": "bounds of the crop's width / height (default: 0.75 1.33)"},
    "interpolation": {
        "metavar": "FILTER",
        "help": "random (bilinear or bicubic), nearest, box, bilinear, hamming, bicubic, lanczos",
    },
    "hflip": _CHANCE | {"help": "probability of a left-right flip"},
    "vflip": _CHANCE | {"help": "probability of a top-bottom flip"},
    "crop": {
        "metavar": "KIND",
        "help": "rrc, rkrc, rkrr, pad as for CIFAR, or for evaluation center, squash, border",
    },
    "padding": {
        "type": int,
        "metavar": "PIXELS",
        "help": "border in pixels, for --crop pad",
    },
    "crop_pct": {
        "type": float,
        "metavar": "X",
        "help": "size as a fraction of the size that is resized to, for evaluation",
    },
    "crop_border_pixels": {
        "type": int,
        "metavar": "PIXELS",
        "help": "cut off each side of the image before, for evaluation",
    },
    "auto_augment": {
        "metavar": "POLICY",
        "help": "timm's policy string, as rand-m9-mstd0.5-inc1, or tv-rand-n2-m9 (torchvision)",
    },
    "color_jitter": {
        "type": among_others(float),
        "nargs": "+",
        "metavar": "X",
        "help": "strength of colour jitter: one for all, or brightness, contrast, saturation [hue]",
    },
    "color_jitter_prob": _CHANCE | {"help": "probability of colour jitter"},
    "force_color_jitter": {"action": "store_true", "help": "apply colour jitter with any policy"},
    "grayscale_prob": _CHANCE | {"help": "probability of grayscale"},
    "gaussian_blur_prob": _CHANCE | {"help": "probability of Gaussian blur"},
    "gaussian_blur_kernel": {
        "type": _kernel,
        "metavar": "PIXELS",
        "help": "width of the blur's kernel, or pillow for Pillow's blur",
    },
    "gaussian_blur_sigma": _RANGE | {"help": "bounds of the blur's standard deviation, in pixels"},
    "solarize_prob": _CHANCE | {"help": "probability of solarization"},
    "solarize_threshold": {
        "type": float,
        "metavar": "VALUE",
        "help": "lowest value that solarization inverts",
    },
    "cutout": {
        "type": int,
        "metavar": "PIXELS",
        "help": "side of Cutout's square, in pixels",
    },
    "re_prob": _CHANCE | {"help": "probability of random erasing"},
    "re_mode": {"metavar": "MODE", "help": "fill of random erasing: const, rand or pixel"},
    "re_count": _COUNT | {"help": "largest number of boxes of random erasing"},
    "re_num_splits": _COUNT | {"help": "above 1: do not erase in view 1"},
    "mean": _CHANNELS | {"help": "the model's mean, with which ops and erasing fill"},
    "std": _CHANNELS | {"help": "the model's standard deviation, for --re-mode rand and pixel"},
}


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of `View`, and those of `Views`."""
    group = parser.add_argument_group("views")
    add_views_option(group)
    for field in fields(View):
        add_view_option(group, field.name)
    group.add_argument(
        "--resplit",
        action="store_const",
        const=2,
        dest="view_re_num_splits",
        help="do not erase in view 1: --re-num-splits 2",
    )
    group.add_argument(
        "--same-crop", action="store_true", help="give all views the same crop, filter and flips"
    )
    group.add_argument(
        "--own-flips",
        action="store_true",
        help="with --same-crop: draw the flips of each view separately",
    )


def add_view_option(group: argparse._ActionsContainer, name: str, **changes: Any) -> None:
    """Add the option for one field of `View`, under its own name and timm's.

    Args:
        group: where to add it; its value becomes ``view_<name>``.
        name: the field.
        changes: arguments of ``add_argument`` that differ, such as the default.
    """
    (field,) = (field for field in fields(View) if field.name == name)
    given: dict[str, Any] = {"action": Typed, "default": field.default}
    option = given | _OPTIONS[name] | changes
    default = option["default"]
    shown = " ".join(f"{x:.3g}" for x in default) if isinstance(default, tuple) else default
    if default is not None and option["action"] is Typed:
        option["help"] += f" (default: {shown})"
    flags = [f"--{name.replace('_', '-')}", *filter(None, [TIMMS_NAMES.get(name)])]
    group.add_argument(*flags, dest=f"view_{name}", **option)


def add_views_option(group: argparse._ActionsContainer) -> None:
    """Add the option for the number of views."""
    group.add_argument(
        "--views", type=int, default=2, metavar="K", help="views of each image (default: 2)"
    )


def declared_views(args: argparse.Namespace) -> Views:
    """Make the `Views` that the options of `add_view_options` declare."""
    check_range(args, "views", 1, MOST_VIEWS)
    values = {field.name: getattr(args, f"view_{field.name}") for field in fields(View)}
    if values["color_jitter"] is not None and len(values["color_jitter"]) == 1:
        (values["color_jitter"],) = values["color_jitter"]
    if args.same_crop and args.views == 1:
        raise CommandError("--same-crop has no effect with --views 1: leave one of them out")
    if args.own_flips and not args.same_crop:
        raise CommandError("--own-flips has no effect without --same-crop: add that")
    with in_options(args):
        views = args.views * [View(**values)]
        return Views(*views, same_crop=args.same_crop, own_flips=args.own_flips)


@contextmanager
def in_options(args: argparse.Namespace) -> Iterator[None]:
    """Report errors and warnings of `View` in the block by the options that the user typed.

    Raises:
        CommandError: a TypeError or ValueError in the block.
    """
    names = {
        field.name: typed(args, f"view_{field.name}", f"--{field.name.replace('_', '-')}")
        for field in fields(View)
    }
    # 'size' is a field at the beginning of a message or before '=', an English word elsewhere.
    known, unmistakable = "|".join(names), "|".join(name for name in names if "_" in name)
    pattern = rf"^({known})\b|\b({known})(?==)|\b({unmistakable})\b"

    def said(problem: object) -> str:
        return re.sub(pattern, lambda match: names[match[0]], str(problem))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except (TypeError, ValueError) as error:
            raise CommandError(said(error)) from error
    for warning in caught:
        text = said(warning.message)
        print(f"tied-augment {args.command}: warning: {text}", file=sys.stderr)
