"""Exact, fast two-view augmentation and the tied loss, for timm and any PyTorch loop.

Importing this needs numpy only; the names that need torch are imported on first use.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from tied_augment import presets
from tied_augment._core import DecodeError, build_info
from tied_augment.geometry import apply_to_boxes, apply_to_mask
from tied_augment.lazy import on_first_use
from tied_augment.packed import PackedDataset
from tied_augment.plans import render
from tied_augment.sources import ArrayDataset
from tied_augment.two_view import Plan, TwoView, View, decode
from tied_augment.views import Views

if TYPE_CHECKING:
    from tied_augment.dataset import TiedDataset
    from tied_augment.loader import TiedLoader
    from tied_augment.loss import TiedLoss, TiedMixup
    from tied_augment.model import TiedModel
    from tied_augment.normalize import Normalize
    from tied_augment.shards import TarShards

__all__ = [
    "ArrayDataset",
    "DecodeError",
    "Normalize",
    "PackedDataset",
    "Plan",
    "TarShards",
    "TiedDataset",
    "TiedLoader",
    "TiedLoss",
    "TiedMixup",
    "TiedModel",
    "TwoView",
    "View",
    "Views",
    "__version__",
    "apply_to_boxes",
    "apply_to_mask",
    "build_info",
    "decode",
    "presets",
    "render",
]

__version__ = build_info()["version"]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "Normalize": "normalize",
        "TarShards": "shards",
        "TiedDataset": "dataset",
        "TiedLoader": "loader",
        "TiedLoss": "loss",
        "TiedMixup": "loss",
        "TiedModel": "model",
    },
)

if not build_info()["jpeg_simd"]:
    warnings.warn(
        "this build of tied-augment decodes JPEG files without SIMD, about 2.5 times slower: "
        "install nasm and rebuild (see build_info())",
        RuntimeWarning,
        stacklevel=2,
    )
