"""Checks of the arguments of `TiedLoader`, and defaults that depend on the machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

import torch

from tied_augment import _core
from tied_augment.arguments import check_bool, check_channels
from tied_augment.loader.output import DTYPES, Layout, Output
from tied_augment.view import View
from tied_augment.view_from_timm import IMAGENET_MEAN, IMAGENET_STD
from tied_augment.views import Views

__all__ = [
    "can_pin",
    "function",
    "output",
    "refuse",
    "threads",
    "views",
]

# Arguments of DataLoader that `TiedLoader` doesn't have, and what to do instead.
_DATA_LOADERS = {
    "num_workers": "use threads=, since it has threads instead of worker processes",
    "persistent_workers": "leave it out, since there are no worker processes",
    "worker_init_fn": "leave it out, since there are no worker processes",
    "multiprocessing_context": "leave it out, since there are no worker processes",
    "in_order": "leave it out: batches always come in order",
    "timeout": "leave it out, since there are no worker processes to wait for",
    "prefetch_factor": "use prefetch=, the number of batches that are made ahead",
    "generator": "use seed=, from which order and views follow",
    "pin_memory_device": "use pin_memory=True",
    "transform": "use views=",
    "num_replicas": "use world_size=",
    "workers": "use threads=",
}


def refuse(unknown: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise TypeError for arguments that `TiedLoader` doesn't have, and say what to do instead."""
    for name in unknown:
        close = [f"do you mean {other}=?" for other in get_close_matches(name, known, 1, 0.75)]
        remedy = ": ".join(["", *([_DATA_LOADERS[name]] if name in _DATA_LOADERS else close)])
        raise TypeError(f"TiedLoader has no argument {name!r}{remedy}")


def function(name: str, value: Any) -> Any:
    """`value`, if it is None or can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")
    return value


def views(views: object, choosing: bool) -> list[Views | View]:
    """The views, as a list of what a batch sampler may choose from.

    Args:
        views: the argument.
        choosing: whether there is a batch sampler.
    """
    several = list(views) if isinstance(views, Sequence) else [views]
    if not several or not all(isinstance(each, (Views, View)) for each in several):
        kind = type(views).__name__
        shown = repr(views) if "\n" not in repr(views) else f"a {kind}"
        if callable(views) and not isinstance(views, type):
            shown += ": torchvision's transforms have their counterparts in View's arguments"
        raise TypeError(f"views must be a TwoView such as TwoView(View(224)), got {shown}")
    if len(several) > 1 and not choosing:
        raise ValueError(
            "a list of views is for a batch_sampler that chooses one of them for each batch: for "
            "several views of every image give TwoView(first, second) or Views(*views)"
        )
    return cast("list[Views | View]", several)


def output(output: str, mean: Any, std: Any, channels_last: bool, layout: Layout) -> Output:
    """The form of batches that these arguments say."""
    if not isinstance(output, str) or output not in DTYPES:
        names = ", ".join(map(repr, DTYPES))
        raise ValueError(f"output must be one of {names}, got {output!r}")
    if layout not in ("flat", "views"):
        raise ValueError(f"layout must be 'flat' or 'views', got {layout!r}")
    if output == "uint8" and (mean is not None or std is not None):
        raise ValueError(
            "mean and std have no effect on output='uint8', which is not normalised: give "
            "output='float32', 'float16' or 'bfloat16', or leave them out"
        )
    means = check_channels("mean", IMAGENET_MEAN if mean is None else mean)
    stds = check_channels("std", IMAGENET_STD if std is None else std)
    if not all(0 <= value <= 1 for value in means):
        raise ValueError(f"mean must be from 0 to 1, a fraction of 255, got {mean!r}")
    if not all(0 < value <= 1 for value in stds):
        raise ValueError(f"std must be above 0 and at most 1, a fraction of 255, got {std!r}")
    return Output(DTYPES[output], means, stds, check_bool("channels_last", channels_last), layout)


def can_pin(wanted: bool) -> bool:
    """Whether to page-lock memory; like DataLoader, warns where that is not possible."""
    accelerator = getattr(torch, "accelerator", torch.cuda)
    if wanted and not accelerator.is_available():
        warnings.warn(
            "pin_memory=True has no effect: torch finds no accelerator to pin memory for",
            stacklevel=3,
        )
        return False
    return wanted


def threads() -> int:
    """The cores of this machine that this process may use.

    They are shared among the processes that torchrun has started here.
    """
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    processes = int(local) if local.isdigit() and int(local) > 0 else 1
    return max(1, _core.build_info()["threads"] // processes)
