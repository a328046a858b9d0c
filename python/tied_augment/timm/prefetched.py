"""A `TiedLoader` below timm's ``PrefetchLoader``, which normalises and erases on the device."""

from __future__ import annotations

from typing import Any

import torch
from timm.data import loader as timm_loader

from tied_augment.loader import TiedLoader

__all__ = ["DEVICE_OPTIONS", "PrefetchedLoader", "prefetched"]

# The options of timm's `create_loader` that only `PrefetchLoader` gets.
DEVICE_OPTIONS = ("device", "img_dtype", "fp16")


class PrefetchedLoader(TiedLoader):
    """The loader below: targets as by timm's ``fast_collate``."""

    _index_targets = True


def prefetched(loader: TiedLoader, options: dict[str, Any], **erasing: Any) -> Any:
    """Put timm's ``PrefetchLoader`` over `loader`.

    Args:
        loader: of uint8 batches.
        options: those of timm's `create_loader`, with `mean` and `std`.
        **erasing: what ``PrefetchLoader`` erases by.
    """
    device = {name: options[name] for name in DEVICE_OPTIONS if name in options}
    if "device" in device:
        device["device"] = torch.device(device["device"])
    prefetch_loader: Any = timm_loader.PrefetchLoader
    return prefetch_loader(loader, mean=options["mean"], std=options["std"], **device, **erasing)
