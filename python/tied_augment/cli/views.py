"""The options that declare a view on the command line: the fields of `View`, each by its name.

A field of `View` that is to be an option gets one line in `_OPTIONS`; its default is the field's.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from tied_augment import TwoView, View
from tied_augment.cli.errors import CommandError

__all__ = ["add_view_options", "two_view"]

_RANGE: dict[str, Any] = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
_CHANCE: dict[str, Any] = {"type": float, "metavar": "P"}
_COUNT: dict[str, Any] = {"type": int, "metavar": "N"}
_CHANNELS: dict[str, Any] = {"type": float, "nargs": 3, "metavar": ("R", "G", "B")}

_OPTIONS: dict[str, dict[str, Any]] = {
    "size": {"type": int, "metavar": "PIXELS", "help": "side of the square views"},
    "scale": _RANGE | {"help": "bounds of the crop's area as a part of the image's (0.08 1)"},
    "ratio": _RANGE | {"help": "bounds of the crop's width over height (0.75 1.33)"},
    "interpolation": {
        "metavar": "FILTER",
        "help": "random (bilinear or bicubic), nearest, box, bilinear, hamming, bicubic, lanczos",
    },
    "hflip": _CHANCE | {"help": "probability of a left-right flip"},
    "vflip": _CHANCE | {"help": "probability of a top-bottom flip"},
    "crop": {"metavar": "KIND", "help": "rrc, rkrc, rkrr, center, squash or pad (CIFAR's)"},
    "padding": {"type": int, "metavar": "PIXELS", "help": "black on each side, for --crop pad"},
    "auto_augment": {
        "metavar": "POLICY",
        "help": "timm's config string, as rand-m9-mstd0.5-inc1, or torchvision's tv-rand-n2-m9",
    },
    "color_jitter": {
        "type": float,
        "nargs": "+",
        "metavar": "X",
        "help": "strength, or brightness, contrast, saturation and perhaps hue",
    },
    "color_jitter_prob": _CHANCE | {"help": "probability of colour jitter"},
    "force_color_jitter": {"action": "store_true", "help": "colour jitter beside any policy"},
    "grayscale_prob": _CHANCE | {"help": "probability of a gray image"},
    "gaussian_blur_prob": _CHANCE | {"help": "probability of a blurred image"},
    "cutout": {"type": int, "metavar": "PIXELS", "help": "side of Cutout's square"},
    "re_prob": _CHANCE | {"help": "probability of random erasing"},
    "re_mode": {"metavar": "MODE", "help": "random erasing with const, rand or pixel"},
    "re_count": _COUNT | {"help": "most boxes of random erasing"},
    "re_num_splits": _COUNT | {"help": "above 1: spare the first view"},
    "mean": _CHANNELS | {"help": "the model's normalisation, as a colour to fill with"},
    "std": _CHANNELS | {"help": "the same, for --re-mode"},
}


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of `View`, and ``--same-crop``."""
    group = parser.add_argument_group("views")
    for field in fields(View):
        option = dict(_OPTIONS[field.name])
        default = field.default
        shown = " ".join(f"{x:.3g}" for x in default) if isinstance(default, tuple) else default
        if default is not None and "action" not in option:
            option["help"] += f" (default: {shown})"
        flag = f"--{field.name.replace('_', '-')}"
        group.add_argument(flag, dest=f"view_{field.name}", default=default, **option)
    group.add_argument(
        "--same-crop", action="store_true", help="give both views the same crop, filter and flips"
    )


def two_view(args: argparse.Namespace) -> TwoView:
    """Make the `TwoView` that the options of `add_view_options` declare."""
    values = {field.name: getattr(args, f"view_{field.name}") for field in fields(View)}
    if values["color_jitter"] is not None and len(values["color_jitter"]) == 1:
        (values["color_jitter"],) = values["color_jitter"]
    try:
        return TwoView(View(**values), same_crop=args.same_crop)
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
