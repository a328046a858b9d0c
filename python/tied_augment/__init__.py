"""Exact, fast two-view augmentation and the tied loss, for timm and any PyTorch loop.

Importing this needs numpy only; the names that need torch are imported on first use.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from tied_augment._core import DecodeError, build_info
from tied_augment.plans import render
from tied_augment.sources import ArrayDataset
from tied_augment.transforms import Plan, TwoView, View, decode

if TYPE_CHECKING:
    from tied_augment.dataset import TiedDataset
    from tied_augment.loader import TiedLoader
    from tied_augment.loss import TiedLoss, TiedMixup
    from tied_augment.model import TiedModel
    from tied_augment.shards import TarShards

__all__ = [
    "ArrayDataset",
    "DecodeError",
    "Plan",
    "TarShards",
    "TiedDataset",
    "TiedLoader",
    "TiedLoss",
    "TiedMixup",
    "TiedModel",
    "TwoView",
    "View",
    "__version__",
    "build_info",
    "decode",
    "render",
]

__version__ = build_info()["version"]

_NEED_TORCH = {
    "TarShards": "shards",
    "TiedDataset": "dataset",
    "TiedLoader": "loader",
    "TiedLoss": "loss",
    "TiedMixup": "loss",
    "TiedModel": "model",
}

if not build_info()["jpeg_simd"]:
    warnings.warn(
        "this build of tied-augment decodes JPEG files without SIMD, about 2.5 times slower: "
        "install nasm and rebuild (see build_info())",
        RuntimeWarning,
        stacklevel=2,
    )


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"tied_augment.{_NEED_TORCH[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise ImportError(
            f"{name} needs PyTorch: pip install torch, or pip install 'tied-augment[timm]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_NEED_TORCH))
