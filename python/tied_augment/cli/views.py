"""The options that declare a view on the command line: the fields of `View`, each by its name.

A field of `View` that is to be an option gets one line in `_OPTIONS`; its default is the field's.
"""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from typing import Any

from tied_augment import TwoView, View
from tied_augment.cli.errors import CommandError

__all__ = ["add_view_options", "two_view"]

_RANGE: dict[str, Any] = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
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
    "crop": {"metavar": "KIND", "help": "rrc (random resized crop) or pad (CIFAR's)"},
    "padding": {"type": int, "metavar": "PIXELS", "help": "black on each side, for --crop pad"},
}


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of `View`, and ``--same-crop``."""
    group = parser.add_argument_group("views")
    for field in _view_fields():
        option = dict(_OPTIONS[field.name])
        default = field.default
        shown = " ".join(f"{x:.3g}" for x in default) if isinstance(default, tuple) else default
        option["help"] += f" (default: {shown})"
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
