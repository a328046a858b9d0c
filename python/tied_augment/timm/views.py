"""The views that train.py's augmentation options and the tied options declare.

The command line takes train.py's names of options from here, so this must import neither timm nor
torch.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from tied_augment.timm.errors import LaunchError, warnings_in_log
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["TIMMS_NAMES", "declared_views", "first_options", "in_options", "second_view"]

# train.py's option for a field of `View`, where its name is not the field's.
TIMMS_NAMES = {
    "size": "--img-size",
    "interpolation": "--train-interpolation",
    "crop": "--train-crop-mode",
    "auto_augment": "--aa",
    "re_prob": "--reprob",
    "re_mode": "--remode",
    "re_count": "--recount",
}
# The same for arguments of timm's `create_loader`.
_OF_LOADER = {
    "input_size": "--img-size",
    "input_size_choices": "--train-img-sizes",
    "batch_size": "--batch-size",
    "batch_size_choices": "--train-batch-sizes",
    "num_aug_repeats": "--aug-repeats",
    "num_workers": "--workers",
    "train_crop_mode": "--train-crop-mode",
}
# All options, by the names with which messages of `View` and `create_loader` begin.
_FLAGS = {field.name: f"--{field.name.replace('_', '-')}" for field in fields(View)}
_FLAGS |= TIMMS_NAMES | _OF_LOADER

# The options of a view that is only cropped and flipped, as the first of timm's AugMix splits.
_CLEAN = {
    "auto_augment": None,
    "color_jitter": None,
    "grayscale_prob": 0.0,
    "gaussian_blur_prob": 0.0,
}
# The loader erases, after mixing, in normalised images.
_ERASING = ("re_prob", "re_mode", "re_count", "re_num_splits")


def declared_views(args: Namespace, options: dict[str, Any]) -> Views:
    """Make the views.

    Args:
        args: train.py's, with the tied options.
        options: keyword arguments of timm's ``create_transform``, from ``create_loader``.

    Raises:
        LaunchError: `View` refuses an option.
    """
    options = {name: value for name, value in options.items() if name not in _ERASING}
    with in_options(args):
        first = View.from_timm(**first_options(args, options))
        second = second_view(args, options) or first
        return Views(
            first,
            *(args.tied_views - 1) * [second],
            same_crop=args.tied_same_crop,
            own_flips=args.tied_own_flips,
        )


@contextmanager
def in_options(args: Namespace, **flags: str) -> Iterator[None]:
    """Report errors and warnings of the block by train.py's options; log the warnings.

    Args:
        args: train.py's.
        **flags: options by argument name, where this block has others than `_FLAGS`.

    Raises:
        LaunchError: a TypeError or ValueError in the block.
    """
    names = _FLAGS | flags

    def reworded(text: str) -> str:
        return re.sub(r"^[a-z_]+\b", lambda name: names.get(name[0], name[0]), text)

    with warnings_in_log(args, reworded):
        try:
            yield
        except (TypeError, ValueError) as error:
            raise LaunchError(reworded(str(error))) from error


def first_options(args: Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """The options of view 1, from those of ``create_transform`` or ``create_loader``."""
    return options | _CLEAN if args.tied_clean_first else options


def second_view(args: Namespace, options: dict[str, Any]) -> View | None:
    """View 2 and those after it; None if they are other draws of view 1."""
    if args.tied_aa2 is None:
        return View.from_timm(**options) if args.tied_clean_first else None
    policy = None if args.tied_aa2 == "none" else args.tied_aa2
    with in_options(args, auto_augment="--tied-aa2"):
        return View.from_timm(**options | {"auto_augment": policy})
