"""The options that declare a view on the command line: the fields of `View`, each by its name.

Every field of `View` has one line in `_OPTIONS`; its default is the field's.
"""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from typing import Any

from tied_augment import TwoView, View
from tied_augment.cli.errors import CommandError

__all__ = ["add_view_options", "two_view"]

_RANGE: dict[str, Any] = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
_CHANNELS: dict[str, Any] = {"type": float, "nargs": 3, "metavar": ("R", "G", "B")}
_CHANCE: dict[str, Any] = {"type": float, "metavar": "P"}

_OPTIONS: dict[str, dict[str, Any]] = {
    "size": {"type": int, "metavar": "PIXELS", "help": "side of the square views"},
    "scale": _RANGE | {"help": "bounds of the crop's area as a fraction of the image's"},
    "ratio": _RANGE | {"help": "bounds of the crop's width over height"},
    "interpolation": {
        "metavar": "FILTER",
        "help": "random (bilinear or bicubic), nearest, box, bilinear, hamming, bicubic, lanczos",
    },
    "hflip": _CHANCE | {"help": "probability of a left-right flip"},
    "vflip": _CHANCE | {"help": "probability of a top-bottom flip"},
    "crop": {
        "metavar": "KIND",
        "help": "rrc (random resized crop), rkrc, rkrr, center, squash, or pad (CIFAR's)",
    },
    "padding": {"type": int, "metavar": "PIXELS", "help": "black on each side, for --crop pad"},
    "auto_augment": {
        "metavar": "POLICY",
        "help": "timm's string (rand-m9-mstd0.5-inc1, augmix-m5, ...) or torchvision's (tv-...)",
    },
    "color_jitter": {
        "type": float,
        "metavar": "STRENGTH",
        "help": "of brightness, contrast, colour",
    },
    "color_jitter_prob": _CHANCE | {"help": "its probability (default: always)"},
    "force_color_jitter": {"action": "store_true", "help": "jitter beside a policy, too"},
    "grayscale_prob": _CHANCE | {"help": "probability of a gray image"},
    "gaussian_blur_prob": _CHANCE | {"help": "probability of a blur"},
    "cutout": {"type": int, "metavar": "PIXELS", "help": "side of a square that is filled"},
    "re_prob": _CHANCE | {"help": "probability of random erasing"},
    "re_mode": {"metavar": "MODE", "help": "const, rand or pixel"},
    "re_count": {"type": int, "metavar": "N", "help": "the greatest number of boxes"},
    "re_num_splits": {"type": int, "metavar": "N", "help": "above 1, view 1 is not erased"},
    "mean": _CHANNELS | {"help": "the model's normalisation; the colour of what moves in"},
    "std": _CHANNELS | {"help": "the same, for --re-mode rand and pixel"},
}


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of `View`, and ``--same-crop``."""
    group = parser.add_argument_group("views")
    for field in _view_fields():
        option = dict(_OPTIONS[field.name])
        default = field.default
        if default is not None and "action" not in option:
            option["help"] += f" (default: {default})"
        flag = f"--{field.name.replace('_', '-')}"
        group.add_argument(flag, dest=f"view_{field.name}", default=default, **option)
    group.add_argument(
        "--same-crop", action="store_true", help="give both views the same crop, filter and flips"
    )


def two_view(args: argparse.Namespace) -> TwoView:
    """Make the `TwoView` that the options of `add_view_options` declare."""
    values = {field.name: getattr(args, f"view_{field.name}") for field in _view_fields()}
    try:
        return TwoView(View(**values), same_crop=args.same_crop)
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error


def _view_fields() -> list[Field[Any]]:
    return [field for field in fields(View) if field.name in _OPTIONS]
