"""The two views that train.py's augmentation options and the tied options declare."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from tied_augment.timm.errors import LaunchError
from tied_augment.transforms import TwoView, View

__all__ = ["two_view"]

# All of timm's augmentation but crop and flips: what AugMix's first view is spared.
_CLEAN = {
    "auto_augment": None,
    "color_jitter": None,
    "grayscale_prob": 0.0,
    "gaussian_blur_prob": 0.0,
}
# The loader's business: on normalised images, after mixing.
_ERASING = ("re_prob", "re_mode", "re_count", "re_num_splits")


def two_view(args: Namespace, options: dict[str, Any]) -> TwoView:
    """Make the views.

    Args:
        args: train.py's, with the tied options.
        options: keyword arguments of timm's ``create_transform``, as ``create_loader`` gives them.

    Raises:
        LaunchError: an option that `View` refuses.
    """
    first = {name: value for name, value in options.items() if name not in _ERASING}
    second = dict(first)
    if args.tied_aa2 is not None:
        second["auto_augment"] = None if args.tied_aa2 == "none" else args.tied_aa2
    if args.tied_clean_first:
        first |= _CLEAN
    try:
        return TwoView(
            View.from_timm(**first), View.from_timm(**second), same_crop=args.tied_same_crop
        )
    except (TypeError, ValueError) as error:
        raise LaunchError(str(error)) from error
