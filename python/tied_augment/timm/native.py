"""The native loader in train.py: when it replaces timm's, and with which arguments.

The arguments of train.py's ``create_loader`` and the tied options become those of
`tied_augment.timm.create_loader`.
"""

from __future__ import annotations

import inspect
from argparse import Namespace
from typing import Any

from timm.data.transforms_factory import create_transform
from torch.utils.data import IterableDataset

from tied_augment.loader import TiedLoader
from tied_augment.located import locate
from tied_augment.timm.loader import create_loader, erasing_splits
from tied_augment.timm.views import first_options, in_options, second_view
from tied_augment.timm.wds import undecoded

__all__ = ["native_loader", "tied_loader", "why_not"]


def why_not(args: Namespace, dataset: Any, options: dict[str, Any]) -> str | None:
    """The reason to use timm's loader; None to use the native one.

    Args:
        args: train.py's, with the tied options.
        dataset: the train set.
        options: keyword arguments of ``create_loader``.
    """
    if args.tied_loader != "native":
        return f"--tied-loader {args.tied_loader}"
    two_kinds = args.tied_aa2 is not None or args.tied_clean_first
    if options.get("input_size_choices") and two_kinds:
        return "with --train-img-sizes all views must have the same policy"
    found: object = undecoded(dataset) if isinstance(dataset, IterableDataset) else locate(dataset)
    return found if isinstance(found, str) else None


def native_loader(args: Namespace, dataset: Any, options: dict[str, Any]) -> Any:
    """Make the native loader.

    Args:
        args: train.py's, with the tied options.
        dataset: the train set.
        options: keyword arguments of ``create_loader``.

    Raises:
        LaunchError: the loader refuses an option.
    """
    threads = args.tied_threads or options.get("num_workers", 1)
    known = inspect.signature(create_transform).parameters
    transform = {name: value for name, value in options.items() if name in known}
    transform["re_num_splits"] = erasing_splits(options, args.tied_views)
    with in_options(args):
        return create_loader(
            dataset,
            **first_options(args, options) | {"num_workers": threads},
            num_views=args.tied_views,
            second=second_view(args, transform),
            same_crop=args.tied_same_crop,
            own_flips=args.tied_own_flips,
            seed=args.seed,
        )


def tied_loader(loader: Any) -> TiedLoader | None:
    """`loader` itself, or the one in timm's ``PrefetchLoader``, if it is native; else None."""
    inner = getattr(loader, "loader", loader)
    return inner if isinstance(inner, TiedLoader) else None
