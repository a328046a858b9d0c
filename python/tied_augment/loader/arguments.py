"""What the arguments of `TiedLoader` may be, and what the machine decides about them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import cast

import torch

from tied_augment import _core
from tied_augment.loader.output import DTYPES, Layout, Output
from tied_augment.transforms import TwoView, View

__all__ = ["can_pin", "count", "output", "rank", "threads", "views"]


def views(views: object) -> list[TwoView | View]:
    """The views of every choice, one by one."""
    several = list(views) if isinstance(views, Sequence) else [views]
    if not several or not all(isinstance(each, (TwoView, View)) for each in several):
        raise TypeError(f"views must be a TwoView, or a sequence of these, got {views!r}")
    return cast("list[TwoView | View]", several)


def count(views: TwoView | View) -> int:
    """How many views are made of a sample."""
    return 2 if isinstance(views, TwoView) else 1


def output(
    output: str, mean: Sequence[float], std: Sequence[float], channels_last: bool, layout: Layout
) -> Output:
    """The form of batches."""
    if output not in DTYPES:
        raise ValueError(f"output must be one of {', '.join(DTYPES)}, got {output!r}")
    if layout not in ("flat", "views"):
        raise ValueError(f"layout must be 'flat' or 'views', got {layout!r}")
    if len(mean) != 3 or len(std) != 3 or not all(float(value) > 0 for value in std):
        raise ValueError(f"mean and std must be 3 numbers, std above 0: got {mean} and {std}")
    return Output(DTYPES[output], tuple(mean), tuple(std), bool(channels_last), layout)


def can_pin(wanted: bool) -> bool:
    """Whether memory is to be page-locked; warns, as DataLoader does, where it can't be."""
    accelerator = getattr(torch, "accelerator", torch.cuda)
    if wanted and not accelerator.is_available():
        warnings.warn(
            "pin_memory=True has no effect: torch finds no accelerator to pin memory for",
            stacklevel=3,
        )
        return False
    return wanted


def threads() -> int:
    """The cores that this process may use, shared with those that torchrun has started."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    processes = int(local) if local.isdigit() and int(local) > 0 else 1
    return max(1, _core.build_info()["threads"] // processes)


def rank() -> tuple[int, int]:
    """This process's rank, and the number of ranks."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
