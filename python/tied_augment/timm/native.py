"""The native loader in the place of timm's, where it can serve.

Lives here: whether it can, and how the arguments of train.py's ``create_loader`` and the tied
options become those of `tied_augment.timm.create_loader`.
"""

from __future__ import annotations

import inspect
from argparse import Namespace
from typing import Any

from timm.data.transforms_factory import create_transform

from tied_augment.loader import TiedLoader
from tied_augment.located import locate
from tied_augment.timm.loader import create_loader
from tied_augment.timm.views import first_options, refused, second_view

__all__ = ["native_loader", "tied_loader", "why_not"]


def why_not(args: Namespace, dataset: Any, options: dict[str, Any]) -> str | None:
    """Why the native loader is not used; None if it is.

    Args:
        args: train.py's, with the tied options.
        dataset: the train set.
        options: keyword arguments of ``create_loader``.
    """
    if args.tied_loader != "native":
        return f"--tied-loader {args.tied_loader}"
    two_kinds = args.tied_aa2 is not None or args.tied_clean_first
    if options.get("input_size_choices") and two_kinds:
        return "with --train-img-sizes both views must be of one kind"
    located = locate(dataset)
    return located if isinstance(located, str) else None


def native_loader(args: Namespace, dataset: Any, options: dict[str, Any]) -> Any:
    """Make the loader.

    Raises:
        LaunchError: an option that it refuses.
    """
    threads = args.tied_threads or options.get("num_workers", 1)
    known = inspect.signature(create_transform).parameters
    transform = {name: value for name, value in options.items() if name in known}
    transform["re_num_splits"] = 2 if options.get("re_split", False) else 0
    try:
        return create_loader(
            dataset,
            **first_options(args, options) | {"num_workers": threads},
            second=second_view(args, transform),
            same_crop=args.tied_same_crop,
            own_flips=args.tied_own_flips,
            seed=args.seed,
        )
    except (TypeError, ValueError) as error:
        raise refused(error) from error


def tied_loader(loader: Any) -> TiedLoader | None:
    """The native loader in `loader`, which may be timm's ``PrefetchLoader``; None if it is not."""
    inner = getattr(loader, "loader", loader)
    return inner if isinstance(inner, TiedLoader) else None
